"""The first page: what waits for this person, and a box to find a payment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count, Sum
from django.urls import reverse

from gateways.money import Money
from refunds import limits, policy, scope, services
from refunds.admin import changes, declarations
from refunds.admin.desk import DeskRequest
from refunds.admin.queue import waiting_for
from refunds.admin.unknown import transfers_to_make
from refunds.models import Delivery, Refund, UnmatchedRefund

FEW = 6
UNKNOWN_DESK = "unknown/"  # below the refund list


@dataclass(frozen=True)
class Pile:
    """Some refunds that somebody should look at, and where to find them."""

    title: str
    number: int
    link: str
    tone: str
    sums: list[Money]


def home(request: DeskRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold calls this for the index page."""
    user = request.user
    refunds = scope.within(Refund.objects.all(), user)
    piles = []
    if policy.may(user, policy.APPROVE):
        piles.append(_pile("Waiting for your decision", waiting_for(user), "?for_me=decide", "waiting"))
    if policy.may(user, policy.REQUEST):
        own = refunds.filter(requested_by=user)
        piles.append(
            _pile("Returned to you with a question", own.filter(status="returned"), "?for_me=returned", "waiting")
        )
        piles.append(_pile("Yours, waiting for approval", own.filter(status="requested"), "?for_me=asked", "moving"))
        piles.append(_pile("Yours, and Finance looks", own.exclude(needs_attention=""), "?for_me=alarm", "alarm"))
    if user.has_perm("refunds.view_refund"):
        stuck = refunds.exclude(needs_attention="")
        piles.append(_pile("Finance has to look", stuck, "?attention=needed", "alarm"))
        unknown = refunds.filter(status="unknown")
        piles.append(_pile("Unknown whether money moved", unknown, UNKNOWN_DESK, "alarm"))
    if policy.may(user, policy.DECLARE):
        piles.append(_pile("Waiting for you to confirm", declarations.waiting_for(user), UNKNOWN_DESK, "waiting"))
        piles.append(_pile("Transfers to make", transfers_to_make(user), f"{UNKNOWN_DESK}#transfers", "waiting"))
    if user.has_perm("refunds.view_unmatchedrefund"):
        piles.append(_unmatched(user))
    if user.has_perm("refunds.view_delivery"):
        odd = scope.within(Delivery.objects.filter(result="unreadable"), user).count()
        link = reverse("admin:refunds_delivery_changelist") + "?result__exact=unreadable"
        piles.append(Pile("Webhooks that nobody can read", odd, link, "alarm", []))
    if to_confirm := changes_to_confirm(user):
        piles.append(to_confirm)
    context.update({"piles": piles, "left": _left(user), **_latest(user)})
    context["may_find"] = user.has_perm("refunds.view_payment")
    return context


def changes_to_confirm(user: User) -> Pile | None:
    """For those who could confirm one."""
    if not changes.kinds_confirmed(user):
        return None
    link = reverse("admin:refunds_change_changelist") + "?standing=mine"
    return Pile("Changes waiting for you to confirm", changes.waiting_for(user).count(), link, "waiting", [])


def _left(user: User) -> list[services.Left]:
    """What is left of the day for those who have an allowance."""
    acts = ((policy.REQUEST, limits.Act.REQUEST), (policy.APPROVE, limits.Act.APPROVE))
    return [left for right, act in acts if policy.may(user, right) for left in services.left_today(user, act)]


def _latest(user: User) -> dict[str, Any]:
    """A few refunds to go on with: to decide, one's own, or the newest."""
    if policy.may(user, policy.APPROVE):
        title, refunds = "Next for you to decide", waiting_for(user)
    elif policy.may(user, policy.REQUEST):
        title, refunds = "Your latest refunds", scope.within(Refund.objects.filter(requested_by=user), user)
    elif user.has_perm("refunds.view_refund"):
        title, refunds = "Latest refunds", scope.within(Refund.objects.all(), user)
    else:
        return {}
    refunds = refunds.select_related("payment", "account", "reason", "requested_by")
    return {"latest_title": title, "latest": refunds[:FEW]}


def _pile(title: str, refunds: Any, query: str, tone: str) -> Pile:
    link = reverse("admin:refunds_refund_changelist") + query
    rows = refunds.order_by().values_list("payment__currency").annotate(Count("pk"), Sum("amount"))
    by_currency = sorted(rows)
    sums = [Money(minor, currency) for currency, _, minor in by_currency]
    return Pile(title, sum(n for _, n, _ in by_currency), link, tone, sums)


def _unmatched(user: User) -> Pile:
    """What gateways show and nobody has claimed; not every one says of what amount it is."""
    waiting = scope.within(UnmatchedRefund.objects.filter(settled_at=None), user).order_by()
    told = waiting.exclude(amount=None).exclude(currency="").values_list("currency").annotate(Sum("amount"))
    sums = [Money(minor, currency) for currency, minor in sorted(told)]
    link = reverse("admin:refunds_unmatchedrefund_changelist") + "?standing=open"
    return Pile("Unmatched refunds", waiting.count(), link, "alarm", sums)
