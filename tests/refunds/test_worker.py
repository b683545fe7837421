"""The worker's supervisor: it begins again for as long as it takes, and soon again where all was well in between."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connections
from django.db.models import Count
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from refunds import jobs, services
from refunds.models import Refund
from refunds.worker import KEEP_JOBS, LONGEST_PAUSE, PoolWorker, forget_old_jobs, supervise
from tests.builders import approved
from tests.house import House, until

pytestmark = pytest.mark.django_db


class Days(threading.Event):
    """A day's work after the other, each of so many seconds, ended by the database; the pauses between them."""

    def __init__(self, lengths: Iterable[float], patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.lengths, self.now, self.pauses = iter(lengths), 0.0, list[float]()
        patch.setattr(time, "monotonic", lambda: self.now)

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0)
        return False

    def work(self) -> None:
        if (length := next(self.lengths, None)) is None:
            return
        self.now += length
        raise (OperationalError, InterfaceError)[len(self.pauses) % 2]


def test_pauses_grow_while_the_database_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    days = Days([0.0] * 9, monkeypatch)
    supervise(days.work, days)
    assert days.pauses == [0.5, 1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_after_a_good_while_the_pauses_are_short_again(monkeypatch: pytest.MonkeyPatch) -> None:
    days = Days([0.0, 0.0, 0.0, 3600.0, 0.0, 3600.0], monkeypatch)
    supervise(days.work, days)
    assert days.pauses == [0.5, 1, 2, 0.5, 1, 0.5]


def test_it_ends_when_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    days = Days([0.0], monkeypatch)
    days.set()
    supervise(days.work, days)
    assert days.pauses == []


# --- what a worker holds in its hands ---


class Hands:
    """A worker with two threads, whose jobs last until they are let go."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.begun, self.let_go = [], threading.Event()
        patch.setattr(services, "take_turn", self._turn)
        patch.setattr(
            "refunds.worker.close_old_connections", connections.close_all
        )  # a test's threads leave none behind
        self.worker = PoolWorker(2, 0.01, "hands")
        self.poller = threading.Thread(target=self._poll)

    def _turn(self, refund_id: int, *args: object, **kwargs: object) -> None:
        self.begun.append(refund_id)
        assert self.let_go.wait(20)

    def _poll(self) -> None:
        try:
            self.worker.run()
        finally:
            connections.close_all()

    def end(self) -> None:
        self.worker.stop()
        self.let_go.set()
        self.poller.join(20)
        self.worker.finish()


def standing() -> dict[str, int]:
    """How many jobs stand where."""
    return dict(DBTaskResult.objects.values_list("status").annotate(Count("pk")).order_by())


@pytest.mark.django_db(transaction=True)
def test_no_job_is_claimed_that_cannot_begin_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker may take the third; and when this one is stopped, it is still in line."""
    for refund_id in (1, 2, 3):
        jobs.wake(refund_id, timezone.now(), at_once=True)
    hands = Hands(monkeypatch)
    hands.poller.start()
    try:
        until(lambda: len(hands.begun) == 2)
        time.sleep(0.2)
        assert standing() == {"READY": 1, "RUNNING": 2}
    finally:
        hands.end()
    assert (sorted(hands.begun), standing()) == ([1, 2], {"READY": 1, "SUCCESSFUL": 2})


@pytest.mark.django_db(transaction=True)
def test_a_thread_that_is_free_again_takes_the_next_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for refund_id in range(20):
        jobs.wake(refund_id, timezone.now(), at_once=True)
    hands = Hands(monkeypatch)
    hands.let_go.set()
    hands.poller.start()
    try:
        until(lambda: standing() == {"SUCCESSFUL": 20})
    finally:
        hands.end()


def test_jobs_that_ended_or_died_long_ago_are_forgotten() -> None:
    now, long_ago = timezone.now(), timezone.now() - KEEP_JOBS - timedelta(hours=1)
    for refund_id, at in enumerate((now, long_ago)):
        for status in ("RUNNING", "SUCCESSFUL", "FAILED", "READY"):
            jobs.wake(refund_id, now, at_once=True)
            made = DBTaskResult.objects.filter(pk=DBTaskResult.objects.order_by("-enqueued_at")[0].pk)
            began = None if status == "READY" else at
            made.update(status=status, started_at=began, finished_at=at if status in ("SUCCESSFUL", "FAILED") else None)
    forget_old_jobs()
    assert standing() == {"RUNNING": 1, "SUCCESSFUL": 1, "FAILED": 1, "READY": 2}


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_told_to_end_finishes_its_calls_and_begins_no_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four threads, twelve refunds, and SIGTERM while the first calls are answered slowly."""
    refunds = [approved(house.sold("airpay", number=number)) for number in range(1, 13)]
    answer, calls = house.sandbox.answer, []

    def slowly(request: Any) -> Any:
        calls.append(request.path)
        time.sleep(0.6)
        return answer(request)

    monkeypatch.setattr(house.sandbox, "answer", slowly)
    worker = house.start_worker()
    until(lambda: len(calls) >= 4)
    worker.terminate()
    assert worker.wait(30) == 0
    assert "RUNNING" not in standing()
    statuses = Counter(Refund.objects.filter(pk__in=[one.pk for one in refunds]).values_list("status", flat=True))
    assert sorted(statuses) == ["approved", "processing"]  # none is on its way, and none is in doubt
    assert statuses["processing"] == len(calls)
    assert standing()["READY"] >= statuses["approved"]
