"""How often a gateway is asked: the cap on calls per second, and pauses after look-ups that fail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from gateways.errors import Misconfigured, NoAnswer
from gateways.payerly import Payerly
from gateways.sandbox import Sandbox
from refunds import accounts, jobs, services
from refunds.models import Account, Payment, Refund
from refunds.services.pace import take_slot
from tests.builders import again, approved, make_account, make_payment

pytestmark = pytest.mark.django_db(transaction=True)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
Booked = list[tuple[int, datetime, bool]]


@pytest.fixture(autouse=True)
def booked(monkeypatch: pytest.MonkeyPatch) -> Booked:
    """The jobs that were put in line: which row, for when, and whether for a slot of its own."""
    found: Booked = []

    def wake(pk: int, at: datetime, *, at_once: bool = False, has_slot: bool = False) -> None:
        found.append((pk, at, has_slot))

    monkeypatch.setattr(jobs, "wake", wake)
    monkeypatch.setattr(jobs, "wake_payment", wake)
    return found


@pytest.fixture
def slow(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """One call in a hundred seconds."""
    monkeypatch.setenv("PAYERLY_EU_CALLS_PER_SECOND", "0.01")
    return sandbox


def take_turn(refund: Refund, *, has_slot: bool = False) -> Refund:
    services.take_turn(refund.pk, again(refund).ask_at, has_slot=has_slot)
    return again(refund)


@pytest.mark.promise("I17")
def test_no_two_workers_get_the_same_slot(trials: Callable[[int], None]) -> None:
    pk, n_workers, n_each = make_account().pk, 4, 15
    barrier, slots = Barrier(n_workers), []

    def run() -> None:
        try:
            barrier.wait(10)
            slots.extend([take_slot(pk, MINUTE) for _ in range(n_each)])
        finally:
            connection.close()

    threads = [Thread(target=run) for _ in range(n_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    slots.sort()
    assert len(slots) == n_workers * n_each
    assert all(later - earlier >= MINUTE for earlier, later in pairwise(slots))
    trials(len(slots))


def test_a_turn_whose_slot_is_far_comes_back_for_it(slow: Sandbox, booked: Booked) -> None:
    first, second = approved(), approved(make_payment(reference="pay-2"))
    assert take_turn(first).status == "processing"
    booked.clear()
    second = take_turn(second)
    assert second.status == "approved"
    assert timedelta() < second.ask_at - timezone.now() <= 100 * SECOND
    assert booked == [(second.pk, second.ask_at, True)]
    taken = Account.objects.get().next_call_at
    Refund.objects.filter(pk=second.pk).update(ask_at=timezone.now())
    assert take_turn(second, has_slot=True).status == "processing"
    assert Account.objects.get().next_call_at == taken, "it had its slot"


def test_a_slot_that_was_missed_is_lost(slow: Sandbox) -> None:
    first, second = approved(), approved(make_payment(reference="pay-2"))
    take_turn(first)
    Refund.objects.filter(pk=second.pk).update(ask_at=timezone.now() - MINUTE)
    second = take_turn(second, has_slot=True)
    assert (second.status, second.ask_at > timezone.now()) == ("approved", True)


def test_what_cannot_be_sent_takes_no_slot(slow: Sandbox) -> None:
    refund = approved()
    Account.objects.update(paused_because="audit")
    assert take_turn(refund).status == "approved"
    assert Account.objects.get().next_call_at is None


def test_look_ups_of_payments_take_slots_too(slow: Sandbox, booked: Booked) -> None:
    payment, due = make_payment(), timezone.now()
    Account.objects.update(next_call_at=due + MINUTE)
    Payment.objects.update(ask_at=due)
    services.take_payment_turn(payment.pk, due)
    assert Payment.objects.get().ask_at == due + MINUTE
    assert booked == [(payment.pk, due + MINUTE, True)]
    assert slow.requests() == []


def test_without_a_cap_nothing_is_written(sandbox: Sandbox) -> None:
    assert take_turn(approved()).status == "processing"
    assert Account.objects.get().next_call_at is None


@pytest.mark.parametrize("text", ["0", "0.0", "-1", "1e3", "1,5", "fast", "1000", "٣", "0.0001"])
def test_a_cap_is_a_plain_number(text: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYERLY_EU_CALLS_PER_SECOND", text)
    with pytest.raises(Misconfigured, match="CALLS_PER_SECOND"):
        accounts.connect(make_account())


# --- look-ups that fail ---


@pytest.fixture
def asked_to_wait(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Callable[[timedelta], None]:
    """From now on look-ups are answered with: come back later."""
    settings.POLL_PACE = 1.0

    def start(retry_after: timedelta) -> None:
        def busy(self: Payerly, order: Any) -> Any:
            raise NoAnswer("They are busy.", retry_after)

        monkeypatch.setattr(Payerly, "look_up", busy)

    return start


@pytest.mark.promise("I17")
@pytest.mark.parametrize("n_minutes", [0, 15])
def test_a_look_up_waits_as_long_as_they_ask(n_minutes: int, asked_to_wait: Callable[[timedelta], None]) -> None:
    refund = approved()
    services.send_refund(refund.pk)
    asked_to_wait(n_minutes * MINUTE)
    services.settle_refund(refund.pk)
    wait = again(refund).ask_at - timezone.now()
    assert (wait > 14 * MINUTE) is (n_minutes == 15)
    assert again(refund).status == "processing"


@pytest.mark.promise("I17")
@pytest.mark.parametrize(("n_minutes", "least", "most"), [(0, 8, 11), (15, 14, 15)])
def test_a_payment_is_not_asked_about_again_and_again(
    n_minutes: int, least: int, most: int, asked_to_wait: Callable[[timedelta], None]
) -> None:
    payment, due = make_payment(), timezone.now()
    Payment.objects.update(ask_at=due)
    asked_to_wait(n_minutes * MINUTE)
    services.take_payment_turn(payment.pk, due)
    wait = Payment.objects.get().ask_at - due
    assert least * MINUTE < wait < most * MINUTE + 30 * SECOND


def test_a_knock_meanwhile_is_not_put_off(asked_to_wait: Callable[[timedelta], None], monkeypatch: Any) -> None:
    payment, due, soon = make_payment(), timezone.now(), timezone.now() + MINUTE
    Payment.objects.update(ask_at=due)

    def busy(self: Payerly, order: Any) -> Any:
        Payment.objects.update(ask_at=soon)
        raise NoAnswer("They are busy.")

    monkeypatch.setattr(Payerly, "look_up", busy)
    services.take_payment_turn(payment.pk, due)
    assert Payment.objects.get().ask_at == soon


def test_the_sweep_has_a_payment_asked_about_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    woken = []
    monkeypatch.setattr(jobs, "wake_payment", lambda pk, at, at_once=False, has_slot=False: woken.append(at_once))
    make_account(webhook_key="pinned already")
    make_payment(ask_at=timezone.now())
    services.sweep()
    assert woken == [True]


@pytest.mark.promise("I54")
@pytest.mark.django_db
def test_a_slot_of_a_clock_that_was_set_back_is_forgotten() -> None:
    account = make_account()
    Account.objects.update(next_call_at=timezone.now() + timedelta(days=1))
    assert take_slot(account.pk, timedelta(seconds=1)) <= timezone.now()
