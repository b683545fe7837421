"""Who may do what, and how many people must agree. Persons are compared, never only permissions."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.translation import gettext as _

from refunds import limits, scope
from refunds.errors import NotAllowed, NotRefundable, SamePerson
from refunds.models import Account, Approval, Payment, Refund

REQUEST = "refunds.request_refund"
APPROVE = "refunds.approve_refund"
DECLARE = "refunds.declare_refund"
SYNC = "refunds.sync_refund"
IMPORT = "refunds.import_payments"
DISPUTE = "refunds.dispute_payment"
RAW = "refunds.view_raw_exchange"
ACCOUNTS = "refunds.change_account"
EXPORT = "refunds.export_refund"
VERIFY = "refunds.verify_history"
RULES = "refunds.change_rules"
PEOPLE = "refunds.change_people"


def may(user: User, right: str) -> bool:
    """Rights come from groups. A superuser looks after the system and moves no money."""
    return user.is_active and not user.is_superuser and right in user.get_all_permissions()


def demand(user: User, right: str, to_do: str) -> None:
    if user.is_superuser:
        raise NotAllowed(
            _("A superuser looks after the system and cannot %(to_do)s. Sign in as a person of the desk.")
            % {"to_do": to_do}
        )
    if not may(user, right):
        raise NotAllowed(_("You may not %(to_do)s: your groups do not give you that right.") % {"to_do": to_do})


def demand_in_scope(user: User, account: Account) -> None:
    """Persons may be limited to accounts; the screens show them nothing of the others in the first place."""
    if not scope.includes(user, account):
        raise NotAllowed(_("You do not work with the account %(account)s.") % {"account": account})


def demand_another_person(user: User, refund: Refund, to_do: str) -> None:
    """Four eyes: whoever asked for a refund never decides about it."""
    if refund.requested_by_id == user.pk:
        raise SamePerson(
            _("You asked for %(refund)s yourself, so somebody else has to %(to_do)s it.")
            % {"refund": refund, "to_do": to_do}
        )


def demand_the_requester(user: User, refund: Refund, to_do: str) -> None:
    if refund.requested_by_id != user.pk:
        raise NotAllowed(
            _("Only %(requested_by)s, who asked for %(refund)s, can %(to_do)s it.")
            % {"requested_by": refund.requested_by, "refund": refund, "to_do": to_do}
        )


def demand_refundable(payment: Payment) -> None:
    """Open for refunds: an active account and no dispute."""
    if not payment.account.is_active:
        raise NotRefundable(
            _("The account %(account)s is switched off: it is no longer in GATEWAY_ACCOUNTS.")
            % {"account": payment.account}
        )
    if payment.disputed_at:
        raise NotRefundable(_("This payment is disputed. A refund now could pay the customer twice."))


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
        "rule": refund.rule_id,
        "approvals": refund.approvals_needed,
    }
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def approvals_of(refund: Refund) -> list[Approval]:
    """Those of the refund as it stands, whether they still count or not."""
    found = refund.approvals.filter(revision=refund.revision)
    return list(found.select_related("approver", "acting_for").order_by("pk"))


def why_not_approved(refund: Refund) -> str:
    """Why nobody's word carries this refund now, or ""."""
    if refund.approvals_needed == 0:
        return _why_not_by_rule(refund)
    approvals = approvals_of(refund)
    if len({approval.acting_for_id or approval.approver_id for approval in approvals}) < refund.approvals_needed:
        return _("It has too few approvals.")
    return next((why for approval in approvals if (why := why_void(approval, refund))), "")


def why_void(approval: Approval, refund: Refund) -> str:
    """Why this approval does not count now, or ""."""
    if approval.digest != digest(refund):
        return _("It is no longer what was approved.")
    if timezone.now() - approval.approved_at > life_of_approval():
        return _("The approval of %(approver)s is older than %(days)s days.") % {
            "approver": approval.approver,
            "days": settings.APPROVAL_DAYS,
        }
    for person in filter(None, (approval.approver, approval.acting_for)):
        if not may(person, APPROVE):
            return _("%(person)s, on whose word it was approved, may no longer approve refunds.") % {"person": person}
        if not scope.includes(person, refund.account):
            return _("%(person)s, on whose word it was approved, no longer works with the account %(account)s.") % {
                "person": person,
                "account": refund.account,
            }
    return limits.why_over(approval.acting_for or approval.approver, limits.Act.APPROVE, refund.money)


def _why_not_by_rule(refund: Refund) -> str:
    """Where a rule asks for no approval, the requester is looked at again instead."""
    requester = refund.requested_by
    if requester is None or not may(requester, REQUEST) or not scope.includes(requester, refund.account):
        return _("%(requester)s, who asked for it, may no longer request refunds here.") % {"requester": requester}
    if refund.approved_at and timezone.now() - refund.approved_at > life_of_approval():
        return _("It was let through more than %(days)s days ago.") % {"days": settings.APPROVAL_DAYS}
    return limits.why_over(requester, limits.Act.REQUEST, refund.money)


def life_of_approval() -> timedelta:
    return timedelta(days=settings.APPROVAL_DAYS)
