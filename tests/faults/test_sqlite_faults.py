"""SQLite in trouble: locked by somebody else, read-only, or its disk full. A step fails whole; later all comes home."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.test import Client

from gateways.sandbox.payerly import public_pem
from refunds import services
from refunds.models import Account, Delivery, Refund
from tests.builders import ACCOUNTS, again, approved
from tests.faults import rest
from tests.faults.killer import Life
from tests.faults.letters import SENDERS, seal
from tests.faults.scene import Scene
from tests.faults.table import ORDERS
from tests.faults.troubles import FullDisk, Locked, ReadOnly, ReadOnlyFile, Trouble
from tests.house import House, until, until_status

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'sqlite'", reason="speaks of SQLite's own troubles"),
]
KEPT = pytest.mark.promise("I2", "I3", "I15", "I21", "I25")
WAITS = 0.05  # seconds that a connection waits for another writer, here
FULL_DISKS = 24
ROOM = 3  # fewer pages than this a full disk has left
ROUNDS = 2
NO_LIFE = Life([], was_killed=False)
Trials = Callable[[int], None]


@contextmanager
def counted(moment: int = 0, strike: Callable[[], None] = lambda: None) -> Iterator[Counter[str]]:
    """Count the writes and transactions that begin; strike as the one with that number does."""
    seen: Counter[str] = Counter()

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not connection.in_atomic_block and not sql.startswith(("SELECT", "PRAGMA")):
            seen["moments"] += 1
            if seen["moments"] == moment:
                strike()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield seen


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Locked]:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", WAITS)
    connection.close()
    trouble = Locked()
    yield trouble
    trouble.close()


def live_in(trouble: Trouble, scene: Scene, moment: int, strike: Callable[[], None]) -> bool:
    """A whole life that the trouble meets at that moment, and what is left of it brought home; whether it met it."""
    refund, said = scene.approved("ordinary"), ""
    with counted(moment, strike):
        try:
            scene.work(refund)
        except OperationalError as error:
            said = str(error)
    trouble.end()
    assert said in ("", trouble.says)
    scene.demand(rest.at_any_moment(refund), refund, NO_LIFE)
    scene.bring_home(refund, NO_LIFE)
    return bool(said)


def n_moments(scene: Scene) -> int:
    """How many a life has, once everything is in memory."""
    for _ in range(2):
        refund = scene.approved("ordinary")
        with counted() as seen:
            scene.work(refund)
        scene.bring_home(refund, NO_LIFE)
    return seen["moments"]


def live_in_at_each_moment(trouble: Trouble, scene: Scene) -> int:
    n = n_moments(scene)
    assert all(live_in(trouble, scene, moment, trouble.start) for moment in range(1, n + 1))
    return n


@KEPT
@pytest.mark.parametrize("gateway", ORDERS)
def test_locked_at_any_moment_of_a_life(gateway: str, scene: Scene, locked: Locked, trials: Trials) -> None:
    trials(live_in_at_each_moment(locked, scene))


@KEPT
@pytest.mark.parametrize("gateway", ORDERS)
def test_read_only_at_any_moment_of_a_life(gateway: str, scene: Scene, trials: Trials) -> None:
    trials(live_in_at_each_moment(ReadOnly(), scene))


@KEPT
@pytest.mark.parametrize("gateway", ["payerly"])
def test_a_disk_that_fills_up_in_a_life(gateway: str, scene: Scene, trials: Trials) -> None:
    """With more or less room left at its beginning, so that it is another write each time that finds none."""
    disk = FullDisk()
    n_met = sum(live_in(disk, scene, 1, partial(disk.start, number % ROOM)) for number in range(FULL_DISKS))
    disk.clear()
    assert n_met > FULL_DISKS / 4
    trials(n_met)


def test_nothing_leaves_while_the_file_is_read_only(sandbox: Any) -> None:
    refund, trouble = approved(), ReadOnlyFile()
    trouble.start()
    with pytest.raises(OperationalError, match=trouble.says):
        services.send_refund(refund.pk)
    trouble.end()
    assert (again(refund).status, again(refund).version, sandbox.requests()) == ("approved", refund.version, [])
    services.send_refund(refund.pk)
    assert again(refund).status == "processing"


# --- Webhooks ---


def letter(scene: Scene, refund: Refund) -> tuple[dict[str, str], bytes]:
    """What the gateway writes about it, once it is through with it."""
    scene.door.settle()
    ledger = scene.sandbox.desk.ledger
    (theirs,) = ledger.refunds_of(scene.gateway, refund.payment.reference)
    return scene.sandbox.simulators[scene.gateway].letter(theirs, theirs.status, False)


def deliver(gateway: str, headers: dict[str, str], body: bytes) -> HttpResponse:
    kind = headers["Content-Type"]
    others = {name: text for name, text in headers.items() if name != "Content-Type"}
    return Client().post(f"/webhooks/{ACCOUNTS[gateway]}/", body, content_type=kind, headers=others)


def refused_and_taken_later(scene: Scene, trouble: Trouble, refund: Refund, said: tuple[dict[str, str], bytes]) -> None:
    trouble.start()
    assert deliver(scene.gateway, *said).status_code == 503
    trouble.end()
    assert not Delivery.objects.exists()
    assert again(refund).version == refund.version
    assert again(refund).ask_at == refund.ask_at
    assert [deliver(scene.gateway, *said).status_code for _ in range(2)] == [200, 200]
    assert Delivery.objects.count() == 1
    assert again(refund).ask_at < refund.ask_at, "kept, and without effect"


@pytest.fixture
def open_door(scene: Scene, settings: Any) -> None:
    settings.PUBLIC_URL = "http://127.0.0.1:9"
    scene.sandbox.callback(scene.gateway, f"{settings.PUBLIC_URL}/webhooks/{ACCOUNTS[scene.gateway]}/")
    Account.objects.update(webhook_key=public_pem(scene.sandbox.simulators["payerly"].key))


@pytest.mark.promise("I35", "I37")
@pytest.mark.usefixtures("open_door")
@pytest.mark.parametrize("trouble", ["locked", "read-only", "opened read-only"])
@pytest.mark.parametrize("gateway", SENDERS)
def test_a_webhook_in_trouble_is_asked_to_come_back(gateway: str, trouble: str, scene: Scene, locked: Locked) -> None:
    refund = scene.sent("ordinary")
    troubles = {"locked": locked, "read-only": ReadOnly(), "opened read-only": ReadOnlyFile()}
    refused_and_taken_later(scene, troubles[trouble], refund, letter(scene, refund))


@pytest.mark.promise("I35", "I37")
@pytest.mark.usefixtures("open_door")
@pytest.mark.parametrize("gateway", ["payerly"])
def test_a_webhook_that_finds_no_room_is_asked_to_come_back(gateway: str, scene: Scene) -> None:
    refund, disk = scene.sent("ordinary"), FullDisk()
    headers, body = letter(scene, refund)
    sealed, long = seal(gateway, scene.sandbox, body + b" " * 30_000)
    refused_and_taken_later(scene, disk, refund, ({**headers, "Signature": sealed["signature"]}, long))
    disk.clear()


# --- With a worker of its own ---


@pytest.mark.promise("I3", "I15")
def test_a_worker_outlives_a_lock_that_nobody_waits_out(house: House, locked: Locked, trials: Trials) -> None:
    house.open_doors()
    refunds = []
    for number in range(1, ROUNDS + 1):
        n_before = n_thrown_out(house)
        refunds += [approved(house.sold(name, 1000 + number, number), 1000) for name in ("payerly", "paynow")]
        locked.start()
        until(lambda n_before=n_before: n_thrown_out(house) > n_before)
        locked.end()
    for refund in refunds:
        until_status(refund, "succeeded", seconds=60)
        assert len(house.paid(refund)) == 1
    assert house.workers[0].poll() is None, "It has to come back by itself."
    trials(len(refunds))


def n_thrown_out(house: House) -> int:
    """How often the worker has been thrown out by the database."""
    return house.log.read_text().count("The database is away")
