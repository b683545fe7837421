"""Reads archive files again: each has to be the one that was written, and to hold what the database kept of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refunds.archives import files
from refunds.archives.groups import Group, Row
from refunds.archives.index import Index
from refunds.archives.leave import file_of
from refunds.errors import RefundError
from refunds.history.kept import OF_A_CHAIN, lines_of_archive
from refunds.models import Archive


def flaws_of_files(folder: Path) -> Iterator[str]:
    """One by one, for every archive that there is; a file at a time is in memory only as far as it is indexed."""
    for archive in Archive.objects.order_by("sequence"):
        try:
            yield from _flaws_of_file(archive, file_of(archive, folder))
        except RefundError as trouble:
            yield f"{str(archive).capitalize()}: {trouble}"
        except (AttributeError, KeyError, TypeError, ValueError) as trouble:
            yield f"{str(archive).capitalize()}: {archive.file_name} holds rows that are none: {trouble!r}"


def strays(folder: Path) -> list[str]:
    """Files that belong to no archive: an interrupted run left them, and nothing was taken out on their ground."""
    known = set(Archive.objects.values_list("file_name", flat=True))
    return sorted(path.name for path in folder.glob("archive-*.jsonl.gz") if path.name not in known)


def rows_of(path: Path, refund_id: int) -> Iterator[tuple[str, Row]]:
    """(kind, row) of one refund and of its payment's own lines, as they stand in a file; nothing if it is not in it."""
    for group in files.read(path):
        if any(row["refund_id"] == refund_id for row in group.event):
            yield "payment", group.payment
            yield from (("event", row) for row in group.event if row["refund_id"] in (refund_id, None))
            yield from (("attempt", row) for row in group.attempt if row["refund_id"] == refund_id)
            yield from (("delivery", row) for row in group.delivery if row["refund_id"] == refund_id)


def _flaws_of_file(archive: Archive, path: Path) -> Iterator[str]:
    index, n_payments, n_attempts = Index(), 0, 0
    for group in files.read(path):
        index.add(group)
        n_payments += bool(group.payment)
        n_attempts += len(group.attempt)
        yield from _strangers(archive, group)
    counts = (n_payments, len(index.lines), n_attempts, len(index.deliveries))
    pairs: dict[str, tuple[Any, Any]] = {
        "counts": (counts, (archive.n_payments, archive.n_events, archive.n_attempts, archive.n_deliveries)),
        "heads": (_values(index.chains, OF_A_CHAIN), _values(archive.chains.order_by("pk"), OF_A_CHAIN)),
        "lines": (sorted(index.lines), lines_of_archive(archive)),
        "deliveries": (
            _values(index.deliveries, ("number", "account_id", "digest")),
            _values(archive.deliveries.order_by("pk"), ("number", "account_id", "digest")),
        ),
    }
    for name, (there, here) in pairs.items():
        if there != here:
            yield f"{str(archive).capitalize()}: its {name} in {path.name} are not those that were kept here."


def _strangers(archive: Archive, group: Group) -> Iterator[str]:
    """Rows that stand under a payment which is not theirs."""
    refunds = {row["refund_id"] for row in group.event}
    rows = [*group.attempt, *(group.delivery if group.payment else ())]
    if any(row["payment_id"] != group.payment.get("id") for row in group.event) or any(
        row["refund_id"] not in refunds for row in rows
    ):
        yield f"{str(archive).capitalize()}: rows of another payment stand under {group.payment or 'none'}."


def _values(rows: Any, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return [tuple(getattr(row, name) for name in names) for row in rows]
