"""The rows that go into an archive together, as plain values: one payment's, or some webhooks about nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any, TypeVar

from django.db.models import Model

from refunds.archives.over import attempts_of, deliveries_of
from refunds.models import Attempt, Delivery, Event, Payment

Row = dict[str, Any]
Thing = TypeVar("Thing")
KINDS: dict[str, type[Model]] = {"event": Event, "attempt": Attempt, "delivery": Delivery}


@dataclass
class Group:
    """`payment` names whose it is, {} for webhooks about nothing; each row is a database row, column by column."""

    payment: Row = field(default_factory=dict)
    event: list[Row] = field(default_factory=list)
    attempt: list[Row] = field(default_factory=list)
    delivery: list[Row] = field(default_factory=list)

    def rows(self, kind: str) -> list[Row]:
        rows: list[Row] = getattr(self, kind)
        return rows

    def chains(self) -> dict[int | None, list[Event]]:
        """Its lines, by refund (None: the payment's own), each chain in its own order."""
        chains: dict[int | None, list[Event]] = defaultdict(list)
        for row in sorted(self.event, key=lambda row: row["sequence"]):
            chains[row["refund_id"]].append(Event(**{**row, "at": datetime.fromisoformat(row["at"])}))
        return dict(chains)


def plain(row: Model) -> Row:
    """All columns, as JSON has them."""
    return {column.attname: _plain(getattr(row, column.attname)) for column in row._meta.concrete_fields}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value.isoformat() if isinstance(value, date) else value


def of_payments(pks: Sequence[int]) -> list[Group]:
    """What these payments have here, by five queries for all of them."""
    groups = {payment.pk: Group(_named(payment)) for payment in _payments(pks)}
    for event in Event.objects.filter(payment__in=pks).order_by("pk"):
        groups[event.payment_id].event.append(plain(event))
    refunds = {row["refund_id"]: pk for pk, group in groups.items() for row in group.event if row["refund_id"]}
    for attempt in attempts_of(list(refunds)).order_by("pk"):
        groups[refunds[attempt.refund_id]].attempt.append(plain(attempt))
    for delivery in deliveries_of(list(refunds)).order_by("pk"):
        groups[refunds[delivery.refund_id]].delivery.append(plain(delivery))
    return list(groups.values())


def of_deliveries(deliveries: Iterable[Delivery]) -> Group:
    return Group(delivery=[plain(delivery) for delivery in deliveries])


def stored(kind: str, pks: Iterable[int]) -> dict[int, Row]:
    """Those of these rows that are in the database, by key."""
    return {row.pk: plain(row) for row in KINDS[kind]._default_manager.filter(pk__in=list(pks))}


def _payments(pks: Sequence[int]) -> Iterable[Payment]:
    return Payment.objects.filter(pk__in=pks).select_related("account").order_by("pk")


def _named(payment: Payment) -> Row:
    """Neither name nor address of the customer, so that they can be forgotten."""
    return {"id": payment.pk, "account": payment.account.slug, "reference": payment.reference}


def in_pieces(things: Iterable[Thing], size: int) -> Iterator[tuple[Thing, ...]]:
    rest = iter(things)
    while piece := tuple(islice(rest, size)):
        yield piece
