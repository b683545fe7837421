"""Cancelling at the gateway: asked for by a person, carried out by a worker, believed only when it is read back."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.contract import Gateway, Outcome
from gateways.errors import NoAnswer, NotSent
from gateways.registry import gateway_class
from refunds import policy
from refunds.errors import WrongMoment
from refunds.models import Attempt, Refund
from refunds.models.refund import AWAITING
from refunds.services import breaker
from refunds.services.actor import WORKER, Actor, Mouth
from refunds.services.attempts import close
from refunds.services.orders import as_json, order_as_sent
from refunds.services.record import record_update
from refunds.services.steps import locked, take_step

MOST_TRIES = 5


def why_no_cancel(refund: Refund) -> str:
    """Why this refund cannot be cancelled at its gateway, or ""."""
    kind = gateway_class(refund.account.gateway)
    if not kind.can.cancel:
        return _("%(label)s cannot cancel a refund.") % {"label": kind.label}
    if refund.status not in AWAITING or not refund.reference:
        return _("%(refund)s is %(status)s: only what %(label)s has accepted can be cancelled there.") % {
            "refund": refund,
            "status": refund.get_status_display(),
            "label": kind.label,
        }
    return _("Its cancellation was asked for already.") if refund.cancel_asked_at else ""


@transaction.atomic
def ask_to_cancel(refund_id: int, by: User, *, seen: int) -> Refund:
    """By the requester or by Finance; whether it is in time, only the gateway can say."""
    refund = locked(refund_id, seen, by)
    if refund.requested_by_id == by.pk:
        policy.demand(by, policy.REQUEST, _("cancel a refund"))
    else:
        policy.demand(by, policy.DECLARE, _("cancel other people's refunds"))
    if why := why_no_cancel(refund):
        raise WrongMoment(why)
    now = timezone.now()
    text = "The gateway is asked to cancel it."
    take_step(refund, "cancel asked", Actor.person(by), text=text, cancel_asked_at=now, ask_at=now, asks=0)
    return refund


def cancel_is_due(refund: Refund) -> bool:
    """Asked for by a person, and no answer to it yet."""
    if not refund.cancel_asked_at or refund.status not in AWAITING:
        return False
    tries = refund.attempts.filter(kind=Attempt.Kind.CANCEL)
    return not tries.filter(outcome=Attempt.Outcome.ANSWERED).exists() and tries.count() < MOST_TRIES


def cancel_at_gateway(refund: Refund, gateway: Gateway) -> None:
    """Ask for it and hear how the refund stands then. Talks to the gateway, so never inside a transaction."""
    order = order_as_sent(refund)
    refund.attempts.filter(kind=Attempt.Kind.CANCEL, outcome=Attempt.Outcome.OPEN).update(
        outcome=Attempt.Outcome.NO_ANSWER, said="The worker was lost in mid-call.", finished_at=timezone.now()
    )
    attempt = Attempt.objects.create(
        refund=refund, kind=Attempt.Kind.CANCEL, fence=refund.fence, order=as_json(order), started_at=timezone.now()
    )
    try:
        update = gateway.cancel(order)
    except (NotSent, NoAnswer) as accident:
        lost = Attempt.Outcome.NOT_SENT if isinstance(accident, NotSent) else Attempt.Outcome.NO_ANSWER
        close(attempt, gateway, lost, str(accident))
        breaker.note_accident(refund.account, gateway, str(accident))
        return
    breaker.note_answer(refund.account)
    with transaction.atomic():
        close(attempt, gateway, Attempt.Outcome.ANSWERED, f"It is {update.outcome} there.")
        record_update(refund.pk, update, Mouth.LOOK_UP)
        if update.outcome is not Outcome.CANCELLED:
            text = f"It was not cancelled: {gateway.label} says {update.outcome}. The refund goes on as before."
            take_step(locked(refund.pk), "cancel lost", WORKER, text=text)
