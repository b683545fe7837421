"""What a soak leaves behind, as plain rows for the checkers: the desk's database, the gateways' ledger, the logs."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from refunds import services
from refunds.models import Attempt, Declaration, Event, Payment, Refund
from refunds.models.refund import AT_THE_GATEWAY
from tests.soak.history import Operation


@dataclass(frozen=True)
class Kept:
    """A refund of the desk. `blocked_by` are refunds of its payment that it may have to wait for."""

    pk: int
    payment: int
    key: str
    amount: int
    status: str
    reference: str = ""
    account: int = 1
    version: int = 1
    is_ours: bool = True
    by_hand: bool = False
    was_sent: bool = False
    retry_of: int | None = None
    is_due: bool = False
    to_confirm: str = ""
    calls: str = ""
    was_looked_at: bool = False
    is_declared: bool = False
    blocked_by: tuple[int, ...] = ()
    bodies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sold:
    """A payment of the desk; `reference` is the gateway's name for it."""

    pk: int
    gateway: str
    reference: str
    captured: int
    held: int
    refunded: int
    status: str


@dataclass(frozen=True)
class Line:
    """A line of a refund's journal; `at` is seconds since 1970."""

    refund: int
    sequence: int
    step: str
    actor: str
    source: str
    at: float
    act: str
    ticket: str = ""


@dataclass(frozen=True)
class Movement:
    """Money that moved at a gateway, in minor units; `kind` is refund or reversal."""

    gateway: str
    key: str
    payment: str
    minor: int
    kind: str = "refund"


@dataclass(frozen=True)
class Found:
    operations: tuple[Operation, ...] = ()
    refunds: tuple[Kept, ...] = ()
    payments: tuple[Sold, ...] = ()
    lines: tuple[Line, ...] = ()
    movements: tuple[Movement, ...] = ()
    verified: tuple[int, str] = (0, "")  # exit status of `manage.py verify`, and what it said
    n_checkpoints: int = 0
    n_exported: int = 0  # of them in the workers' logs
    logs: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()


def the_refunds() -> tuple[Kept, ...]:
    bodies, declared, looked_at = defaultdict(set), set(), set()
    for pk, digest in Attempt.objects.filter(kind="send").values_list("refund", "body_digest"):
        bodies[pk].add(digest)
    declared |= set(Declaration.objects.filter(confirmed_at__isnull=False).values_list("refund", flat=True))
    looked_at |= set(Event.objects.filter(step="looked at").values_list("refund", flat=True))
    rows = list(Refund.objects.select_related("account").order_by("pk"))
    busy = defaultdict(list)
    for row in rows:
        if row.status in AT_THE_GATEWAY or row.to_confirm:
            busy[row.payment_id].append(row.pk)
    by_hand = services.gateways_by_hand()
    return tuple(
        Kept(
            pk=row.pk,
            payment=row.payment_id,
            key=str(row.key),
            amount=row.amount,
            status=row.status,
            reference=row.reference,
            account=row.account_id,
            version=row.version,
            is_ours=row.source == Refund.Source.HOUSE,
            by_hand=row.account.gateway in by_hand,
            was_sent=row.sent_at is not None,
            retry_of=row.retry_of_id,
            is_due=row.ask_at is not None,
            to_confirm=row.to_confirm,
            calls=row.needs_attention,
            was_looked_at=row.pk in looked_at,
            is_declared=row.pk in declared,
            blocked_by=tuple(pk for pk in busy[row.payment_id] if pk != row.pk),
            bodies=tuple(sorted(bodies[row.pk])),
        )
        for row in rows
    )


def the_payments() -> tuple[Sold, ...]:
    names = ("pk", "account__gateway", "reference", "captured", "held", "refunded", "status")
    return tuple(Sold(*row) for row in Payment.objects.order_by("pk").values_list(*names))


def the_lines() -> tuple[Line, ...]:
    rows = Event.objects.filter(refund__isnull=False).order_by("pk")
    return tuple(
        Line(
            row.refund_id,
            row.sequence,
            row.step,
            row.actor,
            row.source,
            row.at.timestamp(),
            row.correlation,
            row.data.get("ticket", "") if isinstance(row.data, dict) else "",
        )
        for row in rows
    )


def the_movements(ledger: Path) -> tuple[Movement, ...]:
    with closing(read_only(ledger)) as rows:
        return tuple(Movement(*row) for row in rows.execute("SELECT gateway, key, payment, minor, kind FROM movement"))


def read_only(ledger: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=10)
