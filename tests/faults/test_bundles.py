"""A worker killed at any moment of a call for several refunds: each comes back by itself, and none is paid twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gateways.sandbox import Sandbox
from gateways.sandbox.simulator import Request
from refunds import services
from refunds.models import Attempt, Refund
from tests.builders import ACCOUNTS, again, approved, make_account, make_payment
from tests.faults import rest
from tests.faults.door import soon
from tests.faults.killer import Killer, Life
from tests.faults.scene import Scene
from tests.faults.table import is_order
from tests.faults.workers import next_moment
from tests.house import House, until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]
Trials = Callable[[int], None]
SLOW_ANSWER = 14  # the answer drips, so that there is time to kill
GATEWAY, N_TOGETHER, CAPTURED, MOST_ROUNDS = "airpay", 3, 5000, 20
STORIES = {  # what the gateway makes of the second of three orders
    "ordinary": "no_webhook",
    "refused": "refused",
    "answer lost": "answer_lost",
    "left out": "left_out",
}


class Together:
    """Three approved refunds of three payments, sent by one turn in a process that may die."""

    def __init__(self, scene: Scene, story: str) -> None:
        self.scene, self.story, self.sandbox = scene, story, scene.sandbox
        self.orders: list[Counter[str]] = []  # of each order's call, the payments that it names
        self.n_served, self._pass_on = 0, scene.sandbox.answer
        self.sandbox.answer = self._answer
        self.killer: Killer = scene.killer

    def _answer(self, request: Request) -> Any:
        try:
            if is_order(GATEWAY, request.method, request.path):
                self.orders.append(Counter(one["processor_id"] for one in json.loads(request.body)["transactions"]))
            return self._pass_on(request)
        finally:
            self.n_served += 1

    def approved(self) -> list[Refund]:
        account, refunds = make_account(ACCOUNTS[GATEWAY]), []
        self.orders.clear()
        for number in range(N_TOGETHER):
            self.scene.n_orders += 1
            reference = self.sandbox.simulators[GATEWAY].payment_name(self.scene.n_orders)
            self.sandbox.payment(reference, CAPTURED, "INR", gateway=GATEWAY)
            self.sandbox.tell(STORIES[self.story] if number == 1 else "no_webhook", payment=reference)
            refunds.append(approved(make_payment(CAPTURED, "INR", reference, account=account), CAPTURED))
        self.scene.queue.clear()
        return refunds

    def live(self, refunds: list[Refund], kill_at: int = 0) -> Life:
        first, n_served = again(refunds[0]), self.n_served
        life = self.killer.live(lambda: services.take_turn(first.pk, first.ask_at), kill_at)
        soon(lambda: self.n_served >= n_served + life.n_written)
        self.demand(life, refunds, rest.at_any_moment)
        for call in self.orders:
            for refund in refunds:
                assert not call[refund.payment.reference] or refund.attempts.exists(), "a byte left before the attempt"
        return life

    def bring_home(self, life: Life, refunds: list[Refund]) -> Counter[str]:
        """Other workers go on until nothing is due any more."""
        for _ in range(MOST_ROUNDS):
            due = [moment for refund in refunds if (moment := next_moment(refund.pk))]
            if not due:
                break
            self.scene.clock.reach(min(due))
            services.sweep()
            self.scene.queue.work_off()
        else:
            raise AssertionError(f"Not at rest: {[again(refund).status for refund in refunds]}")
        self.scene.door.settle()
        self.demand(life, refunds, self._at_rest)
        Refund.objects.filter(pk__in=[refund.pk for refund in refunds]).update(ask_at=None)
        self.scene.queue.clear()
        return Counter(again(refund).status for refund in refunds)

    def _at_rest(self, refund: Refund) -> Iterator[str]:
        named = [str(call) for call in self.orders for _ in range(call[refund.payment.reference])]
        yield from rest.at_rest(refund, SimpleNamespace(**{**vars(self.scene.door), "orders": named, "wrong": []}))
        if any(call[refund.payment.reference] > 1 for call in self.orders):
            yield "It stood in one call twice."
        if refund.attempts.filter(kind="send").exclude(outcome=Attempt.Outcome.NOT_SENT).count() > 1:
            yield "It may have left twice."

    def demand(self, life: Life, refunds: list[Refund], what: Callable[[Refund], Iterator[str]]) -> None:
        where = f"killed at {life.steps[-1].name}" if life.was_killed else "not killed"
        for number, refund in enumerate(refunds):
            flaws = list(what(again(refund)))
            assert not flaws, f"{self.story}, {where}, refund {number} ({again(refund).status}): {flaws}"


@pytest.fixture
def gateway() -> str:
    return GATEWAY


@pytest.fixture
def sandbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    monkeypatch.setenv("AIRPAY_IN_BATCH", str(N_TOGETHER))
    return sandbox


@pytest.mark.promise("I2", "I3", "I4", "I9", "I11", "I14", "I15", "I21")
@pytest.mark.parametrize("story", STORIES)
def test_a_kill_at_any_moment_of_a_call_for_several(story: str, scene: Scene, trials: Trials) -> None:
    """Up to the first byte all stories are one, so only the ordinary one is killed there."""
    together, ends, n_killed = Together(scene, story), Counter[str](), 0
    refunds = together.approved()
    together.live(refunds)
    together.bring_home(Life([], was_killed=False), refunds)  # what a process meets once, it has met now
    refunds = together.approved()
    life = together.live(refunds)
    assert len(together.orders) == 1
    together.bring_home(life, refunds)
    first = 1 if story == "ordinary" else life.n_moments(until=scene.first_byte(life))
    for moment in range(first, life.n_moments() + 1):
        refunds = together.approved()
        died = together.live(refunds, moment)
        n_killed += died.was_killed
        ends += together.bring_home(died, refunds)
    print(f"{story}: {len(life.steps)} steps, {n_killed} kills, ends {dict(ends)}")
    assert ends["unknown"], "some were killed after the call"
    trials(n_killed)


@pytest.mark.promise("I2", "I3")
def test_real_workers_that_send_several_at_once_and_are_killed_pay_nothing_twice(house: House, trials: Trials) -> None:
    house.environment["AIRPAY_IN_BATCH"] = "5"
    endings = [30, SLOW_ANSWER, *range(31, 49)]
    payments = [house.sold(GATEWAY, captured=9000, number=number) for number in range(len(endings))]
    refunds = [approved(payment, 1000 + ending) for payment, ending in zip(payments, endings, strict=True)]
    house.start_worker()
    until(lambda: refunds[1].attempts.exists())
    house.kill_worker()
    house.start_worker()

    def is_home(refund: Refund) -> bool:
        now_is = again(refund)
        return now_is.status == "succeeded" or (now_is.status == "unknown" and bool(now_is.needs_attention))

    until(lambda: all(is_home(refund) for refund in refunds), seconds=90)
    assert again(refunds[1]).status == "unknown"
    for refund in refunds:
        assert len(house.paid(refund)) <= 1, refund
        assert again(refund).status == "unknown" or len(house.paid(refund)) == 1, refund
    bodies = [call["body"] for call in house.sandbox.requests() if is_order(GATEWAY, call["method"], call["path"])]
    named = Counter(one["processor_id"] for body in bodies for one in json.loads(body)["transactions"])
    assert max(named.values()) == 1, "No order goes out twice where nothing guards against paying twice."
    assert len(bodies) < len(refunds)
    trials(len(refunds))
