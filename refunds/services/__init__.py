"""The steps of a refund, one function each. Everything that changes a refund or a payment goes through here."""

from refunds.services.brakes import accept_key, fingerprint, pause_account, resume_account
from refunds.services.decide import approve_refund, reject_refund, return_refund, unapprove_refund
from refunds.services.deliveries import hear_knock, hear_webhook
from refunds.services.due import book_key_fetch, sweep
from refunds.services.record import record_update
from refunds.services.request import request_refund, resubmit_refund, retry_refund, withdraw_refund
from refunds.services.send import send_now, send_refund
from refunds.services.settle import check_refund, clear_attention, look_up_payment, settle_refund
from refunds.services.turns import take_payment_turn, take_turn

__all__ = [
    "accept_key",
    "approve_refund",
    "book_key_fetch",
    "check_refund",
    "clear_attention",
    "fingerprint",
    "hear_knock",
    "hear_webhook",
    "look_up_payment",
    "pause_account",
    "record_update",
    "reject_refund",
    "request_refund",
    "resubmit_refund",
    "resume_account",
    "retry_refund",
    "return_refund",
    "send_now",
    "send_refund",
    "settle_refund",
    "sweep",
    "take_payment_turn",
    "take_turn",
    "unapprove_refund",
    "withdraw_refund",
]
