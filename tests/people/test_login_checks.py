"""Weak combinations of login settings keep the site from starting, and say what to do."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import CheckMessage

from refunds import login_checks

SSO = {
    "OIDC_ISSUER": "https://idp.example/realms/acme",
    "OIDC_CLIENT_ID": "desk",
    "OIDC_CLIENT_SECRET": "0123456789abcdef",
    "OIDC_GROUPS": "support=Agents",
    "PUBLIC_URL": "https://refunds.example",
    "SECOND_FACTOR": "required",
}
HOME = {**SSO, "DEBUG": True}


def found() -> list[CheckMessage]:
    checks = (login_checks.check_second_factor, login_checks.check_sessions, login_checks.check_single_sign_on)
    return [message for check in checks for message in check()]


@pytest.mark.parametrize(
    "fine",
    [
        {"SECOND_FACTOR": "required"},
        {"SECOND_FACTOR": "optional", "DEBUG": True},
        SSO,
        {**SSO, "PASSWORD_LOGIN": False},
        {**SSO, "OIDC_PEOPLE_URL": "https://idp.example/scim/v2/Users"},
        {**HOME, "OIDC_ISSUER": "http://127.0.0.1:9000"},
    ],
)
def test_what_is_fine_passes(settings: Any, fine: dict[str, Any]) -> None:
    for name, value in {"ACCEPT_OPTIONAL_SECOND_FACTOR": False, **fine}.items():
        setattr(settings, name, value)
    assert found() == []


@pytest.mark.parametrize(
    ("weak", "expected"),
    [
        ({"SECOND_FACTOR": "optional"}, "refunds.E022"),
        ({"SECOND_FACTOR": "sometimes"}, "refunds.E021"),
        ({"SECOND_FACTOR": "optional", "ACCEPT_OPTIONAL_SECOND_FACTOR": True}, "refunds.W001"),
        ({"FRESH_LOGIN_MINUTES": 0}, "refunds.E023"),
        ({"FRESH_LOGIN_MINUTES": 20}, "refunds.E023"),
        ({"FRESH_LOGIN_AT_MOST_MINUTES": 600}, "refunds.E023"),
        ({"FRESH_DECIDING_AT_MOST_MINUTES": 10}, "refunds.E031"),
        ({"FRESH_DECIDING_AT_MOST_MINUTES": 61}, "refunds.E031"),
        ({"SESSION_IDLE_MINUTES": 0}, "refunds.E024"),
        ({"SESSION_HOURS": 240}, "refunds.E024"),
        ({"PASSWORD_LOGIN": False}, "refunds.E025"),
        ({**SSO, "OIDC_ISSUER": "http://idp.example"}, "refunds.E026"),
        ({**SSO, "OIDC_ISSUER": "http://127.0.0.1:9000"}, "refunds.E026"),
        ({**HOME, "OIDC_ISSUER": "http://idp.example"}, "refunds.E026"),
        ({**SSO, "OIDC_ISSUER": "https://idp.example/?realm=1"}, "refunds.E026"),
        ({**SSO, "OIDC_CLIENT_SECRET": ""}, "refunds.E027"),
        ({**SSO, "PUBLIC_URL": ""}, "refunds.E028"),
        ({**SSO, "OIDC_GROUPS": ""}, "refunds.E029"),
        ({**SSO, "OIDC_GROUPS": "support=Directors"}, "refunds.E029"),
        ({**SSO, "OIDC_PEOPLE_URL": "https://elsewhere.example/scim"}, "refunds.E030"),
        ({**SSO, "OIDC_PEOPLE_URL": "http://idp.example/scim"}, "refunds.E030"),
    ],
)
def test_what_is_weak_is_told(settings: Any, weak: dict[str, Any], expected: str) -> None:
    for name, value in {"SECOND_FACTOR": "required", "ACCEPT_OPTIONAL_SECOND_FACTOR": False, **weak}.items():
        setattr(settings, name, value)
    assert [message.id for message in found()] == [expected]
