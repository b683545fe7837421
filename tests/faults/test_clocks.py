"""Time: what must not go out again never does, and a clock that jumps neither pays twice nor loses anything."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import time_machine

from gateways import registry
from gateways.contract import Repeat
from gateways.sandbox import Sandbox
from refunds import accounts, history, services
from refunds.models import Refund
from refunds.models.refund import AT_THE_GATEWAY
from refunds.services.again import MOST_SENDS
from tests.builders import ACCOUNTS, again, approved, make_account, make_payment
from tests.faults.table import ORDERS

pytestmark = pytest.mark.django_db(transaction=True)
GATEWAYS = [name for name in ACCOUNTS if name in ORDERS]
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
STEPS = 30
LIVES = 200
JUMPS = [timedelta(days=1), timedelta(days=-1), timedelta(hours=-3), timedelta(minutes=20), timedelta(seconds=-90)]
STORIES = ("success", "answer_lost", "request_lost", "error_after", "refused", "reversed")


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


@pytest.mark.promise("I54", "I3", "I15")
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_clock_that_jumps_pays_nothing_twice_and_loses_nothing(
    gateway: str, sandbox: Sandbox, settings: Any, trials: Callable[[int], None]
) -> None:
    """A jump of up to a day either way before each thing that happens; then some calm weeks."""
    settings.PUBLIC_URL = ""
    dice = random.Random(f"clock {gateway}")
    n_lives = LIVES // len(GATEWAYS)
    refunds = []
    with time_machine.travel(NOON, tick=False) as clock:
        now = NOON
        for number in range(1, n_lives + 1):
            refund = an_order(sandbox, gateway, number)
            refunds.append(refund)
            sandbox.tell(STORIES[number % len(STORIES)], gateway=gateway)
            for _ in range(2):
                now += dice.choice(JUMPS)
                clock.move_to(now, tick=False)
                services.send_refund(refund.pk)
                now += dice.choice(JUMPS)
                clock.move_to(now, tick=False)
                services.settle_refund(refund.pk)
        now = max(now, NOON) + timedelta(days=9)
        for _ in range(STEPS):
            now += timedelta(days=2)
            clock.move_to(now, tick=False)
            sandbox.settle()
            for refund in refunds:
                if (one := again(refund)).ask_at and one.ask_at <= now:
                    services.send_refund(one.pk)
                    services.settle_refund(one.pk)
    for refund in refunds:
        one = again(refund)
        moves = [move for move in sandbox.ledger() if move["payment"] == one.payment.reference]
        moves = [move for move in moves if move["kind"] == "refund"]
        assert len(moves) <= 1, (gateway, one, moves)
        assert one.status not in ("approved", "sending"), (gateway, one)
        story = [(line.step, line.text[:80]) for line in one.events.all()]
        assert one.needs_attention or one.status not in AT_THE_GATEWAY, (gateway, one.ask_at, one.asks, story)
        sequences = list(one.events.order_by("pk").values_list("sequence", flat=True))
        assert sequences == list(range(1, one.version + 1))
    assert history.verify().findings == []
    trials(n_lives)
