"""Moves what is over and old into files; killed at any moment, the next run goes on where this one stood."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError
from django.utils import timezone

from refunds.archives import files, groups, index
from refunds.archives.files import folder_or_refuse
from refunds.archives.groups import Group
from refunds.archives.leave import empty_out
from refunds.archives.over import deliveries_about_nothing, payments_over
from refunds.errors import BadInput, WrongMoment
from refunds.models import Archive, Delivery

log = logging.getLogger("refunds.history")

PAYMENTS_IN_A_FILE = 500
DELIVERIES_IN_A_FILE = 20_000
DELIVERIES_AT_ONCE = 500
# Banks send money back, and gateways contradict themselves, for months.
YOUNGEST = timedelta(days=180)

Pick = Callable[[], Iterator[Group]]


@dataclass(frozen=True)
class Would:
    """What a run would take now."""

    n_payments: int
    n_deliveries: int
    n_unfinished: int


def midnight(day: date) -> datetime:
    """The day's begin, UTC; BadInput for a day that is too young."""
    at = datetime.combine(day, time(), UTC)
    if at > timezone.now() - YOUNGEST:
        raise BadInput(f"{day} is less than {YOUNGEST.days} days ago: gateways and banks may still speak of it.")
    return at


def would_archive(day: date) -> Would:
    """What there is from before that day, in whole payments, and loose webhooks."""
    before = midnight(day)
    return Would(
        payments_over(before).count(),
        deliveries_about_nothing(before).count(),
        Archive.objects.filter(removed_at=None).count(),
    )


def archive(day: date, folder: Path, by: User) -> Iterator[Archive]:
    """One file after the other; each is yielded once its rows have left the database."""
    before = midnight(day)
    folder_or_refuse(folder)
    for begun in Archive.objects.filter(removed_at=None).order_by("sequence"):
        empty_out(begun, folder)
        yield begun
    for pick in _files_to_be(before):
        about = {"sequence": (_last_sequence() or 0) + 1, "before": day}
        written = files.write(folder, {**about, "before": day.isoformat()}, pick())
        kept = _keep(written, {**about, "at": timezone.now(), "by_id": by.pk}, before)
        empty_out(kept, folder)
        yield kept


def _keep(written: files.Written, about: dict[str, Any], before: datetime) -> Archive:
    try:
        kept = index.keep(written, written.path, about, before)
    except IntegrityError as trouble:
        raise WrongMoment(f"Somebody else archives at the same time, or the database refused: {trouble}") from trouble
    log.info("archive %d in %s: %s", kept.sequence, kept.file_name, kept.digest)
    return kept


def _last_sequence() -> int | None:
    return Archive.objects.values_list("sequence", flat=True).first()


def _files_to_be(before: datetime) -> Iterator[Pick]:
    """Who is asked for the next one asks the database anew: what went into the last one is not there any more."""
    last = 0
    while pks := list(
        payments_over(before).filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:PAYMENTS_IN_A_FILE]
    ):
        last = pks[-1]
        yield partial(_of_payments, pks)
    while numbers := list(
        deliveries_about_nothing(before).order_by("pk").values_list("pk", flat=True)[:DELIVERIES_IN_A_FILE]
    ):
        yield partial(_of_deliveries, numbers)


def _of_payments(pks: list[int]) -> Iterator[Group]:
    for some in groups.in_pieces(pks, index.AT_ONCE):
        yield from groups.of_payments(some)


def _of_deliveries(numbers: list[int]) -> Iterator[Group]:
    for some in groups.in_pieces(numbers, DELIVERIES_AT_ONCE):
        yield groups.of_deliveries(Delivery.objects.filter(pk__in=some).order_by("pk"))
