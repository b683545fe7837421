"""The line of refunds that wait for a decision, as one approver sees it: the gravest first, or the longest waiting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext_lazy as _

from refunds import risk, scope
from refunds.models import Approval, Refund, Status

RISK, WAITING = "risk", "waiting"
ORDERS: dict[str, tuple[Any, tuple[str, ...]]] = {
    RISK: (_("Risk first"), ("-risk", "requested_at", "pk")),
    WAITING: (_("Longest waiting first"), ("requested_at", "pk")),
}


@dataclass(frozen=True)
class Place:
    """Place `number` of `total` in the line; `rest` are the others, beginning with the next one, round past the end."""

    number: int
    total: int
    rest: tuple[int, ...]

    @property
    def after(self) -> int | None:
        return self.rest[0] if self.rest else None

    @property
    def before(self) -> int | None:
        return self.rest[-1] if self.rest else None


def waiting_for(user: User) -> QuerySet[Refund]:
    """Refunds that this person may decide: requested by somebody else, and not approved by this person already."""
    return decidable(scope.within(Refund.objects.all(), user), user).order_by("requested_at", "pk")


def decidable(refunds: QuerySet[Refund], user: User) -> QuerySet[Refund]:
    """Of refunds within this person's accounts, those that wait for a decision of theirs."""
    own = Approval.objects.filter(refund=OuterRef("pk"), revision=OuterRef("revision"), approver=user)
    return refunds.filter(status=Status.REQUESTED).exclude(requested_by=user).exclude(Exists(own))


def in_line(user: User, order: str = RISK) -> QuerySet[Refund]:
    """All that waits for this person, in one of the two orders."""
    return risk.judged(waiting_for(user), user).order_by(*ORDERS[order][1])


def place(refund: Refund, line: QuerySet[Refund]) -> Place | None:
    """Where the refund stands in this line, None when it is not in it."""
    keys = list(line.values_list("pk", flat=True))
    if refund.pk not in keys:
        return None
    at = keys.index(refund.pk)
    return Place(at + 1, len(keys), (*keys[at + 1 :], *keys[:at]))


def next_after(refund: Refund, place: Place | None, line: QuerySet[Refund]) -> int | None:
    """Who came after it a moment ago and still waits, or whoever is first by now."""
    waiting = list(line.exclude(pk=refund.pk).values_list("pk", flat=True))
    still = set(waiting)
    return next((pk for pk in (place.rest if place else waiting) if pk in still), None) or next(iter(waiting), None)
