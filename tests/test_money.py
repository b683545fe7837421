"""Money is whole minor units, written and read exactly."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways import registry
from gateways.money import Money, exponent
from gateways.sandbox import Sandbox
from gateways.sandbox.bench import Bench
from gateways.sandbox.door import Door

CURRENCIES = {"JPY": 0, "EUR": 2, "KWD": 3}
moneys = st.builds(Money, st.integers(0, 10**15 - 1), st.sampled_from(sorted(CURRENCIES)))


@given(moneys)
def test_what_is_written_is_read_back(money):
    assert Money.parse(str(money), money.currency) == money


@given(moneys)
def test_all_decimals_of_the_currency_are_written(money):
    assert len(str(money).partition(".")[2]) == CURRENCIES[money.currency] == exponent(money.currency)


@given(st.text(max_size=12), st.sampled_from(sorted(CURRENCIES)))
def test_any_text_is_an_exact_amount_or_refused(text, currency):
    try:
        money = Money.parse(text, currency)
    except ValueError:
        return
    assert money.major == Decimal(text)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("12.50", "EUR", 1250), ("12.5", "EUR", 1250), ("12", "EUR", 1200), ("0.005", "KWD", 5), ("1200", "JPY", 1200)],
)
def test_plain_amounts_are_read(text, currency, minor):
    assert Money.parse(text, currency) == Money(minor, currency)


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        *[
            (text, "EUR")
            for text in ("", "0x10", "1e3", "1,5", "NaN", "Infinity", "\u0661\u0662", "1_000", "-1", "+1", " 1", "1 ")
        ],
        *[
            (text, "EUR")
            for text in ("1\n", "1.5\n", ".5", "1.", "1.2.3", "1.234", "1234567890123456", "\uff11\uff12", "1.\u0665")
        ],
        ("1.5", "JPY"),
        ("1.0005", "KWD"),
        ("1.50", "eur"),
        ("1.50", "ZZZ"),
        ("1.50", ""),
        (12, "EUR"),
        (None, "EUR"),
    ],
)
def test_anything_else_is_refused(text, currency):
    with pytest.raises(ValueError, match=r"\w"):
        Money.parse(text, currency)


@pytest.mark.parametrize("minor", [1.0, True, "1", None])
def test_money_counts_whole_units_only(minor):
    with pytest.raises(TypeError):
        Money(minor, "EUR")


@pytest.mark.parametrize("currency", ["ZZZ", "eur", "EURO", "", "978", "\uff25\uff35\uff32"])
def test_money_has_a_currency_that_is_one(currency):
    for make in (exponent, lambda code: Money(1, code)):
        with pytest.raises(ValueError, match="is not an ISO 4217 code"):
            make(currency)


def test_an_amount_never_changes():
    money = Money(1, "EUR")
    with pytest.raises(FrozenInstanceError):
        money.minor = 2
    assert {money: "one"}[Money(1, "EUR")] == "one"


def test_currencies_do_not_mix():
    euro, yen = Money(1, "EUR"), Money(1, "JPY")
    for mixed in (lambda: euro + yen, lambda: euro - yen, lambda: euro < yen, lambda: euro <= yen):
        with pytest.raises(ValueError, match="do not mix"):
            mixed()
    assert euro != yen


@given(st.integers(-(10**15), 10**15), st.integers(-(10**15), 10**15))
def test_sums_and_order_are_those_of_the_minor_units(left, right):
    a, b = Money(left, "EUR"), Money(right, "EUR")
    assert ((a + b).minor, (a - b).minor, a < b, a <= b) == (left + right, left - right, left < right, left <= right)


def in_minor_units(written: object, currency: str) -> int:
    """An amount as a body holds it: whole minor units, or plain major units as text."""
    return written if type(written) is int else Money.parse(str(written), currency).minor


# Gateway → where its amount stands in the body of an order, and the currencies that its wire can carry.
WRITTEN: dict[str, tuple[Callable[[dict[str, Any]], object], tuple[str, ...]]] = {
    "payerly": (lambda body: body["amount"]["value"], ("EUR", "JPY", "KWD")),
    "paynow": (lambda body: body["amount"], ("PLN", "EUR")),
    "airpay": (lambda body: body["transactions"][0]["amount"], ("INR",)),
    "pay3": (lambda body: body["fiatAmount"], ("BRL", "JPY")),
    "examplepay": (lambda body: body["amount"], ("BRL", "EUR")),
}


@pytest.mark.promise("I6")
@pytest.mark.parametrize("gateway", WRITTEN)
def test_every_amount_is_written_as_it_is(gateway: str, trials: Callable[[int], None]) -> None:
    """10,000 amounts in each of a gateway's currencies: the bytes that go out say exactly that amount."""
    dice, (where, currencies) = random.Random(gateway), WRITTEN[gateway]
    with Sandbox() as sandbox, Door() as door:
        bench = Bench(registry.gateway_class(gateway), sandbox, door)
        connector, order = bench.gateway(), bench.order()
    for currency in currencies:
        for _ in range(10_000):
            minor = dice.randrange(1, 10 ** dice.randrange(1, 8))
            asked = replace(order, amount=Money(minor, currency))
            assert connector.check(asked) == ""
            body = connector.body(asked) or connector.write_entries([asked])
            assert in_minor_units(where(json.loads(body)), currency) == minor
            assert Money.parse(str(asked.amount), currency).minor == minor
    trials(10_000 * len(currencies))
