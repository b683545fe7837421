"""The one ear: what each word does to a refund in each status, by each mouth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from gateways.contract import Outcome, RefundUpdate
from gateways.money import Money
from refunds import services
from refunds.models import Attempt, Event, Payment, Refund, Status
from refunds.services.actor import WORKER, Mouth
from refunds.services.confirm import confirm
from refunds.services.steps import locked, take_step
from tests.builders import again, approved, ask

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
THE_WAY_THERE = {
    Status.SENDING: [Refund.claim],
    Status.UNKNOWN: [Refund.claim, Refund.doubt],
    Status.PROCESSING: [Refund.claim, Refund.accept],
    Status.SUCCEEDED: [Refund.claim, Refund.succeed],
    Status.FAILED: [Refund.claim, Refund.fail],
    Status.WITHDRAWN: [Refund.claim, Refund.accept, Refund.cancel],
    Status.REVERSED: [Refund.claim, Refund.succeed, Refund.reverse],
}


@transaction.atomic
def standing_in(status: Status, payment: Payment | None = None, **fields: Any) -> Refund:
    """A refund that has come this far, with one send on record."""
    refund = locked(approved(payment).pk)
    for move in THE_WAY_THERE[status]:
        take_step(
            refund,
            "test",
            WORKER,
            move=getattr(refund, move.__name__),
            lease_until=timezone.now() + timedelta(minutes=5),
            sent_at=timezone.now(),
            fence=1,
            ask_at=None,
        )
    Refund.objects.filter(pk=refund.pk).update(**fields)
    return again(refund)


def word(refund: Refund, outcome: Outcome, **fields: Any) -> RefundUpdate:
    """Their word, with an echo that is right."""
    echo = {
        "key": str(refund.key),
        "payment_reference": refund.payment.reference,
        "amount": refund.money,
        "reference": "txn-1",
        "code": outcome.upper(),
    }
    return RefundUpdate(outcome, **{**echo, **fields})


def hear(refund: Refund, outcome: Outcome, mouth: Mouth, **fields: Any) -> Refund:
    services.record_update(refund.pk, word(refund, outcome, **fields), mouth)
    return again(refund)


S = Status
BY_LOOK_UP = {
    (S.SENDING, Outcome.PROCESSING): S.PROCESSING,
    (S.SENDING, Outcome.SUCCEEDED): S.SUCCEEDED,
    (S.SENDING, Outcome.FAILED): S.FAILED,
    (S.SENDING, Outcome.CANCELLED): S.FAILED,
    (S.SENDING, Outcome.UNCLEAR): S.PROCESSING,
    (S.UNKNOWN, Outcome.PROCESSING): S.PROCESSING,
    (S.UNKNOWN, Outcome.SUCCEEDED): S.SUCCEEDED,
    (S.UNKNOWN, Outcome.FAILED): S.FAILED,
    (S.UNKNOWN, Outcome.CANCELLED): S.FAILED,
    (S.UNKNOWN, Outcome.UNCLEAR): S.PROCESSING,
    (S.PROCESSING, Outcome.PROCESSING): S.PROCESSING,
    (S.PROCESSING, Outcome.SUCCEEDED): S.SUCCEEDED,
    (S.PROCESSING, Outcome.FAILED): S.FAILED,
    (S.PROCESSING, Outcome.CANCELLED): S.FAILED,
    (S.PROCESSING, Outcome.UNCLEAR): S.PROCESSING,
    (S.SUCCEEDED, Outcome.PROCESSING): S.SUCCEEDED,
    (S.SUCCEEDED, Outcome.SUCCEEDED): S.SUCCEEDED,
    (S.SUCCEEDED, Outcome.FAILED): S.REVERSED,
    (S.SUCCEEDED, Outcome.CANCELLED): S.REVERSED,
    (S.SUCCEEDED, Outcome.UNCLEAR): S.SUCCEEDED,
    **{
        (over, outcome): S.UNKNOWN if outcome is Outcome.SUCCEEDED else over
        for over in (S.FAILED, S.WITHDRAWN, S.REVERSED)
        for outcome in Outcome
    },
}
FINAL = (S.SUCCEEDED, S.FAILED, S.WITHDRAWN, S.REVERSED)


@pytest.mark.promise("I20")
@pytest.mark.parametrize(("now", "outcome"), BY_LOOK_UP, ids=str)
def test_a_look_up_moves_a_refund_by_the_table(now: Status, outcome: Outcome) -> None:
    assert hear(standing_in(now), outcome, Mouth.LOOK_UP).status == BY_LOOK_UP[now, outcome]


@pytest.mark.promise("I20", "I34")
@pytest.mark.parametrize(("now", "outcome"), BY_LOOK_UP, ids=str)
def test_a_webhook_never_moves_a_refund_out_of_its_end(now: Status, outcome: Outcome) -> None:
    refund = hear(standing_in(now), outcome, Mouth.WEBHOOK)
    assert refund.status == (now if now in FINAL else BY_LOOK_UP[now, outcome])
    contradicted = now in FINAL and BY_LOOK_UP[now, outcome] != now
    assert (refund.ask_at is not None and refund.to_confirm == outcome) or not contradicted


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("mouth", list(Mouth))
def test_a_word_about_a_refund_that_was_never_sent_blocks_it(outcome: Outcome, mouth: Mouth) -> None:
    refund = hear(approved(), outcome, mouth)
    assert (refund.status, refund.may_not_be_sent) == ("approved", True)
    services.send_refund(refund.pk)
    assert (again(refund).status, Attempt.objects.count()) == ("approved", 0)


@pytest.mark.promise("I5", "I38")
@pytest.mark.parametrize(
    "echo",
    [
        {"key": "00000000-0000-4000-8000-000000000000"},
        {"payment_reference": "pay-2"},
        {"amount": Money(1001, "EUR")},
        {"amount": Money(1000, "USD")},
    ],
    ids=lambda echo: next(iter(echo)),
)
@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED])
def test_an_echo_that_is_not_ours_moves_nothing_and_calls_a_person(echo: dict[str, Any], outcome: Outcome) -> None:
    refund = hear(standing_in(S.PROCESSING), outcome, Mouth.LOOK_UP, **echo)
    assert refund.status == "processing"
    assert refund.needs_attention
    assert Payment.objects.get().held == 1000


def test_a_wrong_echo_in_the_answer_ends_in_unknown_not_in_sending_for_ever() -> None:
    refund = hear(standing_in(S.SENDING), Outcome.SUCCEEDED, Mouth.ANSWER, amount=Money(999, "EUR"))
    assert (refund.status, refund.ask_at is not None) == ("unknown", True)


@pytest.mark.parametrize("mouth", list(Mouth))
def test_hearing_the_same_again_writes_nothing(mouth: Mouth) -> None:
    refund = hear(standing_in(S.PROCESSING), Outcome.SUCCEEDED, mouth, occurred_at=NOON)
    n_lines = Event.objects.count()
    for again_by in Mouth:
        hear(refund, Outcome.SUCCEEDED, again_by, occurred_at=NOON)
    assert Event.objects.count() == n_lines


def test_an_older_word_is_only_evidence() -> None:
    refund = hear(standing_in(S.PROCESSING), Outcome.SUCCEEDED, Mouth.LOOK_UP, occurred_at=NOON)
    refund = hear(refund, Outcome.FAILED, Mouth.LOOK_UP, occurred_at=NOON - timedelta(hours=1))
    assert refund.status == "succeeded"


def test_a_look_up_that_lags_behind_does_not_turn_their_time_back() -> None:
    refund = hear(standing_in(S.PROCESSING), Outcome.FAILED, Mouth.WEBHOOK, occurred_at=NOON)
    earlier = NOON - timedelta(hours=1)
    with transaction.atomic():
        confirm(locked(refund.pk), word(refund, Outcome.SUCCEEDED, occurred_at=earlier))
    assert again(refund).status == "unknown", "the amount is held again, and a person is called"
    refund = hear(refund, Outcome.SUCCEEDED, Mouth.WEBHOOK, occurred_at=earlier, code="LATE")
    assert (refund.status, refund.said_at) == ("unknown", NOON), "their latest word is still that it failed"
    assert hear(refund, Outcome.FAILED, Mouth.LOOK_UP, occurred_at=NOON, code="NO").status == "failed"


def test_an_unknown_word_without_a_reference_stays_unknown_and_calls_a_person() -> None:
    refund = hear(standing_in(S.SENDING), Outcome.UNCLEAR, Mouth.ANSWER, reference="")
    assert refund.status == "unknown"
    assert "settles nothing" in refund.needs_attention


@pytest.mark.promise("I4")
def test_a_refusal_does_not_fail_a_refund_whose_earlier_order_may_have_paid() -> None:
    refund = standing_in(S.SENDING)
    now = timezone.now()
    kept = {"refund": refund, "kind": "send", "started_at": now, "finished_at": now}
    Attempt.objects.create(fence=1, outcome="no_answer", **kept)
    Refund.objects.filter(pk=refund.pk).update(fence=2)
    second = Attempt.objects.create(fence=2, outcome="refused", **kept)
    services.record_update(refund.pk, word(refund, Outcome.FAILED), Mouth.ANSWER, second)
    assert again(refund).status == "unknown"
    assert Payment.objects.get().held == 1000


def test_a_first_refusal_fails_it_and_frees_the_amount() -> None:
    refund = standing_in(S.SENDING)
    only = Attempt.objects.create(
        refund=refund, kind="send", fence=1, outcome="refused", started_at=NOON, finished_at=NOON
    )
    services.record_update(refund.pk, word(refund, Outcome.FAILED), Mouth.ANSWER, only)
    assert again(refund).status == "failed"
    assert Payment.objects.get().held == 0


def test_a_cancel_of_ours_that_they_confirm_withdraws_it() -> None:
    refund = hear(standing_in(S.PROCESSING, cancel_asked_at=NOON), Outcome.CANCELLED, Mouth.LOOK_UP)
    assert refund.status == "withdrawn"


def test_their_ids_and_details_are_kept_and_found() -> None:
    refund = hear(standing_in(S.SENDING), Outcome.SUCCEEDED, Mouth.ANSWER, details={"rrn": "443463654297"})
    assert (refund.reference, refund.details["rrn"]) == ("txn-1", "443463654297")
    assert "443463654297" in refund.identifiers


def test_a_reference_of_another_refund_calls_a_person() -> None:
    first = standing_in(S.PROCESSING)
    hear(first, Outcome.PROCESSING, Mouth.LOOK_UP)
    second = ask(payment=first.payment, amount=500)
    refund = hear(second, Outcome.SUCCEEDED, Mouth.LOOK_UP)
    assert "which is" in refund.needs_attention


def test_success_and_reversal_move_the_sums_and_the_payment() -> None:
    refund = hear(standing_in(S.PROCESSING), Outcome.SUCCEEDED, Mouth.LOOK_UP)
    payment = Payment.objects.get()
    assert (payment.held, payment.refunded, payment.status) == (0, 1000, "partially_refunded")
    refund = hear(refund, Outcome.FAILED, Mouth.LOOK_UP)
    payment = Payment.objects.get()
    assert (refund.status, payment.refunded, payment.status) == ("reversed", 0, "captured")
    assert refund.needs_attention
    moves = Event.objects.filter(refund=None, step="payment").values_list("from_status", "to_status")
    assert list(moves) == [("captured", "partially_refunded"), ("partially_refunded", "captured")]


def test_a_late_success_holds_the_amount_again_even_if_that_is_too_much() -> None:
    refund = standing_in(S.FAILED)
    ask(refund.payment, 5000)
    refund = hear(refund, Outcome.SUCCEEDED, Mouth.LOOK_UP)
    assert (refund.status, Payment.objects.get().held) == ("unknown", 6000)
    assert Payment.objects.get().is_over_committed


def test_a_word_for_the_whole_payment_does_not_reverse_an_earlier_refund() -> None:
    first = standing_in(S.SUCCEEDED, exclusive=True, sent_at=NOON)
    second = approved(first.payment, 500)
    Refund.objects.filter(pk=second.pk).update(exclusive=True, sent_at=NOON + timedelta(hours=1))
    after = hear(first, Outcome.FAILED, Mouth.LOOK_UP, amount=None)
    assert after.status == "succeeded"
    assert str(second) in after.needs_attention
    with_amount = hear(first, Outcome.FAILED, Mouth.LOOK_UP)
    assert with_amount.status == "reversed"


def test_the_last_refund_of_a_payment_is_reversed_by_its_word() -> None:
    only = standing_in(S.SUCCEEDED, exclusive=True, sent_at=NOON)
    assert hear(only, Outcome.FAILED, Mouth.LOOK_UP, amount=None).status == "reversed"


@pytest.mark.promise("I16")
def test_a_late_refusal_takes_no_refund_from_the_worker_that_has_it_now() -> None:
    refund = standing_in(Status.SENDING)
    late = Attempt.objects.create(refund=refund, kind="send", fence=1, started_at=timezone.now())
    Refund.objects.update(fence=2)
    line = services.record_update(refund.pk, word(refund, Outcome.FAILED), Mouth.ANSWER, late)
    assert "too late" in line.text
    assert again(refund).status == "sending"
