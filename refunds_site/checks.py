"""System checks of what strangers meet: hosts, proxies, logs, exports. The business's stand in refunds/checks.py."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import Error, Tags, register

from refunds_site import telemetry

HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*")
MOST_ROWS = 1_000_000
SHORTEST_TOKEN = 16
LARGEST_NETWORK = 8  # bits that a network of proxies has to fix at least


@register(Tags.security)
def check_webhook_hosts(**kwargs: Any) -> Iterator[Error]:
    for host in settings.WEBHOOK_HOSTS:
        if not HOST.fullmatch(host):
            yield Error(
                f"WEBHOOK_HOSTS names {host!r}: write whole host names, like hooks.example.com, without port and *.",
                id="refunds.E041",
            )
        elif host == urlsplit(settings.PUBLIC_URL).hostname:
            yield Error(
                f"WEBHOOK_HOSTS names {host}, where PUBLIC_URL has the desk: give the webhooks a host of their own.",
                id="refunds.E041",
            )


@register(Tags.security)
def check_proxies(**kwargs: Any) -> Iterator[Error]:
    for address in settings.PROXY_ADDRESSES:
        if not _is_narrow(address):
            yield Error(
                f"PROXY_ADDRESSES names {address!r}: write addresses or networks of your own proxies, like 10.0.0.5.",
                id="refunds.E042",
            )
    believed = settings.SECURE_PROXY_SSL_HEADER or settings.ALLAUTH_TRUSTED_PROXY_COUNT
    if believed and not settings.PROXY_ADDRESSES:
        yield Error(
            "PROXY_HTTPS_HEADER or TRUSTED_PROXIES is set, so say by PROXY_ADDRESSES which addresses your proxies "
            "connect from, like 127.0.0.1: from anywhere else their headers are not believed.",
            id="refunds.E042",
        )


def _is_narrow(address: str) -> bool:
    try:
        return ipaddress.ip_network(address, strict=False).prefixlen >= LARGEST_NETWORK
    except ValueError:
        return False


@register(Tags.security)
def check_allowed_hosts(**kwargs: Any) -> Iterator[Error]:
    for host in settings.ALLOWED_HOSTS:
        if not settings.DEBUG and (host == "*" or host.startswith(".")):
            yield Error(
                f"ALLOWED_HOSTS names {host!r}: write whole host names, or links in the desk's name lead elsewhere.",
                id="refunds.E043",
            )


@register(Tags.security)
def check_logs_and_exports(**kwargs: Any) -> Iterator[Error]:
    if settings.LOG_FORMAT not in ("json", "line"):
        yield Error(f"LOG_FORMAT is {settings.LOG_FORMAT!r}: write json or line.", id="refunds.E044")
    if not 1 <= settings.EXPORT_MOST_ROWS <= MOST_ROWS:
        yield Error(f"Set EXPORT_MOST_ROWS to between 1 and {MOST_ROWS}.", id="refunds.E045")


@register(Tags.security)
def check_watching(**kwargs: Any) -> Iterator[Error]:
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < SHORTEST_TOKEN:
        yield Error(
            f"Set METRICS_TOKEN to at least {SHORTEST_TOKEN} random characters, or to nothing.", id="refunds.E046"
        )
    for setting in telemetry.NEEDED:
        if getattr(settings, setting) and (missing := telemetry.missing(setting)):
            yield Error(
                f"{setting} is set, but {missing[0]} is not installed: "
                "run pip install -r requirements-observability.txt.",
                id="refunds.E047",
            )
    if not 0 < settings.TRACES_KEPT <= 1:
        yield Error("Set TRACES_KEPT to more than 0 and at most 1: of how many traces one is kept.", id="refunds.E048")
    if urlsplit(settings.SENTRY_DSN).scheme not in ("", "https") and not settings.DEBUG:
        yield Error("SENTRY_DSN must be an https address: reports do not travel in the clear.", id="refunds.E049")
