"""The manual gateway: nothing goes over a wire, and two people end it."""

from __future__ import annotations

import pytest

from gateways.contract import Outcome, RefundOrder
from gateways.errors import Misconfigured
from gateways.manual import Manual
from gateways.money import Money

ORDER = RefundOrder("0f9a4c52-7d1c-4f43-9c0a-1a2b3c4d5e6f", "BT-2026-11-0479", Money(4000, "EUR"))


def test_it_needs_no_settings_and_calls_nobody():
    update = Manual({}).refund(ORDER)
    assert (update.outcome, update.key, update.amount) == (Outcome.PROCESSING, ORDER.key, ORDER.amount)
    assert update.reference == ""


def test_it_can_be_asked_nothing():
    gateway = Manual({})
    with pytest.raises(Misconfigured):
        gateway.look_up(ORDER)
    with pytest.raises(Misconfigured):
        gateway.cancel(ORDER)


def test_a_transfer_is_of_something():
    assert Manual({}).check(ORDER) == ""
    assert Manual({}).check(RefundOrder("k", "p", Money(0, "EUR")))
