"""A job's turn: what is done with a refund or a payment when it is due, by where it stands at that moment."""

from __future__ import annotations

from datetime import datetime

from refunds.models import Payment, Refund, Status
from refunds.services.due import take_ticket
from refunds.services.send import send_refund
from refunds.services.settle import look_up_payment, settle_refund


def take_turn(refund_id: int, booked_for: datetime) -> None:
    """Send it or ask about it. A ticket that the row has moved past does nothing."""
    if not take_ticket(Refund.objects.filter(pk=refund_id), booked_for):
        return
    status = Refund.objects.values_list("status", flat=True).get(pk=refund_id)
    if status == Status.APPROVED:
        send_refund(refund_id)
    else:
        settle_refund(refund_id)


def take_payment_turn(payment_id: int, booked_for: datetime) -> None:
    if take_ticket(Payment.objects.filter(pk=payment_id), booked_for):
        look_up_payment(payment_id)
