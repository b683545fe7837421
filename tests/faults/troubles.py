"""What can befall an SQLite file: each trouble begins and ends, and in between every write fails and says why."""

from __future__ import annotations

import subprocess
import sys
from abc import ABC, abstractmethod
from typing import Any

from django.db import connection

HOLDER = """
import sqlite3, sys
line = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
for order in sys.stdin:
    line.execute(order)
    print("done", flush=True)
"""


class Trouble(ABC):
    """Begins with `start`, ends with `end`; every write in between fails and `says` why."""

    says: str

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def end(self) -> None: ...


class Locked(Trouble):
    """Another process holds the database for longer than anybody waits."""

    says = "database is locked"

    def __init__(self) -> None:
        command = [sys.executable, "-c", HOLDER, str(connection.settings_dict["NAME"])]
        self.holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self) -> None:
        self._tell("BEGIN IMMEDIATE")

    def end(self) -> None:
        self._tell("ROLLBACK")

    def close(self) -> None:
        self.holder.communicate()  # which ends what it still holds

    def _tell(self, order: str) -> None:
        assert self.holder.stdin
        assert self.holder.stdout
        self.holder.stdin.write(order + "\n")
        self.holder.stdin.flush()
        assert self.holder.stdout.readline() == "done\n"


class ReadOnly(Trouble):
    """What was open stays open, and takes no more writes."""

    says = "attempt to write a readonly database"

    def start(self) -> None:
        pragma("query_only = ON")

    def end(self) -> None:
        pragma("query_only = OFF")


class ReadOnlyFile(Trouble):
    """The file is opened anew and may only be read."""

    says = ReadOnly.says

    def start(self) -> None:
        self.name = connection.settings_dict["NAME"]
        connection.close()
        connection.settings_dict["NAME"] = f"file:{self.name}?mode=ro"

    def end(self) -> None:
        connection.close()
        connection.settings_dict["NAME"] = self.name


class FullDisk(Trouble):
    """The file may grow by so many pages and no more; the ones that were free inside are taken."""

    says = "database or disk is full"

    def start(self, n_free: int = 0) -> None:
        self.end()
        raw("CREATE TABLE IF NOT EXISTS ballast (weight BLOB)")
        while free := pragma("freelist_count"):
            raw(f"INSERT INTO ballast VALUES (zeroblob({free * pragma('page_size')}))")
        pragma(f"max_page_count = {pragma('page_count') + n_free}")

    def end(self) -> None:
        pragma("max_page_count = 1000000")

    def clear(self) -> None:
        raw("DROP TABLE ballast")


def raw(sql: str) -> Any:
    """Past everybody who watches the statements."""
    return connection.connection.execute(sql).fetchone()


def pragma(words: str) -> Any:
    connection.ensure_connection()
    return (raw(f"PRAGMA {words}") or (None,))[0]
