"""What the sandbox remembers: refunds, money that moved, steps still to come. SQLite in memory or in a folder."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

MILLISECOND = timedelta(milliseconds=1)
TABLES = """
CREATE TABLE IF NOT EXISTS refund (
    gateway TEXT, key TEXT, payment TEXT, minor INTEGER, currency TEXT, story INTEGER, status TEXT, reference TEXT,
    callback_url TEXT, asked TEXT, is_executed INTEGER, created_at INTEGER, changed_at INTEGER,
    PRIMARY KEY (gateway, key));
CREATE TABLE IF NOT EXISTS movement (
    id INTEGER PRIMARY KEY, gateway TEXT, key TEXT, payment TEXT, minor INTEGER, currency TEXT, kind TEXT, at INTEGER);
CREATE TABLE IF NOT EXISTS step (
    id INTEGER PRIMARY KEY, gateway TEXT, key TEXT, due INTEGER, does TEXT, word TEXT, tries INTEGER DEFAULT 0,
    is_done INTEGER DEFAULT 0);
CREATE INDEX IF NOT EXISTS step_due ON step (is_done, due);
CREATE TABLE IF NOT EXISTS told (id INTEGER PRIMARY KEY, story INTEGER, gateway TEXT, key TEXT, payment TEXT);
CREATE TABLE IF NOT EXISTS played (gateway TEXT, key TEXT, story INTEGER, PRIMARY KEY (gateway, key, story));
CREATE TABLE IF NOT EXISTS callback (gateway TEXT PRIMARY KEY, url TEXT);
CREATE TABLE IF NOT EXISTS payment (
    gateway TEXT, payment TEXT, minor INTEGER, currency TEXT, PRIMARY KEY (gateway, payment));
"""


@dataclass(frozen=True)
class Refund:
    """A refund as the gateway knows it; `asked` is the order as it came, `is_executed` whether it is on the books."""

    gateway: str
    key: str
    payment: str
    minor: int
    currency: str
    story: int
    status: str
    reference: str
    callback_url: str
    asked: str
    is_executed: bool
    created_at: int
    changed_at: int


@dataclass(frozen=True)
class Planned:
    """A step that waits for its moment (milliseconds since 1970)."""

    id: int
    gateway: str
    key: str
    due: int
    does: str
    word: str
    tries: int


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def iso(milliseconds: int) -> str:
    """UTC, with milliseconds and a Z."""
    moment = datetime.fromtimestamp(0, UTC) + milliseconds * MILLISECOND
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Ledger:
    """All threads share one connection under one lock."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        name = str(folder / "ledger.sqlite3") if folder else ":memory:"
        self._db = sqlite3.connect(name, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._lock = threading.RLock()
        self._db.executescript(TABLES)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """All or nothing, and nobody else in between."""
        with self._lock:
            outermost = not self._db.in_transaction
            if outermost:
                self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if outermost:
                    self._db.execute("ROLLBACK")
                raise
            if outermost:
                self._db.execute("COMMIT")

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def insert(self, table: str, **values: object) -> None:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self.rows(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", *values.values())

    def refund(self, gateway: str, key: str) -> Refund | None:
        found = self.rows("SELECT * FROM refund WHERE gateway = ? AND key = ?", gateway, key)
        return Refund(**dict(found[0])) if found else None

    def by_reference(self, gateway: str, reference: str) -> Refund | None:
        found = self.rows("SELECT * FROM refund WHERE gateway = ? AND reference = ?", gateway, reference)
        return Refund(**dict(found[0])) if found else None

    def refunds_of(self, gateway: str, payment: str) -> list[Refund]:
        """What a look-up may see: everything on the books for a payment, the oldest first."""
        query = "SELECT * FROM refund WHERE gateway = ? AND payment = ? AND is_executed ORDER BY created_at, rowid"
        return [Refund(**dict(row)) for row in self.rows(query, gateway, payment)]

    def payment(self, gateway: str, payment: str) -> tuple[int, str] | None:
        """Minor units and currency of a registered payment."""
        query = "SELECT minor, currency FROM payment WHERE gateway = ? AND payment = ?"
        found = self.rows(query, gateway, payment)
        return (found[0]["minor"], found[0]["currency"]) if found else None

    def callback(self, gateway: str) -> str:
        """Where a gateway's webhooks go that take no address with the order: registered once, as in its panel."""
        found = self.rows("SELECT url FROM callback WHERE gateway = ?", gateway)
        return str(found[0]["url"]) if found else ""

    def taken(self, gateway: str, payment: str) -> int:
        """Minor units of a payment that are refunded or about to be."""
        query = "SELECT COALESCE(SUM(minor), 0) FROM refund WHERE gateway = ? AND payment = ?"
        query += " AND status NOT IN ('failed', 'cancelled')"
        return int(self.rows(query, gateway, payment)[0][0])

    def set_status(self, refund: Refund, word: str) -> None:
        query = "UPDATE refund SET status = ?, changed_at = ? WHERE gateway = ? AND key = ?"
        self.rows(query, word, now_ms(), refund.gateway, refund.key)

    def put_on_the_books(self, refund: Refund) -> bool:
        """True for the first time only."""
        query = "UPDATE refund SET is_executed = 1 WHERE gateway = ? AND key = ? AND NOT is_executed RETURNING key"
        return bool(self.rows(query, refund.gateway, refund.key))

    def move(self, refund: Refund, kind: str) -> None:
        self.insert(
            "movement",
            gateway=refund.gateway,
            key=refund.key,
            payment=refund.payment,
            minor=refund.minor,
            currency=refund.currency,
            kind=kind,
            at=now_ms(),
        )

    def movements(self) -> list[dict[str, object]]:
        query = """
            SELECT gateway, key, coalesce(reference, '') AS reference, movement.payment, movement.minor,
                movement.currency, kind, at
            FROM movement LEFT JOIN refund USING (gateway, key) ORDER BY id"""
        return [{**dict(row), "at": iso(row["at"])} for row in self.rows(query)]

    def plan(self, refund: Refund, due: int, does: str, word: str = "") -> None:
        self.insert("step", gateway=refund.gateway, key=refund.key, due=due, does=does, word=word)

    def waiting(self, until: int | None = None, key: str | None = None) -> list[Planned]:
        """Steps not done yet, in their order: all of them, or those due until a moment, or those of one refund."""
        query = "SELECT id, gateway, key, due, does, word, tries FROM step WHERE NOT is_done"
        values: list[object] = []
        if until is not None:
            query, values = f"{query} AND due <= ?", [until]
        if key is not None:
            query, values = f"{query} AND key = ?", [*values, key]
        return [Planned(**dict(row)) for row in self.rows(f"{query} ORDER BY due, id", *values)]

    def is_due(self, step: Planned, now: int) -> bool:
        return bool(self.rows("SELECT 1 FROM step WHERE id = ? AND NOT is_done AND due <= ?", step.id, now))

    def finish(self, step: Planned) -> None:
        self.rows("UPDATE step SET is_done = 1 WHERE id = ?", step.id)

    def drop_steps(self, refund: Refund) -> None:
        """Nothing more comes of it by itself."""
        query = "UPDATE step SET is_done = 1 WHERE gateway = ? AND key = ?"
        self.rows(query, refund.gateway, refund.key)

    def try_later(self, step: Planned, due: int) -> None:
        self.rows("UPDATE step SET due = ?, tries = tries + 1 WHERE id = ?", due, step.id)

    def take_told(self, values: Mapping[str, str]) -> int | None:
        """The story that was told for an order like this one, which is used up by it."""
        for row in self.rows("SELECT * FROM told ORDER BY id"):
            if all(row[name] in ("", values[name]) for name in ("gateway", "key", "payment")):
                self.rows("DELETE FROM told WHERE id = ?", row["id"])
                return int(row["story"])
        return None
