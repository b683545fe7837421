"""Words about another refund, words at a bad moment, and doors for one person alone: none is believed.

Found by attack. The connectors are real, but what they are told is scripted, where the sandbox could not tell it so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from gateways.contract import Gateway, Nudge, Outcome, RefundOrder, RefundUpdate
from gateways.errors import NoAnswer, NotSent
from gateways.money import Money
from gateways.registry import gateway_class
from gateways.sandbox import Sandbox
from refunds import services
from refunds.errors import BadInput, SamePerson, WrongMoment
from refunds.models import Account, Attempt, Payment, Refund, UnmatchedRefund
from refunds.services.actor import Mouth
from tests.builders import ACCOUNTS, again, alice, approved, bob, dora, erik, make_account, make_delivery, make_payment
from tests.refunds.test_send import long_ago

pytestmark = pytest.mark.django_db(transaction=True)
LOST, NOT_LEFT = NoAnswer("The answer was lost."), NotSent("Nobody was there.")


class Script:
    """What one gateway shows, and how it answers the next orders; the last answer repeats."""

    def __init__(self, name: str, sandbox: Sandbox, patch: pytest.MonkeyPatch) -> None:
        simulator = sandbox.simulators[name]
        account = make_account(ACCOUNTS[name])
        self.payment = make_payment(5000, simulator.currency, simulator.payment_name(1), account=account)
        self.shown: list[RefundUpdate] = []
        self.answers: list[Any] = [LOST]
        self.n_orders = 0
        self.kind: type[Gateway] = gateway_class(name)
        self.patch = patch
        patch.setattr(self.kind, "look_up", lambda connector, order: list(self.shown))
        patch.setattr(self.kind, "refund", lambda connector, order: self.answer(order))

    def answer(self, order: RefundOrder) -> RefundUpdate:
        self.n_orders += 1
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(said, Exception):
            raise said
        return said

    def says(self, outcome: Outcome, reference: str, minor: int = 1000, **words: Any) -> RefundUpdate:
        amount = Money(minor, self.payment.currency)
        return RefundUpdate(
            outcome, reference, payment_reference=self.payment.reference, amount=amount, code=str(outcome), **words
        )

    def sent(self, minor: int = 1000) -> Refund:
        refund = approved(self.payment, minor)
        services.send_refund(refund.pk)
        return again(refund)

    def retried(self, refund: Refund) -> Refund:
        refund = again(refund)
        second = services.retry_refund(refund.pk, alice(), seen=refund.version)
        second = services.approve_refund(second.pk, bob(), seen=second.version)
        services.send_refund(second.pk)
        return again(second)


@pytest.fixture
def script(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Script]:
    return lambda name: Script(name, sandbox, monkeypatch)


def settled(refund: Refund) -> Refund:
    services.settle_refund(refund.pk)
    return again(refund)


def declared(refund: Refund, outcome: str) -> Refund:
    services.propose_outcome(refund.pk, dora(), outcome, "Looked.", seen=again(refund).version, ticket="T-1")
    services.confirm_outcome(refund.pk, erik(), seen=again(refund).version)
    return again(refund)


# --- whose refund is it? ---


def test_a_portal_refund_between_two_tries_is_not_ours(script: Any) -> None:
    pay3 = script("pay3")
    pay3.answers = [NOT_LEFT, LOST]
    refund = pay3.sent()
    assert refund.status == "approved"
    pay3.shown.append(pay3.says(Outcome.SUCCEEDED, "portal"))
    services.send_refund(refund.pk)
    assert settled(refund).status == "unknown"


def test_what_never_left_takes_nothing_for_its_own(script: Any) -> None:
    pay3 = script("pay3")
    pay3.answers = [NOT_LEFT]
    refund = pay3.sent()
    services.withdraw_refund(refund.pk, alice(), seen=refund.version)
    pay3.shown.append(pay3.says(Outcome.SUCCEEDED, "portal"))
    services.check_refund(refund.pk, alice())
    assert settled(settled(refund)).status == "withdrawn"


def test_a_refused_refund_does_not_become_a_later_one_of_the_portal(script: Any) -> None:
    pay3 = script("pay3")
    pay3.answers = [RefundUpdate(Outcome.FAILED, code="9006")]
    refund = long_ago(settled(pay3.sent()))
    assert (refund.status, refund.to_confirm) == ("failed", "")
    pay3.shown.append(pay3.says(Outcome.SUCCEEDED, "portal"))
    services.check_refund(refund.pk, alice())
    assert settled(refund).status == "failed"


def test_a_guessed_failure_frees_nothing_while_our_order_may_still_arrive(script: Any) -> None:
    pay3 = script("pay3")
    refund = pay3.sent()
    pay3.shown.append(pay3.says(Outcome.FAILED, "portal"))
    assert settled(refund).status == "unknown"
    assert Payment.objects.get().held == 1000


def test_what_was_listed_before_us_is_neither_suggested_nor_matched_nor_named(script: Any) -> None:
    pay3 = script("pay3")
    pay3.shown.append(pay3.says(Outcome.SUCCEEDED, "older"))
    refund = settled(pay3.sent())
    row = UnmatchedRefund.objects.get()
    assert services.suggestions(row) == []
    with pytest.raises(BadInput, match="before we asked"):
        services.match_unmatched(row.pk, refund.pk, dora(), seen=refund.version)
    with pytest.raises(BadInput, match="before we asked"):
        services.name_reference(refund.pk, dora(), "older", seen=refund.version)


@pytest.mark.parametrize("outcome", ["failed", "succeeded"])
def test_a_declared_refund_is_not_taken_in_a_second_time(script: Any, outcome: str) -> None:
    pay3 = script("pay3")
    refund = declared(long_ago(pay3.sent()), outcome)
    pay3.shown.append(pay3.says(Outcome.SUCCEEDED, "late"))
    services.look_up_payment(pay3.payment.pk)
    assert Refund.objects.count() == 1
    assert UnmatchedRefund.objects.get().reference == "late"
    assert Payment.objects.get().refunded == (refund.amount if outcome == "succeeded" else 0)


def test_a_refusal_that_was_carried_out_all_the_same_is_found(script: Any) -> None:
    pay3 = script("pay3")
    pay3.answers = [RefundUpdate(Outcome.FAILED, code="9006")]
    refund = pay3.sent()
    pay3.shown.append(pay3.says(Outcome.PROCESSING, "ours-after-all"))
    services.look_up_payment(pay3.payment.pk)
    ended = settled(refund)
    assert (Refund.objects.count(), bool(ended.needs_attention)) == (1, True)


# --- one person alone ---


def test_one_person_cannot_end_a_refund_by_typing_a_reference(script: Any) -> None:
    paynow = script("paynow")
    refund = paynow.sent()
    with pytest.raises(WrongMoment, match="does not show enough"):
        services.name_reference(refund.pk, dora(), "R3FU-ND1-FAI-LED", seen=refund.version)
    airpay = script("airpay")
    own = airpay.sent()
    alice().groups.set(dora().groups.all())
    with pytest.raises(SamePerson):
        services.name_reference(own.pk, type(alice()).objects.get(username="alice"), "1234", seen=own.version)


def test_a_declared_failure_is_looked_up_before_the_next_try_may_go(script: Any) -> None:
    payerly = script("payerly")
    refund = declared(long_ago(payerly.sent()), "failed")
    assert refund.to_confirm == "failed"
    retry = payerly.retried(refund)
    assert retry.status == "approved", "the look-up comes first"
    payerly.shown.append(payerly.says(Outcome.PROCESSING, "txn-1", key=str(refund.key)))
    assert settled(refund).status == "unknown"
    services.send_refund(retry.pk)
    assert again(retry).status == "approved"
    assert payerly.n_orders == 1


def test_a_declared_failure_that_they_do_not_know_is_confirmed(script: Any) -> None:
    payerly = script("payerly")
    refund = settled(declared(long_ago(payerly.sent()), "failed"))
    assert (refund.status, refund.to_confirm, refund.needs_attention) == ("failed", "", "")


# --- a bad moment ---


def test_a_failed_refund_that_turns_paid_beside_its_retry_alarms_both(script: Any) -> None:
    airpay = script("airpay")
    airpay.answers = [airpay.says(Outcome.PROCESSING, "101"), airpay.says(Outcome.PROCESSING, "102")]
    first = airpay.sent()
    airpay.shown = [airpay.says(Outcome.FAILED, "101")]
    first = settled(first)
    second = airpay.retried(first)
    assert (again(first).status, second.status) == ("failed", "processing")
    airpay.shown = [airpay.says(Outcome.SUCCEEDED, "101")]
    services.check_refund(first.pk, alice())
    assert settled(first).needs_attention
    assert str(first) in again(second).needs_attention


def test_a_stale_look_up_does_not_undo_a_success(script: Any) -> None:
    pay3 = script("pay3")
    pay3.answers = [pay3.says(Outcome.PROCESSING, "A")]
    refund = pay3.sent()
    looks = iter([Outcome.FAILED, Outcome.SUCCEEDED])

    def look(connector: Gateway, order: RefundOrder) -> list[RefundUpdate]:
        outcome = next(looks)
        if outcome is Outcome.FAILED:
            services.settle_refund(refund.pk)  # begun later, back first
        return [pay3.says(outcome, "A")]

    pay3.patch.setattr(pay3.kind, "look_up", look)
    assert settled(refund).status == "succeeded"


def test_no_order_leaves_after_the_end_of_its_key(script: Any) -> None:
    paynow = script("paynow")
    refund = paynow.sent()
    begun = timezone.now() - timedelta(hours=20) + timedelta(seconds=30)
    Attempt.objects.update(started_at=begun)
    latest = []
    paynow.patch.setattr(
        paynow.kind, "refund", lambda connector, order: latest.append(connector.http.not_after) or paynow.answer(order)
    )
    services.settle_refund(refund.pk)
    assert latest == [begun + timedelta(hours=20)]


def test_an_absence_seen_too_early_lets_nothing_go_again(script: Any) -> None:
    payerly = script("payerly")
    refund = payerly.sent()
    Attempt.objects.update(finished_at=timezone.now() - timedelta(seconds=1.8))
    payerly.patch.setattr(payerly.kind, "look_up", lambda connector, order: time.sleep(0.4) or [])
    services.settle_refund(refund.pk)  # asked 0.2 s before the quiet window ended, answered after it
    assert payerly.n_orders == 1
    services.settle_refund(refund.pk)
    assert payerly.n_orders == 2


def test_a_refusal_with_a_reference_keeps_the_reference(script: Any) -> None:
    paynow = script("paynow")
    paynow.answers = [LOST, RefundUpdate(Outcome.FAILED, "ABCD-123-456-789", code="FAILED")]
    refund = settled(paynow.sent())
    assert (refund.status, refund.reference) == ("unknown", "ABCD-123-456-789")


def test_a_clock_that_is_years_ahead_does_not_deafen_us(script: Any) -> None:
    payerly = script("payerly")
    ahead = timezone.now() + timedelta(days=9999)
    payerly.answers = [payerly.says(Outcome.PROCESSING, "t", occurred_at=ahead)]
    refund = payerly.sent()
    later = timezone.now() + timedelta(minutes=1)
    services.record_update(refund.pk, payerly.says(Outcome.SUCCEEDED, "t", occurred_at=later), Mouth.LOOK_UP)
    assert again(refund).status == "succeeded"


def test_an_adopted_refund_on_its_way_takes_the_only_slot(script: Any) -> None:
    pay3 = script("pay3")
    pay3.shown.append(pay3.says(Outcome.PROCESSING, "portal"))
    services.look_up_payment(pay3.payment.pk)
    assert Refund.objects.get().source == "gateway"
    assert pay3.sent().status == "approved"
    assert pay3.n_orders == 0


def test_amounts_beyond_all_bounds_are_left_unmatched(script: Any) -> None:
    payerly = script("payerly")
    payerly.shown = [payerly.says(Outcome.SUCCEEDED, f"t{n}", 10**18, key=f"portal-{n}") for n in range(12)]
    services.look_up_payment(payerly.payment.pk)
    assert Refund.objects.count() == 9
    assert UnmatchedRefund.objects.count() == 3


# --- knocks and silence ---


def test_knocks_do_not_send_an_order_again_and_again(script: Any) -> None:
    paynow = script("paynow")
    refund = paynow.sent()
    for _ in range(10):
        services.hear_knock(make_delivery(paynow.payment.account), Nudge(payment_reference=paynow.payment.reference))
        now = again(refund)
        if now.ask_at <= timezone.now():
            services.take_turn(refund.pk, now.ask_at)
    assert paynow.n_orders == 1


def test_knocks_about_a_payment_are_bounded(script: Any) -> None:
    pay3 = script("pay3")
    for _ in range(5):
        services.hear_knock(make_delivery(pay3.payment.account), Nudge(payment_reference=pay3.payment.reference))
    assert Payment.objects.get().ask_at > timezone.now()


def test_an_account_that_can_no_longer_be_asked_calls_a_person(script: Any) -> None:
    payerly = script("payerly")
    payerly.answers = [payerly.says(Outcome.PROCESSING, "t")]
    refund = payerly.sent()
    payerly.patch.delenv("PAYERLY_EU_TOKEN")
    for _ in range(5):
        services.settle_refund(refund.pk)
    assert "TOKEN" in again(refund).needs_attention
    assert Account.objects.count() == 1
