"""The page for newcomers names orders that the demo has, and ends that these stories have."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from gateways.money import Money
from gateways.registry import gateway_class
from gateways.sandbox.stories import STORIES, number_by_amount
from refunds import demo
from refunds.models import Payment
from tests.faults.test_stories import ENDS, OTHERWISE
from tests.house import ROOT

pytestmark = [pytest.mark.django_db, pytest.mark.once]
PAGE = ROOT / "docs" / "first-steps.md"
GATEWAYS = {"Payerly": "payerly", "Paynow (mBank)": "paynow", "Airpay": "airpay", "Pay3": "pay3"}
GATEWAYS["ExamplePay (pg/v2)"] = "examplepay"
SAID = {"paid": "succeeded", "refused": "failed", "by itself": "succeeded", "people": "unknown"}


def lines() -> list[list[str]]:
    rows = re.findall(r"^\| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    return [row.split(" | ") for row in rows][2:]


@pytest.fixture
def demo_house(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accounts of `make run`, whose credentials are never used here."""
    for name, value in re.findall(
        r'^export (\w+)="\$\{\w+:-([^"]*)\}"$', (ROOT / "demo.env").read_text(), re.MULTILINE
    ):
        if name == "GATEWAY_ACCOUNTS" or name.split("_")[0] in ("PAYERLY", "PAYNOW", "AIRPAY", "PAY3", "EXAMPLEPAY"):
            monkeypatch.setenv(name, value.replace("$SANDBOX_PORT", "8001"))


def end_of(gateway: str, amount: str, currency: str) -> str:
    story = STORIES[number_by_amount(Money.parse(amount, currency).minor)].name
    return {**ENDS, **OTHERWISE[gateway]}[story][0]


def test_every_gateway_has_its_line() -> None:
    assert sorted(GATEWAYS[line[0]] for line in lines()) == sorted(OTHERWISE)


@pytest.mark.parametrize("line", lines(), ids=lambda line: line[0])
def test_what_the_page_says_is_what_happens(line: list[str], settings: Any, demo_house: None) -> None:
    name, order, paid, refused, unknown, ends = line
    gateway = GATEWAYS[name]
    settings.DEBUG = True
    call_command("sync_accounts", stdout=StringIO())
    demo.load()
    payment = Payment.objects.get(order=order.strip("`"))
    assert gateway_class(payment.account.gateway).name == gateway
    assert not payment.disputed_at
    assert payment.free >= sum(Money.parse(amount, payment.currency).minor for amount in (paid, refused, unknown))
    assert end_of(gateway, paid, payment.currency) == SAID["paid"]
    assert end_of(gateway, refused, payment.currency) == SAID["refused"]
    word = "people" if "people" in ends else "by itself"
    assert end_of(gateway, unknown, payment.currency) == SAID[word]
