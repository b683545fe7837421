"""Taking a person's allowance: by one conditional UPDATE, so that no two acts share what is left of a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django.contrib.auth.models import User
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.money import Money
from refunds import limits, policy, scope
from refunds.errors import OverLimit, SamePerson
from refunds.limits import Act
from refunds.models import Allowance, Delegation, Refund


def take(person: User, act: Allowance.Act, money: Money) -> None:
    """Count this act against the person's day; raises OverLimit and takes nothing where it is too much."""
    if why := limits.why_over(person, act, money):
        raise OverLimit(why)
    today = day_of_the_house()
    so_far = Case(When(day=today, then=F("taken")), default=Value(0))
    row = Allowance.objects.filter(person=person, act=act, currency=money.currency)
    left = row.annotate(so_far=so_far).filter(largest__gte=money.minor, so_far__lte=F("per_day") - money.minor)
    if left.update(day=today, taken=so_far + money.minor) == 1:
        return
    if kept := row.first():
        rest = left_of(kept).today
        raise OverLimit(
            _(
                "%(money)s %(currency)s is more than is left of the day for %(person)s: %(rest)s "
                "%(rest_currency)s for %(label)s refunds."
            )
            % {
                "money": money,
                "currency": money.currency,
                "person": person,
                "rest": rest,
                "rest_currency": rest.currency,
                "label": act.label,
            }
        )


def day_of_the_house() -> date:
    """Not the reader's: whoever chose another time zone would begin the day anew."""
    return timezone.localdate(timezone=timezone.get_default_timezone())


def taken_today(row: Allowance) -> int:
    """Minor units taken on this very day."""
    return row.taken if row.day == day_of_the_house() else 0


@dataclass(frozen=True)
class Left:
    """What a person may still do today: at once, and together."""

    act: Allowance.Act
    at_once: Money
    today: Money


def left_today(person: User, act: Allowance.Act) -> list[Left]:
    """By currency; nothing where the person has no allowance for this act."""
    rows = Allowance.objects.filter(person=person, act=act).order_by("currency")
    return [left_of(row) for row in rows]


def left_of(row: Allowance) -> Left:
    left = max(row.per_day - taken_today(row), 0)
    return Left(Act(row.act), Money(min(row.largest, left), row.currency), Money(left, row.currency))


def take_to_approve(by: User, refund: Refund) -> User | None:
    """The approver's own allowance, or that of somebody for whom the approver stands in: then returns that person."""
    used = _authorities(refund)
    if other := used.get(by.pk):
        raise SamePerson(
            _("%(other)s has approved %(refund)s with your allowance already, so a third person is needed.")
            % {"other": other, "refund": refund}
        )
    try:
        take(by, Act.APPROVE, refund.money)
    except OverLimit:
        for delegation in in_force(by):
            person = delegation.person
            if person.pk in used or person.pk == refund.requested_by_id or not policy.may(person, policy.APPROVE):
                continue
            if scope.includes(person, refund.account) and _takes(person, refund):
                return person
        raise
    return None


def in_force(deputy: User) -> QuerySet[Delegation]:
    """For whom this person stands in at the moment."""
    now = timezone.now()
    running = Q(from_at__lte=now, until__gt=now, ended_at=None)
    return Delegation.objects.filter(running, deputy=deputy).select_related("person").order_by("pk")


def _takes(person: User, refund: Refund) -> bool:
    try:
        take(person, Act.APPROVE, refund.money)
    except OverLimit:
        return False
    return True


def _authorities(refund: Refund) -> dict[int, User]:
    """Whose word the approvals of this revision rest on, and who gave it."""
    found = {}
    for approval in refund.approvals.filter(revision=refund.revision).select_related("approver"):
        found[approval.acting_for_id or approval.approver_id] = approval.approver
    return found
