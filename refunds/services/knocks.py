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
PAUSE = 5.0  # seconds between two writes about the same, in one process
Name = tuple[int, str]  # account and reason


@dataclass
class _Count:
    """What one process has met since it last wrote about it."""

    number: int
    first_at: datetime


@dataclass
class _Tally:
    """Counts in memory what would be a write each; a process that ends takes a few seconds' knocks with it."""

    counts: dict[Name, _Count] = field(default_factory=dict)
    written: dict[Name, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: Name, now: datetime) -> _Count | None:
        """What is to be written now, or None while the last write is too young."""
        with self.lock:
            count = self.counts.setdefault(name, _Count(0, now))
            count.number += 1
            if time.monotonic() - self.written.get(name, -PAUSE) < PAUSE:
                return None
            self.written[name] = time.monotonic()
            return self.counts.pop(name)


TALLY = _Tally()


def note_refused(slug: str, why: RefusedKnock.Why, digest: str = "") -> None:
    """Count a knock at the door of an account that there is; strangers' names make no rows."""
    account = Account.objects.filter(slug=slug).only("pk").first()
    now = timezone.now()
    if account is None or not (count := TALLY.add((account.pk, why), now)):
        return
    with transaction.atomic():
        row, is_new = RefusedKnock.objects.get_or_create(
            account=account,
            why=why,
            hour=now.replace(minute=0, second=0, microsecond=0),
            defaults={"n_knocks": count.number, "first_at": min(count.first_at, now), "last_at": now, "digest": digest},
        )
        if not is_new:
            named = {"digest": digest} if digest else {}
            changed = RefusedKnock.objects.filter(pk=row.pk)
            changed.update(n_knocks=F("n_knocks") + count.number, last_at=now, **named)


def forget_old_knocks() -> None:
    RefusedKnock.objects.filter(hour__lt=timezone.now() - KEPT).delete()
