"""Rows that an archive has leave the database: in small transactions, each row compared with the file once more."""

from __future__ import annotations

from pathlib import Path

from django.db import transaction
from django.utils import timezone

from refunds.archives import files, groups
from refunds.archives.groups import KINDS, Group, Row
from refunds.errors import BadInput, WrongMoment
from refunds.models import Archive, Attempt, Notice

AT_ONCE = 50  # payments in one transaction


def file_of(archive: Archive, folder: Path) -> Path:
    """Where it lies; BadInput where it does not lie, or is another one."""
    path = folder.joinpath(archive.file_name)
    if not path.is_file():
        raise BadInput(f"{archive.file_name} is not in {folder}.")
    if files.digest_of(path) != archive.file_digest:
        raise BadInput(f"{path} is not the file that was written: its SHA-256 is not {archive.file_digest}.")
    return path


def empty_out(archive: Archive, folder: Path) -> None:
    """Remove from the database what the archive's file holds; what has left before is passed over."""
    for some in groups.in_pieces(files.read(file_of(archive, folder)), AT_ONCE):
        _remove(some)
    Archive.objects.filter(pk=archive.pk, removed_at=None).update(removed_at=timezone.now())


@transaction.atomic
def _remove(some: tuple[Group, ...]) -> None:
    rows = {kind: {row["id"]: row for group in some for row in group.rows(kind)} for kind in KINDS}
    for kind, written in rows.items():
        for pk, row in groups.stored(kind, written).items():
            if row not in (written[pk], _emptied(written[pk])):
                raise WrongMoment(f"The {kind} {pk} is not what the archive has of it. Run manage.py verify.")
    # What nobody is to be told any more goes with the line that it was about.
    Notice.objects.filter(event__in=list(rows["event"]), due_at=None).delete()
    sends = [pk for pk, row in rows["attempt"].items() if stays(row)]
    Attempt.objects.filter(pk__in=sends).exclude(exchanges=[]).update(exchanges=[])
    for kind, written in rows.items():
        KINDS[kind]._default_manager.filter(pk__in=set(written) - set(sends if kind == "attempt" else ())).delete()


def stays(row: Row) -> bool:
    """An order that may have left the house stays without its traffic: it is what keeps us from paying twice."""
    return row.get("kind") == Attempt.Kind.SEND


def _emptied(row: Row) -> Row:
    return {**row, "exchanges": []} if stays(row) else row
