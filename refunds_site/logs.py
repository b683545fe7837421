"""How a log record becomes one line that nobody outside can forge, and what is starred out of it."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
from collections.abc import ItemsView
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter

from gateways import cards
from refunds_site.environment import ENV

MASK = "•••"
SHORTEST_SECRET = 8  # a shorter one would star out half of the log
# Any variable with such a word in its name holds something that is nobody's business.
SECRET_NAME = re.compile(
    "SECRET|TOKEN|KEY|PASS|PEM|CREDENTIAL|SIGNATURE|DATABASE_URL|EMAIL_URL|WEBHOOK_URL|API|AUTH|COOKIE|DSN|HEADERS",
    re.IGNORECASE,
)
# What a line may say beside its message, so that one search finds a refund from the click to the webhook.
BESIDE = ("origin", "refund", "account", "kind", "outcome", "host", "seconds")
SPACES = frozenset("\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}")  # amounts are written with them


def plain(text: str) -> str:
    r"""The text on one line: control characters, ANSI, bidi marks and half surrogates written out, like \x1b."""
    return "".join(
        sign if sign.isprintable() or sign in SPACES else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in text
    )


def without_secrets(text: str) -> str:
    """The text with our own secrets and people's card numbers masked."""
    for secret in _secrets(tuple(os.environ.items())):
        text = text.replace(secret, MASK)
    return cards.masked(text)


@lru_cache(maxsize=1)
def _secrets(environment: tuple[tuple[str, str], ...]) -> list[str]:
    """Every secret that this process was given, in the spellings in which it could come out, the longest first."""
    found = {settings.SECRET_KEY}
    for name, value in environment:
        if SECRET_NAME.search(name):
            found |= {_read(name, value), *_parts(name, _read(name, value))}
    return sorted({form for secret in found if len(secret) >= SHORTEST_SECRET for form in _forms(secret)}, key=len)[
        ::-1
    ]


def _read(name: str, value: str) -> str:
    """NAME_FILE names the file that holds the secret."""
    return ENV.ENVIRON.get(name.removesuffix("_FILE"), "").strip() if name.endswith("_FILE") else value.strip()


def _parts(name: str, url: str) -> set[str]:
    """Of an address: its password, as it stands there and as it is typed, and the path that opens a channel.

    Of headers (name=value, several with commas): what comes last in each value.
    """
    try:
        parts = urlsplit(url)
        password = parts.password or ""
    except ValueError:
        return set()
    headers = [part.partition("=")[2].split()[-1:] for part in url.split(",")] if "HEADERS" in name else []
    return {
        password,
        unquote(password),
        parts.path if "WEBHOOK_URL" in name else "",
        *(t for one in headers for t in one),
    }


def _forms(secret: str) -> set[str]:
    raw = secret.encode()
    packed = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    return {secret, quote(secret, safe=""), quote_plus(secret), raw.hex(), *(form.rstrip("=") for form in packed)}


class Line(logging.Formatter):
    """For people: one line, and a traceback indented below it, so that no text can look like a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname:<7} [{getattr(record, 'act', '-')[:8]}] "
        said = plain(head + without_secrets(f"{record.name}  {record.getMessage()}"))
        below = [f"\n    {plain(line)}" for line in without_secrets(traceback_of(self, record)).splitlines()]
        return said + "".join(below)


class Json(logging.Formatter):
    """For machines: one object on one line, the traceback in a field of it."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "act": getattr(record, "act", "-"),
            "message": without_secrets(record.getMessage()),
        }
        told |= {name: without_secrets(str(text)) for name in BESIDE if (text := getattr(record, name, ""))}
        told = {name: plain(text) for name, text in told.items()}
        if trouble := traceback_of(self, record):
            told["exception"] = "\n".join(plain(line) for line in without_secrets(trouble).split("\n"))
        return json.dumps(told)


def traceback_of(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info) if record.exc_info else record.exc_text or ""]
    return "\n".join([*filter(None, parts), *([formatter.formatStack(record.stack_info)] if record.stack_info else [])])


class Stars(SafeExceptionReporterFilter):
    """An error report outside DEBUG shows where it happened, and none of the values that were there."""

    hidden_settings = SECRET_NAME

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        if request is None or not self.is_active(request):
            return super().get_post_parameters(request)
        return dict.fromkeys(request.POST, self.cleansed_substitute)

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: Any) -> ItemsView[str, Any]:
        if not self.is_active(request):
            return dict(super().get_traceback_frame_variables(request, tb_frame)).items()
        return dict.fromkeys(tb_frame.f_locals, self.cleansed_substitute).items()
