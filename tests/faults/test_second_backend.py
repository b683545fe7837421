"""The same house on another Tasks backend, by configuration alone: RQ and its own workers, on a real Redis."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from refunds import history
from refunds.models import Account, Attempt, Refund
from tests.builders import approved, make_account
from tests.house import ROOT, House, until, until_status

pytestmark = [
    pytest.mark.once,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not shutil.which("redis-server") or not find_spec("django_tasks_rq"),
        reason="Needs redis-server and the package django-tasks-rq.",
    ),
]
KEPT = pytest.mark.promise("I2", "I3", "I15")
Trials = Callable[[int], None]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """A Redis of our own on a free port, which writes nothing to disk."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    words = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(tmp_path))
    with subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL) as server:
        try:
            until(lambda: answers(port))
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.kill()


def answers(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


class Rq:
    """RQ's own workers, and our clock beside them."""

    def __init__(self, house: House, url: str) -> None:
        self.house = house
        house.environment |= {"TASKS_BACKEND": "django_tasks_rq.RQBackend", "TASKS_URL": url}

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with self.house.log.open("ab") as log:
            command = [sys.executable, "manage.py", *words]
            process = subprocess.Popen(command, cwd=ROOT, env=self.house.environment, stdout=log, stderr=log)
        self.house.workers.append(process)
        return process

    def worker(self) -> subprocess.Popen[bytes]:
        return self.start("rqworker", "default", "--with-scheduler", "--serializer", "rq.serializers.JSONSerializer")

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """With the process that does its job, and the one that keeps its plans."""
        for process in (*psutil.Process(worker.pid).children(recursive=True), worker):
            process.send_signal(signal.SIGKILL)
        worker.wait()


@pytest.fixture
def rq(house: House, redis: str) -> Rq:
    make_account()
    found = Rq(house, redis)
    found.start("clock", "--sweep", "0.5")
    return found


def sold(house: House, number: int) -> Refund:
    return approved(house.sold("payerly", 5000, number), 1000)


@KEPT
def test_a_refund_is_sent_and_settled_by_rq(house: House, rq: Rq, trials: Trials) -> None:
    rq.worker()
    until(lambda: Account.objects.get(slug="payerly-eu").webhook_key)
    refunds = [sold(house, number) for number in range(1, 4)]
    for refund in refunds:
        until_status(refund, "succeeded", seconds=60)
        assert len(house.paid(refund)) == 1, refund
    assert history.verify().findings == []
    trials(len(refunds))


@KEPT
def test_a_killed_rq_worker_loses_nothing_and_pays_once(house: House, rq: Rq, trials: Trials) -> None:
    answer, may_answer = house.sandbox.answer, threading.Event()

    def held(request: Any) -> Any:
        reply = answer(request)
        if request.method == "PUT":
            may_answer.wait(30)
        return reply

    house.sandbox.answer = held  # type: ignore[method-assign]
    worker = rq.worker()
    until(lambda: Account.objects.get(slug="payerly-eu").webhook_key)
    payment = house.sold("payerly", 5000)
    house.sandbox.tell("no_webhook", payment=payment.reference)
    refund = approved(payment, 1000)
    until(lambda: house.paid(refund))
    rq.kill(worker)
    may_answer.set()
    assert Attempt.objects.get(refund=refund, kind=Attempt.Kind.SEND).outcome == Attempt.Outcome.OPEN
    rq.worker()
    until_status(refund, "succeeded", seconds=60)
    assert len(house.paid(refund)) == 1
    assert "The worker was lost in mid-call." in refund.attempts.values_list("said", flat=True)
    trials(1)


def test_our_own_worker_leaves_the_jobs_to_rq(house: House, rq: Rq) -> None:
    ours = rq.start("worker")
    assert ours.wait(timeout=30) != 0
    assert "manage.py clock" in house.log.read_text()
