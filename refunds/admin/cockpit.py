"""What the page of one payment shows beside its facts: where its money is, its refunds, its story, its customer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Prefetch, QuerySet, Value
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.errors import Misconfigured
from gateways.money import Money
from refunds import scope, wording
from refunds.admin.timeline import title_of
from refunds.models import Event, Payment, Refund
from refunds.models.refund import AT_THE_GATEWAY, HOLDING

CUSTOMER_DAYS = 90
MOST_PAYMENTS = 10
MOST_LINES = 40
MOST_ON_THEIR_WAY = 5  # each costs some questions; a payment rarely has more than one


@dataclass(frozen=True)
class Part:
    """A stretch of the money bar, in per mille of it."""

    kind: str
    label: str
    money: Money
    start: int
    share: int


@dataclass(frozen=True)
class Row:
    """One refund of the payment; `next` is empty for one that is over."""

    refund: Refund
    next: str
    moment: tuple[str, datetime] | None


@dataclass(frozen=True)
class Said:
    """One line of the journal, with its title."""

    event: Event
    title: str


def bar(payment: Payment) -> list[Part]:
    """Captured = refunded + in flight + waiting + free; what goes beyond is drawn over the end, and said."""
    waiting = flight = 0
    for status, minor in payment.refunds.filter(status__in=HOLDING).values_list("status", "amount"):
        if status in AT_THE_GATEWAY:
            flight += minor
        else:
            waiting += minor
    parts = [
        ("refunded", _("refunded"), payment.refunded),
        ("flight", _("in flight"), flight),
        ("waiting", _("waiting"), waiting),
        ("free", _("free"), max(payment.free, 0)),
    ]
    whole = max(payment.captured, payment.refunded + payment.held)
    drawn, start = [], 0
    for kind, label, minor in parts:
        share = 1000 * minor // whole
        drawn.append(Part(kind, label, payment.money(minor), start, share))
        start += share
    if payment.is_over_committed:
        end = 1000 * payment.captured // whole
        drawn.append(Part("over", _("more than was captured"), payment.money(-payment.free), end, 1000 - end))
    return drawn


def rows(refunds: Iterable[Refund]) -> list[Row]:
    """The refunds with what comes next; beyond the first few on their way, a refund's own page says it."""
    asked, found = 0, []
    for refund in refunds:
        asked += refund.status in HOLDING
        if refund.status not in HOLDING:
            found.append(Row(refund, "", None))
        elif asked > MOST_ON_THEIR_WAY:
            found.append(Row(refund, _("See its own page."), None))
        else:
            found.append(_row(refund))
    return found


def _row(refund: Refund) -> Row:
    """A gateway that has left the program must not hide the payment."""
    try:
        return Row(refund, wording.next_step(refund), wording.next_moment(refund))
    except Misconfigured as no_such_gateway:
        return Row(refund, str(no_such_gateway), None)


def journal(payment: Payment) -> dict[str, Any]:
    """The newest lines of the payment and all its refunds, oldest first, and how many stand before them."""
    events = Event.objects.filter(payment=payment).select_related("refund").order_by("-pk")
    newest = list(reversed(events[:MOST_LINES]))
    older = events.count() - len(newest) if len(newest) == MOST_LINES else 0
    archived = payment.archived.filter(refund=None).select_related("archive")
    return {"journal": [Said(event, _title(event)) for event in newest], "n_older": older, "archived": archived}


def _title(event: Event) -> str:
    """A payment's own line is called by the status that it led to."""
    moved = event.step == "payment" or event.from_status != event.to_status
    if event.refund_id or not moved:
        return title_of(event)
    return str(Payment.Status(event.to_status).label).capitalize()


def customer(payment: Payment, user: User) -> dict[str, Any]:
    """The customer's other payments with refunds of late, as far as this person may know of them."""
    if not payment.customer_email:
        return {"others": []}
    found = _others(payment, user)
    return {
        "others": found[:MOST_PAYMENTS],
        "n_more_others": max(found.count() - MOST_PAYMENTS, 0),
        "customer_days": CUSTOMER_DAYS,
    }


def _others(payment: Payment, user: User) -> QuerySet[Payment]:
    late = Refund.objects.filter(requested_at__gt=timezone.now() - timedelta(days=CUSTOMER_DAYS))
    payments = scope.within(Payment.objects.exclude(pk=payment.pk), user).select_related("account")
    same = payments.annotate(customer=Lower("customer_email")).filter(customer=Lower(Value(payment.customer_email)))
    shown = Prefetch("refunds", late.select_related("payment", "reason"), to_attr="late_refunds")
    return same.filter(Exists(late.filter(payment=OuterRef("pk")))).prefetch_related(shown).order_by("-captured_at")


def siblings(payment: Payment) -> QuerySet[Refund]:
    """All that was ever asked of this payment, newest first."""
    return payment.refunds.select_related("payment")
