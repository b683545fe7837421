"""What an archive leaves in the database: computed from the file as it was read back, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction

from refunds.archives import files, groups
from refunds.archives.groups import Group
from refunds.archives.over import deliveries_about_nothing, payments_over
from refunds.errors import WrongMoment
from refunds.history.fold import flaws_of_lines
from refunds.history.kept import Head, digest_at, packed, seal_over
from refunds.models import (
    Archive,
    ArchivedChain,
    ArchivedDelivery,
    ArchivedLines,
    Checkpoint,
    Event,
    Payment,
    Refund,
    Status,
)

AT_ONCE = 100  # payments that are looked at together
MONEY = ("amount", "currency")


@dataclass
class Index:
    """The rows of one archive, in the order in which its seal covers them."""

    chains: list[ArchivedChain] = field(default_factory=list)
    deliveries: list[ArchivedDelivery] = field(default_factory=list)
    lines: list[tuple[int, str]] = field(default_factory=list)

    def add(self, group: Group) -> None:
        attempts: dict[int, int] = {}
        for row in group.attempt:
            attempts[row["refund_id"]] = max(attempts.get(row["refund_id"], 0), row["id"])
        for refund_id, lines in group.chains().items():
            self.chains.append(piece_of(lines, attempts.get(refund_id or 0, 0)))
            self.lines += [(line.pk, line.digest) for line in lines]
        self.deliveries += [
            ArchivedDelivery(number=row["id"], account_id=row["account_id"], digest=row["digest"])
            for row in group.delivery
        ]

    def parts(self) -> list[ArchivedLines]:
        """Its lines by the checkpoint that seals them."""
        self.lines.sort()
        return [ArchivedLines(checkpoint=number, packed=packed(lines)) for number, lines in _by_checkpoint(self.lines)]


def piece_of(lines: Sequence[Event], last_attempt: int) -> ArchivedChain:
    """What is kept of these lines of one chain; WrongMoment when they do not follow from each other."""
    first, last = lines[0], lines[-1]
    previous = digest_at(first.payment_id, first.refund_id, first.sequence - 1)
    head = Head(first.sequence - 1, previous)
    if flaws := list(flaws_of_lines(f"payment {first.payment_id}", lines, head)):
        raise WrongMoment(f"The history does not hold, so nothing is archived: {flaws[0]} Run manage.py verify.")
    failures = [line for line in lines if line.to_status == Status.FAILED != line.from_status]
    failed = {"code": failures[-1].data.get("code"), "step": failures[-1].step} if failures else {}
    return ArchivedChain(
        payment_id=first.payment_id,
        refund_id=first.refund_id,
        first_sequence=first.sequence,
        last_sequence=last.sequence,
        previous=previous,
        digest=last.digest,
        status=last.to_status,
        last_event=last.pk,
        last_attempt=last_attempt,
        began={name: first.data[name] for name in MONEY if name in first.data} if first.sequence == 1 else {},
        heard=sorted({line.heard for line in lines} - {""}),
        failed=failed,
    )


def _by_checkpoint(lines: Sequence[tuple[int, str]]) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    if not lines:
        return
    seals = Checkpoint.objects.filter(last_event__gte=lines[0][0]).order_by("sequence")
    place = 0
    for sequence, last_event in seals.values_list("sequence", "last_event").iterator(chunk_size=2000):
        begins = place
        while place < len(lines) and lines[place][0] <= last_event:
            place += 1
        if place > begins:
            yield sequence, list(lines[begins:place])
        if place == len(lines):
            return
    raise WrongMoment("Some of these lines are not sealed yet.")


@transaction.atomic
def keep(written: files.Written, path: Path, about: dict[str, Any], before: datetime) -> Archive:
    """Read the file back, compare it with the database behind locks, and write down what is kept of it.

    WrongMoment when anything has moved since it was written; then the file belongs to nothing.
    """
    if files.digest_of(path) != written.digest:
        raise WrongMoment(f"{path} is not what was written there.")
    index = Index()
    for some in groups.in_pieces(files.read(path), AT_ONCE):
        _demand_unmoved(some, before)
        for group in some:
            index.add(group)
    last = Archive.objects.first()
    archive = Archive(
        **about,
        file_name=path.name,
        file_digest=written.digest,
        n_payments=written.counts["payment"],
        n_events=written.counts["event"],
        n_attempts=written.counts["attempt"],
        n_deliveries=written.counts["delivery"],
    )
    parts = index.parts()
    previous = last.digest if last else ""
    archive.digest = seal_over(archive, index.chains, parts, index.deliveries, previous)
    archive.save(force_insert=True)
    _insert(archive, index.chains, parts, index.deliveries)
    return archive


def _insert(archive: Archive, *tables: Sequence[Any]) -> None:
    for rows in tables:
        for row in rows:
            row.archive = archive
        if rows:
            type(rows[0])._default_manager.bulk_create(rows, batch_size=500)


def _demand_unmoved(some: Iterable[Group], before: datetime) -> None:
    """Payment before refund, as everywhere; an attempt in the making holds its refund, so we wait for it here."""
    payments = [group for group in some if group.payment]
    pks = [group.payment["id"] for group in payments]
    list(Payment.objects.select_for_update(of=("self",)).filter(pk__in=pks).order_by("pk"))
    list(Refund.objects.select_for_update(of=("self",)).filter(payment__in=pks).order_by("pk"))
    still = payments_over(before).filter(pk__in=pks).count() == len(pks)
    if not still or groups.of_payments(pks) != payments:
        raise WrongMoment("One of these payments has moved meanwhile. Nothing was taken out; run it again.")
    for group in some:
        if not group.payment:
            numbers = [row["id"] for row in group.delivery]
            found = deliveries_about_nothing(before).filter(pk__in=numbers).order_by("pk")
            if groups.of_deliveries(found) != group:
                raise WrongMoment("One of these webhooks was heard again meanwhile. Nothing was taken out.")
