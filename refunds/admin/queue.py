"""The line of refunds that wait for a decision, oldest first, as one approver sees it."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q, QuerySet

from refunds import scope
from refunds.models import Approval, Refund, Status


@dataclass(frozen=True)
class Place:
    """Place `number` of `total` in the line."""

    number: int
    total: int


def waiting_for(user: User) -> QuerySet[Refund]:
    """Refunds that this person may decide: requested by somebody else, and not approved by this person already."""
    waiting = scope.within(Refund.objects.filter(status=Status.REQUESTED), user).exclude(requested_by=user)
    own = Approval.objects.filter(refund=OuterRef("pk"), revision=OuterRef("revision"), approver=user)
    return waiting.exclude(Exists(own)).order_by("requested_at", "pk")


def place(refund: Refund, user: User) -> Place | None:
    """Where the refund stands in this person's line, None when it is not in it."""
    line = waiting_for(user)
    if not line.filter(pk=refund.pk).exists():
        return None
    return Place(line.filter(_before(refund)).count() + 1, line.count())


def next_after(refund: Refund, user: User) -> Refund | None:
    """The next one to decide; past the end the line begins again."""
    line = waiting_for(user).exclude(pk=refund.pk)
    return line.exclude(_before(refund)).first() or line.first()


def _before(refund: Refund) -> Q:
    return Q(requested_at__lt=refund.requested_at) | Q(requested_at=refund.requested_at, pk__lt=refund.pk)
