"""Checkpoints: once a minute all new lines are sealed with one digest, which also goes into the log."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable
from datetime import timedelta
from heapq import merge
from itertools import groupby

from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from refunds.history.kept import lines_under
from refunds.models import Checkpoint, Event

log = logging.getLogger("refunds.history")

EVERY = timedelta(minutes=1)
# How a checkpoint reads in the log, so that `verify --log` finds it there.
EXPORTED = re.compile(r"checkpoint (?P<sequence>\d+) up to line (?P<last_event>\d+): (?P<digest>[0-9a-f]{64})")


def set_checkpoint() -> Checkpoint | None:
    """Seal what is new, at most once a minute whoever asks; None when there is nothing to do, or no moment for it."""
    if not _is_due(Checkpoint.objects.first()):
        return None
    try:
        with transaction.atomic():
            _wait_for_writers()
            last = Checkpoint.objects.first()
            if not _is_due(last):  # another worker was faster
                return None
            checkpoint = _seal(last)
    except (IntegrityError, OperationalError):  # another worker is at it, or the writers are too busy: next minute
        return None
    log.info(
        "checkpoint %d up to line %d: %s",
        checkpoint.sequence,
        checkpoint.last_event,
        checkpoint.digest,
    )
    return checkpoint


def seal_of(previous: str, lines: Iterable[tuple[int, str]]) -> str:
    """SHA-256 of the checkpoint before ("" for the first) and of every line's number and digest since."""
    seal = hashlib.sha256(previous.encode())
    for number, digest in lines:
        seal.update(f"\n{number} {digest}".encode())
    return seal.hexdigest()


def lines_between(after: Checkpoint | None, until: int) -> Iterable[tuple[int, str]]:
    """Number and digest of each line up to `until` that is still here, `after` being the checkpoint before."""
    lines = Event.objects.filter(pk__lte=until).order_by("pk")
    if after:
        lines = lines.filter(pk__gt=after.last_event)
    return lines.values_list("pk", "digest").iterator(chunk_size=2000)


def lines_of(checkpoint: Checkpoint, before: Checkpoint | None) -> Iterable[tuple[int, str]]:
    """Number and digest of each line that it covers: those that are here, and those that archives have taken."""
    here = lines_between(before, checkpoint.last_event)
    taken = lines_under(checkpoint.sequence)
    # Until an archive has been emptied out of the database, its lines are in both.
    return (line for line, _ in groupby(merge(here, taken))) if taken else here


def _is_due(last: Checkpoint | None) -> bool:
    if last is None:
        return Event.objects.exists()
    # A clock that was set back must not keep us waiting for a day.
    is_too_soon = timedelta() <= timezone.now() - last.at < EVERY
    return not is_too_soon and Event.objects.filter(pk__gt=last.last_event).exists()


def _wait_for_writers() -> None:
    """Until every line with a number so far is committed; SQLite has one writer, and that is us."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
            cursor.execute("LOCK TABLE refunds_event IN SHARE MODE")


def _seal(last: Checkpoint | None) -> Checkpoint:
    until = Event.objects.order_by("-pk").values_list("pk", flat=True)[0]
    lines = list(lines_between(last, until))
    return Checkpoint.objects.create(
        sequence=last.sequence + 1 if last else 1,
        at=timezone.now(),
        last_event=until,
        n_events=len(lines),
        digest=seal_of(last.digest if last else "", lines),
    )
