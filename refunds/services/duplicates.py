"""Refunds that look like one and the same, asked for twice. Pure reading; of other accounts nobody is told anything."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Lower
from django.utils import timezone

from refunds import scope
from refunds.models import Payment, Refund, RefundReason
from refunds.services.rulings import NOT_COUNTED

DUPLICATE_DAYS = 14
NEAR = timedelta(days=DUPLICATE_DAYS)


def likely_duplicate(user: User) -> Q:
    """For a list of refunds: whether another one, before or after it, looks like the same one.

    `refunds.annotate(is_like_another=likely_duplicate(user))` to order by it; in `filter()` as it is.
    """
    amount, at, reason = OuterRef("amount"), OuterRef("requested_at"), OuterRef("reason")
    alike = _alike(user, OuterRef("payment__currency"), amount, reason, at).exclude(pk=OuterRef("pk"))
    # Two questions, since each has an index of its own and both in one have none.
    return Q(Exists(_of_customer(alike, OuterRef("payment__customer_email")))) | Q(
        Exists(alike.filter(payment=OuterRef("payment")))
    )


def duplicates_of(refund: Refund, user: User) -> QuerySet[Refund]:
    """Refunds that this one looks like, newest first."""
    money, at = refund.money, refund.requested_at
    alike = _alike(user, money.currency, money.minor, refund.reason_id, at).exclude(pk=refund.pk)
    return _near(alike, refund.payment)


def duplicates_of_wish(payment: Payment, amount: int, reason: RefundReason, user: User) -> QuerySet[Refund]:
    """Refunds that one asked for now would look like, newest first; `amount` is minor units."""
    return _near(_alike(user, payment.currency, amount, reason.pk, timezone.now()), payment)


def _alike(user: User, currency: Any, amount: Any, reason: Any, at: Any) -> QuerySet[Refund]:
    """Same amount, currency and reason, within the days. What pays nothing any more is nobody's double."""
    refunds = scope.within(Refund.objects.exclude(status__in=NOT_COUNTED), user)
    near = refunds.filter(payment__currency=currency, amount=amount, requested_at__range=(at - NEAR, at + NEAR))
    return near.filter(Q(reason=reason) | Q(reason=None))  # one made at the gateway names no reason


def _of_customer(refunds: QuerySet[Refund], email: Any) -> QuerySet[Refund]:
    known = refunds.annotate(customer=Lower("payment__customer_email")).exclude(customer="")
    return known.filter(customer=Lower(email))


def _near(refunds: QuerySet[Refund], payment: Payment) -> QuerySet[Refund]:
    """A payment is its customer's; only one that names none has nothing but itself."""
    email = payment.customer_email
    of_whom = _of_customer(refunds, Value(email)) if email else refunds.filter(payment=payment)
    return of_whom.select_related("payment", "account", "reason", "requested_by").order_by("-requested_at", "-pk")
