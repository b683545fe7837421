"""Several refunds in one call: who shares it, what becomes of each, and that nobody is paid twice by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import ceil
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from gateways.airpay import Airpay
from gateways.sandbox import Sandbox
from refunds import health, jobs, services
from refunds.admin import timeline
from refunds.models import Account, Attempt, Payment, Refund
from refunds.services import bundle, send
from refunds.services.trouble import TROUBLES_BEFORE_A_CALL
from tests.builders import ACCOUNTS, again, alice, approved, bob, make_account, make_payment

pytestmark = pytest.mark.django_db(transaction=True)
Trials = Callable[[int], None]
Patch = pytest.MonkeyPatch
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def account(sandbox: Sandbox, monkeypatch: Patch) -> Account:
    """At a gateway that keeps no key of ours, with four orders to a call."""
    monkeypatch.setenv("AIRPAY_IN_BATCH", "4")
    return make_account(ACCOUNTS["airpay"])


def ready(n: int, *, endings: Sequence[int] = ()) -> list[Refund]:
    """So many approved refunds, each of a payment and of an amount of its own; its ending chooses the story."""
    refunds = []
    for number in range(n):
        ending = endings[number] if number < len(endings) else 30 + number
        reference = str(716_000_001 + Payment.objects.count())
        payment = make_payment(9000, "INR", reference, account=Account.objects.get(slug=ACCOUNTS["airpay"]))
        refunds.append(approved(payment, 1000 + ending))
    return refunds


def calls(sandbox: Sandbox) -> list[list[str]]:
    """Of each order's call, the payments that it named."""
    sent = [call for call in sandbox.requests() if call["path"].endswith("/refundtxn.php")]
    return [[line["processor_id"] for line in json.loads(call["body"])["transactions"]] for call in sent]


def statuses(refunds: Sequence[Refund]) -> list[str]:
    return [again(refund).status for refund in refunds]


def paid(sandbox: Sandbox) -> list[tuple[str, int]]:
    return sorted((line["payment"], line["minor"]) for line in sandbox.ledger())


def owed(refunds: Sequence[Refund]) -> list[tuple[str, int]]:
    return sorted((refund.payment.reference, refund.amount) for refund in refunds)


def take_turns(refunds: Sequence[Refund]) -> None:
    """The ticket of each, as it was booked: one worker after the other."""
    for refund in refunds:
        services.take_turn(refund.pk, refund.ask_at)


# --- Who shares a call ---


@pytest.mark.promise("I2", "I3")
@pytest.mark.parametrize("most", [1, 2, 3, 4, 9, 10, 100])
def test_ten_refunds_of_ten_payments_take_no_more_calls_than_they_need(
    most: int, sandbox: Sandbox, monkeypatch: Patch, trials: Trials
) -> None:
    monkeypatch.setenv("AIRPAY_IN_BATCH", str(most))
    refunds = ready(10)
    take_turns(refunds)
    assert len(calls(sandbox)) == ceil(10 / most)
    assert paid(sandbox) == owed(refunds)
    assert set(statuses(refunds)) == {"processing"}
    assert [refund.attempts.count() for refund in refunds] == [1] * 10
    trials(10)


def test_by_default_each_goes_alone(sandbox: Sandbox, monkeypatch: Patch) -> None:
    monkeypatch.delenv("AIRPAY_IN_BATCH")
    take_turns(ready(2))
    assert [len(call) for call in calls(sandbox)] == [1, 1]
    assert set(Attempt.objects.values_list("bundle", flat=True)) == {None}


def test_attempts_of_one_call_are_known_by_their_bundle_and_keep_its_exchange(sandbox: Sandbox) -> None:
    refunds = ready(5)
    take_turns(refunds)
    found = [Attempt.objects.get(refund=refund) for refund in refunds]
    assert len({one.bundle for one in found[:4]}) == 1
    assert found[0].bundle
    assert found[4].bundle is None, "it went alone"
    for refund, attempt in zip(refunds[:4], found, strict=False):
        assert attempt.order["key"] == str(refund.key)
        (exchange,) = attempt.exchanges
        assert all(one.payment.reference in exchange["request_body"] for one in refunds[:4])
        assert sandbox.credentials("airpay")["SECRET"] not in str(attempt.exchanges)


def test_every_attempt_is_committed_before_the_first_byte_leaves(sandbox: Sandbox, monkeypatch: Patch) -> None:
    refunds, seen = ready(3), []
    refund_many = Airpay.refund_many

    def on_the_wire(self: Airpay, orders: Any) -> Any:
        seen.append(list(Attempt.objects.values_list("outcome", "refund__status")))
        return refund_many(self, orders)

    monkeypatch.setattr(Airpay, "refund_many", on_the_wire)
    take_turns(refunds)
    assert seen == [[("open", "sending")] * 3]
    assert not connection.in_atomic_block


@pytest.mark.promise("I12")
@pytest.mark.parametrize("several", [False, True])
def test_two_refunds_of_one_payment_never_share_a_call(several: bool, sandbox: Sandbox, monkeypatch: Patch) -> None:
    first, other = ready(2)
    second = approved(first.payment, 1055)
    Refund.objects.filter(pk=second.pk).update(ask_at=first.ask_at, exclusive=not several)
    Refund.objects.filter(pk=first.pk).update(exclusive=not several)
    take_turns([first, again(second), other])
    one, two = first.payment.reference, other.payment.reference
    assert calls(sandbox) == ([[one, two], [one]] if several else [[one, two]])
    assert statuses([first, other, second]) == ["processing", "processing", "processing" if several else "approved"]


def test_what_rests_after_an_accident_or_is_of_another_account_is_not_taken_along(sandbox: Sandbox) -> None:
    first, later, unapproved, another = ready(4)
    Refund.objects.filter(pk=later.pk).update(ask_at=timezone.now() + MINUTE, asks=1)
    services.unapprove_refund(unapproved.pk, bob(), "Wait.", seen=unapproved.version)
    elsewhere = approved(make_payment(reference="pay-1"))
    take_turns([first])
    assert calls(sandbox) == [[first.payment.reference, another.payment.reference]]
    assert statuses([later, unapproved, elsewhere]) == ["approved", "requested", "approved"]


def test_what_the_sweep_has_handed_out_is_taken_along_and_its_ticket_is_void(
    sandbox: Sandbox, monkeypatch: Patch
) -> None:
    make_account(webhook_key="pinned already")
    refunds, tickets = ready(4), []
    monkeypatch.setattr(jobs, "wake", lambda pk, at, **_: tickets.append((pk, at)))
    Refund.objects.update(ask_at=timezone.now() - MINUTE)
    assert services.sweep() == 4
    for pk, at in list(tickets):
        services.take_turn(pk, at)
    assert len(calls(sandbox)) == 1
    assert paid(sandbox) == owed(refunds)


@pytest.mark.parametrize("obstacle", ["held", "disputed", "called", "one on its way"])
def test_what_plainly_cannot_be_sent_is_not_even_tried(
    obstacle: str, sandbox: Sandbox, settings: Any, monkeypatch: Patch
) -> None:
    first, second = ready(2)
    if obstacle == "held":
        settings.APPROVAL_HOLD_SECONDS = 600
        Refund.objects.filter(pk=first.pk).update(approved_at=timezone.now() - 20 * MINUTE)
    elif obstacle == "one on its way":
        earlier = approved(second.payment, 1055)
        services.send_refund(earlier.pk)
        first, second = ready(1)[0], second
    else:
        OBSTACLES[{"disputed": "disputed", "called": "a call for a person"}[obstacle]](second)
    monkeypatch.setattr(bundle, "claim", lambda *_, **__: pytest.fail("tried"))
    take_turns([first])
    assert again(first).status == "processing"


def test_many_that_cannot_be_claimed_hold_nobody_up(sandbox: Sandbox, monkeypatch: Patch) -> None:
    first, tried = ready(12)[0], []
    monkeypatch.setattr(bundle, "claim", lambda pk, *_, **__: tried.append(pk))
    take_turns([first])
    assert len(calls(sandbox)) == 1
    assert len(set(tried)) == len(tried) == 7, "twice as many as there is room for, the first among them"


OBSTACLES: dict[str, Callable[[Refund], object]] = {
    "withdrawn": lambda refund: services.withdraw_refund(refund.pk, alice(), seen=again(refund).version),
    "approval undone": lambda refund: services.unapprove_refund(refund.pk, bob(), "Wait.", seen=again(refund).version),
    "disputed": lambda refund: Payment.objects.filter(pk=refund.payment_id).update(disputed_at=timezone.now()),
    "a call for a person": lambda refund: Refund.objects.filter(pk=refund.pk).update(needs_attention="look"),
    "spoken of": lambda refund: Refund.objects.filter(pk=refund.pk).update(may_not_be_sent=True),
    "too much": lambda refund: Payment.objects.filter(pk=refund.payment_id).update(refunded=99_000),
    "account paused": lambda refund: Account.objects.update(paused_because="audit"),
    "breaker": lambda refund: Account.objects.update(breaker_until=timezone.now() + MINUTE),
}


@pytest.mark.promise("I12")
@pytest.mark.parametrize("obstacle", OBSTACLES)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_what_can_no_longer_be_sent_is_left_out(when: str, obstacle: str, sandbox: Sandbox, monkeypatch: Patch) -> None:
    first, second, third = ready(3)
    of_all = obstacle in ("account paused", "breaker")

    def meanwhile(row: Any, booked_for: Any) -> bool:
        if row.filter(pk=second.pk).exists():
            OBSTACLES[obstacle](second)
        return bundle_ticket(row, booked_for)

    bundle_ticket = bundle.take_ticket
    if when == "before" and not of_all:
        OBSTACLES[obstacle](second)
    else:
        monkeypatch.setattr(bundle, "take_ticket", meanwhile)
    take_turns([first])
    left = [first] if of_all else [first, third]
    assert calls(sandbox) == [[one.payment.reference for one in left]]
    assert again(second).status in ("approved", "withdrawn", "requested")
    assert not second.attempts.exists()


def test_a_probe_goes_alone(sandbox: Sandbox) -> None:
    first, *others = ready(3)
    Account.objects.update(breaker_until=timezone.now() - MINUTE, accidents=5)
    take_turns([first])
    assert calls(sandbox) == [[first.payment.reference]]
    assert Account.objects.get(slug=ACCOUNTS["airpay"]).breaker_until is None, "it was answered"
    take_turns([others[0]])
    assert len(calls(sandbox)[1]) == 2


def test_a_lost_claim_is_left_out_of_the_call(sandbox: Sandbox, monkeypatch: Patch) -> None:
    """While the others were claimed, this one's lease ended and somebody else has it."""
    refunds, write = ready(3), send._write_attempt

    def slowly(refund: Refund, *more: Any) -> Any:
        if refund.pk == refunds[1].pk:
            Refund.objects.filter(pk=refund.pk).update(fence=refund.fence + 1)
        return write(refund, *more)

    monkeypatch.setattr(send, "_write_attempt", slowly)
    take_turns(refunds[:1])
    assert calls(sandbox) == [[refunds[0].payment.reference, refunds[2].payment.reference]]
    assert (again(refunds[1]).status, refunds[1].attempts.count()) == ("sending", 0)


# --- What becomes of each ---


@pytest.mark.promise("I3", "I13")
def test_each_has_its_own_answer(sandbox: Sandbox, monkeypatch: Patch) -> None:
    monkeypatch.setenv("AIRPAY_IN_BATCH", "100")
    ends = {
        30: "processing",
        1: "failed",
        22: "unknown",
        23: "unknown",
        12: "unknown",
        31: "processing",
        11: "processing",
    }
    refunds = ready(len(ends), endings=list(ends))
    take_turns(refunds)
    assert len(calls(sandbox)) == 1
    assert statuses(refunds) == list(ends.values())
    assert paid(sandbox) == owed([refund for refund in refunds if refund.amount != 1001])
    by_ending = {refund.amount - 1000: again(refund) for refund in refunds}
    assert "1013" not in by_ending[12].reference
    assert "They say 10.13" in by_ending[12].needs_attention
    assert by_ending[22].attempts.get().outcome == by_ending[23].attempts.get().outcome == "no_answer"
    assert by_ending[1].attempts.get().outcome == "refused"
    for ending in (30, 31, 11):
        assert by_ending[ending].reference.startswith(by_ending[ending].payment.reference)
        assert by_ending[ending].attempts.get().outcome == "answered"
    assert Account.objects.get(slug=ACCOUNTS["airpay"]).accidents == 0, "they did answer"


@pytest.mark.promise("I3", "I13", "I14")
@pytest.mark.parametrize("ending", [2, 5, 6, 14, 15, 16, 17, 18])
def test_a_lost_answer_leaves_all_of_them_unknown_and_none_is_sent_again(
    ending: int, sandbox: Sandbox, settings: Any
) -> None:
    settings.GATEWAY_DEADLINE_SECONDS = 1
    refunds = ready(4, endings=[30, ending, 1])
    take_turns(refunds)
    assert statuses(refunds) == ["unknown"] * 4
    assert [refund.attempts.get().outcome for refund in refunds] == ["no_answer"] * 4
    assert Account.objects.get(slug=ACCOUNTS["airpay"]).accidents == 1, "one call is one accident"
    for refund in refunds:
        services.settle_refund(refund.pk)
        assert again(refund).needs_attention, "nobody there can be asked about it"
    assert len(calls(sandbox)) == 1
    assert all(again(refund).payment.held == refund.amount for refund in refunds)


def test_what_never_left_goes_back_to_approved(sandbox: Sandbox) -> None:
    refunds = ready(3)
    sandbox.stop()
    take_turns(refunds[:1])
    assert statuses(refunds) == ["approved"] * 3
    assert [refund.attempts.get().outcome for refund in refunds] == ["not_sent"] * 3
    assert [(again(refund).asks, again(refund).ask_at > timezone.now()) for refund in refunds] == [(1, True)] * 3
    assert Account.objects.get(slug=ACCOUNTS["airpay"]).accidents == 1


@pytest.mark.promise("I10")
def test_what_never_left_goes_again_with_the_same_order(sandbox: Sandbox, monkeypatch: Patch) -> None:
    refunds = ready(3)
    with monkeypatch.context() as away:
        away.setenv("AIRPAY_IN_URL", "http://127.0.0.1:9/airpay")
        take_turns(refunds[:1])
    Refund.objects.update(ask_at=timezone.now())
    take_turns([again(refund) for refund in refunds])
    assert paid(sandbox) == owed(refunds)
    for refund in refunds:
        first, second = refund.attempts.all()
        assert (first.order, first.body_digest) == (second.order, second.body_digest)
        assert first.bundle != second.bundle


def test_an_order_that_would_leave_too_late_takes_none_with_it(sandbox: Sandbox, monkeypatch: Patch) -> None:
    """The earliest lease counts for all."""
    refunds, latest = ready(3), send._latest
    past = timezone.now() - MINUTE
    monkeypatch.setattr(send, "_latest", lambda one, gateway: past if one.pk == refunds[1].pk else latest(one, gateway))
    take_turns(refunds[:1])
    assert (calls(sandbox), statuses(refunds)) == ([], ["approved"] * 3)


def test_a_no_to_the_whole_call_is_a_no_to_each(sandbox: Sandbox, monkeypatch: Patch) -> None:
    monkeypatch.setenv("AIRPAY_IN_PASSWORD", "another password of theirs")
    refunds = ready(3)
    take_turns(refunds)
    assert statuses(refunds) == ["failed"] * 3
    assert (len(calls(sandbox)), paid(sandbox)) == (1, [])


def test_an_answer_that_says_nothing_of_anybody_is_an_accident(sandbox: Sandbox) -> None:
    refunds = ready(2, endings=[22, 23])
    take_turns(refunds)
    assert statuses(refunds) == ["unknown"] * 2
    assert Account.objects.get(slug=ACCOUNTS["airpay"]).accidents == 1


def test_the_page_says_that_an_order_did_not_go_alone(sandbox: Sandbox) -> None:
    first, second, third = ready(3)
    Refund.objects.filter(pk=third.pk).update(ask_at=timezone.now() + MINUTE, asks=1)
    take_turns([first])
    Refund.objects.filter(pk=third.pk).update(ask_at=timezone.now(), asks=0)
    take_turns([again(third)])
    words = "in one call with orders of other refunds"
    said = [
        any(words in line.text for line in timeline.timeline(again(one), [], raw=False))
        for one in (first, second, third)
    ]
    assert said == [True, True, False]


def test_a_call_for_several_counts_as_one_call(sandbox: Sandbox) -> None:
    take_turns(ready(5))
    take_turns(ready(4, endings=[2]))
    long_ago = timezone.now() - 60 * MINUTE
    (found,) = health.calls(long_ago)[0].values()
    assert (found.number, found.failed) == (3, 1)


# --- One's trouble is not the others' ---


def broken_for(one: Refund, act: Callable[..., Any], trouble: Exception) -> Callable[..., Any]:
    def broken(of: Any, *args: Any, **more: Any) -> Any:
        if getattr(of, "pk", of) == one.pk:
            raise trouble
        return act(of, *args, **more)

    return broken


@pytest.mark.parametrize("trouble", [OperationalError("database is locked"), KeyError("a bug of ours")])
def test_one_that_cannot_be_claimed_for_trouble_is_left_out(
    trouble: Exception, sandbox: Sandbox, monkeypatch: Patch
) -> None:
    refunds = ready(3)
    monkeypatch.setattr(bundle, "claim", broken_for(refunds[1], bundle.claim, trouble))
    take_turns(refunds[:1])
    assert calls(sandbox) == [[refunds[0].payment.reference, refunds[2].payment.reference]]
    assert (again(refunds[1]).status, again(refunds[1]).asks) == ("approved", 1)


def test_trouble_that_stays_calls_a_person(sandbox: Sandbox, monkeypatch: Patch) -> None:
    first, second = ready(2)
    monkeypatch.setattr(bundle, "claim", broken_for(second, bundle.claim, KeyError("a bug of ours")))
    Refund.objects.filter(pk=second.pk).update(asks=TROUBLES_BEFORE_A_CALL)
    take_turns([first])
    assert "goes wrong with this refund again and again" in again(second).needs_attention


@pytest.mark.parametrize("step", ["_write_attempt", "_hear_answer"])
def test_trouble_with_one_attempt_or_answer_loses_no_other(step: str, sandbox: Sandbox, monkeypatch: Patch) -> None:
    refunds = ready(4)
    for one in refunds[:2]:
        monkeypatch.setattr(send, step, broken_for(one, getattr(send, step), OperationalError("database is locked")))
    take_turns(refunds[:1])
    assert statuses(refunds) == ["sending", "sending", "processing", "processing"]
    assert len(calls(sandbox)) == 1
    Refund.objects.update(lease_until=timezone.now() - MINUTE)
    for one in refunds[:2]:
        send.end_lease(one.pk)
    expected = "approved" if step == "_write_attempt" else "unknown"
    assert statuses(refunds[:2]) == [expected] * 2, "as if the worker had been lost with it"


def test_a_connector_that_breaks_leaves_all_of_them_to_the_end_of_their_leases(
    sandbox: Sandbox, monkeypatch: Patch
) -> None:
    refunds = ready(3)

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(Airpay, "refund_many", broken)
    with pytest.raises(ZeroDivisionError):
        take_turns(refunds[:1])
    assert statuses(refunds) == ["sending"] * 3
    Refund.objects.update(lease_until=timezone.now() - MINUTE)
    for refund in refunds:
        send.end_lease(refund.pk)
    assert statuses(refunds) == ["unknown"] * 3


# --- Two at the same time ---


@pytest.mark.promise("I2", "I3", "I12")
def test_workers_that_gather_at_the_same_moment_share_nothing(
    sandbox: Sandbox, monkeypatch: Patch, trials: Trials
) -> None:
    monkeypatch.setenv("AIRPAY_IN_BATCH", "7")
    refunds, n_workers, troubles = ready(40), 4, []
    barrier = Barrier(n_workers)

    def run(mine: Sequence[Refund]) -> None:
        try:
            barrier.wait(10)
            take_turns(mine)
        except Exception as trouble:
            troubles.append(trouble)
        finally:
            connection.close()

    threads = [Thread(target=run, args=(refunds[n::n_workers],)) for n in range(n_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert paid(sandbox) == owed(refunds)
    assert set(statuses(refunds)) == {"processing"}
    named = [payment for call in calls(sandbox) for payment in call]
    assert sorted(named) == sorted(refund.payment.reference for refund in refunds)
    assert len(calls(sandbox)) < 20
    assert Attempt.objects.count() == 40
    trials(40)


# --- Where calls are capped ---


@pytest.fixture
def capped(monkeypatch: Patch) -> Callable[[datetime], None]:
    """One call in a hundred seconds; the function moves our clock to a moment."""
    monkeypatch.setenv("AIRPAY_IN_CALLS_PER_SECOND", "0.01")
    monkeypatch.setattr(jobs, "wake", lambda *_, **__: None)
    return lambda moment: monkeypatch.setattr(timezone, "now", lambda: moment)


def booked(refunds: Sequence[Refund]) -> set[datetime | None]:
    return {again(refund).ask_at for refund in refunds}


@pytest.mark.promise("I17")
def test_a_bundle_takes_one_slot_for_all(sandbox: Sandbox, capped: Callable[[datetime], None]) -> None:
    first, *others = ready(10)
    before = timezone.now()
    Refund.objects.exclude(pk=first.pk).update(ask_at=before + MINUTE, asks=1)
    take_turns([first])
    Refund.objects.exclude(pk=first.pk).update(ask_at=before, asks=0)
    take_turns([again(refund) for refund in others])
    (slot,) = booked(others)
    assert timedelta(seconds=90) < slot - before <= timedelta(seconds=110), "the next slot, once for nine refunds"
    assert Account.objects.get(slug=ACCOUNTS["airpay"]).next_call_at == slot + 100 * MINUTE / 60
    for n_left in (5, 1, 0):
        capped(slot)
        for refund in others:
            services.take_turn(refund.pk, slot, has_slot=True)
        left = [refund for refund in others if again(refund).status == "approved"]
        assert len(left) == n_left
        (slot,) = booked(left) or {None}
    assert [len(call) for call in calls(sandbox)] == [1, 4, 4, 1]
    assert paid(sandbox) == owed([first, *others])


def test_a_bundles_slot_that_was_missed_is_lost(sandbox: Sandbox, capped: Callable[[datetime], None]) -> None:
    refund, now = ready(1)[0], timezone.now()
    Account.objects.update(next_bundle_at=now - MINUTE, next_call_at=now + MINUTE)
    take_turns([refund])
    assert (calls(sandbox), again(refund).ask_at) == ([], now + MINUTE)
    assert Account.objects.get(slug=ACCOUNTS["airpay"]).next_bundle_at == now + MINUTE


def test_a_bundles_slot_of_a_clock_that_was_set_back_is_forgotten(
    sandbox: Sandbox, capped: Callable[[datetime], None]
) -> None:
    refund = ready(1)[0]
    Account.objects.update(next_bundle_at=timezone.now() + timedelta(days=1))
    take_turns([refund])
    assert len(calls(sandbox)) == 1


def test_no_more_calls_begin_than_the_cap_allows_however_many_workers_gather(
    sandbox: Sandbox, monkeypatch: Patch, trials: Trials
) -> None:
    """Each worker's turn either has a slot of its own or waits for the one that is booked."""
    monkeypatch.setenv("AIRPAY_IN_CALLS_PER_SECOND", "0.01")
    monkeypatch.setattr(jobs, "wake", lambda *_, **__: None)
    refunds, barrier = ready(12), Barrier(4)

    def run(mine: Sequence[Refund]) -> None:
        try:
            barrier.wait(10)
            take_turns(mine)
        finally:
            connection.close()

    threads = [Thread(target=run, args=(refunds[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls(sandbox)) == 1
    trials(12)
