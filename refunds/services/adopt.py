"""Refunds that were made in the gateway's own screens: taken in as what they are, so that the sums stay true."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_noop

from gateways.contract import Outcome, RefundUpdate
from gateways.money import Money
from gateways.registry import gateway_class
from refunds.models import Payment, Refund, Status
from refunds.services.actor import Actor, Mouth
from refunds.services.journal import write_line
from refunds.services.steps import shift_sums
from refunds.services.unmatched import stood_there_before

TOO_MUCH = gettext_noop("With this refund from the gateway's own screens, more is spoken for than was captured.")
MOST = 2**63 - 1  # what the column holds
STATUS = {Outcome.SUCCEEDED: Status.SUCCEEDED, Outcome.PROCESSING: Status.PROCESSING}


@transaction.atomic
def adopt_refund(payment_id: int, update: RefundUpdate, *, keys_are_shown: bool) -> Refund | None:
    """Nothing → processing or succeeded, from an authenticated look-up only; recorded even if it over-commits."""
    payment = Payment.objects.select_for_update(of=("self",)).select_related("account").get(pk=payment_id)
    if update.amount is None or not _may_be_adopted(payment, update, update.amount, keys_are_shown):
        return None
    refund = _as_they_show_it(payment, update, update.amount)
    actor = Actor.gateway(gateway_class(payment.account.gateway).label, Mouth.LOOK_UP)
    text = f"Found at the gateway: {update.amount} {update.amount.currency}, reference {update.reference}."
    data, calls = {"key": update.key, "outcome": update.outcome}, bool(refund.needs_attention)
    write_line(refund, "adopted", actor, text=text, data=data, calls=calls)
    purse = "refunded" if refund.status == Status.SUCCEEDED else "held"
    shift_sums(payment, {purse: refund.amount}, actor, because=refund)
    return refund


def _as_they_show_it(payment: Payment, update: RefundUpdate, amount: Money) -> Refund:
    now = timezone.now()
    is_final = update.outcome is Outcome.SUCCEEDED
    return Refund.objects.create(
        payment=payment,
        account=payment.account,
        source=Refund.Source.GATEWAY,
        amount=amount.minor,
        status=STATUS[update.outcome],
        requested_at=now,
        sent_at=now,
        final_at=now if is_final else None,
        needs_attention=TOO_MUCH if amount.minor > payment.free else "",
        reference=update.reference,
        details=dict(update.details),
        identifiers=" ".join(filter(None, [update.reference, update.key, *update.details.values()])),
        said_at=update.occurred_at,
        ask_at=None if is_final else now,
    )


def _may_be_adopted(payment: Payment, update: RefundUpdate, amount: Money, keys_are_shown: bool) -> bool:
    """Never what could be ours: while one of ours is on its way, only a gateway that shows keys can tell."""
    if update.outcome not in STATUS or not update.reference:
        return False
    if amount.currency != payment.currency or not 0 < amount.minor <= MOST:
        return False
    if update.payment_reference not in ("", payment.reference):
        return False
    if Refund.objects.filter(account=payment.account, reference=update.reference).exists():
        return False
    if payment.held + payment.refunded + amount.minor > MOST:
        return False
    return (keys_are_shown and bool(update.key)) or not _could_be_ours(payment, update, amount)


def _could_be_ours(payment: Payment, update: RefundUpdate, amount: Money) -> bool:
    """One on its way; or one whose end we were told, but whose reference we never learned."""
    ours = payment.refunds.filter(source=Refund.Source.HOUSE, sent_at__isnull=False)
    told = Q(declarations__confirmed_at__isnull=False) | ~Q(to_confirm="")
    nameless = ours.filter(told, reference="", amount=amount.minor)
    on_its_way = payment.refunds.filter(status__in=(Status.SENDING, Status.UNKNOWN))
    return on_its_way.exists() or any(not stood_there_before(refund, update.reference) for refund in nameless)
