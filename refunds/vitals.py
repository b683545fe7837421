"""Is this process fit to serve, and is the whole desk alive? Cheap questions, each with its own answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Max, Min
from django.utils import timezone
from django_tasks import task_backends
from django_tasks_db import DatabaseBackend

from refunds import guards
from refunds.metrics.now import oldest_unsealed
from refunds.models import Checkpoint, Refund, WorkerSign

LATEST_POLL = timedelta(minutes=2)
LATEST_SWEEP = timedelta(minutes=5)
LATEST_DUE = timedelta(minutes=10)
LATEST_SEAL = timedelta(minutes=15)
LONGEST_WAIT, STALE = 1.0, 15.0  # seconds: for another's question, and until its last answer is none


@dataclass(frozen=True)
class Check:
    """`age` is how old the last sign is, or how late the oldest thing; None where time says nothing, or nobody knows.

    `why` is for us alone.
    """

    is_ok: bool
    age: timedelta | None = None
    why: str = ""


# --- May requests be sent here? Nothing in these depends on a worker ---


def database() -> Check:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Check(True)


def migrations() -> Check:
    """A newer database serves older code, so that one process after the other can be replaced."""
    missing = _migrations_of_the_code() - set(MigrationRecorder(connection).applied_migrations())
    return Check(not missing, why=", ".join(".".join(one) for one in sorted(missing)[:3]))


@lru_cache(maxsize=1)
def _migrations_of_the_code() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).graph.nodes)


def guards_in_place() -> Check:
    missing = guards.missing(connection)
    return Check(not missing, why=", ".join(missing[:3]))


# --- Is the desk's work done? ---


def worker() -> Check:
    """Another Tasks backend's workers give us no sign; what they leave undone is late in `due`."""
    if not isinstance(task_backends["default"], DatabaseBackend):
        return Check(True, why="the workers are another backend's")
    return _seen_within(LATEST_POLL, WorkerSign.objects.aggregate(last=Max("polled_at"))["last"])


def sweep() -> Check:
    return _seen_within(LATEST_SWEEP, WorkerSign.objects.aggregate(last=Max("swept_at"))["last"])


def due() -> Check:
    """The refund that should have been sent or asked about longest ago."""
    return _late(LATEST_DUE, Refund.objects.filter(ask_at__isnull=False).aggregate(oldest=Min("ask_at"))["oldest"])


def history() -> Check:
    """The oldest journal line that no checkpoint covers."""
    return _late(LATEST_SEAL, oldest_unsealed(Checkpoint.objects.first()))


def _seen_within(latest: timedelta, last: datetime | None) -> Check:
    if last is None:
        return Check(False, why="never seen")
    age = max(timezone.now() - last, timedelta())
    return Check(age <= latest, age)


def _late(latest: timedelta, since: datetime | None) -> Check:
    age = max(timezone.now() - since, timedelta()) if since else timedelta()
    return Check(age <= latest, age)


# --- All of one kind, asked at most every few seconds by one process ---


@dataclass
class Panel:
    """Several checks, whose answer is remembered for `kept` seconds: a stranger who asks costs nothing."""

    checks: Mapping[str, Callable[[], Check]]
    kept: float = 2.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    last: tuple[float, dict[str, Check]] | None = None

    def look(self) -> dict[str, Check]:
        """Nobody stands in line while a database hangs: they get the last answer as long as that is young."""
        if self.lock.acquire(timeout=LONGEST_WAIT):
            try:
                if self.last is None or self._age() >= self.kept:
                    self.last = time.monotonic(), self._ask()
                return self.last[1]
            finally:
                self.lock.release()
        if self.last and self._age() < STALE:
            return self.last[1]
        return {"database": Check(False, why="no answer yet")}

    def _age(self) -> float:
        return time.monotonic() - self.last[0] if self.last else 0

    def _ask(self) -> dict[str, Check]:
        """What cannot be asked is not well; without a database nothing else is asked."""
        found: dict[str, Check] = {}
        for name, check in self.checks.items():
            try:
                found[name] = check()
            except Error as trouble:
                found[name] = Check(False, why=type(trouble).__name__)
                if check is database:
                    break
        return found


FIT = {"database": database, "migrations": migrations, "guards": guards_in_place}
READY = Panel(FIT)
DESK = Panel({**FIT, "worker": worker, "sweep": sweep, "due": due, "history": history})
