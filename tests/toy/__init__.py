"""A sixth gateway that exists in the tests only: what somebody writes who adds one."""
