"""The approver's steps: approve, take back, reject, return. Never about a refund of one's own."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from refunds import policy
from refunds.errors import NotAllowed, WrongMoment
from refunds.models import Approval, Refund, Status
from refunds.services.actor import Actor
from refunds.services.orders import demand_carried
from refunds.services.record import call_for
from refunds.services.request import spoken
from refunds.services.steps import locked, take_step


@transaction.atomic
def approve_refund(refund_id: int, by: User, *, seen: int) -> Refund:
    """Requested → approved, by someone else; it is sent as soon as a worker is free."""
    refund = _to_decide(refund_id, by, "approve", seen)
    policy.demand_refundable(refund.payment)
    demand_carried(refund)
    now = timezone.now()
    try:
        with transaction.atomic():
            Approval.objects.create(
                refund=refund,
                revision=refund.revision,
                approver=by,
                requester_id=refund.requested_by_id or 0,  # never 0: somebody has asked for it
                digest=policy.digest(refund),
                approved_at=now,
            )
    except IntegrityError:
        raise WrongMoment(f"You have approved {refund} already.") from None
    take_step(refund, "approved", Actor.person(by), move=refund.approve, approved_at=now, ask_at=now, asks=0)
    return refund


@transaction.atomic
def unapprove_refund(refund_id: int, by: User, why: str, *, seen: int) -> Refund:
    """Approved → requested, until a worker has claimed it; a new look is needed."""
    refund = _to_decide(refund_id, by, "take back the approval of", seen)
    why = spoken(why, "Say why you take the approval back.")
    take_step(
        refund,
        "approval taken back",
        Actor.person(by),
        move=refund.unapprove,
        text=why,
        revision=refund.revision + 1,
        approved_at=None,
        ask_at=None,
        needs_attention=call_for(refund),
    )
    return refund


@transaction.atomic
def reject_refund(refund_id: int, by: User, why: str, *, seen: int) -> Refund:
    """Requested → rejected, with the reason."""
    refund = _to_decide(refund_id, by, "reject", seen)
    why = spoken(why, "Say why you reject it; the requester reads this.")
    take_step(refund, "rejected", Actor.person(by), move=refund.reject, text=why, final_at=timezone.now())
    return refund


@transaction.atomic
def return_refund(refund_id: int, by: User, question: str, *, seen: int) -> Refund:
    """Requested → returned, with a question to the requester."""
    refund = _to_decide(refund_id, by, "return", seen)
    question = spoken(question, "Write the question that the requester has to answer.")
    take_step(refund, "returned", Actor.person(by), move=refund.hand_back, text=question)
    return refund


def _to_decide(refund_id: int, by: User, to_do: str, seen: int) -> Refund:
    policy.demand(by, policy.APPROVE, f"{to_do} a refund")
    refund = locked(refund_id, seen)
    if refund.requested_by is None:
        raise NotAllowed(f"{refund} was made at the gateway; there is nothing to decide.")
    policy.demand_another_person(by, refund, to_do)
    if refund.status not in (Status.REQUESTED, Status.APPROVED):
        raise WrongMoment(f"{refund} is {refund.get_status_display()} now, so there is nothing to decide.")
    return refund
