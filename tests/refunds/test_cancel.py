"""Cancelling at the gateway: asked once, tried until there is an answer, and believed only when it is read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from gateways.contract import Outcome, RefundOrder, RefundUpdate
from gateways.errors import NoAnswer
from gateways.payerly import Payerly
from gateways.sandbox import Sandbox
from refunds import services
from refunds.admin.steps import STEPS
from refunds.errors import NotAllowed, WrongMoment
from refunds.models import Attempt, Payment, Refund
from refunds.services.actor import Mouth
from tests.builders import ACCOUNTS, again, alice, approved, bob, make_account, make_payment, person
from tests.refunds.test_record import standing_in, word

pytestmark = pytest.mark.django_db
Answers = Callable[..., list[RefundOrder]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Lets our gateway cancel, and answer in turn as told; gives the orders it was asked with."""
    asked: list[RefundOrder] = []

    def script(*told: Outcome | Exception) -> list[RefundOrder]:
        line = iter(told)

        def cancel(self: Payerly, order: RefundOrder) -> RefundUpdate:
            asked.append(order)
            said = next(line)
            if isinstance(said, Exception):
                raise said
            return word(Refund.objects.get(), said)

        monkeypatch.setattr(Payerly, "can", replace(Payerly.can, cancel=True))
        monkeypatch.setattr(Payerly, "cancel", cancel)
        return asked

    return script


def accepted() -> Refund:
    return standing_in("processing", reference="txn-1")


def steps(refund: Refund) -> list[str]:
    return list(refund.events.values_list("step", flat=True))


def test_a_cancel_that_comes_in_time_withdraws_the_refund_and_frees_the_amount(answers: Answers) -> None:
    asked = answers(Outcome.CANCELLED)
    refund = accepted()
    services.ask_to_cancel(refund.pk, alice(), seen=refund.version)
    assert again(refund).status == "processing", "only the gateway can say that it is cancelled"
    services.settle_refund(refund.pk)
    ended = again(refund)
    assert (ended.status, ended.ask_at) == ("withdrawn", None)
    assert Payment.objects.get().held == 0
    assert [order.reference for order in asked] == ["txn-1"]


def test_a_cancel_that_loses_says_so_and_the_refund_goes_on(answers: Answers) -> None:
    asked = answers(Outcome.PROCESSING)
    refund = accepted()
    services.ask_to_cancel(refund.pk, alice(), seen=refund.version)
    services.settle_refund(refund.pk)
    lost = again(refund)
    assert lost.status == "processing"
    assert "was not cancelled" in refund.events.get(step="cancel lost").text
    assert lost.ask_at is not None
    assert len(asked) == 1


def test_a_cancel_without_an_answer_is_tried_again_and_moves_nothing(answers: Answers) -> None:
    asked = answers(NoAnswer("The line is dead."), NoAnswer("Still."), Outcome.CANCELLED)
    refund = accepted()
    services.ask_to_cancel(refund.pk, alice(), seen=refund.version)
    services.settle_refund(refund.pk)
    assert (again(refund).status, again(refund).needs_attention) == ("processing", "")
    services.settle_refund(refund.pk)
    services.settle_refund(refund.pk)
    assert again(refund).status == "withdrawn"
    outcomes = [one.outcome for one in refund.attempts.filter(kind=Attempt.Kind.CANCEL)]
    assert outcomes == ["no_answer", "no_answer", "answered"]
    assert len(asked) == 3


def test_tries_end_and_the_look_up_goes_on(answers: Answers, monkeypatch: Any) -> None:
    asked = answers(*[NoAnswer("Dead.")] * 9)
    refund = accepted()
    looked: list[str] = []
    monkeypatch.setattr(Payerly, "look_up", lambda self, order: looked.append(order.key) or [])
    services.ask_to_cancel(refund.pk, alice(), seen=refund.version)
    for _ in range(8):
        services.settle_refund(refund.pk)
    assert len(asked) == 5
    assert looked


def test_a_refund_that_was_paid_in_the_meantime_has_succeeded(answers: Answers) -> None:
    answers(Outcome.SUCCEEDED)
    refund = accepted()
    services.ask_to_cancel(refund.pk, alice(), seen=refund.version)
    services.settle_refund(refund.pk)
    assert again(refund).status == "succeeded"
    assert "cancel lost" in steps(refund)


def test_without_our_cancel_a_cancelled_refund_has_failed() -> None:
    refund = accepted()
    services.record_update(refund.pk, word(refund, Outcome.CANCELLED), Mouth.LOOK_UP)
    assert again(refund).status == "failed"


def test_withdraw_reaches_the_gateway_once_it_is_there(answers: Answers) -> None:
    answers(Outcome.CANCELLED)
    refund = accepted()
    services.withdraw_refund(refund.pk, alice(), seen=refund.version)
    assert again(refund).cancel_asked_at
    services.settle_refund(refund.pk)
    assert again(refund).status == "withdrawn"


def test_who_may_cancel(answers: Answers) -> None:
    answers()
    refund = accepted()
    for nobody in (bob(), person("carl", "Auditors"), person("other", "Agents"), person("root", is_superuser=True)):
        with pytest.raises(NotAllowed):
            services.ask_to_cancel(refund.pk, nobody, seen=refund.version)
        assert not STEPS["cancel"].fits(refund, nobody)
    finance = person("fin", "Finance")
    assert STEPS["cancel"].fits(refund, finance)
    assert STEPS["cancel"].fits(refund, alice())
    services.ask_to_cancel(refund.pk, finance, seen=refund.version)


@pytest.mark.parametrize("status", ["sending", "succeeded", "failed"])
def test_what_is_not_waiting_there_cannot_be_cancelled(answers: Answers, status: str) -> None:
    answers()
    refund = standing_in(status, reference="txn-1")
    with pytest.raises(WrongMoment, match="only what Payerly has accepted"):
        services.ask_to_cancel(refund.pk, alice(), seen=refund.version)


def test_it_is_asked_only_once_and_only_where_they_can(answers: Answers) -> None:
    refund = accepted()
    with pytest.raises(WrongMoment, match="Payerly cannot cancel"):
        services.ask_to_cancel(refund.pk, alice(), seen=refund.version)
    answers(Outcome.PROCESSING)
    services.ask_to_cancel(refund.pk, alice(), seen=refund.version)
    with pytest.raises(WrongMoment, match="asked for already"):
        services.ask_to_cancel(refund.pk, alice(), seen=again(refund).version)
    with pytest.raises(WrongMoment, match="changed since"):
        services.ask_to_cancel(refund.pk, alice(), seen=refund.version)


def test_a_worker_lost_in_mid_cancel_leaves_no_open_attempt(answers: Answers) -> None:
    answers(Outcome.CANCELLED)
    refund = accepted()
    services.ask_to_cancel(refund.pk, alice(), seen=refund.version)
    now = again(refund)
    Attempt.objects.create(refund=refund, kind="cancel", fence=now.fence, started_at=now.cancel_asked_at)
    services.settle_refund(refund.pk)
    assert again(refund).status == "withdrawn"
    assert not refund.attempts.filter(outcome="open", kind="cancel").exists()


# --- the whole way, at Paynow: by the button, over its own wire ---


def at_paynow(sandbox: Sandbox, story: str) -> Refund:
    simulator = sandbox.simulators["paynow"]
    reference = simulator.payment_name(1)
    sandbox.payment(reference, 5000, simulator.currency, gateway="paynow")
    sandbox.tell(story, payment=reference)
    payment = make_payment(5000, simulator.currency, reference, account=make_account(ACCOUNTS["paynow"]))
    refund = approved(payment, 1000)
    services.send_refund(refund.pk)
    return again(refund)


def press_cancel(client: Client, refund: Refund) -> Refund:
    client.force_login(alice())
    page = client.get(f"/admin/refunds/refund/{refund.pk}/change/").content.decode()
    assert "Cancel at the gateway" in page
    client.post(f"/admin/refunds/refund/{refund.pk}/step/cancel/", {"seen": refund.version})
    services.settle_refund(refund.pk)
    return again(refund)


@pytest.mark.django_db(transaction=True)
def test_the_button_cancels_at_paynow_while_it_waits(sandbox: Sandbox, client: Client) -> None:
    ended = press_cancel(client, at_paynow(sandbox, "waits"))
    assert ended.status == "withdrawn"
    assert Payment.objects.get().held == 0
    sandbox.settle()
    assert sandbox.ledger() == []


@pytest.mark.django_db(transaction=True)
def test_the_button_comes_too_late_at_paynow_and_says_so(sandbox: Sandbox, client: Client) -> None:
    refund = at_paynow(sandbox, "slow")
    ended = press_cancel(client, refund)
    assert ended.status == "processing"
    page = client.get(f"/admin/refunds/refund/{refund.pk}/change/").content.decode()
    assert "It was not cancelled" in page
    assert "Cancel at the gateway" not in page.split("desk-timeline")[0]


@pytest.mark.django_db(transaction=True)
def test_what_paynow_lets_expire_has_failed_and_says_so(sandbox: Sandbox) -> None:
    refund = at_paynow(sandbox, "expires")
    sandbox.settle()
    services.settle_refund(refund.pk)
    assert again(refund).status == "failed"
    assert "expired at Paynow" in refund.events.last().text
