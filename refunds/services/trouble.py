"""Trouble in the desk itself with one refund: it is tried again by the plan, and a person is called when it stays."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from refunds.services.actor import WORKER
from refunds.services.due import ask_again, pause
from refunds.services.steps import locked, take_step

TROUBLES_BEFORE_A_CALL = 5
TROUBLE = gettext_noop(
    "Something in the desk itself goes wrong with this refund again and again; the worker's log says what."
)


@transaction.atomic
def note_trouble(refund_id: int) -> None:
    """Our own fault, not the gateway's: try again by the plan, and call a person when it stays."""
    refund = locked(refund_id)
    if refund.asks >= TROUBLES_BEFORE_A_CALL and not refund.needs_attention:
        take_step(refund, "trouble", WORKER, text=TROUBLE, needs_attention=TROUBLE)
    ask_again(refund, timezone.now() + pause(refund, refund.asks))
