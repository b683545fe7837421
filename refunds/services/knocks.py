"""Knocks that were refused at the webhook door, kept as counts: bounded however many come, and gone after a month."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from refunds.models import Account, RefusedKnock

KEPT = timedelta(days=30)
WRITTEN_AT_ONCE = 20  # knocks about the same in one hour; of those after them, one process writes only so often:
PAUSE = 5.0  # seconds
Name = tuple[int, str, datetime]  # account, reason and hour


@dataclass
class _Count:
    """What one process has met since it last wrote about it."""

    number: int
    first_at: datetime


@dataclass
class _Tally:
    """Counts in memory what would be a write each; a process that ends takes a few seconds' knocks with it."""

    counts: dict[Name, _Count] = field(default_factory=dict)
    written: dict[Name, tuple[int, float]] = field(default_factory=dict)  # how often, and when last
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: Name, now: datetime) -> _Count | None:
        """What is to be written now, or None while the last write is too young."""
        with self.lock:
            count = self.counts.setdefault(name, _Count(0, now))
            count.number += 1
            n_writes, last = self.written.get(name, (0, -PAUSE))
            if n_writes >= WRITTEN_AT_ONCE and time.monotonic() - last < PAUSE:
                return None
            self._forget_before(name[2])
            self.written[name] = n_writes + 1, time.monotonic()
            return self.counts.pop(name)

    def _forget_before(self, hour: datetime) -> None:
        for kept in (self.counts, self.written):
            for name in [name for name in kept if name[2] < hour]:
                del kept[name]


TALLY = _Tally()


def note_refused(slug: str, why: RefusedKnock.Why, digest: str = "") -> None:
    """Count a knock at the door of an account that there is; strangers' names make no rows."""
    account = Account.objects.filter(slug=slug).only("pk").first()
    now = timezone.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    if account is None or not (count := TALLY.add((account.pk, why, hour), now)):
        return
    with transaction.atomic():
        row, is_new = RefusedKnock.objects.get_or_create(
            account=account,
            why=why,
            hour=hour,
            defaults={"n_knocks": count.number, "first_at": min(count.first_at, now), "last_at": now, "digest": digest},
        )
        if not is_new:
            named = {"digest": digest} if digest else {}
            changed = RefusedKnock.objects.filter(pk=row.pk)
            changed.update(n_knocks=F("n_knocks") + count.number, last_at=now, **named)


def forget_old_knocks() -> None:
    RefusedKnock.objects.filter(hour__lt=timezone.now() - KEPT).delete()
