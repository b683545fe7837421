"""Sending: claim and commit, look before, write the attempt and commit, call, hear. No transaction over the network."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.contract import Gateway, Outcome, RefundOrder, RefundUpdate
from gateways.errors import NoAnswer, NotSent
from gateways.registry import gateway_class
from refunds import policy
from refunds.errors import NotRefundable, WrongMoment
from refunds.models import Attempt, Refund, Status
from refunds.services import breaker
from refunds.services.actor import WORKER, Actor, Mouth
from refunds.services.attempts import close
from refunds.services.bundle import apart, gather
from refunds.services.claim import claim, obstacle
from refunds.services.due import first_ask, pause
from refunds.services.orders import (
    as_json,
    digest_of,
    first_send,
    first_that_left,
    from_json,
    gateway_for,
    order_of,
    was_claimed_before,
)
from refunds.services.record import NOT_REACHED, call_for, record_update
from refunds.services.steps import lock_payment, locked, take_step

TRIES_BEFORE_A_CALL = 8


def send_refund(refund_id: int, *, seen: int | None = None) -> None:
    """Approved or unknown → sending → what the gateway says. Talks to the gateway, so never inside a transaction.

    What is unknown goes out again only at the version `seen`, at which it was found that it may: a job that slept
    through a first order must not repeat it unasked.
    """
    probe = breaker.take_probe(refund_id)
    try:
        if refund := claim(refund_id, seen, is_probe=probe is not None):
            gateway = gateway_for(refund.account)
            refunds = [refund] if probe else gather(refund, gateway)
            if len(refunds) > 1:
                _send_together(refunds, gateway)
            else:
                _send(refund, gateway, probe is not None)
    finally:
        breaker.give_back(probe)


def _send(refund: Refund, gateway: Gateway, is_probe: bool) -> None:
    gateway.http.not_after = _latest(refund, gateway)
    order = _order_to_send(refund)
    try:
        before = gateway.before(order)
    except (NotSent, NoAnswer) as accident:
        _nothing_left_the_house(refund, str(accident), accident.retry_after)
        breaker.note_accident(refund.account, gateway, str(accident), of_probe=is_probe)
        return
    attempt = _write_attempt(refund, gateway, order, dict(before))
    if attempt is None:
        return
    _call(refund, gateway, attempt, is_probe)


def _send_together(refunds: list[Refund], gateway: Gateway) -> None:
    """One call for all of them; each has its own attempt before it, and its own answer, or none, after it."""
    gateway.http.not_after = min(_latest(refund, gateway) for refund in refunds)
    bundle, sent = uuid.uuid4(), []
    for refund in refunds:
        if attempt := apart(refund.pk, _write_attempt, refund, gateway, _order_to_send(refund), {}, bundle):
            sent.append((refund, attempt))
    if sent:
        _call_together(sent, gateway)


def _latest(refund: Refund, gateway: Gateway) -> datetime:
    """The moment (UTC) after which this order may not leave: the lease's, and for a repeat also the key's."""
    until = (refund.lease_until or timezone.now()) - timedelta(seconds=settings.GATEWAY_DEADLINE_SECONDS)
    first = first_that_left(refund) if was_claimed_before(refund) else None
    return min(until, first.started_at + gateway.key_window) if first and gateway.key_window else until


def _order_to_send(refund: Refund) -> RefundOrder:
    """The order as first sent, if there is one: one refund keeps one key and one body for ever."""
    first = first_send(refund) if was_claimed_before(refund) else None
    return from_json(first.order, reference=refund.reference) if first else order_of(refund)


@transaction.atomic
def _write_attempt(
    refund: Refund, gateway: Gateway, order: RefundOrder, before: dict[str, Any], bundle: uuid.UUID | None = None
) -> Attempt | None:
    """Commit what we are about to ask; None when the claim is no longer ours or the body would differ."""
    now = timezone.now()
    lock_payment(refund)  # before the refund, as everywhere
    ours = Refund.objects.filter(pk=refund.pk, status=Status.SENDING, fence=refund.fence, lease_until__gt=now)
    ours = ours.filter(may_not_be_sent=False)
    if ours.update(sent_at=Coalesce("sent_at", now)) != 1:
        return None
    digest = digest_of(gateway.body(order), order)
    earlier = first_send(refund) if was_claimed_before(refund) else None
    if earlier and earlier.body_digest != digest:
        why = "The same order would be written differently today, so it was not sent again."
        now_is = locked(refund.pk)
        then: dict[str, Any] = {"needs_attention": why, "ask_at": first_ask(now_is), "asks": 0}
        take_step(now_is, "not repeated", WORKER, move=now_is.doubt, text=why, **then)
        return None
    return Attempt.objects.create(
        refund=refund,
        kind=Attempt.Kind.SEND,
        fence=refund.fence,
        order=as_json(order),
        body_digest=digest,
        before=before,
        bundle=bundle,
        started_at=now,
    )


def _call(refund: Refund, gateway: Gateway, attempt: Attempt, is_probe: bool = False) -> None:
    try:
        update = gateway.refund(_order_in(attempt, refund))
    except NotSent as accident:
        _not_sent(refund, gateway, attempt, accident)
        breaker.note_accident(refund.account, gateway, str(accident), of_probe=is_probe)
    except NoAnswer as accident:
        _no_answer(refund, gateway, attempt, accident)
        breaker.note_accident(refund.account, gateway, str(accident), of_probe=is_probe)
    else:
        _hear_answer(refund, gateway, attempt, update)
        breaker.note_answer(refund.account)


def _call_together(sent: list[tuple[Refund, Attempt]], gateway: Gateway) -> None:
    """What the answer leaves out is unknown; an accident is everybody's, and counts once."""
    account, updates = sent[0][0].account, dict[str, RefundUpdate]()
    unspoken: NotSent | NoAnswer = NoAnswer(f"The answer of {gateway.label} says nothing of it that can be relied on.")
    try:
        updates |= gateway.refund_many([_order_in(attempt, refund) for refund, attempt in sent])
    except (NotSent, NoAnswer) as accident:
        unspoken = accident
    for refund, attempt in sent:
        if update := updates.get(attempt.order["key"]):
            apart(refund.pk, _hear_answer, refund, gateway, attempt, update)
        elif isinstance(unspoken, NotSent):
            apart(refund.pk, _not_sent, refund, gateway, attempt, unspoken)
        else:
            apart(refund.pk, _no_answer, refund, gateway, attempt, unspoken)
    if updates:
        breaker.note_answer(account)
    else:
        breaker.note_accident(account, gateway, str(unspoken))


def _order_in(attempt: Attempt, refund: Refund) -> RefundOrder:
    return from_json(attempt.order, reference=refund.reference, before=attempt.before)


@transaction.atomic
def _hear_answer(refund: Refund, gateway: Gateway, attempt: Attempt, update: RefundUpdate) -> None:
    refused = update.outcome is Outcome.FAILED
    outcome = Attempt.Outcome.REFUSED if refused else Attempt.Outcome.ANSWERED
    close(attempt, gateway, outcome, " ".join((update.outcome, update.code, update.message)).strip())
    record_update(refund.pk, update, Mouth.ANSWER, attempt)


@transaction.atomic
def _not_sent(refund: Refund, gateway: Gateway, attempt: Attempt, accident: NotSent) -> None:
    close(attempt, gateway, Attempt.Outcome.NOT_SENT, str(accident))
    _nothing_left_the_house(refund, str(accident), accident.retry_after)


@transaction.atomic
def _nothing_left_the_house(refund: Refund, why: str, retry_after: timedelta | None) -> None:
    """Sending → approved, unless an earlier order of this refund may have been carried out."""
    now_is = locked(refund.pk)
    if now_is.status != Status.SENDING or now_is.fence != refund.fence:
        return
    if now_is.attempts.filter(kind=Attempt.Kind.SEND).exclude(outcome=Attempt.Outcome.NOT_SENT).exists():
        _into_doubt(refund, f"{why} An earlier order may have been carried out, so we keep asking.")
        return
    asks = now_is.asks + 1
    wait = max(retry_after or timedelta(), pause(now_is, asks))
    take_step(
        now_is,
        "not sent",
        WORKER,
        move=now_is.release,
        text=f"{why} Nothing was sent; we try again.",
        ask_at=timezone.now() + wait,
        asks=asks,
        needs_attention=NOT_REACHED if asks >= TRIES_BEFORE_A_CALL else now_is.needs_attention,
    )


@transaction.atomic
def _no_answer(refund: Refund, gateway: Gateway, attempt: Attempt, accident: NoAnswer) -> None:
    """Sending → unknown: it may or may not have been carried out; the amount stays held and we ask."""
    close(attempt, gateway, Attempt.Outcome.NO_ANSWER, str(accident))
    _into_doubt(refund, f"{accident} Nobody knows yet whether money moved, so we ask.", accident.retry_after)


def _into_doubt(refund: Refund, text: str, retry_after: timedelta | None = None) -> None:
    now_is = locked(refund.pk)
    if now_is.status != Status.SENDING or now_is.fence != refund.fence:
        return
    # Where the same order is the way to ask, each one without an answer makes the next one wait longer.
    asks = now_is.attempts.filter(kind=Attempt.Kind.SEND).count() - 1
    wait = pause(now_is, asks) if gateway_class(now_is.account.gateway).poll_plan else timedelta()
    ask_at = timezone.now() + max(wait, retry_after or timedelta())
    take_step(now_is, "no answer", WORKER, move=now_is.doubt, text=text, ask_at=ask_at, asks=asks)


@transaction.atomic
def end_lease(refund_id: int) -> None:
    """A claim whose worker was lost: without an attempt nothing left the house, with one nobody knows."""
    refund = locked(refund_id)
    if refund.lease_until is None or refund.lease_until > timezone.now():
        return
    sends = refund.attempts.filter(kind=Attempt.Kind.SEND)
    sends.filter(outcome=Attempt.Outcome.OPEN).update(
        outcome=Attempt.Outcome.NO_ANSWER, said="The worker was lost in mid-call.", finished_at=timezone.now()
    )
    if refund.status != Status.SENDING:
        return
    if sends.filter(fence=refund.fence).exists():
        _into_doubt(refund, "The worker was lost in mid-call. Nobody knows yet whether money moved, so we ask.")
    else:
        _nothing_left_the_house(refund, "The worker was lost before the order went out.", None)


@transaction.atomic
def send_now(refund_id: int, by: User, *, seen: int) -> Refund:
    """An approved refund that waits is tried at once."""
    policy.demand(by, policy.APPROVE, _("send a refund"))
    refund = locked(refund_id, seen, by)
    if refund.status != Status.APPROVED:
        status = refund.get_status_display()
        raise WrongMoment(
            _("%(refund)s is %(status)s: only an approved refund can be sent.") % {"refund": refund, "status": status}
        )
    refund.needs_attention = call_for(refund)
    if why := obstacle(refund):
        raise NotRefundable(why)
    take_step(refund, "sent by hand", Actor.person(by), ask_at=timezone.now(), asks=0, needs_attention="")
    return refund
