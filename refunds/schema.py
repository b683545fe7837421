"""How the schema changes while the desk is at work: indexes without a lock, and no long wait for one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.postgres import operations
from django.db import OperationalError, migrations
from psycopg.errors import LockNotAvailable

log = logging.getLogger(__name__)

# Whoever waits for a table's lock makes everybody behind it wait too, so no wait is longer than a slow page.
MOST_WAITING = "2s"
TRIES, PAUSE = 20, 3.0  # so that a migration has more than a minute to find its moment

HALF, WHOLE = "half built", "whole"
ON_POSTGRESQL = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
ON_SQLITE = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = %s"


class _Online:
    """An index is built or dropped while rows are read and written: CONCURRENTLY on PostgreSQL, plainly on SQLite.

    The migration must have `atomic = False`. One that was cut off may be run again: what is done is left alone, and
    the half-built index that PostgreSQL leaves behind is dropped first.
    """

    plain: type[migrations.operations.base.Operation]
    adds: bool

    def database_forwards(self, *where: Any) -> None:
        self._change("database_forwards", where, build=self.adds)

    def database_backwards(self, *where: Any) -> None:
        self._change("database_backwards", where, build=not self.adds)

    def _change(self, way: str, where: tuple[Any, ...], *, build: bool) -> None:
        editor = where[1]
        name = self.index.name if self.adds else self.name  # type: ignore[attr-defined]
        found = None if editor.collect_sql else _look(editor.connection, name)
        if found == (WHOLE if build else None) and not editor.collect_sql:
            return
        if editor.connection.vendor != "postgresql":
            getattr(self.plain, way)(self, *where)
            return
        with waiting(editor.connection, "0"):  # for old transactions; nobody waits behind it
            if found == HALF and build:
                editor.execute(f"DROP INDEX CONCURRENTLY {editor.quote_name(name)}")
            getattr(super(), way)(*where)


class AddIndexOnline(_Online, operations.AddIndexConcurrently):
    plain, adds = migrations.AddIndex, True


class RemoveIndexOnline(_Online, operations.RemoveIndexConcurrently):
    plain, adds = migrations.RemoveIndex, False


def _look(db: Any, name: str) -> str | None:
    """HALF or WHOLE, or None where there is no such index."""
    with db.cursor() as cursor:
        if db.vendor == "postgresql":
            cursor.execute(ON_POSTGRESQL, [db.ops.quote_name(name)])
        else:
            cursor.execute(ON_SQLITE, [name])
        found = cursor.fetchone()
    return found and (WHOLE if found[0] else HALF)


def is_whole(db: Any, name: str) -> bool:
    """Whether there is an index of this name, built to its end."""
    return _look(db, name) == WHOLE


@contextmanager
def waiting(db: Any, most: str) -> Iterator[None]:
    """On PostgreSQL, wait for a lock at most so long ("2s"; "0" is for ever), and let a statement take its time."""
    if db.vendor != "postgresql":
        yield
        return
    now = {"lock_timeout": most, "statement_timeout": "0"}
    before = {name: _setting(db, name) for name in now}
    _set(db, now)
    try:
        yield
    finally:
        _set(db, before)


def _setting(db: Any, name: str) -> str:
    with db.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", [name])
        return str(cursor.fetchone()[0])


def _set(db: Any, values: dict[str, str]) -> None:
    with db.cursor() as cursor:
        for name, value in values.items():
            cursor.execute("SELECT set_config(%s, %s, false)", [name, value])


def patiently(work: Callable[[], None]) -> None:
    """Do `work` again, after a pause, when it could not get a lock; what was done of it must bear being begun again."""
    for left in reversed(range(TRIES)):
        try:
            work()
            return
        except OperationalError as trouble:
            if not (left and isinstance(trouble.__cause__, LockNotAvailable)):
                raise
            log.warning("A table is busy; trying again in %g s, %d times at most.", PAUSE, left)
            time.sleep(PAUSE)
