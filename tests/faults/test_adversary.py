"""What a hostile reader tried: each is a way in which money could have moved twice or been lost from sight."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from gateways.contract import Nudge, Outcome, RefundUpdate
from gateways.errors import NoAnswer
from gateways.money import Money
from gateways.payerly import Payerly
from gateways.sandbox import Sandbox
from refunds import services
from refunds.errors import NotRefundable, WrongMoment
from refunds.models import Account, Attempt, Event, Payment, Refund, Status
from refunds.services.actor import Mouth
from tests.builders import again, alice, approved, ask, bob, make_delivery, make_payment
from tests.refunds.test_record import standing_in, word
from tests.refunds.test_send import long_ago, orders

pytestmark = pytest.mark.django_db(transaction=True)


def shows(monkeypatch: pytest.MonkeyPatch, *updates: RefundUpdate) -> None:
    """From now on a look-up shows exactly this."""
    monkeypatch.setattr(Payerly, "look_up", lambda self, order: list(updates))


BRAKES = {
    "a pause": lambda: Account.objects.update(paused_because="audit"),
    "a dispute": lambda: Payment.objects.update(disputed_at=timezone.now()),
    "an account that is gone": lambda: Account.objects.update(is_active=False),
    "a call for a person": lambda: Refund.objects.update(needs_attention="They say 9.99; we asked 10.00"),
    "too much": lambda: Payment.objects.update(refunded=99_000),
    "an approver who may no longer": lambda: bob().groups.clear(),
}


@pytest.mark.parametrize("brake", BRAKES)
def test_every_brake_stops_a_repeat_too(sandbox: Sandbox, brake: str) -> None:
    refund = approved()
    sandbox.tell("request_lost")
    services.send_refund(refund.pk)
    BRAKES[brake]()
    services.settle_refund(long_ago(refund).pk)
    assert (again(refund).status, len(orders(sandbox))) == ("unknown", 1)


@pytest.mark.parametrize("shown", [Outcome.SUCCEEDED, Outcome.PROCESSING])
def test_a_failure_by_webhook_that_the_look_up_denies_is_held_again(
    sandbox: Sandbox, monkeypatch: Any, shown: Outcome
) -> None:
    refund = standing_in(Status.PROCESSING, reference="txn-1")
    services.record_update(refund.pk, word(refund, Outcome.FAILED), Mouth.WEBHOOK)
    assert again(refund).status == "failed"
    shows(monkeypatch, word(refund, shown))
    services.settle_refund(refund.pk)
    assert (again(refund).status, Payment.objects.get().held) == ("unknown", 1000)
    assert again(refund).needs_attention


def test_nothing_of_a_payment_is_sent_while_an_end_is_not_looked_up(sandbox: Sandbox) -> None:
    first = standing_in(Status.PROCESSING, reference="txn-1")
    second = approved(first.payment, 4000)
    services.record_update(first.pk, word(first, Outcome.FAILED), Mouth.WEBHOOK)
    services.send_refund(second.pk)
    assert (again(second).status, orders(sandbox)) == ("approved", [])


def test_what_waited_for_an_end_goes_out_once_that_is_looked_up(sandbox: Sandbox, monkeypatch: Any) -> None:
    first = standing_in(Status.PROCESSING, reference="txn-1")
    second = approved(first.payment, 4000)
    services.record_update(first.pk, word(first, Outcome.SUCCEEDED), Mouth.WEBHOOK)
    services.send_refund(second.pk)
    assert again(second).ask_at > timezone.now()
    shows(monkeypatch, word(first, Outcome.SUCCEEDED))
    services.settle_refund(first.pk)
    assert again(first).to_confirm == ""
    assert again(second).ask_at <= timezone.now()


def test_a_look_up_that_began_before_a_webhook_does_not_judge_it(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = standing_in(Status.FAILED, reference="txn-1")
    services.check_refund(refund.pk, alice())

    def slow(self: Payerly, order: Any) -> list[RefundUpdate]:
        answer = [word(refund, Outcome.FAILED)]
        services.record_update(refund.pk, word(refund, Outcome.SUCCEEDED), Mouth.WEBHOOK)  # meanwhile
        return answer

    monkeypatch.setattr(Payerly, "look_up", slow)
    services.settle_refund(refund.pk)
    assert again(refund).to_confirm == "succeeded"
    assert again(refund).ask_at is not None


def test_a_contradiction_that_lags_is_asked_again_and_calls_a_person(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = standing_in(Status.FAILED, reference="txn-1")
    services.record_update(refund.pk, word(refund, Outcome.SUCCEEDED), Mouth.WEBHOOK)
    shows(monkeypatch, word(refund, Outcome.FAILED))
    services.settle_refund(refund.pk)
    assert (bool(again(refund).needs_attention), again(refund).ask_at is not None) == (True, True)
    shows(monkeypatch, word(refund, Outcome.SUCCEEDED))
    services.settle_refund(refund.pk)
    assert again(refund).status == "unknown"


def test_a_contradiction_that_stays_ends_the_asking(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = standing_in(Status.FAILED, reference="txn-1")
    services.record_update(refund.pk, word(refund, Outcome.SUCCEEDED), Mouth.WEBHOOK)
    shows(monkeypatch, word(refund, Outcome.FAILED))
    for _ in range(8):
        services.settle_refund(refund.pk)
    refund = again(refund)
    assert (refund.status, refund.to_confirm, refund.ask_at) == ("failed", "", None)
    assert refund.needs_attention


def test_what_they_showed_once_is_not_repeated_after_an_empty_list(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = approved()
    sandbox.tell("request_lost")
    services.send_refund(refund.pk)
    services.record_update(refund.pk, word(refund, Outcome.UNCLEAR, reference=""), Mouth.LOOK_UP)
    Refund.objects.update(needs_attention="")
    shows(monkeypatch)
    services.settle_refund(long_ago(refund).pk)
    assert len(orders(sandbox)) == 1


def test_send_now_does_not_wipe_what_blocks_sending(sandbox: Sandbox) -> None:
    refund = approved()
    services.record_update(refund.pk, word(refund, Outcome.SUCCEEDED, amount=Money(999, "EUR")), Mouth.WEBHOOK)
    refund = again(refund)
    assert refund.may_not_be_sent
    with pytest.raises(NotRefundable):
        services.send_now(refund.pk, bob(), seen=refund.version)
    services.send_refund(refund.pk)
    assert orders(sandbox) == []
    assert again(refund).needs_attention


def test_checking_with_the_gateway_never_sends_what_is_only_approved(sandbox: Sandbox) -> None:
    refund = approved()
    Refund.objects.filter(pk=refund.pk).update(sent_at=timezone.now())  # an order of it never left the house
    with pytest.raises(WrongMoment):
        services.check_refund(refund.pk, alice())


def test_a_wrong_word_about_a_request_leaves_no_job_that_runs_for_ever(sandbox: Sandbox) -> None:
    refund = ask()
    services.record_update(refund.pk, word(refund, Outcome.SUCCEEDED, amount=Money(999, "EUR")), Mouth.WEBHOOK)
    assert again(refund).ask_at is None


@pytest.mark.parametrize("said", [{}, {"amount": Money(999, "EUR")}])
def test_a_word_between_the_claim_and_the_order_stops_the_order(
    sandbox: Sandbox, monkeypatch: Any, said: dict[str, Any]
) -> None:
    refund = approved()

    def meanwhile(self: Payerly, order: Any) -> dict[str, object]:
        services.record_update(refund.pk, word(refund, Outcome.SUCCEEDED, **said), Mouth.WEBHOOK)
        return {}

    monkeypatch.setattr(Payerly, "before", meanwhile)
    services.send_refund(refund.pk)
    assert orders(sandbox) == []
    assert (again(refund).may_not_be_sent, bool(again(refund).needs_attention)) == (True, True)
    services.settle_refund(long_ago(refund).pk)
    assert again(refund).status == "approved"


def test_an_odd_row_in_their_list_does_not_stop_ours(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = standing_in(Status.PROCESSING, reference="txn-1")
    nothing = {"key": "portal", "payment_reference": "pay-1"}
    odd = [
        RefundUpdate(Outcome.SUCCEEDED, reference="txn-9", amount=Money(0, "EUR"), **nothing),
        RefundUpdate(Outcome.SUCCEEDED, reference="txn-8", amount=Money(10**19, "EUR"), **nothing),
        RefundUpdate(Outcome.SUCCEEDED, reference="", amount=None, **nothing),
    ]
    shows(monkeypatch, word(refund, Outcome.SUCCEEDED), *odd)
    services.settle_refund(refund.pk)
    assert again(refund).status == "succeeded"
    assert Refund.objects.count() == 1


def test_trouble_of_our_own_calls_a_person_instead_of_looping_in_silence(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = approved()
    services.send_refund(refund.pk)

    def broken(self: Payerly, order: Any) -> list[RefundUpdate]:
        raise ZeroDivisionError

    monkeypatch.setattr(Payerly, "look_up", broken)
    for _ in range(8):
        with pytest.raises(ZeroDivisionError):
            services.take_turn(refund.pk, again(refund).ask_at)
    assert (again(refund).asks >= 5, bool(again(refund).needs_attention)) == (True, True)


def test_a_secret_that_no_header_can_carry_sends_nothing(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = approved()
    monkeypatch.setenv("PAYERLY_EU_TOKEN", "tok…en-for-tests-0123456789")
    services.send_refund(refund.pk)
    assert (again(refund).status, orders(sandbox)) == ("approved", [])


def test_an_attempt_left_open_does_not_block_a_repeat(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = approved()

    def power_cut(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(Payerly, "refund", power_cut)
        with pytest.raises(KeyboardInterrupt):
            services.send_refund(refund.pk)
    for _ in range(3):
        services.settle_refund(long_ago(refund).pk)
    assert not Attempt.objects.filter(outcome="open").exists()
    assert len(orders(sandbox)) == 1


def test_a_body_that_differs_is_said_once(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = approved()
    sandbox.tell("request_lost")
    services.send_refund(refund.pk)
    monkeypatch.setattr(Payerly, "body", lambda self, order: b'{"another":"format"}')
    n_lines = Event.objects.count()
    for _ in range(10):
        services.settle_refund(long_ago(refund).pk)
    assert Event.objects.count() - n_lines <= 3


def test_a_delivery_during_a_look_up_of_its_payment_is_not_forgotten(sandbox: Sandbox, monkeypatch: Any) -> None:
    payment = make_payment()
    stranger = RefundUpdate(Outcome.SUCCEEDED, key="portal", payment_reference="pay-1", reference="txn-9")

    def deliver() -> None:
        services.hear_webhook(make_delivery(payment.account), stranger)

    def slow(self: Payerly, order: Any) -> list[RefundUpdate]:
        deliver()
        return []

    deliver()
    monkeypatch.setattr(Payerly, "look_up", slow)
    services.take_payment_turn(payment.pk, Payment.objects.get().ask_at)
    assert Payment.objects.get().ask_at is not None


def test_words_that_a_database_cannot_keep_are_refused_with_a_sentence() -> None:
    from refunds.errors import BadInput

    refund = ask()
    for text in ("no\0thing", "x" * 2001):
        with pytest.raises(BadInput):
            services.reject_refund(refund.pk, bob(), text, seen=refund.version)


def test_a_knock_about_a_success_outlives_a_look_up_that_fails(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = standing_in(Status.SUCCEEDED, reference="txn-1")
    Refund.objects.update(ask_at=timezone.now())  # a knock has booked it

    def away(self: Payerly, order: Any) -> list[RefundUpdate]:
        raise NoAnswer("They are away.")

    monkeypatch.setattr(Payerly, "look_up", away)
    services.settle_refund(refund.pk)
    assert again(refund).ask_at is not None
    shows(monkeypatch, word(refund, Outcome.FAILED))
    services.settle_refund(refund.pk)
    assert again(refund).status == "reversed"


def test_a_knock_about_a_success_outlives_a_look_up_that_began_before_it(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = standing_in(Status.SUCCEEDED, reference="txn-1")
    Refund.objects.update(ask_at=timezone.now() + timedelta(hours=1))  # the ticket of the turn that looks it up

    def slow(self: Payerly, order: Any) -> list[RefundUpdate]:
        answer = [word(refund, Outcome.SUCCEEDED)]
        services.hear_knock(make_delivery(refund.account), Nudge(refund.payment.reference))  # meanwhile
        return answer

    monkeypatch.setattr(Payerly, "look_up", slow)
    services.settle_refund(refund.pk)
    assert again(refund).ask_at is not None
    shows(monkeypatch, word(refund, Outcome.FAILED))
    services.settle_refund(refund.pk)
    assert again(refund).status == "reversed"
