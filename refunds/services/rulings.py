"""The rule that a refund meets now, with the sums of the last 24 hours, so that splitting an amount gains nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import QuerySet, Sum
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext as _

from refunds import rules
from refunds.errors import NotRefundable
from refunds.models import Payment, Refund, RefundReason, Rule, Status

WINDOW = timedelta(hours=24)
NOT_COUNTED = (Status.REJECTED, Status.WITHDRAWN, Status.FAILED, Status.REVERSED)


def rules_in_force() -> QuerySet[Rule]:
    return Rule.objects.filter(ended_at=None).select_related("account", "reason").order_by("pk")


def rule_for(payment: Payment, amount: int, reason: RefundReason | None, by: User, *, but: int = 0) -> Rule | None:
    """The rule in force that this refund meets; `but` is the refund itself where it is there already.

    The rules stay locked until the caller's transaction ends: two requests that add up are never judged side by side.
    """
    in_force = list(rules_in_force().select_for_update(of=("self",)))
    if not in_force:
        return None
    rule = rules.strictest(in_force, facts(payment, amount, reason, by, timezone.now(), but))
    if rule and rule.demand == Rule.Demand.BLOCK:
        raise NotRefundable(
            _("This refund is not possible here: %(rule)s forbids it. Ask a gateway admin what it is for.")
            % {"rule": rule}
        )
    return rule


def facts(
    payment: Payment, amount: int, reason: RefundReason | None, by: User, now: datetime, but: int = 0
) -> rules.Facts:
    counted = Refund.objects.filter(requested_at__gt=now - WINDOW, source=Refund.Source.HOUSE).exclude(pk=but)
    counted = counted.exclude(status__in=NOT_COUNTED)
    in_currency = counted.filter(payment__currency=payment.currency)
    customer = in_currency.annotate(email=Lower("payment__customer_email")).filter(email=payment.customer_email.lower())
    return rules.Facts(
        account_id=payment.account_id,
        currency=payment.currency,
        amount=amount,
        sum_of_payment=amount + _sum(counted.filter(payment=payment)),
        sum_of_customer=amount + (_sum(customer) if payment.customer_email else 0),
        sum_of_requester=amount + _sum(in_currency.filter(requested_by=by)),
        reason_id=reason.pk if reason else None,
        days=(now - payment.captured_at).days,
    )


def _sum(refunds: QuerySet[Refund]) -> int:
    return refunds.aggregate(sum=Sum("amount"))["sum"] or 0
