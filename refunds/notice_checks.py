"""System checks of what is sent to people: mails and the house's channel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from gateways.egress import checked_base_url, is_loopback
from gateways.errors import Misconfigured

LONGEST_DIGEST = 24 * 60  # minutes
PRINTED = re.compile("[!-~]+")
SMTP = "django.core.mail.backends.smtp.EmailBackend"


@register(Tags.security)
def check_mail(**kwargs: Any) -> Iterator[CheckMessage]:
    if not settings.SENDS_MAIL:
        if not settings.DEBUG:
            yield Warning(
                "Nobody is told by e-mail that a refund waits or has failed: name a mail server by EMAIL_URL.",
                id="refunds.W010",
            )
        return
    if settings.EMAIL_BACKEND != SMTP:
        return
    is_sealed = settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL
    if not is_sealed and not is_loopback(settings.EMAIL_HOST):
        yield Warning(
            "EMAIL_URL sends in the clear: write smtp+tls:// or smtp+ssl://, or use a mail server on this machine.",
            id="refunds.W011",
        )
    if settings.DEFAULT_FROM_EMAIL.endswith("@localhost"):
        yield Warning(
            "EMAIL_FROM is not an address that answers: most mail servers refuse @localhost.", id="refunds.W012"
        )


@register(Tags.security)
def check_notices(**kwargs: Any) -> Iterator[CheckMessage]:
    if not 1 <= settings.NOTICE_DIGEST_MINUTES <= LONGEST_DIGEST:
        yield Error(f"Set NOTICE_DIGEST_MINUTES to between 1 and {LONGEST_DIGEST}.", id="refunds.E050")
    if settings.NOTICE_WEBHOOK_URL and not _may_be_called(settings.NOTICE_WEBHOOK_URL):
        yield Error(
            "NOTICE_WEBHOOK_URL must be the whole https address of an incoming webhook, on a public host.",
            id="refunds.E051",  # it is a secret, so its value is not shown
        )
    tells = settings.SENDS_MAIL or settings.NOTICE_WEBHOOK_URL
    if tells and not settings.PUBLIC_URL and not settings.DEBUG:
        yield Error(
            "EMAIL_URL and NOTICE_WEBHOOK_URL need PUBLIC_URL: what is sent holds a link to it.", id="refunds.E052"
        )


def _may_be_called(url: str) -> bool:
    try:
        parts = urlsplit(url)
        checked_base_url(f"{parts.scheme}://{parts.netloc}")
    except (ValueError, Misconfigured):
        return False
    return bool(PRINTED.fullmatch(url)) and parts.path.startswith("/")
