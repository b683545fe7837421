"""The worker's supervisor: it begins again for as long as it takes, and soon again where all was well in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import pytest
from django.db import InterfaceError, OperationalError

from refunds.worker import LONGEST_PAUSE, supervise

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
