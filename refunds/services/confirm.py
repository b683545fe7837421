"""Confirming: what a webhook or a refusal alone has told is compared with our own look-up."""

from __future__ import annotations

from gateways.contract import Outcome, RefundUpdate
from gateways.registry import gateway_class
from refunds.models import Attempt, Refund, Status
from refunds.services.actor import Actor, Mouth
from refunds.services.hearing import Hearing
from refunds.services.record import doubt_the_end, record_update
from refunds.services.steps import take_step

LAG_ASKS = 5  # so many looks until a contradiction is no longer taken for their list lagging behind
CONTRADICTION = "They told us {told}, but our look-up says {shown}."

# What a told word looks like once it has moved a refund.
BELIEVED = {
    Outcome.SUCCEEDED: (Status.SUCCEEDED,),
    Outcome.FAILED: (Status.FAILED,),
    Outcome.CANCELLED: (Status.FAILED, Status.WITHDRAWN),
}


def confirm(refund: Refund, update: RefundUpdate | None) -> None:
    """Judge `refund.to_confirm` by what a look-up shows of the refund; None when it shows nothing of it."""
    told, shown = Outcome(refund.to_confirm), update.outcome if update else None
    is_believed = refund.status in BELIEVED.get(told, ())
    if update and shown == told:
        _confirmed(refund, f"Our look-up says {shown} too.")
        record_update(refund.pk, update, Mouth.LOOK_UP)
    elif is_believed and shown is None and told is Outcome.FAILED and _may_be_absent(refund):
        _confirmed(refund, "Our look-up does not know it, as it should be.")
    elif update and is_believed and told is not Outcome.SUCCEEDED and shown in (Outcome.SUCCEEDED, Outcome.PROCESSING):
        doubt_the_end(Hearing(refund, update, Mouth.LOOK_UP))
    else:
        _contradicted(refund, told, update, is_believed)


def _may_be_absent(refund: Refund) -> bool:
    """After a refusal, or after two people have said that no money moved."""
    was_refused = refund.attempts.filter(outcome=Attempt.Outcome.REFUSED).exists()
    return was_refused or refund.declarations.filter(outcome="failed", confirmed_at__isnull=False).exists()


def _by_look_up(refund: Refund) -> Actor:
    return Actor.gateway(gateway_class(refund.account.gateway).label, Mouth.LOOK_UP)


def _confirmed(refund: Refund, text: str) -> None:
    lagged = refund.needs_attention.startswith("They told us")
    calm = "" if lagged else refund.needs_attention
    take_step(refund, "confirmed", _by_look_up(refund), text=text, to_confirm="", ask_at=None, needs_attention=calm)


def _contradicted(refund: Refund, told: Outcome, update: RefundUpdate | None, is_believed: bool) -> None:
    """Call a person, and go on asking for a while; a contradiction that stays is then heard as what it is."""
    why = CONTRADICTION.format(told=told, shown=update.outcome if update else "nothing")
    if refund.asks < LAG_ASKS:
        if refund.needs_attention != why:
            take_step(refund, "disagreement", _by_look_up(refund), text=why, needs_attention=why)
        return
    text = f"{why} It has stayed so." if is_believed else f"{why} So nothing moves."
    take_step(refund, "not confirmed", _by_look_up(refund), text=text, needs_attention=why, to_confirm="", ask_at=None)
    if update:
        record_update(refund.pk, update, Mouth.LOOK_UP)
