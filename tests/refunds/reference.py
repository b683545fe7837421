"""What each step of the life machine should lead to, written down a second time and without the product's code."""

from __future__ import annotations

from datetime import datetime, timedelta

from gateways.contract import LookUp, Outcome, Repeat
from refunds.models import Refund, Status
from tests.refunds.test_record import BY_LOOK_UP, FINAL
from tests.refunds.there import FATES, Entry, There

S = Status
HOLDS = (S.REQUESTED, S.RETURNED, S.APPROVED, S.SENDING, S.UNKNOWN, S.PROCESSING)
OUT_THERE = (S.SENDING, S.UNKNOWN, S.PROCESSING)
QUIET = timedelta(minutes=15)


def sends(refund: Refund) -> list[str]:
    """The outcomes of its orders, oldest first."""
    return list(refund.attempts.filter(kind="send").values_list("outcome", flat=True))


def may_be_sent(refund: Refund) -> bool:
    payment = refund.payment
    others = payment.refunds.exclude(pk=refund.pk)
    return not (
        refund.may_not_be_sent
        or refund.needs_attention
        or payment.disputed_at
        or payment.free < 0
        or (refund.retry_of and refund.retry_of.status not in (S.FAILED, S.REVERSED))
        or others.exclude(to_confirm="").exists()
        or (refund.exclusive and others.filter(status__in=OUT_THERE).exists())
    )


def after_an_order(fate: str, *, earlier_is_unclear: bool, answer: str = "") -> str:
    """Sending → … by what became of the order; a refusal or "not sent" does not speak for an earlier one."""
    _, said = FATES[fate]
    if fate.startswith("power cut"):
        return S.SENDING
    if "failed" in (fate, answer) and earlier_is_unclear:
        return S.UNKNOWN
    if fate in ("not sent", "refused"):
        clear = S.APPROVED if fate == "not sent" else S.FAILED
        return S.UNKNOWN if earlier_is_unclear else clear
    if fate == "unclear":
        return S.UNKNOWN
    return BY_LOOK_UP[S.SENDING, Outcome(answer or fate)] if said is None else S.UNKNOWN


def after_a_word(refund: Refund, outcome: Outcome, *, by_look_up: bool, is_older: bool = False) -> str:
    now = Status(refund.status)
    if is_older or not refund.sent_at or (now, outcome) not in BY_LOOK_UP:
        return now
    if outcome is Outcome.CANCELLED and refund.cancel_asked_at and now in (S.UNKNOWN, S.PROCESSING):
        return S.WITHDRAWN
    return now if now in FINAL and not by_look_up else BY_LOOK_UP[now, outcome]


def shown_of(refund: Refund, there: There) -> Entry | None:
    """What a look-up tells of this refund, and we may take for ours."""
    if there.kind.can.look_up is LookUp.BY_REFERENCE and not refund.reference:
        return None
    of_it = there.of(str(refund.key)) if refund.source == "house" else there.entries
    ours = [
        one for one in of_it if one.reference == refund.reference or (refund.source == "house" and not refund.reference)
    ]
    return ours[-1] if ours else None


def after_a_look(refund: Refund, there: There, status: Status) -> set[str]:
    """What their list can make of it; only a cancel of ours makes it withdrawn."""
    one = None if there.looks_fail or not refund.sent_at else shown_of(refund, there)
    if one is None or (status, Outcome.FAILED) not in BY_LOOK_UP:
        return {status}
    told = Outcome.FAILED if one.state == "returned" else Outcome(one.state)
    is_cancelled = bool(refund.cancel_asked_at) and status in (S.UNKNOWN, S.PROCESSING)
    withdrawn = {S.WITHDRAWN} if is_cancelled and one.state in ("processing", "cancelled") else set()
    return {status, BY_LOOK_UP[status, told], *withdrawn}


def after_a_turn(refund: Refund, there: There, now: datetime) -> set[str]:
    """Where settling may lead it: their list decides, and an order goes again only where and when it may."""
    status = Status(refund.status)
    if status is S.SENDING:
        if refund.lease_until > now:
            return {S.SENDING}
        attempt = refund.attempts.filter(kind="send", fence=refund.fence).exists()
        unclear = any(outcome != "not_sent" for outcome in sends(refund))
        if not (attempt or unclear):
            return {S.APPROVED}
        status = S.UNKNOWN
    if not refund.sent_at or status in (S.REQUESTED, S.APPROVED):
        return {status}
    allowed = after_a_look(refund, there, status)
    if may_be_repeated(refund, there, now):
        known = {"failed" if one.state == "returned" else one.state for one in there.of(str(refund.key))}
        if (
            known
            and there.kind.can.repeat is Repeat.WITHIN_WINDOW
            and not isinstance(FATES[there.fate][1], BaseException)
        ):
            allowed |= {after_an_order("processing", earlier_is_unclear=True, answer=answer) for answer in known}
        else:
            allowed |= {after_an_order(there.fate, earlier_is_unclear=True)}
    return allowed


def may_be_repeated(refund: Refund, there: There, now: datetime) -> bool:
    """Where a key guards it: within the key's window. Where only their list does: once it must have arrived."""
    orders = list(refund.attempts.filter(kind="send"))
    is_lost = refund.status == S.SENDING and refund.lease_until <= now
    if not (is_lost or refund.status == S.UNKNOWN) or not orders or refund.reference or refund.cancel_asked_at:
        return False
    if there.kind.can.repeat is Repeat.WITHIN_WINDOW:
        return now < orders[0].started_at + timedelta(hours=20)
    last = orders[-1].finished_at
    return there.kind.can.repeat is Repeat.AFTER_ABSENCE and bool(last) and now >= last + QUIET and not there.looks_fail
