"""Killed at every step of whatever it does, the house pays a refund once at most and never loses it from sight."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from gateways import registry
from gateways.sandbox import Sandbox, desk
from gateways.sandbox.payerly import public_pem
from refunds import services
from refunds.models import Account, Delivery, Refund
from refunds.models.refund import AWAITING
from tests.builders import ACCOUNTS, again, alice, approved, dora, erik, make_account, make_payment
from tests.faults.scene import STORIES, Scene
from tests.faults.table import COMES_HOME, ORDERS
from tests.faults.workers import Clock, InDatabase, InMemory, Queue
from tests.house import House, until, until_status

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),  # see Scene.killer
]
KEPT = pytest.mark.promise("I2", "I3", "I4", "I9", "I10", "I11", "I14", "I15", "I21", "I25")
FIRST_ORDER = [story for story in STORIES if story != "waits"]
EVERY_STEP = ("payerly", "ordinary")  # which shows that nothing is missed in between
PARTS = 4
REAL_KILLS = 5
SLOW_ANSWER = 14  # the answer drips, so that there is time to kill
Trials = Callable[[int], None]


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    return InMemory(monkeypatch)


@pytest.fixture
def scene(
    gateway: str, sandbox: Sandbox, queue: Queue, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> Iterator[Scene]:
    kind = registry.gateway_class(gateway)
    monkeypatch.setattr(desk, "TICK", timedelta(milliseconds=2))
    monkeypatch.delenv("PAYERLY_EU_QUIET_WINDOW_SECONDS")
    # Ask soon, and again when no order can be on its way any more: who lives thousands of lives keeps them short.
    monkeypatch.setattr(kind, "poll_plan", (kind.poll_plan[0], timedelta(hours=1)))
    if connection.vendor == "sqlite":  # a kill takes no power away: what was written stays, synced or not
        monkeypatch.setitem(
            connection.settings_dict["OPTIONS"],
            "init_command",
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA foreign_keys=ON",
        )
        connection.close()
    settings.PUBLIC_URL = ""
    sandbox.desk.pace = 0
    make_account(ACCOUNTS[gateway], webhook_key="pinned")
    gc.freeze()  # a forked child then copies fewer pages
    yield Scene(gateway, sandbox, Clock(monkeypatch), queue)
    gc.unfreeze()
    connection.close()


def nothing(refund: Refund) -> None:
    """Nobody has to ask again: the workers go on by themselves."""


# --- Once: in every run of the tests ---


@KEPT
@pytest.mark.parametrize("story", FIRST_ORDER)
@pytest.mark.parametrize("gateway", ORDERS)
def test_a_kill_at_any_moment_of_a_life(gateway: str, story: str, scene: Scene, trials: Trials) -> None:
    """Up to the order's first byte all stories are one, so only the ordinary one is killed there."""
    every, whole = (gateway, story) == EVERY_STEP, story == "ordinary"
    prepare = partial(scene.approved, story)
    trials(scene.killed_everywhere(prepare, scene.work, nothing, every=every, whole=whole))


@KEPT
@pytest.mark.parametrize(("gateway", "queue"), [("payerly", InDatabase())], ids=["payerly"])
def test_a_kill_at_any_moment_with_the_real_queue(gateway: str, queue: Queue, scene: Scene, trials: Trials) -> None:
    trials(scene.killed_everywhere(partial(scene.approved, "ordinary"), scene.work, nothing))


@pytest.mark.promise("I25", "I37")
@pytest.mark.parametrize("gateway", ORDERS)
def test_a_kill_at_every_step_of_a_webhook(gateway: str, scene: Scene, settings: Any, trials: Trials) -> None:
    settings.PUBLIC_URL = "http://127.0.0.1:9"
    door = f"/webhooks/{ACCOUNTS[gateway]}/"
    scene.sandbox.callback(gateway, settings.PUBLIC_URL + door)
    if gateway == "payerly":
        Account.objects.update(webhook_key=public_pem(scene.sandbox.simulators[gateway].key))

    def deliver(refund: Refund) -> None:
        simulator, ledger = scene.sandbox.simulators[gateway], scene.sandbox.desk.ledger
        (theirs,) = ledger.refunds_of(gateway, refund.payment.reference)
        headers, body = simulator.letter(theirs, theirs.status, False)
        answer = Client().post(door, body, content_type=headers.pop("Content-Type"), headers=headers)
        assert answer.status_code == 200
        assert heard(refund), "2xx, and nothing was kept"

    def heard(refund: Refund) -> bool:
        """All of it or nothing: the delivery is kept, and the refund is to be looked up at once."""
        was, n_kept = refund, Delivery.objects.filter(received_at__gte=refund.sent_at).count()
        now_is = again(refund)
        assert bool(n_kept) == (now_is.ask_at < was.ask_at), "kept without effect, or the reverse"
        assert n_kept <= 1, "kept twice"
        return bool(n_kept)

    def once_more(refund: Refund) -> None:
        heard(refund)
        deliver(refund)

    def processing() -> Refund:
        refund = scene.sent("ordinary")
        scene.door.settle()
        return refund

    trials(scene.killed_everywhere(processing, deliver, once_more, every=True))
    assert set(scene.ends) <= {"succeeded"}


@KEPT
@pytest.mark.parametrize("gateway", [name for name in ORDERS if registry.gateway_class(name).can.cancel])
def test_a_kill_at_any_moment_of_a_cancel(gateway: str, scene: Scene, trials: Trials) -> None:
    agent = alice()

    def waiting() -> Refund:
        return scene.sent("waits")

    def cancel(refund: Refund) -> None:
        if not again(refund).cancel_asked_at:
            services.ask_to_cancel(refund.pk, agent, seen=again(refund).version)
        scene.work(refund)

    scene.sandbox.desk.pace = 1000  # it waits there for as long as the test runs
    trials(scene.killed_everywhere(waiting, cancel, cancel))
    assert set(scene.ends) == {"withdrawn"}


# What nobody at the gateway can tell, two people say: story → the truth.
DECLARED = [
    *((name, "request lost", "failed") for name, (_, comes_home) in COMES_HOME.items() if not comes_home),
    *((name, "answer lost", "succeeded") for name, (comes_home, _) in COMES_HOME.items() if not comes_home),
]


@KEPT
@pytest.mark.parametrize(("gateway", "story", "truth"), DECLARED)
def test_a_kill_at_any_moment_of_a_declaration(
    gateway: str, story: str, truth: str, scene: Scene, trials: Trials
) -> None:
    finance, second = dora(), erik()

    def unknown() -> Refund:
        refund = scene.sent(story)
        scene.clock.reach(services.not_failed_before(refund))
        return refund

    def declare(refund: Refund) -> None:
        if again(refund).status in AWAITING and not services.open_declaration(again(refund)):
            seen = again(refund).version
            services.propose_outcome(refund.pk, finance, truth, "Looked there.", seen=seen, ticket="T-1")
        if again(refund).status in AWAITING:
            services.confirm_outcome(refund.pk, second, seen=again(refund).version)
        scene.work(refund)

    trials(scene.killed_everywhere(unknown, declare, declare))
    assert set(scene.ends) == {truth, "unknown"} or set(scene.ends) == {truth}


# --- For long: `make faults` ---


@KEPT
@pytest.mark.faults
@pytest.mark.parametrize("story", FIRST_ORDER)
@pytest.mark.parametrize("gateway", ORDERS)
def test_a_kill_at_every_step_of_a_life(gateway: str, story: str, scene: Scene, trials: Trials) -> None:
    trials(scene.killed_everywhere(partial(scene.approved, story), scene.work, nothing, every=True))


@KEPT
@pytest.mark.faults
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("story", FIRST_ORDER)
@pytest.mark.parametrize("gateway", ORDERS)
def test_a_second_kill_at_any_moment_of_the_recovery(
    gateway: str, story: str, part: int, scene: Scene, trials: Trials
) -> None:
    trials(scene.killed_twice(partial(scene.approved, story), part, PARTS))


# --- With real processes ---


@pytest.mark.promise("I3", "I10")
def test_real_workers_killed_in_mid_call_lose_nothing_and_pay_nothing_twice(house: House) -> None:
    house.sandbox.desk.pace = 1 / 60
    refunds = []
    for number in range(REAL_KILLS):
        worker = house.start_worker()
        refund = approved(make_payment(captured=9000, reference=f"pay-{number}"), 1000 + SLOW_ANSWER)
        until(lambda refund=refund: again(refund).status not in ("approved", "sending") or refund.attempts.exists())
        house.kill_worker()
        assert worker.returncode == -9
        refunds.append(refund)
    house.start_worker()
    for refund in refunds:
        until_status(refund, "succeeded", seconds=60)
        assert len(house.paid(refund)) == 1, refund
    bodies = {(call["path"], call["body"]) for call in house.sandbox.requests() if call["method"] == "PUT"}
    assert len(bodies) == REAL_KILLS, "One refund keeps one key and one body for ever."
