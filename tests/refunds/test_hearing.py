"""One update before it decides anything: what it says, whether it is about ours, and whether it is news."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateways.contract import Outcome, RefundUpdate
from gateways.money import Money
from refunds import services
from refunds.models import Refund
from refunds.services.actor import Mouth
from refunds.services.hearing import Hearing, difference, is_older, may_be_about_a_later_one
from tests.builders import again, approved, ask, make_account, make_payment

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

SAID: dict[str, Any] = {
    "outcome": Outcome.FAILED,
    "reference": "txn-1",
    "key": "k",
    "payment_reference": "pay-1",
    "amount": Money(1000, "EUR"),
    "code": "NO",
    "message": "not today",
    "occurred_at": NOON,
}


def hearing(refund: Refund | None = None, **changes: Any) -> Hearing:
    return Hearing(refund or Refund(), RefundUpdate(**{**SAID, **changes}), Mouth.LOOK_UP)


def test_the_fingerprint_of_what_is_in_the_journal_already_stays_what_it_was() -> None:
    """Written another way, everything that was heard before would be heard as news once more."""
    assert hearing().fingerprint == "6dad3bd19c66acd816926a61924b3371f02bc44241f1fbbb7d84642d4927aa2d"
    assert (
        hearing(amount=None, occurred_at=None).fingerprint
        == "1dad816fbc2ecb3ba456c7d8669b19fd8c9c155e2a8a69b1cb6742f2d9faeff7"
    )


@pytest.mark.promise("I35")
@pytest.mark.parametrize(
    "change",
    [
        {"outcome": Outcome.UNCLEAR},
        {"reference": "txn-2"},
        {"key": "l"},
        {"payment_reference": "pay-2"},
        {"amount": Money(1001, "EUR")},
        {"amount": Money(1000, "USD")},
        {"amount": None},
        {"code": "YES"},
        {"message": "tomorrow"},
        {"occurred_at": NOON + timedelta(seconds=1)},
        {"occurred_at": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_words_are_news(change: dict[str, Any]) -> None:
    assert hearing(**change).fingerprint != hearing().fingerprint == hearing(details={"rrn": "1"}).fingerprint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "They say failed: NO not today."),
        ({"code": ""}, "They say failed: not today."),
        ({"message": ""}, "They say failed: NO."),
        ({"code": "", "message": ""}, "They say failed."),
    ],
)
def test_their_words_are_one_sentence(change: dict[str, Any], words: str) -> None:
    assert hearing(**change).words == words


def test_who_said_it_is_named_by_gateway_and_mouth() -> None:
    actor = hearing(ask()).actor
    assert (actor.name, actor.source) == ("Payerly", "look_up")


def test_the_same_words_about_another_refund_are_news() -> None:
    payment = make_payment()
    first, second = approved(payment), approved(payment, 500)
    said = RefundUpdate(Outcome.PROCESSING, code="PENDING")
    assert not Hearing(first, said, Mouth.WEBHOOK).is_repeated
    services.record_update(first.pk, said, Mouth.WEBHOOK)
    assert Hearing(again(first), said, Mouth.LOOK_UP).is_repeated
    assert not Hearing(second, said, Mouth.WEBHOOK).is_repeated


# --- is it ours ---


def ours(**changes: Any) -> Refund:
    refund = ask()
    Refund.objects.filter(pk=refund.pk).update(reference="txn-1", **changes)
    return again(refund)


@pytest.mark.promise("I5", "I38")
@pytest.mark.parametrize(
    ("echo", "sentence"),
    [
        ({}, ""),
        ({"key": "", "payment_reference": "", "reference": "", "amount": None}, ""),
        ({"key": "K"}, "They name the key k; ours is {key}."),
        ({"payment_reference": "pay-2"}, "They name the payment pay-2; ours is pay-1."),
        ({"reference": "txn-2"}, "They name the reference txn-2; ours is txn-1."),
        ({"amount": Money(1001, "EUR")}, "They say 10.01 EUR; we asked 10.00 EUR."),
        ({"amount": Money(1000, "USD")}, "They say 10.00 USD; we asked 10.00 EUR."),
    ],
)
def test_an_echo_that_is_not_ours_is_told_in_a_sentence(echo: dict[str, Any], sentence: str) -> None:
    refund = ours()
    fits = {**SAID, "key": str(refund.key).upper()}
    assert difference(refund, RefundUpdate(**{**fits, **echo})) == sentence.format(key=refund.key)


def test_a_key_says_nothing_of_a_refund_that_was_made_there() -> None:
    payment = make_payment()
    made_there = Refund.objects.create(
        payment=payment,
        account=payment.account,
        source=Refund.Source.GATEWAY,
        amount=1000,
        status="processing",
        requested_at=NOON,
        reference="txn-1",
    )
    assert difference(made_there, RefundUpdate(**SAID)) == ""


@pytest.mark.promise("I38")
def test_a_reference_that_another_refund_has_is_not_ours() -> None:
    other, refund = ours(), ask(make_payment(reference="pay-2"))
    said = RefundUpdate(Outcome.SUCCEEDED, reference="txn-1")
    assert difference(refund, said) == f"They name the reference txn-1, which is {other}'s."
    assert difference(other, said) == ""
    assert difference(refund, RefundUpdate(Outcome.SUCCEEDED, reference="txn-9")) == ""
    payment = make_payment(reference="pay-3", account=make_account("bank"))
    elsewhere = Refund(payment=payment, account=payment.account, amount=1)
    assert difference(elsewhere, said) == "", "each account counts by itself"


# --- is it news ---


def test_only_what_is_known_to_be_earlier_is_older() -> None:
    def older(said: datetime | None, known: datetime | None) -> bool:
        return is_older(Refund(said_at=known), RefundUpdate(Outcome.FAILED, occurred_at=said))

    second = timedelta(seconds=1)
    assert older(NOON - second, NOON)
    assert (older(NOON, NOON), older(NOON + second, NOON)) == (False, False)
    assert (older(None, NOON), older(NOON, None), older(None, None)) == (False, False, False)


@pytest.mark.promise("I38")
def test_a_word_for_the_whole_payment_is_about_the_one_that_was_sent_last() -> None:
    payment = make_payment()
    first, second, third, unsent = (approved(payment, 100 * n) for n in range(1, 5))
    for hours, refund in enumerate((first, second, third)):
        Refund.objects.filter(pk=refund.pk).update(exclusive=True, sent_at=NOON + timedelta(hours=hours))
    said = {"amount": None}
    assert may_be_about_a_later_one(hearing(again(first), **said)) == third
    assert may_be_about_a_later_one(hearing(again(third), **said)) is None
    assert may_be_about_a_later_one(hearing(again(first))) is None, "an amount tells them apart"
    Refund.objects.filter(pk=first.pk).update(exclusive=False)
    assert may_be_about_a_later_one(hearing(again(first), **said)) is None, "so does a gateway that takes several"
    assert unsent.sent_at is None
