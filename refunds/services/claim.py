"""Claiming: one worker takes a refund to its gateway, if nothing stands against it at that very moment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from refunds import policy
from refunds.errors import NotRefundable
from refunds.models import Refund, Status
from refunds.models.refund import AT_THE_GATEWAY
from refunds.services import breaker
from refunds.services.actor import WORKER
from refunds.services.again import again
from refunds.services.due import ask_again, lease
from refunds.services.hold import held_until, why_held
from refunds.services.journal import in_english
from refunds.services.orders import demand_carried
from refunds.services.steps import locked, take_step

WAIT = timedelta(minutes=1)


def obstacle(refund: Refund) -> str:
    """Why this refund waits and is not sent, or "": said on its page, and checked again at every claim."""
    return _why_not(refund) or breaker.why_waits(refund.account)


def _why_not(refund: Refund) -> str:
    """What stands against this very refund, or its account as people have set it."""
    payment, account = refund.payment, refund.account
    if refund.may_not_be_sent:
        return _("The gateway spoke of this refund before we ever sent it. Withdraw it and look there.")
    if account.paused_because:
        return _("The account %(account)s is paused: %(why)s") % {"account": account, "why": account.paused_because}
    if payment.is_over_committed:
        return _("More of this payment is spoken for than was captured. Finance has to look first.")
    if refund.needs_attention:
        return _("Finance has to look first: %(needs_attention)s") % {"needs_attention": _(refund.needs_attention)}
    if refund.retry_of and refund.retry_of.status not in (Status.FAILED, Status.REVERSED):
        status = refund.retry_of.get_status_display()
        return _("%(refund)s, which it replaces, is %(status)s now.") % {"refund": refund.retry_of, "status": status}
    if other := payment.refunds.exclude(pk=refund.pk).exclude(to_confirm="").only("pk").first():
        return _("What became of %(other)s, another refund of this payment, is being looked up.") % {"other": other}
    if refund.status == Status.UNKNOWN and (why := policy.why_not_approved(refund)):
        return why
    if refund.exclusive and (other := _one_on_its_way(refund)):
        return _("This gateway takes one refund of a payment at a time; %(other)s is on its way.") % {"other": other}
    try:
        policy.demand_refundable(payment)
        demand_carried(refund)
    except NotRefundable as refusal:
        return str(refusal)
    return why_held(refund)


def _one_on_its_way(refund: Refund) -> Refund | None:
    return refund.payment.refunds.filter(status__in=AT_THE_GATEWAY).exclude(pk=refund.pk).first()


@transaction.atomic
def claim(refund_id: int, seen: int | None, *, is_probe: bool) -> Refund | None:
    """Approved (or unknown, where it may be repeated) → sending, for one worker, until its lease ends."""
    refund = locked(refund_id)
    with in_english():
        why = policy.why_not_approved(refund) if refund.status == Status.APPROVED else ""
    if why:
        _void_the_approval(refund, why)
        return None
    if refund.status != Status.APPROVED and (refund.status != Status.UNKNOWN or refund.version != seen):
        return None
    if until := held_until(refund):
        ask_again(refund, until, count=False)
        return None
    if _why_not(refund) or (refund.status == Status.UNKNOWN and not again(refund).is_safe):
        ask_again(refund, timezone.now() + WAIT, count=False)
        return None
    if refund.account.breaker_until and not is_probe:
        ask_again(refund, breaker.next_try(refund.account), count=False)
        return None
    first = refund.status == Status.APPROVED
    text = "Taken to the gateway." if first else "The same order goes again, under the same key."
    until = timezone.now() + lease()
    claimed: dict[str, Any] = {"fence": refund.fence + 1, "lease_until": until, "ask_at": until}
    try:
        with transaction.atomic(savepoint=refund.exclusive):
            take_step(refund, "sending", WORKER, move=refund.claim, text=text, **claimed)
    except IntegrityError:  # another refund of this payment took the only slot at this very moment
        return None
    return refund


def _void_the_approval(refund: Refund, why: str) -> None:
    """Approved → requested: what was approved is no longer what would be sent, or by whom."""
    text = f"{why} It has to be approved again."
    anew: dict[str, Any] = {
        "revision": refund.revision + 1,
        "approvals_needed": max(refund.approvals_needed, 1),
        "approved_at": None,
        "ask_at": None,
    }
    take_step(refund, "approval void", WORKER, move=refund.unapprove, text=text, **anew)
