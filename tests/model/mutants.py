"""Ways to build the desk wrongly. Each is one change of a table, a rule or a policy that the model imports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from gateways.contract import Outcome
from refunds.models import Attempt, Status
from refunds.models.refund import HOLDING
from refunds.services.actor import Mouth
from refunds.services.again import Again
from tests.model import gateways, people, sending
from tests.model.memory import HERE, RefundRow
from tests.model.rooms import NOW, ROOMS
from tests.model.world import Worker, World

Patch = pytest.MonkeyPatch
SAFE = Again(True, "It will be fine.")


@dataclass(frozen=True)
class Mutant:
    """`run` is the row of RUNS (test_model.py) that has to find it, `faults` how many it may use for that."""

    name: str
    change: Callable[[Patch], None]
    run: str
    faults: int = 1
    without: tuple[str, ...] = ()  # what it is found without, to find it soon


def fail_on_timeout(patch: Patch) -> None:
    send, steps = ROOMS["send"], ROOMS["steps"]

    def no_answer(refund: Any, gateway: Any, attempt: Any, accident: Any) -> None:
        send.close(attempt, gateway, Attempt.Outcome.NO_ANSWER, "lost")
        now_is = steps.locked(refund.pk)
        if now_is.status == Status.SENDING and now_is.fence == refund.fence:
            steps.take_step(now_is, "failed", send.WORKER, move=now_is.fail, ask_at=None)

    patch.setattr(send, "_no_answer", no_answer)


def fresh_key_each_time(patch: Patch) -> None:
    """And nobody compares the bytes."""
    first_order = ROOMS["send"]._order_to_send

    def order(refund: Any) -> Any:
        return replace(first_order(refund), key=f"{refund.key}-{refund.attempts.count()}")

    patch.setattr(ROOMS["send"], "_order_to_send", order)
    patch.setattr(ROOMS["send"], "digest_of", lambda body, order: "the same")


def resend_without_waiting(patch: Patch) -> None:
    patch.setattr(ROOMS["again"], "_after_absence", lambda gateway, sends: SAFE)


def resend_whoever_it_is(patch: Patch) -> None:
    patch.setattr(gateways.Current, "can", replace(gateways.Current.can, repeat="within_window"))


def resend_without_looking(patch: Patch) -> None:
    patch.setattr(ROOMS["send"], "claim", _claim_at_any_version(ROOMS["send"].claim))


def _claim_at_any_version(claim: Callable[..., Any]) -> Callable[..., Any]:
    return lambda pk, seen, **more: claim(pk, HERE.refunds[pk - 1].version, **more)


def resend_on_an_early_absence(patch: Patch) -> None:
    look_up = ROOMS["settle"]._look_up

    def late_verdict(refund: Any, gateway: Any) -> Any:
        with patch.context() as then:
            then.setattr(ROOMS["settle"], "again", ROOMS["again"].again)
            return look_up(refund, gateway)

    patch.setattr(ROOMS["settle"], "_look_up", late_verdict)


def trust_the_key_for_ever(patch: Patch) -> None:
    patch.setattr(gateways.Current, "key_window", timedelta(days=100))


def regress_from_succeeded(patch: Patch) -> None:
    record = ROOMS["record"]
    patch.setattr(RefundRow, "accept", lambda row: row.__dict__.update(status=Status.PROCESSING))
    patch.setitem(record.RULES, (Status.SUCCEEDED, Outcome.PROCESSING), record.process)
    trust_an_old_word(patch)


def trust_an_old_word(patch: Patch) -> None:
    patch.setattr(ROOMS["record"], "is_older", lambda refund, update: False)


def believe_a_delivery(row: str, outcome: Outcome) -> Callable[[Patch], None]:
    def change(patch: Patch) -> None:
        rules = ROOMS["record"].RULES
        rule = rules[row, outcome]
        patch.setitem(rules, (row, outcome), lambda hearing: rule(replace(hearing, mouth=Mouth.LOOK_UP)))

    return change


def free_what_is_unknown(patch: Patch) -> None:
    patch.setattr(ROOMS["steps"], "HOLDING", HOLDING - {Status.UNKNOWN})


def believe_every_refusal(patch: Patch) -> None:
    patch.setattr(ROOMS["record"], "_why_no_force", lambda hearing: "")


def not_sent_speaks_for_all(patch: Patch) -> None:
    def released(refund: Any, why: str, retry_after: Any) -> None:
        now_is = ROOMS["steps"].locked(refund.pk)
        if now_is.status == Status.SENDING and now_is.fence == refund.fence:
            ROOMS["steps"].take_step(now_is, "not sent", ROOMS["send"].WORKER, move=now_is.release, ask_at=None)

    patch.setattr(ROOMS["send"], "_nothing_left_the_house", released)


def no_fence(patch: Patch) -> None:
    """Whoever comes writes, under whatever claim stands; the database does not mind either."""
    patch.setattr(sending, "as_claimed", lambda pk, worker: _as_it_stands(pk))
    patch.setattr(HERE, "dropped", {"attempt_one_send_per_claim", "attempt_one_open_send"})


def _as_it_stands(pk: int) -> Any:
    return ROOMS["steps"].locked(pk)


def lease_shorter_than_the_call(patch: Patch) -> None:
    """The order may leave after the lease's end."""
    patch.setattr(ROOMS["send"], "_latest", lambda refund, gateway: NOW + timedelta(hours=1))


def no_exclusive_slot(patch: Patch) -> None:
    patch.setattr(ROOMS["claim"], "_one_on_its_way", lambda refund: None)
    patch.setattr(HERE, "dropped", {"refund_one_at_a_time"})


def retry_while_the_first_is_unknown(patch: Patch) -> None:
    for room in ("request", "claim"):
        patch.setattr(ROOMS[room], "Status", _Lenient)
    patch.setattr(people, "RETRIED", (Status.UNKNOWN,))


class _Lenient:
    """FAILED means unknown, too."""

    APPROVED, SENDING, UNKNOWN, REVERSED = Status.APPROVED, Status.SENDING, Status.UNKNOWN, Status.UNKNOWN
    FAILED = Status.FAILED


def look_before_the_claim(patch: Patch) -> None:
    """What they showed is read first; then it is claimed, and the attempt written with the old picture."""

    def before(world: World, pk: int, worker: Worker) -> Worker:
        return worker._replace(pc="claimed", before=sending.picture(world, pk))

    def claim(world: World, pk: int, worker: Worker) -> Worker | None:
        after = sending._claim(world, pk, worker)
        return after and after._replace(pc="looked", before=worker.before)

    patch.setattr(sending, "STEPS", {"start": before, "claimed": claim, "looked": sending._write})


def declare_failed_at_once(patch: Patch) -> None:
    patch.setattr(ROOMS["declare"], "not_failed_before", lambda refund: NOW - timedelta(days=1))


def lost_worker_sent_nothing(patch: Patch) -> None:
    """After a crash the amount is free again, whether or not an attempt was written."""

    def end_lease(pk: int) -> None:
        refund = ROOMS["steps"].locked(pk)
        if refund.status == Status.SENDING and refund.lease_until <= NOW:
            ROOMS["steps"].take_step(refund, "lost", ROOMS["send"].WORKER, move=refund.release, ask_at=NOW)

    patch.setattr(ROOMS["settle"], "end_lease", end_lease)


def nobody_is_called(patch: Patch) -> None:
    patch.setattr(ROOMS["settle"], "_leave_it_to_people", lambda refund: refund.payment.refunds.update(ask_at=None))


DECISIONS = ("un-approve", "withdraw", "answer the call", "by hand")
NOISE = ("webhook", "slow", "fails", "worker is lost", "lease", "unclear", "is lost", "cannot", "failed", "returned")
SLOW_LOOK = (*DECISIONS, "webhook", "lease", "worker")
MUTANTS = (
    Mutant("failed on timeout", fail_on_timeout, "payerly", 1),
    Mutant("fresh key for each try", fresh_key_each_time, "paynow", 1),
    Mutant("resent without waiting", resend_without_waiting, "payerly", 1),
    Mutant("resent where nothing guards it", resend_whoever_it_is, "airpay", 1),
    Mutant("resent without looking", resend_without_looking, "payerly", 2, DECISIONS + NOISE),
    Mutant(
        "resent on an absence seen too early",
        resend_on_an_early_absence,
        "payerly",
        2,
        SLOW_LOOK,
    ),
    Mutant("resent after the key window", trust_the_key_for_ever, "paynow", 1),
    Mutant("back from succeeded", regress_from_succeeded, "payerly", 1),
    Mutant("an old word is trusted", trust_an_old_word, "payerly", 2, DECISIONS),
    Mutant("a delivery reverses", believe_a_delivery(Status.SUCCEEDED, Outcome.FAILED), "payerly", 1),
    Mutant(
        "a delivery reopens",
        believe_a_delivery("over", Outcome.SUCCEEDED),
        "payerly",
        2,
        (*DECISIONS, *NOISE[1:5]),
    ),
    Mutant("unknown frees the amount", free_what_is_unknown, "payerly", 1),
    Mutant("every refusal is believed", believe_every_refusal, "paynow", 1, DECISIONS),
    Mutant("not sent speaks for every try", not_sent_speaks_for_all, "paynow", 2, DECISIONS[:1]),
    Mutant("no fence", no_fence, "payerly", 1),
    Mutant("lease shorter than the call", lease_shorter_than_the_call, "payerly", 1),
    Mutant("no exclusive slot", no_exclusive_slot, "pay3, two at once", 0),
    Mutant("retried while the first is unknown", retry_while_the_first_is_unknown, "payerly, retried", 1, DECISIONS),
    Mutant("looked before the claim", look_before_the_claim, "pay3, two at once", 1, DECISIONS + NOISE),
    Mutant("declared failed at once", declare_failed_at_once, "pay3", 1),
    Mutant("a lost worker sent nothing", lost_worker_sent_nothing, "pay3", 1),
    Mutant("nobody is called", nobody_is_called, "airpay", 1),
)
