"""The figures of the reports page. Each takes the refunds that a person may know of; none adds two currencies up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import CharField, Count, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, TruncDate

from refunds.models import ArchivedChain, Event, Refund, Status
from refunds.reports.lengths import Length, length, lengths
from refunds.reports.selection import Selection

HOUSE = Q(source=Refund.Source.HOUSE)
# The moments that refunds can be counted by: the column, and which refunds have come so far.
MOMENTS: dict[str, tuple[str, Q]] = {
    "requested": ("requested_at", HOUSE),
    "approved": ("approved_at", HOUSE),
    "sent": ("sent_at", Q()),
    "final": ("final_at", Q(status=Status.SUCCEEDED)),
}
ENDS = (Status.SUCCEEDED, Status.FAILED, Status.REVERSED)


@dataclass(frozen=True)
class OfADay:
    """What one gateway has of one day in one currency; `minor` is whole minor units."""

    day: date
    gateway: str
    currency: str
    number: int
    minor: int


@dataclass(frozen=True)
class Ends:
    """How the refunds of a gateway ended."""

    succeeded: int = 0
    failed: int = 0
    reversed: int = 0

    @property
    def number(self) -> int:
        return self.succeeded + self.failed + self.reversed

    @property
    def per_mille(self) -> int:
        """Succeeded of a thousand, rounded down: it is full only where nothing went wrong."""
        return 1000 * self.succeeded // self.number

    def __add__(self, other: Ends) -> Ends:
        return Ends(self.succeeded + other.succeeded, self.failed + other.failed, self.reversed + other.reversed)


@dataclass(frozen=True)
class Failure:
    """`code` is the gateway's; `is_declared` where people have said it, and no gateway."""

    gateway: str
    code: str
    is_declared: bool
    number: int


@dataclass(frozen=True)
class Lengths:
    """By gateway, and of all together; None where there is none."""

    by_gateway: dict[str, Length]
    together: Length | None


def per_day(refunds: QuerySet[Refund], selection: Selection, by: str) -> list[OfADay]:
    """By the moment `by`, a name of MOMENTS."""
    moment, so_far = MOMENTS[by]
    rows = selection.of(refunds).filter(so_far, selection.during(moment)).order_by()
    days = rows.annotate(day=TruncDate(moment, tzinfo=selection.zone))
    found = days.values_list("day", "account__gateway", "payment__currency").annotate(Count("pk"), Sum("amount"))
    return [OfADay(*row) for row in found.order_by("day", "account__gateway", "payment__currency")]


def ends(refunds: QuerySet[Refund], selection: Selection) -> dict[str, Ends]:
    """By gateway and final moment. What was rejected or withdrawn never came so far."""
    rows = selection.of(refunds).filter(selection.during("final_at"), status__in=ENDS).order_by()
    found: dict[str, Ends] = {}
    for gateway, status, number in rows.values_list("account__gateway", "status").annotate(Count("pk")):
        found[gateway] = found.get(gateway, Ends()) + Ends(**{status: number})
    return dict(sorted(found.items()))


def time_to_approve(refunds: QuerySet[Refund], selection: Selection) -> Lengths:
    """From the request to the last approval, by the moment of approval; where people had to approve."""
    rows = selection.of(refunds).filter(HOUSE, selection.during("approved_at"), approvals_needed__gt=0)
    return _lengths(rows, "requested_at", "approved_at")


def time_to_settle(refunds: QuerySet[Refund], selection: Selection) -> Lengths:
    """From sending to the word that it succeeded, by that final moment."""
    rows = selection.of(refunds).filter(HOUSE, selection.during("final_at"), status=Status.SUCCEEDED)
    return _lengths(rows.filter(sent_at__isnull=False), "sent_at", "final_at")


def _lengths(rows: QuerySet[Refund], start: str, end: str) -> Lengths:
    by_gateway = lengths(rows, start, end, by="account__gateway")
    return Lengths(dict(sorted(by_gateway.items())), length(rows, start, end) if by_gateway else None)


def reasons(refunds: QuerySet[Refund], selection: Selection) -> list[tuple[str, int]]:
    """Reason and number of what was requested, the most frequent first."""
    rows = selection.of(refunds).filter(HOUSE, selection.during("requested_at")).order_by()
    found = rows.values_list("reason__name").annotate(Count("pk"))
    return sorted(found, key=_most_first)


def _most_first(row: tuple[str, int]) -> tuple[int, str]:
    return -row[1], row[0]


def failures(refunds: QuerySet[Refund], selection: Selection) -> list[Failure]:
    """By the code that stands in the journal's line of the step that failed it; by final moment."""
    rows = selection.of(refunds).filter(selection.during("final_at"), status=Status.FAILED).order_by()
    steps = Event.objects.filter(refund=OuterRef("pk"), to_status=Status.FAILED).exclude(from_status=Status.FAILED)
    last = steps.order_by("-sequence")
    kept = ArchivedChain.objects.filter(refund=OuterRef("pk")).exclude(failed={}).order_by("-last_sequence")
    said = rows.annotate(
        code=_first_of(last.values(word=KT("data__code")), kept.values(word=KT("failed__code"))),
        step=_first_of(last.values("step"), kept.values(word=KT("failed__step"))),
    )
    found = said.values_list("account__gateway", "code", "step").annotate(Count("pk"))
    tally: dict[tuple[str, str, bool], int] = {}
    for gateway, code, step, number in found:
        key = (gateway, code or "", step == "declared")
        tally[key] = tally.get(key, 0) + number
    return sorted((Failure(*key, number) for key, number in tally.items()), key=_worst_first)


def _first_of(here: QuerySet[Any, Any], kept: QuerySet[Any, Any]) -> Coalesce:
    """What stands in the journal, or else in what an archive left of it."""
    return Coalesce(Subquery(here[:1]), Subquery(kept[:1]), output_field=CharField())


def _worst_first(failure: Failure) -> tuple[int, str, str]:
    return -failure.number, failure.gateway, failure.code
