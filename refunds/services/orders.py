"""A refund as its gateway is asked for it; the internal note, the customer and the people stay here."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.utils.translation import gettext as _

from gateways.contract import Gateway, RefundOrder
from gateways.errors import Misconfigured
from gateways.money import Money
from refunds import accounts
from refunds.errors import NotRefundable
from refunds.models import Account, Attempt, Refund


def order_of(refund: Refund) -> RefundOrder:
    """What we would ask today."""
    return RefundOrder(
        key=str(refund.key),
        payment_reference=refund.payment.reference,
        amount=refund.money,
        reason=refund.reason_word,
        note=refund.public_note,
        callback_url=accounts.callback_url(refund.account),
        reference=refund.reference,
    )


def as_json(order: RefundOrder) -> dict[str, Any]:
    """The order as an attempt keeps it; amount in minor units."""
    return {
        "key": order.key,
        "payment_reference": order.payment_reference,
        "amount": order.amount.minor,
        "currency": order.amount.currency,
        "reason": order.reason,
        "note": order.note,
        "callback_url": order.callback_url,
    }


def from_json(kept: dict[str, Any], *, reference: str = "", before: dict[str, Any] | None = None) -> RefundOrder:
    """The same order again, exactly as it was kept."""
    return RefundOrder(
        key=kept["key"],
        payment_reference=kept["payment_reference"],
        amount=Money(kept["amount"], kept["currency"]),
        reason=kept["reason"],
        note=kept["note"],
        callback_url=kept["callback_url"],
        reference=reference,
        before=before or {},
    )


def order_as_sent(refund: Refund) -> RefundOrder:
    """The order whose end is awaited, with what they showed before it: the first that may have left the house.

    Where none has left, there is nothing that could have come of it: then it has no `before`.
    """
    if sent := first_that_left(refund):
        return from_json(sent.order, reference=refund.reference, before=sent.before)
    first = first_send(refund)
    return from_json(first.order, reference=refund.reference) if first else order_of(refund)


def was_claimed_before(refund: Refund) -> bool:
    """Whether a claim came before the one that is held: without it there is no send to look for."""
    return refund.fence > 1


def first_send(refund: Refund) -> Attempt | None:
    return refund.attempts.filter(kind=Attempt.Kind.SEND).first()


def first_that_left(refund: Refund) -> Attempt | None:
    """The first send that is not proven to have stayed in the house."""
    return refund.attempts.filter(kind=Attempt.Kind.SEND).exclude(outcome=Attempt.Outcome.NOT_SENT).first()


def digest_of(body: bytes, order: RefundOrder) -> str:
    """SHA-256 of the bytes that go out, or of the order where a wire has no fixed body."""
    return hashlib.sha256(body or json.dumps(as_json(order), sort_keys=True).encode()).hexdigest()


def gateway_for(account: Account) -> Gateway:
    """The account's connector; what is missing in its configuration is said to the person who needs it."""
    try:
        return accounts.connect(account)
    except Misconfigured as trouble:
        raise NotRefundable(
            _("The account %(account)s cannot be used: %(trouble)s") % {"account": account, "trouble": trouble}
        ) from trouble


def demand_carried(refund: Refund, gateway: Gateway | None = None) -> None:
    """Refuse early what the gateway's wire cannot carry."""
    gateway = gateway or gateway_for(refund.account)
    if objection := gateway.check(order_of(refund)):
        raise NotRefundable(_(objection))
