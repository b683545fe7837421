"""How one person reads: language and time zone of their own, else the house's; and when digests go out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.utils import timezone, translation

# The other names are old ones, or of no place where people sit.
CONTINENTS = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1)
def zones() -> tuple[str, ...]:
    """The names of time zones that a person may choose, as Europe/Warsaw."""
    return ("UTC", *sorted(name for name in available_timezones() if name.partition("/")[0] in CONTINENTS))


def zone(name: str) -> tzinfo:
    """The time zone of that name; the house's where it is empty, or this machine knows no such zone."""
    return ZoneInfo(name) if name and name in zones() else timezone.get_default_timezone()


def language(code: str) -> str:
    """The language of that code, where the desk speaks it; else the house's."""
    return code if code in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE


@contextmanager
def reading(language_code: str, time_zone: str) -> Iterator[None]:
    """What is written in this block is written in this language and with times of this zone."""
    with translation.override(language(language_code)), timezone.override(zone(time_zone)):
        yield


def midnight(day: date, of: tzinfo | None = None) -> datetime:
    """When this day begins, in that time zone or else in the reader's."""
    return timezone.make_aware(datetime.combine(day, time.min), of)


def next_digest(now: datetime) -> datetime:
    """The next full stretch of NOTICE_DIGEST_MINUTES, the same for everybody."""
    stretch = timedelta(minutes=settings.NOTICE_DIGEST_MINUTES)
    return EPOCH + ((now - EPOCH) // stretch + 1) * stretch
