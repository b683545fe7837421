"""Kills a process with SIGKILL at any step of whatever it does: each SQL statement, each commit, each edge of a call.

No crash point is written by hand, so new code is covered by itself. The process is a fork of the test: it has its own
connection to the database, sees the clock as it stands, and is gone without a farewell.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, connections
from urllib3.connection import HTTPConnection

from gateways import pay3
from gateways.http import HttpClient
from gateways.tokens import Tokens
from tests.faults.workers import Clock

LONGEST_LIFE = 60  # seconds: a child that hangs is ended, and fails its test
CALL, BYTES, WRITTEN, ANSWERED = "call", "bytes", "request written", "answered"
READS = ("SELECT", "PRAGMA", "BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET")


@dataclass(frozen=True)
class Step:
    """What comes next; `lasts` is whether it outlives the process that does it."""

    name: str
    lasts: bool

    @property
    def is_call(self) -> bool:
        return self.name.split(":")[0] in (CALL, WRITTEN, ANSWERED)


def differs(step: Step, before: Step | None) -> bool:
    """Whether the world differs from the moment before, or a call passes one of its edges.

    What is not committed dies with the process, so between two things that last all moments are alike.
    """
    return step.is_call or (before is not None and before.lasts)


@dataclass(frozen=True)
class Life:
    """The steps that a process began, in their order; the last one is not done if the process was killed."""

    steps: list[Step]
    was_killed: bool

    @property
    def n_written(self) -> int:
        """Requests that left completely."""
        return sum(step.name == WRITTEN for step in self.steps)

    def n_moments(self, *, every: bool = False, until: int | None = None) -> int:
        """At how many moments it can be killed: at every step, or where `differs` says so."""
        befores = [None, *self.steps]
        return sum(every or differs(step, before) for step, before in zip(self.steps[:until], befores, strict=False))

    def first_byte(self, is_it: Callable[[str, str], bool]) -> int:
        """The step with which a call like this (method, path) begins to leave the house; 0 if it does not."""
        about = False
        for number, step in enumerate(self.steps, 1):
            kind, _, call = step.name.partition(": ")
            if kind == CALL:
                about = is_it(*call.split(" ", 1))
            elif kind == BYTES and about:
                return number
        return 0


class Killer:
    """`live(act)` does it in a process of its own; with `kill_at=k` that process dies at the k-th moment."""

    def __init__(self, clock: Clock, fork_within: Callable[[], AbstractContextManager[None]]) -> None:
        self.clock = clock
        self.fork_within = fork_within  # what no other thread may be at while we fork

    def live(self, act: Callable[[], object], kill_at: int = 0, *, every: bool = False) -> Life:
        connections.close_all()  # a connection cannot be shared with a child
        theirs, ours = os.pipe()
        with self.fork_within():
            child = os.fork()
            if not child:
                _Child(ours, self.clock, kill_at, every).live(act)  # never returns
        os.close(ours)
        with closing(os.fdopen(theirs)) as told:
            lines = [json.loads(line) for line in told]
        _, status = os.waitpid(child, 0)
        assert "trouble" not in (last := lines[-1] if lines else {}), last["trouble"]
        if lines:
            self.clock.ahead = timedelta(seconds=lines[-1]["ahead"])
        if status:
            assert os.WTERMSIG(status) == signal.SIGKILL, f"The child ended with {status} after {lines[-1:]}."
        return Life([Step(line["name"], line["lasts"]) for line in lines], was_killed=bool(status))


class _Child:
    """The other side of the fork: counts, tells, dies."""

    def __init__(self, out: int, clock: Clock, kill_at: int, every: bool) -> None:
        self.out, self.clock, self.left, self.every = out, clock, kill_at, every
        self.before: Step | None = None

    def live(self, act: Callable[[], object]) -> None:
        try:
            gc.disable()  # it would touch, and so copy, every page that we share with the test
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LONGEST_LIFE)
            self._watch_database()
            self._watch_calls()
            pay3.TOKENS = Tokens()  # a new process knows no token
            with connection.execute_wrapper(self._statement):
                act()
        except BaseException:
            self._tell(trouble=traceback.format_exc())
        finally:
            os._exit(0)

    def step(self, name: str, *, lasts: bool) -> None:
        step = Step(name, lasts)
        self._tell(name=name, lasts=lasts, ahead=self.clock.ahead.total_seconds())
        if self.every or differs(step, self.before):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        self.before = step

    def _tell(self, **words: Any) -> None:
        os.write(self.out, json.dumps(words).encode() + b"\n")

    def _statement(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        verb = sql.split(None, 1)[0].upper()
        self.step(" ".join(sql.split()[:3]), lasts=not connection.in_atomic_block and verb not in READS)
        return execute(sql, params, many, context)

    def _watch_database(self) -> None:
        commit = connection.commit

        def watched() -> None:
            self.step("COMMIT", lasts=True)
            commit()

        connection.commit = watched

    def _watch_calls(self) -> None:
        send, push, wait = HttpClient.send, HTTPConnection.send, HTTPConnection.getresponse

        def call(client: HttpClient, method: str, path: str, **words: Any) -> Any:
            assert not connection.in_atomic_block, "a transaction is open while the network is used"
            self.step(f"{CALL}: {method} {path}", lasts=False)
            try:
                return send(client, method, path, **words)
            finally:
                self.step(ANSWERED, lasts=False)

        def pushed(line: HTTPConnection, data: Any) -> None:
            self.step(BYTES, lasts=True)
            push(line, data)

        def waiting(line: HTTPConnection, *args: Any, **words: Any) -> Any:
            self.step(WRITTEN, lasts=True)
            return wait(line, *args, **words)

        HttpClient.send, HTTPConnection.send, HTTPConnection.getresponse = call, pushed, waiting
