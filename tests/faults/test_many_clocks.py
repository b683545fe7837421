"""Many clocks at once: what is due is handed out once, sealed once and told once, whoever is alive to do it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connections
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from refunds import history, jobs, services
from refunds.models import Checkpoint, Notice, Refund
from refunds.services import due
from tests.builders import approved, ask, bob, make_payment
from tests.house import ROOT, until

pytestmark = pytest.mark.django_db(transaction=True)
KEPT = pytest.mark.promise("I25")
CLOCKS, ROWS = 4, 30


def at_once(act: Callable[[], Any]) -> list[Any]:
    """What each of the clocks got from it, all of them starting at the same moment."""
    start = threading.Barrier(CLOCKS)

    def one() -> Any:
        try:
            start.wait(20)
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(CLOCKS) as pool:
        return [future.result() for future in [pool.submit(one) for _ in range(CLOCKS)]]


def tickets() -> Counter[int]:
    """How many tickets each refund has in line."""
    turns = DBTaskResult.objects.filter(task_path="refunds.jobs.turn")
    return Counter(found["args"][0] for found in turns.values_list("args_kwargs", flat=True))


@pytest.fixture
def rows() -> list[int]:
    """Approved refunds that are due and whose tickets were lost."""
    found = [approved(make_payment(reference=f"pay-{number}")).pk for number in range(ROWS)]
    DBTaskResult.objects.all().delete()
    return found


def test_each_due_row_is_handed_out_once(rows: list[int]) -> None:
    assert sum(at_once(services.sweep)) == ROWS
    assert tickets() == Counter(rows)
    assert sum(at_once(services.sweep)) == 0


def test_a_minute_is_sealed_once(rows: list[int]) -> None:
    set_by = [checkpoint for checkpoint in at_once(history.set_checkpoint) if checkpoint]
    assert len(set_by) == Checkpoint.objects.count() == 1
    assert history.verify().findings == []


def test_a_digest_is_told_once(settings: Any) -> None:
    settings.SENDS_MAIL, settings.NOTICE_WEBHOOK_URL = True, ""
    person = bob()
    person.email = "bob@example.com"
    person.save()
    for number in range(3):
        ask(make_payment(reference=f"pay-{number}"))
    assert Notice.objects.filter(person=person).update(due_at=timezone.now()) == 3
    at_once(lambda: services.tell(person.pk))
    assert len(mail.outbox) == 1
    assert not Notice.objects.filter(sent_at=None).exists()


def test_what_one_took_and_never_handed_out_comes_due_again(rows: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies between its two commits: the row has moved on, and its ticket was never written."""
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "wake", lambda *_, **__: None)
        assert services.sweep() == ROWS
    assert (tickets(), services.sweep()) == (Counter(), 0)
    after = timezone.now() + due.lease() + timedelta(seconds=1)
    monkeypatch.setattr(timezone, "now", lambda: after)
    assert sum(at_once(services.sweep)) == ROWS
    assert tickets() == Counter(rows)


@pytest.fixture
def clocks(process_environment: dict[str, str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    command = [sys.executable, "manage.py", "clock", "--sweep", "0.2"]
    words: dict[str, Any] = {"cwd": ROOT, "env": process_environment, "stdout": subprocess.PIPE}
    running = [subprocess.Popen(command, **words) for _ in range(2)]
    try:
        for one in running:
            assert one.stdout
            assert b"Clock ready" in one.stdout.readline()
        yield running
    finally:
        for one in running:
            one.kill()
            one.communicate()


@KEPT
def test_when_one_clock_is_killed_the_other_goes_on(rows: list[int], clocks: list[subprocess.Popen[bytes]]) -> None:
    until(lambda: len(tickets()) == ROWS)
    for clock in clocks:
        DBTaskResult.objects.all().delete()
        Refund.objects.filter(pk__in=rows).update(ask_at=timezone.now())
        until(lambda: tickets() == Counter(rows))
        clock.kill()
        clock.wait()
        if clock is clocks[0]:
            continue
        Refund.objects.filter(pk__in=rows).update(ask_at=timezone.now())
        assert services.sweep() == ROWS  # nobody else was left to do it
