"""The one ear: what a gateway says about a refund, by whichever mouth, is heard here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from gateways.contract import LookUp, Outcome, RefundUpdate
from gateways.registry import gateway_class
from refunds.models import Attempt, Event, Refund, Status
from refunds.models.refund import AT_THE_GATEWAY, UNSENT
from refunds.services.actor import Mouth
from refunds.services.due import first_ask
from refunds.services.hearing import Hearing, difference, is_older, may_be_about_a_later_one
from refunds.services.steps import locked, take_step

NO_WORD = gettext_noop("There is still no final word from the gateway. Look in the gateway's own screens.")
NOT_REACHED = gettext_noop(
    "The gateway could not be reached again and again; nothing was sent. Send it again once it is back."
)
ASKED_WITHOUT_REFERENCE = (LookUp.BY_KEY, LookUp.BY_PAYMENT)
LONGEST_CODE = 60
PASSING = frozenset({NO_WORD, NOT_REACHED})  # cleared by the next good word; every other call for a person stays


@transaction.atomic(savepoint=False)
def record_update(refund_id: int, update: RefundUpdate, mouth: Mouth, attempt: Attempt | None = None) -> Event | None:
    """Hear one update. Returns the journal line it led to, or None when it told us nothing new."""
    refund = locked(refund_id)
    hearing = Hearing(refund, update, mouth, attempt)
    if differing := difference(refund, update):
        return _call_a_person(hearing, differing)
    if is_older(refund, update):
        return _keep(hearing, "older than what we know")
    return RULES[standing(refund), update.outcome](hearing)


def call_for(refund: Refund) -> str:
    """The call for a person that outlives a step: all but what the next good word answers by itself."""
    return "" if refund.needs_attention in PASSING else refund.needs_attention


def standing(refund: Refund) -> str:
    """The row of the table below that a refund stands in."""
    if refund.status in (Status.FAILED, Status.REVERSED) or (refund.status == Status.WITHDRAWN and refund.sent_at):
        return OVER
    if refund.status in UNSENT or not refund.sent_at:
        return NEVER_SENT  # also one that is claimed while nothing has left the house
    return ON_ITS_WAY if refund.status in (Status.SENDING, Status.UNKNOWN) else refund.status


def _call_a_person(hearing: Hearing, why: str) -> Event | None:
    """Moves nothing but out of sending, where nobody could rest; a person has to look."""
    if hearing.is_repeated:
        return None
    refund, text = hearing.refund, f"{why} {hearing.words}"
    if standing(refund) == NEVER_SENT:
        return _take(hearing, "does not match", None, text, needs_attention=why[:300], may_not_be_sent=True)
    move = refund.doubt if refund.status == Status.SENDING else None
    on_its_way = refund.status in AT_THE_GATEWAY
    return _take(hearing, "does not match", move, text, needs_attention=why[:300], ask_later=on_its_way)


def _keep(hearing: Hearing, why: str = "", **changes: Any) -> Event | None:
    """Evidence: kept in the journal, nothing moves; the same again writes nothing."""
    if hearing.is_repeated:
        return None
    text = f"{hearing.words} Kept as evidence" + (f": {why}." if why else ".")
    return _take(hearing, "evidence", None, text, **changes)


def _take(
    hearing: Hearing, step: str, move: Callable[[], None] | None, text: str, *, ask_later: bool = False, **changes: Any
) -> Event:
    refund = hearing.refund
    if move:
        changes.setdefault("needs_attention", call_for(refund))
    if move or ask_later:
        changes.setdefault("asks", 0)
    if ask_later:
        changes.setdefault("ask_at", first_ask(refund))
    data: dict[str, Any] = {"outcome": hearing.update.outcome, "details": dict(hearing.update.details)}
    if hearing.update.code:
        data["code"] = hearing.update.code[:LONGEST_CODE]
    return take_step(refund, step, hearing.actor, move=move, text=text, heard=hearing.fingerprint, data=data, **changes)


def _learned(hearing: Hearing) -> dict[str, Any]:
    """What this update adds to the refund itself: their ids, details and the time of their word."""
    refund, update = hearing.refund, hearing.update
    details = {**refund.details, **update.details}
    reference = refund.reference or update.reference
    ids = dict.fromkeys([reference, *(str(value) for value in details.values())])
    learned: dict[str, Any] = {
        "reference": reference,
        "details": details,
        "identifiers": " ".join(text for text in ids if text),
    }
    if update.occurred_at:
        said_at = min(update.occurred_at, timezone.now())  # a clock that is ahead must not deafen us
        learned["said_at"] = max(said_at, refund.said_at or said_at)  # nor may a list that lags turn time back
    return learned


def _to_confirm(hearing: Hearing) -> dict[str, Any]:
    """What a webhook alone has told is looked up at once."""
    if hearing.mouth is Mouth.WEBHOOK:
        return {"to_confirm": hearing.update.outcome, "ask_at": timezone.now()}
    return {"to_confirm": "", "ask_at": None}


# --- The rules: what one word does to a refund that stands in one row ---


def process(hearing: Hearing) -> Event:
    text = f"{hearing.words} The money is on its way."
    return _take(hearing, "processing", hearing.refund.accept, text, ask_later=True, **_learned(hearing))


def succeed(hearing: Hearing) -> Event:
    changes = {**_learned(hearing), **_to_confirm(hearing), "final_at": timezone.now()}
    return _take(hearing, "succeeded", hearing.refund.succeed, hearing.words, **changes)


def fail(hearing: Hearing) -> Event | None:
    """A refusal in an answer speaks for its own attempt only: an earlier one may still have paid.

    Where a look-up can show it without a reference, even a first refusal is looked up: a code may be read wrongly.
    """
    refund = hearing.refund
    if hearing.mouth is Mouth.ANSWER and (loses_force := _why_no_force(hearing)):
        move = refund.doubt if _has_the_claim(refund, hearing.attempt) else None
        text = f"{hearing.words} {loses_force}"
        return _take(hearing, "refused, yet unclear", move, text, ask_later=True, **_learned(hearing))
    changes = {**_learned(hearing), **_to_confirm(hearing), "final_at": timezone.now()}
    if hearing.mouth is Mouth.ANSWER and gateway_class(refund.account.gateway).can.look_up in ASKED_WITHOUT_REFERENCE:
        changes |= {"to_confirm": Outcome.FAILED, "ask_at": timezone.now()}
    return _take(hearing, "failed", refund.fail, hearing.words, **changes)


def _why_no_force(hearing: Hearing) -> str:
    refund, attempt = hearing.refund, hearing.attempt
    if attempt is None:
        return ""
    if not _has_the_claim(refund, attempt):
        return "It came too late to decide anything."
    if not earlier_sends_never_left(refund, attempt):
        return "An earlier order of the same refund may have been carried out, so we keep asking."
    return ""


def _has_the_claim(refund: Refund, attempt: Attempt | None) -> bool:
    """Whether the refund is still in the hands of the worker that made this attempt."""
    return attempt is not None and refund.status == Status.SENDING and refund.fence == attempt.fence


def earlier_sends_never_left(refund: Refund, attempt: Attempt) -> bool:
    earlier = refund.attempts.filter(kind=Attempt.Kind.SEND).exclude(pk=attempt.pk)
    return not earlier.exclude(outcome=Attempt.Outcome.NOT_SENT).exists()


def cancel(hearing: Hearing) -> Event | None:
    refund = hearing.refund
    if not refund.cancel_asked_at or refund.status == Status.SENDING:
        return fail(hearing)
    changes = {**_learned(hearing), **_to_confirm(hearing), "final_at": timezone.now()}
    return _take(hearing, "cancelled", refund.cancel, f"{hearing.words} Our cancel is confirmed.", **changes)


def puzzle(hearing: Hearing) -> Event | None:
    """A word that settles nothing: keep asking, and call a person."""
    if hearing.is_repeated:
        return None
    refund, changes = hearing.refund, _learned(hearing)
    said = " ".join(part for part in (hearing.update.code, hearing.update.message) if part)
    why = f"Their word settles nothing: {said or 'it is one that we do not know'}"[:300]
    move = refund.accept if changes["reference"] else refund.doubt
    settled = refund.status == Status.PROCESSING or (refund.status == Status.UNKNOWN and move == refund.doubt)
    return _take(hearing, "unclear", None if settled else move, why, ask_later=True, needs_attention=why, **changes)


def still(hearing: Hearing) -> Event | None:
    return _keep(hearing, **_learned(hearing))


def puzzled_after_all(hearing: Hearing) -> Event | None:
    return _keep(hearing, "a word we do not know", needs_attention=f"After the end: {hearing.words}"[:300])


def reverse(hearing: Hearing) -> Event | None:
    """They paid, and now say otherwise: only an authenticated look-up is believed."""
    if hearing.mouth is not Mouth.LOOK_UP:
        return _look_it_up(hearing)
    if later := may_be_about_a_later_one(hearing):
        why = f"They speak of the whole payment, and {later} was sent after this one. Look which one came back."
        return _keep(hearing, "it may be about another refund", needs_attention=why)
    why = f"It had succeeded, and then came back: {hearing.words}"[:300]
    changes = {**_learned(hearing), "to_confirm": "", "ask_at": None, "final_at": timezone.now()}
    return _take(hearing, "reversed", hearing.refund.reverse, why, needs_attention=why, **changes)


def doubt_the_end(hearing: Hearing) -> Event | None:
    """It was over without money moving, and now they say it was paid."""
    if hearing.mouth is not Mouth.LOOK_UP:
        return _look_it_up(hearing)
    if later := may_be_about_a_later_one(hearing):
        why = f"They speak of the whole payment, and {later} was sent after this one. Look which one was paid."
        return _keep(hearing, "it may be about another refund", needs_attention=why)
    why = f"It was {hearing.refund.status}, and now: {hearing.words}"[:300]
    changes: dict[str, Any] = {**_learned(hearing), "to_confirm": "", "final_at": None}
    try:
        with transaction.atomic():
            return _take(hearing, "doubted", hearing.refund.doubt, why, needs_attention=why, ask_later=True, **changes)
    except IntegrityError:  # another refund of this payment has the only slot
        return _alarm_both(replace(hearing, refund=locked(hearing.refund.pk)), why)


def _alarm_both(hearing: Hearing, why: str) -> Event | None:
    """Both may be paid: the status stays, and people are called to both."""
    refund = hearing.refund
    for other in refund.payment.refunds.filter(status__in=AT_THE_GATEWAY).exclude(pk=refund.pk):
        text = f"{refund}, of the same payment, may be paid after all: both could be."
        take_step(locked(other.pk), "both may be paid", hearing.actor, text=text, needs_attention=text)
    return _keep(hearing, "another refund of this payment is on its way", needs_attention=why, to_confirm="")


def _look_it_up(hearing: Hearing) -> Event | None:
    if hearing.is_repeated:
        return None
    text = f"{hearing.words} That contradicts the end of this refund, so we look it up."
    soon: dict[str, Any] = {"ask_at": timezone.now(), "asks": 0, "to_confirm": hearing.update.outcome}
    return _take(hearing, "contradicted", None, text, **soon)


def too_early(hearing: Hearing) -> Event | None:
    """They speak of a refund that we never sent: it must not be sent now."""
    why = f"The gateway speaks of it, yet we never sent it. {hearing.words}"[:300]
    return _keep(hearing, "we never sent it", needs_attention=why, may_not_be_sent=True)


ON_ITS_WAY, OVER, NEVER_SENT = "on its way", "over", "never sent"

RULES: dict[tuple[str, Outcome], Callable[[Hearing], Event | None]] = {
    (ON_ITS_WAY, Outcome.PROCESSING): process,
    (ON_ITS_WAY, Outcome.SUCCEEDED): succeed,
    (ON_ITS_WAY, Outcome.FAILED): fail,
    (ON_ITS_WAY, Outcome.CANCELLED): cancel,
    (ON_ITS_WAY, Outcome.UNCLEAR): puzzle,
    (Status.PROCESSING, Outcome.PROCESSING): still,
    (Status.PROCESSING, Outcome.SUCCEEDED): succeed,
    (Status.PROCESSING, Outcome.FAILED): fail,
    (Status.PROCESSING, Outcome.CANCELLED): cancel,
    (Status.PROCESSING, Outcome.UNCLEAR): puzzle,
    (Status.SUCCEEDED, Outcome.PROCESSING): still,
    (Status.SUCCEEDED, Outcome.SUCCEEDED): still,
    (Status.SUCCEEDED, Outcome.FAILED): reverse,
    (Status.SUCCEEDED, Outcome.CANCELLED): reverse,
    (Status.SUCCEEDED, Outcome.UNCLEAR): puzzled_after_all,
    (OVER, Outcome.PROCESSING): still,
    (OVER, Outcome.SUCCEEDED): doubt_the_end,
    (OVER, Outcome.FAILED): still,
    (OVER, Outcome.CANCELLED): still,
    (OVER, Outcome.UNCLEAR): puzzled_after_all,
    **{(NEVER_SENT, outcome): too_early for outcome in Outcome},
}
