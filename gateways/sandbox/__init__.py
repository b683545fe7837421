"""Gateways to practise on: real HTTP, a ledger of the money that moved, and stories of what can go wrong."""

from gateways.sandbox.server import Sandbox

__all__ = ["Sandbox"]
