"""Stops a process with SIGSTOP at any step of what it does, and wakes it whenever the test likes: a worker that stalls.

While it sleeps time goes on and others work. It then wakes with everything that it believed when it fell asleep.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import IO

import pytest
from django.db import connection, connections

from gateways import watch
from tests.faults.door import Door
from tests.faults.killer import WRITTEN, Killer, Life, Step, _Child
from tests.faults.workers import Clock

Stops = Callable[[int, str], bool]  # (number of the step, its name) → stop as it begins


def never(number: int, name: str) -> bool:
    """Where nobody stops."""
    return False


class SharedClock(Clock):
    """One clock for this process and all its forks, and for the look at it before an order's first byte."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._seconds = multiprocessing.RawValue("d", 0.0)
        super().__init__(patch)
        clock = self

        class Moved(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:
                return clock.now().astimezone(tz)

        patch.setattr(watch, "datetime", Moved)

    @property
    def ahead(self) -> timedelta:
        return timedelta(seconds=self._seconds.value)

    @ahead.setter
    def ahead(self, ahead: timedelta) -> None:
        self._seconds.value = ahead.total_seconds()


@dataclass(frozen=True)
class SeenStep(Step):
    """`is_free` when it lies outside of a transaction: others can go on."""

    is_free: bool


class Asleep:
    """A process that has stopped, or that has ended without coming to its stop (`is_over`)."""

    def __init__(self, pid: int, paper: IO[bytes]) -> None:
        self.pid, self.paper = pid, paper
        self._wait(os.WUNTRACED)

    @property
    def is_over(self) -> bool:
        return not os.WIFSTOPPED(self.status)

    def wake(self) -> Life:
        """Let it go on to its end; returns all that it did, before and after."""
        if not self.is_over:
            os.kill(self.pid, signal.SIGCONT)
            self._wait()
        assert self.status == 0, f"The sleeper ended with {self.status} after {self.steps[-1:]}."
        return Life(list(self.steps), was_killed=False)

    def _wait(self, options: int = 0) -> None:
        _, self.status = os.waitpid(self.pid, options)
        lines = [json.loads(line) for line in os.pread(self.paper.fileno(), 2**24, 0).splitlines()]
        assert "trouble" not in (last := lines[-1] if lines else {}), last["trouble"]
        self.steps = [SeenStep(line["name"], line["lasts"], line["is_free"]) for line in lines]


class Sleeper(Killer):
    """`doze(act, stops)` does it in a process of its own and returns once that has stopped, or has ended."""

    def __init__(self, clock: Clock, door: Door) -> None:
        super().__init__(clock, door.sandbox.desk.ledger.atomic)
        self.door = door

    def doze(self, act: Callable[[], object], stops: Stops) -> Asleep:
        connections.close_all()
        n_served, paper = self.door.n_served, tempfile.TemporaryFile()  # noqa: SIM115 the sleeper's, until it ends
        with self.fork_within():
            child = os.fork()
            if not child:
                _Dozing(paper.fileno(), self.clock, stops).live(act)  # never returns
        asleep = Asleep(child, paper)
        # What left the house is carried out now; and nobody may be in the database while the next one is forked.
        self.door.wait_for(n_served + sum(step.name == WRITTEN for step in asleep.steps))
        return asleep


class _Dozing(_Child):
    def __init__(self, out: int, clock: Clock, stops: Stops) -> None:
        self.out, self.clock, self.stops, self.n_steps = out, clock, stops, 0

    def step(self, name: str, *, lasts: bool) -> None:
        self.n_steps += 1
        self._tell(name=name, lasts=lasts, is_free=not connection.in_atomic_block and name != "COMMIT")
        if self.stops(self.n_steps, name):
            self.stops = never
            os.kill(os.getpid(), signal.SIGSTOP)
