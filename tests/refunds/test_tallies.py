"""Counters: each row of the books is counted once, whoever counts and how often, and nothing ever falls."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from refunds import guards, history, services
from refunds.metrics import tallies
from refunds.models import Attempt, Event, Refund, Status, Tally, TallyMark
from tests.builders import again, approved, ask, bob, make_account, make_delivery, make_payment
from tests.refunds.test_record import standing_in

pytestmark = pytest.mark.django_db
LATER = timedelta(minutes=5)


@pytest.fixture
def later(time_machine: Any) -> Any:
    """Five minutes on, and counted."""

    def go_on() -> int:
        time_machine.shift(LATER)
        history.set_checkpoint()
        return tallies.count()

    time_machine.move_to(timezone.now(), tick=True)
    tallies.count()
    return go_on


def told(name: str) -> dict[str, int]:
    return {row.words: row.number for row in Tally.objects.filter(name=name)}


def attempt(refund: Refund, outcome: str, **fields: Any) -> Attempt:
    """A look-up that was answered within 0.3 s, or that nobody has closed."""
    now = timezone.now()
    ended = None if outcome == "open" else now + timedelta(milliseconds=300)
    given = {"kind": "look_up", "fence": 1, "started_at": now, "finished_at": ended, **fields}
    return Attempt.objects.create(refund=refund, outcome=outcome, **given)


def test_each_move_is_counted_once_however_often_we_count(later: Any) -> None:
    refund = ask()
    services.approve_refund(refund.pk, bob(), seen=refund.version)
    later()
    assert told("move") == {"requested": 1, "approved": 1}
    assert later() == 0
    services.unapprove_refund(refund.pk, bob(), "A mistake.", seen=again(refund).version)
    later()
    assert told("move") == {"requested": 2, "approved": 1}


def test_every_way_through_the_books_is_told_as_the_journal_tells_it(later: Any) -> None:
    for status in (Status.SUCCEEDED, Status.FAILED, Status.REVERSED, Status.UNKNOWN):
        standing_in(status, make_payment(reference=f"pay-{status}"))
    later()
    lines = Event.objects.filter(refund__isnull=False)
    moved = Counter(to for was, to in lines.values_list("from_status", "to_status") if was != to)
    assert told("move") == moved
    assert sum(told("settlement").values()) == 3  # coming back later is no second settlement


def test_a_line_that_is_not_sealed_yet_waits(later: Any) -> None:
    ask()
    assert tallies.count() == 0
    assert told("move") == {}


def test_how_long_people_and_gateways_took_falls_into_its_bucket(later: Any, time_machine: Any) -> None:
    refund = ask()
    time_machine.shift(timedelta(minutes=20))
    services.approve_refund(refund.pk, bob(), seen=refund.version)
    attempt(refund, "answered")
    later()
    assert told("approval") == {"3600": 1}
    assert told("call") == {"look_up 0.5": 1}
    took = Tally.objects.get(name="approval").milliseconds
    assert 20 * 60 * 1000 <= took < 21 * 60 * 1000


def test_an_attempt_at_work_is_waited_for_and_one_of_a_dead_worker_is_lost(later: Any, time_machine: Any) -> None:
    refund = ask()
    tallies.count()
    first = attempt(refund, "open")
    attempt(refund, "no_answer")
    time_machine.shift(timedelta(seconds=60))
    tallies.count()
    assert told("attempt") == {}
    Attempt.objects.filter(pk=first.pk).update(outcome="answered", finished_at=timezone.now())
    tallies.count()
    assert told("attempt") == {"look_up answered": 1, "look_up no_answer": 1}
    attempt(refund, "open")
    later()
    assert told("attempt")["look_up lost"] == 1


def test_deliveries_are_counted_by_what_became_of_them(later: Any) -> None:
    make_delivery(make_account())
    later()
    assert told("delivery") == {"ignored": 1}


def test_what_was_there_before_is_no_news(time_machine: Any) -> None:
    standing_in("succeeded")
    history.set_checkpoint()
    tallies.count()
    assert not Tally.objects.exists()
    assert TallyMark.objects.get(name="event").last_id == Event.objects.latest("pk").pk


def test_rows_that_retention_takes_away_stay_counted(later: Any) -> None:
    ask()
    later()
    guards.remove(connection)
    try:
        Event.objects.all().delete()
    finally:
        guards.install(connection)
    later()
    assert told("move") == {"requested": 1}


def test_a_long_absence_is_made_up_in_small_turns(later: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MOST_AT_ONCE", 3)
    for number in range(4):
        approved(make_payment(reference=f"pay-{number}"))
    later()
    assert told("move") == {"requested": 4, "approved": 4}


def test_a_count_that_breaks_in_the_middle_is_as_if_it_had_not_begun(
    later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask()
    counted = tallies._add
    monkeypatch.setattr(tallies, "_add", lambda *fact: (counted(*fact), 1 // 0))
    with pytest.raises(ZeroDivisionError):
        later()
    assert told("move") == {}
    monkeypatch.setattr(tallies, "_add", counted)
    later()
    assert told("move") == {"requested": 1}
