"""What a verified webhook does: a word is recorded and looked up, a knock only puts a question in line."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import reduce
from operator import or_

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from gateways.contract import LookUp, Nudge, RefundUpdate
from gateways.registry import gateway_class
from refunds import jobs
from refunds.models import Account, Attempt, Delivery, Payment, Refund, Status
from refunds.models.refund import AT_THE_GATEWAY
from refunds.services.actor import Mouth
from refunds.services.again import can_be_asked
from refunds.services.due import wake_at
from refunds.services.record import record_update
from refunds.services.unmatched import keep_unmatched

Verdict = tuple[Delivery.Result, str, Refund | None]
DISPUTE = (
    "They say that the customer disputes a payment ({ids}). It is not signed, so it marks nothing: look in their panel."
)
KNOCK_PAUSE = timedelta(seconds=30)  # however often they knock, we ask no more often than this


def hear_delivery(delivery: Delivery, said: list[RefundUpdate | Nudge], *, is_believed: bool) -> None:
    """Each item alone; a delivery of a gateway that only knocks is never believed. The caller saves the verdict."""
    for item in said:
        if isinstance(item, RefundUpdate) and is_believed:
            verdict = hear_webhook(delivery, item)
        else:
            verdict = hear_knock(delivery, item)
        delivery.result, delivery.why, delivery.refund = verdict
    if not said:
        delivery.result, delivery.why = Delivery.Result.IGNORED, "It is not about a refund."


@transaction.atomic(savepoint=False)
def hear_webhook(delivery: Delivery, update: RefundUpdate) -> Verdict:
    """A believed word about one refund: recorded at once, and confirmed by a look-up."""
    refund = _refund_of(delivery.account, update)
    if refund is None:
        return _unmatched(delivery, update)
    event = record_update(refund.pk, update, Mouth.WEBHOOK)
    if event is None:
        return Delivery.Result.EVIDENCE, "Nothing new.", refund
    moved = event.from_status != event.to_status
    return (Delivery.Result.APPLIED if moved else Delivery.Result.EVIDENCE), event.text[:300], refund


@transaction.atomic(savepoint=False)
def hear_knock(delivery: Delivery, item: Nudge | RefundUpdate) -> Verdict:
    """Their words are not believed: the refunds it may be about are asked about soon, or else the payment is."""
    result, why, refund = _ask_soon(delivery.account, item)
    if isinstance(item, Nudge) and item.of_dispute:
        why = f"{DISPUTE.format(ids=item.payment_reference or item.reference)} {why}"
        result = Delivery.Result.KNOCK
    return result, why[:300], refund


def _ask_soon(account: Account, item: Nudge | RefundUpdate) -> Verdict:
    named = {"payment__reference": item.payment_reference, "reference": item.reference}
    about = reduce(or_, [Q(**{name: text}) for name, text in named.items() if text], Q(pk__in=()))
    sent = Refund.objects.filter(about, account=account, sent_at__isnull=False)
    # One that has succeeded can still come back, so a knock about it is worth a question, too.
    refunds = list(sent.filter(status__in=(*AT_THE_GATEWAY, Status.SUCCEEDED)))
    for refund in refunds:
        soon = _soon(refund)
        if Refund.objects.filter(Q(ask_at=None) | Q(ask_at__gt=soon), pk=refund.pk).update(ask_at=soon):
            wake_at(refund, soon)
    if refunds:
        return Delivery.Result.KNOCK, "The gateway is asked.", refunds[0]
    if _ask_about_the_payment(account, item.payment_reference, KNOCK_PAUSE * settings.POLL_PACE):
        return Delivery.Result.KNOCK, "The gateway is asked what it shows for the payment.", None
    return Delivery.Result.IGNORED, "No refund of ours is on its way there.", None


def _soon(refund: Refund) -> datetime:
    """At once, or when the pause after the last look-up is over: a knock is put off, never dropped."""
    looks = refund.attempts.filter(kind=Attempt.Kind.LOOK_UP)
    last = (looks if can_be_asked(refund) else refund.attempts).last()  # without a way to ask, an order is the question
    return max(timezone.now(), last.started_at + KNOCK_PAUSE * settings.POLL_PACE) if last else timezone.now()


def _refund_of(account: Account, update: RefundUpdate) -> Refund | None:
    """Ours by key, or theirs by reference; the account of the URL decides whose it can be."""
    ours = Refund.objects.filter(account=account).only("pk")  # it is read behind its lock later
    by_key = ours.filter(key=update.key).first() if _is_uuid(update.key) else None
    return by_key or (ours.filter(reference=update.reference).first() if update.reference else None)


def _is_uuid(text: str) -> bool:
    hexadecimal = text.replace("-", "")
    return len(text) == 36 and len(hexadecimal) == 32 and all(c in "0123456789abcdefABCDEF" for c in hexadecimal)


def _unmatched(delivery: Delivery, update: RefundUpdate) -> Verdict:
    """No refund of ours: kept for people to see; if the payment is ours, the gateway is asked what it shows."""
    account = delivery.account
    payment = Payment.objects.filter(account=account, reference=update.payment_reference).first()
    keep_unmatched(account, update, "A webhook speaks of it.", payment=payment, delivery=delivery)
    if payment is None:
        return Delivery.Result.UNMATCHED, "Neither the refund nor the payment is known here.", None
    _ask_about_the_payment(account, payment.reference)
    return Delivery.Result.UNMATCHED, f"The refund is unknown; {payment} is asked about.", None


def _ask_about_the_payment(account: Account, reference: str, wait: timedelta = timedelta()) -> bool:
    """Book a look-up of a payment of ours, where a payment is something the gateway can be asked about."""
    if not reference or gateway_class(account.gateway).can.look_up not in (LookUp.BY_KEY, LookUp.BY_PAYMENT):
        return False
    at = timezone.now() + wait
    payments = Payment.objects.filter(Q(ask_at=None) | Q(ask_at__gt=at), account=account, reference=reference)
    for payment in payments:
        Payment.objects.filter(pk=payment.pk).update(ask_at=at)
        _wake_once_kept(payment.pk, at)
    return bool(payments)


def _wake_once_kept(payment_id: int, at: datetime) -> None:
    """A function of its own, since Django can report no failed `partial`: the delivery would be answered with 500."""
    transaction.on_commit(lambda: jobs.wake_payment(payment_id, at), robust=True)
