"""The plain words: amounts, what happens next, and what a customer may read."""

from __future__ import annotations

import pytest
from django.utils import translation

from gateways.money import Money
from refunds import wording
from refunds.models import Account, Status
from tests.builders import again, ask
from tests.refunds.test_record import THE_WAY_THERE, standing_in


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (1250, "EUR", "12.50 EUR"),
        (123456789, "EUR", "1,234,567.89 EUR"),
        (1200, "JPY", "1,200 JPY"),
        (5, "KWD", "0.005 KWD"),
        (99, "RSD", "0.99 RSD"),
    ],
)
def test_an_amount_has_exactly_its_currencys_decimals(minor: int, currency: str, shown: str) -> None:
    assert wording.amount(Money(minor, currency)).replace("\xa0", " ") == shown


def test_an_amount_is_written_as_the_reader_writes_it() -> None:
    with translation.override("pl"):
        assert wording.amount(Money(123456, "PLN")).replace("\xa0", " ") == "1 234,56 PLN"


def test_every_status_has_its_sentences() -> None:
    assert set(wording.CUSTOMER) == set(Status)
    assert set(wording.NEXT) == set(Status)


@pytest.mark.django_db
@pytest.mark.parametrize("status", THE_WAY_THERE)
def test_the_customers_sentence_says_the_amount_and_nothing_from_inside(status: Status) -> None:
    refund = standing_in(status)
    sentence = wording.customer_sentence(refund)
    assert "10.00\xa0EUR" in sentence
    assert str(refund.requested_by) not in sentence
    assert "payerly" not in sentence.lower()
    assert wording.next_step(refund)


@pytest.mark.django_db
def test_a_refund_whose_account_is_gone_says_so() -> None:
    refund = standing_in(Status.UNKNOWN)
    Account.objects.update(is_active=False)
    assert "GATEWAY_ACCOUNTS" in wording.next_step(again(refund))


@pytest.mark.django_db
def test_a_waiting_refund_says_who_has_to_act() -> None:
    assert "Somebody else has to approve it" in wording.next_step(ask())
