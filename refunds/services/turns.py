"""A job's turn: what is done with a refund or a payment when it is due, by where it stands at that moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from refunds import correlation, jobs
from refunds.models import Payment, Refund, Status
from refunds.services.due import take_ticket
from refunds.services.pace import slot_for
from refunds.services.send import send_refund
from refunds.services.settle import look_up_payment, settle_refund
from refunds.services.trouble import note_trouble


def take_turn(refund_id: int, booked_for: datetime, *, has_slot: bool = False) -> None:
    """Send it or ask about it. A ticket that the row has moved past does nothing; `has_slot`: it is for a slot."""
    row = Refund.objects.filter(pk=refund_id)
    if not take_ticket(row, booked_for):
        return
    try:
        refund = row.select_related("account").get()
        if slot := slot_for(refund, booked_for if has_slot else None):
            _come_back(row, refund, slot, partial(jobs.wake, refund_id))
        else:
            with correlation.about(account=refund.account.slug):
                (send_refund if refund.status == Status.APPROVED else settle_refund)(refund_id)
    except Exception:  # noted as our own trouble and raised on; no status moves by it
        note_trouble(refund_id)
        raise


def take_payment_turn(payment_id: int, booked_for: datetime, *, has_slot: bool = False) -> None:
    row = Payment.objects.filter(pk=payment_id)
    if not take_ticket(row, booked_for):
        return
    payment = row.select_related("account").get()
    if slot := slot_for(payment, booked_for if has_slot else None):
        _come_back(row, payment, slot, partial(jobs.wake_payment, payment_id))
    else:
        with correlation.about(account=payment.account.slug):
            look_up_payment(payment_id)


@transaction.atomic
def _come_back(row: Any, seen: Refund | Payment, slot: datetime, wake: Callable[..., None]) -> None:
    """Book it for its slot, unless somebody has booked it anew meanwhile."""
    if row.filter(ask_at=seen.ask_at).update(ask_at=slot):
        transaction.on_commit(lambda: wake(slot, has_slot=True), robust=True)
