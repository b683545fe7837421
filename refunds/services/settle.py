"""Settling: ask the gateway what became of a refund, find ours in what they show, and hear it."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from gateways.contract import Gateway, LookUp, Outcome, RefundOrder, RefundUpdate
from gateways.errors import NoAnswer, NotSent
from gateways.registry import gateway_class
from refunds import policy
from refunds.errors import NotRefundable, WrongMoment
from refunds.models import Attempt, Payment, Refund, Status
from refunds.models.refund import AT_THE_GATEWAY, UNSENT
from refunds.services import breaker
from refunds.services.actor import WORKER, Actor, Mouth
from refunds.services.adopt import adopt_refund
from refunds.services.again import again, can_be_asked, can_be_settled, is_made_by_hand
from refunds.services.attempts import close
from refunds.services.cancel import cancel_at_gateway, cancel_is_due
from refunds.services.confirm import confirm
from refunds.services.declare import not_failed_before
from refunds.services.due import ask_again, pause, wake_those_behind
from refunds.services.find import candidates, find, ours_of
from refunds.services.journal import in_english
from refunds.services.orders import gateway_for, order_as_sent
from refunds.services.record import NO_WORD, record_update
from refunds.services.send import end_lease, send_refund
from refunds.services.steps import locked, take_step
from refunds.services.typed import spoken
from refunds.services.unmatched import keep_unmatched, settle_unmatched

log = logging.getLogger(__name__)

CONFIGURE_PAUSE = FAILED_PAUSE = timedelta(minutes=10)
ASKS_BEFORE_A_CALL = 3
WHICH = gettext_noop("More than one refund there could be this one. Compare them and say which it is.")
NO_WAY = "{gateway} cannot be asked about it, and sending it again could pay twice. Look in their screens, then say it."
NOT_TAKEN_IN = gettext_noop("They show it, but it could be one of ours that is on its way.")


def settle_refund(refund_id: int) -> None:
    """Ask about one refund that is at the gateway, or whose end wants confirming. Never inside a transaction."""
    end_lease(refund_id)
    refund = _loaded(refund_id)
    if refund.status == Status.APPROVED:
        return  # it is due to be sent, not to be asked about
    if refund.status in UNSENT and not refund.sent_at:
        Refund.objects.filter(pk=refund_id, version=refund.version).update(ask_at=None)
        return
    if refund.status == Status.SENDING:
        ask_again(refund, refund.lease_until or timezone.now(), count=False)
        return
    try:
        with in_english():
            gateway = gateway_for(refund.account)
    except NotRefundable as trouble:
        if refund.asks >= ASKS_BEFORE_A_CALL and not refund.needs_attention:
            _call_to(refund, "cannot be asked", str(trouble)[:300])
        ask_again(_loaded(refund_id), timezone.now() + CONFIGURE_PAUSE)
        return
    looked = Looked()
    if cancel_is_due(refund):
        cancel_at_gateway(refund, gateway)
    elif can_be_asked(refund):
        looked = _look_up(refund, gateway)
    else:  # the same order under the same key is the way to ask
        looked = Looked(may_go_again=again(refund, gateway).is_safe)
    if looked.may_go_again:
        send_refund(refund_id, seen=refund.version)  # which books its own next ask
    else:
        _book_the_next(refund, looked)


def look_up_payment(payment_id: int) -> None:
    """Ask which refunds the gateway shows for a payment; ours are heard, others adopted. Never inside a transaction."""
    payment = Payment.objects.select_related("account").get(pk=payment_id)
    try:
        gateway = gateway_for(payment.account)
    except NotRefundable:
        Payment.objects.filter(pk=payment_id, ask_at=payment.ask_at).update(ask_at=timezone.now() + CONFIGURE_PAUSE)
        return
    order = RefundOrder(key="", payment_reference=payment.reference, amount=payment.money(payment.captured))
    try:
        updates = gateway.look_up(order)
    except (NotSent, NoAnswer) as accident:
        breaker.note_accident(payment.account, gateway, str(accident))
        wait = max(FAILED_PAUSE * settings.POLL_PACE * random.uniform(0.9, 1.1), accident.retry_after or timedelta())
        Payment.objects.filter(pk=payment_id, ask_at=payment.ask_at).update(ask_at=timezone.now() + wait)
        return
    breaker.note_answer(payment.account)
    for update in updates:
        if refund := ours_of(payment, update):
            _hear(refund.pk, refund.version, update)
    _take_in_the_others(payment, updates, gateway)
    Payment.objects.filter(pk=payment_id, ask_at=payment.ask_at).update(ask_at=None)


@transaction.atomic
def check_refund(refund_id: int, by: User) -> Refund:
    """A person wants to know now: the next look-up moves to the front."""
    policy.demand(by, policy.SYNC, _("check a refund with its gateway"))
    refund = locked(refund_id, by=by)
    if why := why_no_check(refund):
        raise WrongMoment(why)
    take_step(refund, "asked", Actor.person(by), text="The gateway is asked once more.", ask_at=timezone.now(), asks=0)
    return refund


def why_no_check(refund: Refund) -> str:
    """Why asking its gateway could bring nothing, or ""."""
    if not refund.sent_at or refund.status == Status.APPROVED:
        return _("%(refund)s has not been sent, so the gateway has nothing to say about it.") % {"refund": refund}
    if refund.status == Status.SENDING:
        return _("%(refund)s is being handed over at this moment; its answer tells what became of it.") % {
            "refund": refund
        }
    if not can_be_settled(refund):
        return _("%(label)s cannot be asked about %(refund)s. Two people declare it.") % {
            "label": gateway_class(refund.account.gateway).label,
            "refund": refund,
        }
    return ""


@transaction.atomic
def clear_attention(refund_id: int, by: User, note: str, *, seen: int) -> Refund:
    """Somebody has looked: the call for a person is answered with a note; no status changes."""
    policy.demand(by, policy.DECLARE, _("answer a call for attention"))
    refund = locked(refund_id, seen, by)
    if not refund.needs_attention:
        raise WrongMoment(_("Nothing about %(refund)s asks for attention any more.") % {"refund": refund})
    note = spoken(note, _("Write down what you found."))
    take_step(refund, "looked at", Actor.person(by), text=note, needs_attention="")
    return refund


def _loaded(refund_id: int) -> Refund:
    return Refund.objects.select_related("payment", "account", "reason").get(pk=refund_id)


@dataclass(frozen=True)
class Looked:
    """What came of asking: whether they answered, how long they want to be left alone, may the same order go again."""

    is_heard: bool = True
    wait: timedelta = timedelta()
    may_go_again: bool = False


def _look_up(refund: Refund, gateway: Gateway) -> Looked:
    order = order_as_sent(refund)
    # Absence counts for a repeat only if the order must have arrived before we looked.
    had_arrived = again(refund, gateway).is_safe
    attempt = Attempt.objects.create(
        refund=refund, kind=Attempt.Kind.LOOK_UP, fence=refund.fence, started_at=timezone.now()
    )
    try:
        updates = gateway.look_up(order)
    except (NotSent, NoAnswer) as accident:
        _look_up_failed(refund, gateway, attempt, accident)
        breaker.note_accident(refund.account, gateway, str(accident))
        return Looked(is_heard=False, wait=accident.retry_after or timedelta())
    breaker.note_answer(refund.account)
    update = _believed(find(updates, refund, order.before), refund)
    with transaction.atomic():
        said = f"{update.outcome} {update.code}".strip() if update else "not there"
        close(attempt, gateway, Attempt.Outcome.ANSWERED, said)
        _hear(refund.pk, refund.version, update)
        if update is None and len(several := candidates(updates, refund, order.before)) > 1:
            _ask_which(refund.pk, several)
    _take_in_the_others(refund.payment, updates, gateway)
    is_absent = update is None and had_arrived
    return Looked(may_go_again=is_absent and again(_loaded(refund.pk), gateway).is_safe)


def _believed(update: RefundUpdate | None, refund: Refund) -> RefundUpdate | None:
    """A failure that was only guessed to be ours frees no amount while our own order may still arrive."""
    if update is None or update.key or refund.reference:
        return update  # not a guess
    if update.outcome is Outcome.FAILED and timezone.now() < not_failed_before(refund):
        return None
    return update


def _ask_which(refund_id: int, several: Sequence[RefundUpdate]) -> None:
    """Nobody can tell which one is ours: a person compares them in the gateway's own screens."""
    refund = locked(refund_id)
    if refund.status != Status.UNKNOWN or refund.needs_attention == WHICH:
        return
    text = f"They show {len(several)} new refunds of this amount: {', '.join(one.reference for one in several)}."
    take_step(refund, "ambiguous", WORKER, text=text, needs_attention=WHICH)


def _look_up_failed(refund: Refund, gateway: Gateway, attempt: Attempt, accident: NotSent | NoAnswer) -> None:
    with transaction.atomic():
        close(attempt, gateway, Attempt.Outcome.NO_ANSWER, str(accident))
        if not refund.to_confirm:
            return
        now_is = locked(refund.pk)
        if now_is.to_confirm and not now_is.events.filter(step="unconfirmed", sequence__gte=refund.version).exists():
            text = f"They told us {now_is.to_confirm}; it is unconfirmed, because the look-up failed: {accident}"
            take_step(now_is, "unconfirmed", WORKER, text=text)


@transaction.atomic
def _hear(refund_id: int, seen: int, update: RefundUpdate | None) -> None:
    """`seen` is the version at which the look-up began: what has happened since, it cannot judge."""
    refund = locked(refund_id)
    is_over = refund.status not in AT_THE_GATEWAY
    if refund.version != seen and (refund.to_confirm or update is None or is_over):
        ask_again(refund, timezone.now(), count=False)
    elif refund.to_confirm:
        confirm(refund, update)
    elif update:
        record_update(refund_id, update, Mouth.LOOK_UP)
    elif refund.status in (Status.PROCESSING, Status.SUCCEEDED) and not refund.needs_attention:
        why = gettext_noop("The gateway no longer shows this refund. Look for it in the gateway's own screens.")
        take_step(refund, "not there", WORKER, text=why, needs_attention=why)


def _take_in_the_others(payment: Payment, updates: Sequence[RefundUpdate], gateway: Gateway) -> None:
    """What they show beside ours was made in their own screens; each is taken in for itself, or not at all."""
    for update in updates:
        if (ours := ours_of(payment, update)) is not None:
            settle_unmatched(ours)
            continue
        try:
            adopted = adopt_refund(payment.pk, update, keys_are_shown=gateway.can.look_up is LookUp.BY_KEY)
        except IntegrityError:
            log.warning("A refund that %s shows for payment %s cannot be taken in.", gateway.label, payment.pk)
            continue
        if adopted:
            settle_unmatched(adopted)
        elif (update.reference or update.key) and update.outcome in (Outcome.PROCESSING, Outcome.SUCCEEDED):
            keep_unmatched(payment.account, update, NOT_TAKEN_IN, payment=payment)


def _book_the_next(was: Refund, looked: Looked) -> None:
    """The next look-up by the gateway's plan; past its end it goes on, and a person is called."""
    refund = _loaded(was.pk)
    if was.to_confirm and not refund.to_confirm:
        wake_those_behind(refund)
    # Somebody has knocked about one that is over, or a person has asked: a look-up that failed is no answer.
    if not (refund.status in AT_THE_GATEWAY or refund.to_confirm or not looked.is_heard):
        if refund.ask_at == was.ask_at and refund.status != Status.APPROVED:  # else somebody has knocked meanwhile
            Refund.objects.filter(pk=was.pk, version=refund.version, ask_at=was.ask_at).update(ask_at=None)
        return
    if refund.status == Status.SENDING:
        return
    if not can_be_settled(refund):
        _leave_it_to_people(refund)
        return
    if refund.asks >= len(gateway_class(refund.account.gateway).poll_plan) and not refund.needs_attention:
        _call_to(refund, "no final word", NO_WORD)
        refund = _loaded(was.pk)
    ask_again(refund, timezone.now() + max(pause(refund, refund.asks), looked.wait))


@transaction.atomic
def _call_to(refund: Refund, step: str, why: str) -> None:
    """Call a person to a refund that still stands as we have seen it."""
    seen, refund = refund.version, locked(refund.pk)
    if refund.version == seen:
        take_step(refund, step, WORKER, text=why, needs_attention=why)


@transaction.atomic
def _leave_it_to_people(refund: Refund) -> None:
    """Nothing that we could ask would bring its end. A transfer still to be made simply waits for whoever makes it."""
    seen, refund = refund.version, locked(refund.pk)
    if refund.version != seen:
        return
    is_to_be_made = is_made_by_hand(refund) and refund.status == Status.PROCESSING
    if is_to_be_made or refund.needs_attention:
        Refund.objects.filter(pk=refund.pk, version=seen).update(ask_at=None)
        return
    why = NO_WAY.format(gateway=gateway_class(refund.account.gateway).label)
    take_step(refund, "left to people", WORKER, text=why, needs_attention=why, ask_at=None)
