"""A job's turn: what is done with a refund or a payment when it is due, by where it stands at that moment."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from refunds.models import Payment, Refund, Status
from refunds.services.actor import WORKER
from refunds.services.due import ask_again, pause, take_ticket
from refunds.services.send import send_refund
from refunds.services.settle import look_up_payment, settle_refund
from refunds.services.steps import locked, take_step

TROUBLES_BEFORE_A_CALL = 5
TROUBLE = "Something in the desk itself goes wrong with this refund again and again; the worker's log says what."


def take_turn(refund_id: int, booked_for: datetime) -> None:
    """Send it or ask about it. A ticket that the row has moved past does nothing."""
    if not take_ticket(Refund.objects.filter(pk=refund_id), booked_for):
        return
    status = Refund.objects.values_list("status", flat=True).get(pk=refund_id)
    try:
        if status == Status.APPROVED:
            send_refund(refund_id)
        else:
            settle_refund(refund_id)
    except Exception:  # noted as our own trouble and raised on; no status moves by it
        _note_trouble(refund_id)
        raise


def take_payment_turn(payment_id: int, booked_for: datetime) -> None:
    if take_ticket(Payment.objects.filter(pk=payment_id), booked_for):
        look_up_payment(payment_id)


@transaction.atomic
def _note_trouble(refund_id: int) -> None:
    """Our own fault, not the gateway's: try again by the plan, and call a person when it stays."""
    refund = locked(refund_id)
    if refund.asks >= TROUBLES_BEFORE_A_CALL and not refund.needs_attention:
        take_step(refund, "trouble", WORKER, text=TROUBLE, needs_attention=TROUBLE)
    ask_again(refund, timezone.now() + pause(refund, refund.asks))
