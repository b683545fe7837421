"""The part of Finance and of those who look: money that nobody is sure of, what is late, what came back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import Count, Min, Q, QuerySet
from django.db.models import Sum as Added
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.money import Money
from refunds import health, policy, scope
from refunds.admin import declarations
from refunds.admin.home.piles import ALL, FEW, TOLD_APART, Part, Pile, Tally, of_refunds, tallies
from refunds.admin.unknown import transfers_to_make
from refunds.capabilities import label_of
from refunds.models import Delivery, Payment, Refund, Status, UnmatchedRefund
from refunds.reports.sums import Sum

UNKNOWN_DESK = "unknown/"  # below the refund list
LOOKED_BACK = timedelta(days=30)


@dataclass(frozen=True)
class Exposure:
    """What is unknown at one gateway in one mode and currency, and since when the oldest of it is out."""

    gateway: str
    number: int
    sum: Sum
    since: datetime


def part(user: User, limit: list[int] | None) -> Part:
    refunds = scope.among(Refund.objects.all(), limit)
    over = health.over_committed(scope.among(Payment.objects.all(), limit)).order_by("account_id", "pk")
    found, n_over = _tallies(refunds), over.count()
    lists = {
        "exposure": exposure(refunds),
        "overdue": health.overdue(refunds).select_related("payment", "account")[:FEW],
        "n_overdue": found["overdue"].number,
        "settle_within": health.settle_within().days,
        "over_committed": over.select_related("account")[:FEW] if n_over else [],
        "n_over_committed": n_over,
        "few": FEW,
    }
    piles = [*_of_refunds(found), _over_committed(n_over), *_to_confirm(user), *_what_gateways_say(user, limit)]
    return Part(_("Money to look after"), piles, "admin/home/finance.html", lists)


def _tallies(refunds: QuerySet[Refund]) -> dict[str, Tally]:
    called, came_back = Q(needs_attention__gt=""), Q(status=Status.REVERSED, final_at__gte=timezone.now() - LOOKED_BACK)
    return tallies(
        refunds.filter(Q(status__in=health.OPEN) | called | came_back),  # each of the three has an index
        {
            "unknown": Q(status=Status.UNKNOWN),
            "overdue": health.is_overdue(),
            "called": called,
            "reversed": came_back,
        },
    )


def _of_refunds(found: dict[str, Tally]) -> list[Pile]:
    back = _("Reversed in the last %(days)d days") % {"days": LOOKED_BACK.days}
    return [
        of_refunds(_("Unknown whether money moved"), found["unknown"], UNKNOWN_DESK, "alarm"),
        of_refunds(_("Overdue"), found["overdue"], "?overdue=gateway", "alarm"),
        of_refunds(_("Finance has to look"), found["called"], "?attention=needed", "alarm"),
        of_refunds(back, found["reversed"], "?status__exact=reversed", "bad"),
    ]


def _over_committed(number: int) -> Pile:
    link = reverse("admin:index") + "#over-committed"
    return Pile(_("Payments with more refunded than captured"), number, link, "alarm")


def _to_confirm(user: User) -> list[Pile]:
    if not policy.may(user, policy.DECLARE):
        return []
    waiting = tallies(declarations.waiting_for(user), {"all": ALL})["all"]
    transfers = tallies(transfers_to_make(user), {"all": ALL})["all"]
    return [
        of_refunds(_("Waiting for you to confirm"), waiting, UNKNOWN_DESK, "waiting"),
        of_refunds(_("Transfers to make"), transfers, f"{UNKNOWN_DESK}#transfers", "waiting"),
    ]


def what_gateways_say(user: User, limit: list[int] | None) -> Part:
    """What they show or send and nobody can place: all that those meet who look after gateways and move no money."""
    return Part(_("What gateways say"), _what_gateways_say(user, limit))


def _what_gateways_say(user: User, limit: list[int] | None) -> list[Pile]:
    piles = []
    if user.has_perm("refunds.view_unmatchedrefund"):
        piles.append(_unmatched(limit))
    if user.has_perm("refunds.view_delivery"):
        odd = scope.among(Delivery.objects.filter(result="unreadable"), limit).count()
        link = reverse("admin:refunds_delivery_changelist") + "?result__exact=unreadable"
        piles.append(Pile(_("Webhooks that nobody can read"), odd, link, "alarm"))
    return piles


def _unmatched(limit: list[int] | None) -> Pile:
    """What gateways show and nobody has claimed; not every one says of what amount it is."""
    waiting = scope.among(UnmatchedRefund.objects.filter(settled_at=None), limit).order_by()
    apart = ("account__mode", "currency")
    rows = list(waiting.values_list(*apart).annotate(Count("pk"), Added("amount")).order_by(*apart))
    sums = [Sum(Money(minor, name), mode) for mode, name, _number, minor in rows if name and minor is not None]
    link = reverse("admin:refunds_unmatchedrefund_changelist") + "?standing=open"
    return Pile(_("Unmatched refunds"), sum(number for _mode, _currency, number, _minor in rows), link, "alarm", sums)


def exposure(refunds: QuerySet[Refund]) -> list[Exposure]:
    unknown = refunds.filter(status=Status.UNKNOWN).order_by()
    out = Min(Coalesce("sent_at", "requested_at"))
    apart = ("account__gateway", *TOLD_APART)
    rows = unknown.values_list(*apart).annotate(Count("pk"), Added("amount"), since=out).order_by(*apart)
    return [
        Exposure(label_of(gateway), number, Sum(Money(minor, currency), mode), since)
        for gateway, mode, currency, number, minor, since in rows
    ]
