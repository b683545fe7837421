"""The worker's poller: many jobs in one look, never more than there are threads, and each ends once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models import Count
from django.utils import timezone
from django_tasks import task_backends
from django_tasks_db.models import DBTaskResult

from refunds import jobs, services
from refunds.worker import PoolWorker
from tests.house import until

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 2


class Desk:
    """A poller at work; its jobs wait until they may end."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.begun: list[int] = []
        self.may_end = threading.Event()
        patch.setattr(services, "take_turn", self._turn)
        self.worker = PoolWorker(THREADS, 0.01, "desk")
        self.poller = threading.Thread(target=self._poll)

    def _turn(self, refund_id: int, *_: object, **__: object) -> None:
        self.begun.append(refund_id)
        assert self.may_end.wait(20)
        if refund_id < 0:
            raise ValueError("It goes wrong.")

    def _poll(self) -> None:
        try:
            self.worker.run()
        finally:
            connections.close_all()


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    found = Desk(monkeypatch)
    yield found
    found.worker.stop()
    found.may_end.set()
    if found.poller.ident:
        found.poller.join(20)
    found.worker.finish()


def book(*refund_ids: int) -> None:
    for refund_id in refund_ids:
        jobs.wake(refund_id, timezone.now(), at_once=True)


def standing() -> dict[str, int]:
    return dict(DBTaskResult.objects.values_list("status").annotate(Count("pk")).order_by())


def test_it_claims_as_many_as_there_are_threads_in_one_transaction(
    desk: Desk, django_assert_num_queries: Callable[..., Any]
) -> None:
    book(1, 2, 3)
    assert desk.worker._free_threads() == THREADS
    with django_assert_num_queries(4):  # begin, read, write, commit
        claimed = desk.worker._look_for_jobs(THREADS)
    assert [job.args_kwargs["args"][0] for job in claimed] == [1, 2]
    assert all((job.status, job.worker_ids) == ("RUNNING", ["desk"]) for job in DBTaskResult.objects.running())
    assert standing() == {"READY": 1, "RUNNING": 2}


def test_what_cannot_begin_at_once_stays_in_line(desk: Desk) -> None:
    book(1, 2, 3)
    desk.poller.start()
    until(lambda: len(desk.begun) == THREADS)
    time.sleep(0.1)
    assert standing() == {"READY": 1, "RUNNING": 2}
    desk.may_end.set()
    until(lambda: standing() == {"SUCCESSFUL": 3})
    until(lambda: not desk.worker.done)
    assert sorted(desk.begun) == [1, 2, 3]


def test_a_job_that_goes_wrong_is_kept_as_failed_and_frees_its_thread(desk: Desk) -> None:
    desk.may_end.set()
    book(-1, -2, -3, 4)
    desk.poller.start()
    until(lambda: standing() == {"FAILED": 3, "SUCCESSFUL": 1})


def test_a_look_that_fails_gives_its_threads_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(desk.worker, "_claim", lambda most: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            desk.worker.run()
    assert desk.worker._free_threads() == THREADS


# --- backends that can do less ---


def test_what_a_backend_cannot_put_off_is_left_to_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_backends["default"], "supports_defer", False)
    jobs.wake(1, timezone.now() + timedelta(minutes=5))
    assert standing() == {}
    monkeypatch.undo()
    jobs.wake(1, timezone.now() + timedelta(minutes=5))
    assert standing() == {"READY": 1}


def test_without_priorities_it_is_first_come_first_served(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.wake_key_fetch(1)
    monkeypatch.setattr(task_backends["default"], "supports_priority", False)
    jobs.wake_key_fetch(2)
    assert sorted(DBTaskResult.objects.values_list("priority", flat=True)) == [0, 10]
