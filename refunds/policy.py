"""Who may do what, and how many people must agree. Persons are compared, never only permissions."""

from __future__ import annotations

import hashlib
import json

from django.contrib.auth.models import User

from refunds.errors import NotAllowed, NotRefundable, SamePerson
from refunds.models import Payment, Refund

REQUEST = "refunds.request_refund"
APPROVE = "refunds.approve_refund"
DECLARE = "refunds.declare_refund"
SYNC = "refunds.sync_refund"
IMPORT = "refunds.import_payments"
DISPUTE = "refunds.dispute_payment"
RAW = "refunds.view_raw_exchange"
ACCOUNTS = "refunds.change_account"
VERIFY = "refunds.verify_history"

APPROVALS_NEEDED = 1


def may(user: User, right: str) -> bool:
    """Rights come from groups. A superuser looks after the system and moves no money."""
    return user.is_active and not user.is_superuser and right in user.get_all_permissions()


def demand(user: User, right: str, to_do: str) -> None:
    if user.is_superuser:
        raise NotAllowed(f"A superuser looks after the system and cannot {to_do}. Sign in as a person of the desk.")
    if not may(user, right):
        raise NotAllowed(f"You may not {to_do}: your groups do not give you that right.")


def demand_another_person(user: User, refund: Refund, to_do: str) -> None:
    """Four eyes: whoever asked for a refund never decides about it."""
    if refund.requested_by_id == user.pk:
        raise SamePerson(f"You asked for {refund} yourself, so somebody else has to {to_do} it.")


def demand_the_requester(user: User, refund: Refund, to_do: str) -> None:
    if refund.requested_by_id != user.pk:
        raise NotAllowed(f"Only {refund.requested_by}, who asked for {refund}, can {to_do} it.")


def demand_refundable(payment: Payment) -> None:
    """Open for refunds: an active account and no dispute."""
    if not payment.account.is_active:
        raise NotRefundable(f"The account {payment.account} is switched off: it is no longer in GATEWAY_ACCOUNTS.")
    if payment.disputed_at:
        raise NotRefundable("This payment is disputed. A refund now could pay the customer twice.")


def digest(refund: Refund) -> str:
    """SHA-256 of all that an approver judges; an approval counts only while it stays the same."""
    shown = {
        "key": str(refund.key),
        "revision": refund.revision,
        "payment": refund.payment.reference,
        "account": refund.account.slug,
        "amount": refund.amount,
        "currency": refund.payment.currency,
        "reason": refund.reason_id,
        "reason_word": refund.reason_word,
        "public_note": refund.public_note,
        "ticket": refund.ticket,
        "internal_note": refund.internal_note,
    }
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def why_not_approved(refund: Refund) -> str:
    """Why the approvals on record do not carry this refund now, or ""."""
    approvals = list(refund.approvals.filter(revision=refund.revision).select_related("approver"))
    if len(approvals) < APPROVALS_NEEDED:
        return "It has too few approvals."
    for approval in approvals:
        if approval.digest != digest(refund):
            return "It is no longer what was approved."
        if not may(approval.approver, APPROVE):
            return f"{approval.approver}, who approved it, may no longer approve refunds."
    return ""
