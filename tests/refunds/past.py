"""Refunds of other days: rows as they stand after a life of their own, with exactly the moments that a test needs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from refunds.models import Account, Attempt, Payment, Refund, RefundReason
from tests.builders import alice, make_account, make_payment


def paid(account: Account | None = None, currency: str = "EUR") -> Payment:
    """A payment that is large enough for anything, one for each account and currency."""
    account = account or make_account()
    reference = f"pay-{account.slug}-{currency}"
    found = Payment.objects.filter(reference=reference).first()
    return found or make_payment(10_000_000, currency, reference, account=account)


def past(status: str, requested_at: datetime, account: Account | None = None, **fields: Any) -> Refund:
    """A refund by Alice of 1000 minor units of EUR, unless `fields` says otherwise."""
    payment = fields.pop("payment", None) or paid(account, fields.pop("currency", "EUR"))
    reason = fields.pop("reason", "Goods returned")
    usual = {
        "payment": payment,
        "account": payment.account,
        "amount": 1000,
        "requested_by": alice(),
        "reason": RefundReason.objects.get(name=reason),
        "lease_until": requested_at if status == "sending" else None,
    }
    return Refund.objects.bulk_create([Refund(status=status, requested_at=requested_at, **{**usual, **fields})])[0]


def call(refund: Refund, started_at: datetime, finished_at: datetime | None, outcome: str = "answered") -> Attempt:
    """A look-up, so that there may be any number of them."""
    kind = Attempt.Kind.LOOK_UP
    fields = {"started_at": started_at, "finished_at": finished_at, "outcome": outcome}
    return Attempt.objects.create(refund=refund, kind=kind, fence=1, **fields)
