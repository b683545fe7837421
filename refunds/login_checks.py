"""System checks of people and login: weak combinations are refused, or accepted by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from refunds import accounts
from refunds.errors import BadInput
from refunds.issuer import is_issuers
from refunds.services import identity

LONGEST_FRESH, LONGEST_IDLE, LONGEST_SESSION = 60, 60, 24  # minutes, minutes, hours
LONGEST_ISSUER = 200  # it is kept with each person


@register(Tags.security)
def check_second_factor(**kwargs: Any) -> Iterator[CheckMessage]:
    if settings.SECOND_FACTOR not in ("required", "optional"):
        yield Error("Set SECOND_FACTOR to required or optional.", id="refunds.E021")
    elif settings.SECOND_FACTOR == "optional" and not settings.DEBUG:
        told = "Whoever knows an approver's password may send money: SECOND_FACTOR=optional"
        if settings.ACCEPT_OPTIONAL_SECOND_FACTOR:
            yield Warning(f"{told} was accepted by ACCEPT_OPTIONAL_SECOND_FACTOR.", id="refunds.W001")
        else:
            yield Error(f"{told}. Set it to required, or ACCEPT_OPTIONAL_SECOND_FACTOR=on.", id="refunds.E022")


@register(Tags.security)
def check_sessions(**kwargs: Any) -> Iterator[CheckMessage]:
    shortest, longest = settings.FRESH_LOGIN_MINUTES, settings.FRESH_LOGIN_AT_MOST_MINUTES
    if not 1 <= shortest <= longest <= LONGEST_FRESH:
        yield Error(
            f"FRESH_LOGIN_MINUTES has to be 1 or more, and FRESH_LOGIN_AT_MOST_MINUTES between it and {LONGEST_FRESH}.",
            id="refunds.E023",
        )
    elif not longest <= settings.FRESH_DECIDING_AT_MOST_MINUTES <= LONGEST_FRESH:
        yield Error(
            "FRESH_DECIDING_AT_MOST_MINUTES has to be between FRESH_LOGIN_AT_MOST_MINUTES and "
            f"{LONGEST_FRESH}: it is for deciding on one refund after the other.",
            id="refunds.E031",
        )
    if not 1 <= settings.SESSION_IDLE_MINUTES <= LONGEST_IDLE or not 1 <= settings.SESSION_HOURS <= LONGEST_SESSION:
        yield Error(
            f"Set SESSION_IDLE_MINUTES to 1 to {LONGEST_IDLE}, and SESSION_HOURS to 1 to {LONGEST_SESSION}.",
            id="refunds.E024",
        )


@register(Tags.security)
def check_single_sign_on(**kwargs: Any) -> Iterator[CheckMessage]:
    if not settings.OIDC_ISSUER:
        if not settings.PASSWORD_LOGIN:
            yield Error("PASSWORD_LOGIN=off without OIDC_ISSUER lets nobody in: set one of them.", id="refunds.E025")
        return
    issuer = urlsplit(settings.OIDC_ISSUER)
    at_home = settings.DEBUG and issuer.scheme == "http" and accounts.is_loopback(issuer.hostname or "")
    whole = issuer.scheme == "https" and issuer.hostname and not issuer.query and not issuer.fragment
    if not (whole or at_home) or len(settings.OIDC_ISSUER) > LONGEST_ISSUER:
        yield Error("OIDC_ISSUER must be the issuer's https address, as it calls itself.", id="refunds.E026")
    if not settings.OIDC_CLIENT_ID or not settings.OIDC_CLIENT_SECRET:
        yield Error("OIDC_ISSUER needs OIDC_CLIENT_ID and OIDC_CLIENT_SECRET.", id="refunds.E027")
    if not settings.PUBLIC_URL and not settings.DEBUG:
        yield Error("Single sign-on needs PUBLIC_URL: the issuer sends people back to it.", id="refunds.E028")
    yield from _check_people()


def _check_people() -> Iterator[CheckMessage]:
    try:
        if not identity.mapping():
            yield Error("OIDC_GROUPS maps no group to ours: nobody could come in by OIDC_ISSUER.", id="refunds.E029")
    except BadInput as refusal:
        yield Error(str(refusal), id="refunds.E029")
    if settings.OIDC_PEOPLE_URL and not is_issuers(settings.OIDC_PEOPLE_URL):
        yield Error("OIDC_PEOPLE_URL must stand on the issuer's host: its token goes nowhere else.", id="refunds.E030")
