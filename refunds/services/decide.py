"""The approver's steps: approve, take back, reject, return. Never about a refund of one's own."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from refunds import policy
from refunds.errors import NotAllowed, WrongMoment
from refunds.models import Approval, Refund, Status
from refunds.services.actor import WORKER, Actor
from refunds.services.allowances import take_to_approve
from refunds.services.hold import held_until, hold_time
from refunds.services.journal import in_english
from refunds.services.orders import demand_carried
from refunds.services.record import call_for
from refunds.services.steps import locked, take_step
from refunds.services.typed import spoken

UNDONE = "Taken back while it was held."
# As it is said of any refund, and of this one: "you may not …", "somebody else has to … it".
TO_DO = {
    "approve": (gettext_lazy("approve a refund"), gettext_lazy("approve")),
    "take back": (gettext_lazy("take back the approval of a refund"), gettext_lazy("take back the approval of")),
    "reject": (gettext_lazy("reject a refund"), gettext_lazy("reject")),
    "return": (gettext_lazy("return a refund"), gettext_lazy("return")),
}


@transaction.atomic
def approve_refund(refund_id: int, by: User, *, seen: int) -> Refund:
    """Requested → approved by the last person needed, and sent as soon as a worker is free; before that, one of two."""
    refund = _to_decide(refund_id, by, "approve", seen)
    if refund.status != Status.REQUESTED:
        is_already = _("%(refund)s is %(status)s already. Nothing was done.")
        raise WrongMoment(is_already % {"refund": refund, "status": refund.get_status_display()})
    policy.demand_refundable(refund.payment)
    demand_carried(refund)
    standing = _standing_approvals(refund)
    if by.pk in (approval.approver_id for approval in standing):
        once = _("You have approved %(refund)s already. Another person has to approve it as well.")
        raise WrongMoment(once % {"refund": refund})
    acting_for, now = take_to_approve(by, refund), timezone.now()
    Approval.objects.create(
        refund=refund,
        revision=refund.revision,
        approver=by,
        requester_id=refund.requested_by_id or 0,  # never 0: somebody has asked for it
        acting_for=acting_for,
        digest=policy.digest(refund),
        approved_at=now,
    )
    n_given, needed = len(standing) + 1, refund.approvals_needed
    text = f"{f'With the allowance of {acting_for}. ' if acting_for else ''}Approval {n_given} of {needed}."
    if n_given < needed:
        take_step(refund, "approved by one", Actor.person(by), text=text)
    else:
        times: dict[str, Any] = {"approved_at": now, "ask_at": now + hold_time(), "asks": 0}
        take_step(refund, "approved", Actor.person(by), move=refund.approve, text=text, **times)
    return refund


def _standing_approvals(refund: Refund) -> list[Approval]:
    """The approvals that still count. Where one no longer does, everybody looks anew: the revision rises."""
    approvals = policy.approvals_of(refund)
    with in_english():
        why = next((why for approval in approvals if (why := policy.why_void(approval, refund))), "")
    if why:
        take_step(refund, "approval void", WORKER, text=why, revision=refund.revision + 1)
        return []
    return approvals


@transaction.atomic
def unapprove_refund(refund_id: int, by: User, why: str, *, seen: int) -> Refund:
    """Approved → requested, until a worker has claimed it; a new look is needed. During the hold nobody asks why."""
    refund = _to_decide(refund_id, by, "take back", seen)
    undone = UNDONE if held_until(refund) else ""
    why = spoken(why.strip() or undone, _("Say why you take the approval back."))
    take_step(
        refund,
        "approval taken back",
        Actor.person(by),
        move=refund.unapprove,
        text=why,
        revision=refund.revision + 1,
        approvals_needed=max(refund.approvals_needed, 1),
        approved_at=None,
        ask_at=None,
        needs_attention=call_for(refund),
    )
    return refund


@transaction.atomic
def reject_refund(refund_id: int, by: User, why: str, *, seen: int) -> Refund:
    """Requested → rejected, with the reason."""
    refund = _to_decide(refund_id, by, "reject", seen)
    why = spoken(why, _("Say why you reject it; the requester reads this."))
    take_step(refund, "rejected", Actor.person(by), move=refund.reject, text=why, final_at=timezone.now())
    return refund


@transaction.atomic
def return_refund(refund_id: int, by: User, question: str, *, seen: int) -> Refund:
    """Requested → returned, with a question to the requester."""
    refund = _to_decide(refund_id, by, "return", seen)
    question = spoken(question, _("Write the question that the requester has to answer."))
    take_step(refund, "returned", Actor.person(by), move=refund.hand_back, text=question)
    return refund


def _to_decide(refund_id: int, by: User, step: str, seen: int) -> Refund:
    with_any, with_it = map(str, TO_DO[step])
    policy.demand(by, policy.APPROVE, with_any)
    refund = locked(refund_id, seen, by)
    if refund.requested_by is None:
        raise NotAllowed(_("%(refund)s was made at the gateway; there is nothing to decide.") % {"refund": refund})
    policy.demand_another_person(by, refund, with_it)
    if refund.status not in (Status.REQUESTED, Status.APPROVED):
        is_now = _("%(refund)s is %(status)s now, so there is nothing to decide.")
        raise WrongMoment(is_now % {"refund": refund, "status": refund.get_status_display()})
    return refund
