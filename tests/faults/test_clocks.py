"""Time: whatever went out without an answer goes out again only when, and only where, that cannot pay twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import time_machine

from gateways import registry
from gateways.contract import Repeat
from gateways.sandbox import Sandbox
from refunds import accounts, services
from refunds.models import Refund
from refunds.services.again import MOST_SENDS
from tests.builders import ACCOUNTS, again, approved, make_account, make_payment
from tests.faults.table import ORDERS

pytestmark = pytest.mark.django_db(transaction=True)
GATEWAYS = [name for name in ACCOUNTS if name in ORDERS]
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def an_order(sandbox: Sandbox, gateway: str, number: int = 1) -> Refund:
    simulator = sandbox.simulators[gateway]
    reference = simulator.payment_name(number)
    sandbox.payment(reference, 5000, simulator.currency, gateway=gateway)
    payment = make_payment(5000, simulator.currency, reference, account=make_account(ACCOUNTS[gateway]))
    return approved(payment, 5000)


def n_orders(sandbox: Sandbox, gateway: str) -> int:
    method, path = ORDERS[gateway]
    calls = [call for call in sandbox.requests() if call["gateway"] == gateway and call["method"] == method]
    return sum(path in call["path"] and "/cancel" not in call["path"] for call in calls)


@pytest.mark.once
@pytest.mark.promise("I13", "I14", "I17")
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_72_hours_after_no_answer(
    gateway: str, sandbox: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch, trials: Callable[[int], None]
) -> None:
    """Looked at whenever it is due and every three hours, with every order lost: which go out again, and when."""
    settings.PUBLIC_URL = ""
    monkeypatch.delenv("PAYERLY_EU_QUIET_WINDOW_SECONDS")  # the real one
    kind = registry.gateway_class(gateway)
    sent_at: list[datetime] = []
    n_looks = 0
    with time_machine.travel(NOON, tick=False) as clock:
        refund = an_order(sandbox, gateway)
        connector = accounts.connect(refund.account)
        now = NOON
        while now < NOON + timedelta(hours=72):
            clock.move_to(now, tick=False)
            before = n_orders(sandbox, gateway)
            sandbox.tell("request_lost", gateway=gateway)
            services.send_refund(refund.pk) if not sent_at else services.settle_refund(refund.pk)
            sent_at += [now] * (n_orders(sandbox, gateway) - before)
            assert again(refund).status == "unknown"
            assert again(refund).payment.held == 5000
            due, a_while = again(refund).ask_at, now + timedelta(hours=3)
            now = min(max(due, now + timedelta(seconds=1)), a_while) if due else a_while
            n_looks += 1
    assert again(refund).needs_attention
    if kind.can.repeat is Repeat.NEVER:
        assert len(sent_at) == 1
    elif kind.can.repeat is Repeat.WITHIN_WINDOW:
        assert 1 < len(sent_at) < 40, "The pauses between the tries do not grow."
        assert sent_at[-1] - sent_at[0] < connector.key_window
    else:
        assert 1 < len(sent_at) <= MOST_SENDS
        gaps = [later - earlier for earlier, later in pairwise(sent_at)]
        assert min(gaps) >= connector.quiet_window
    trials(n_looks)
