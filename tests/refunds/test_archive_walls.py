"""Archives under attack: killed at any moment, tampered with in file or database, or emptied out too early."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from refunds import guards, history
from refunds.archives import check, files, groups, index, leave, run
from refunds.errors import BadInput, WrongMoment
from refunds.history.kept import packed, seal_over, unpacked
from refunds.models import (
    Archive,
    ArchivedChain,
    ArchivedDelivery,
    ArchivedLines,
    Attempt,
    Checkpoint,
    Delivery,
    Event,
    Payment,
    Refund,
)
from tests.builders import ask, make_payment
from tests.refunds.olden import a_begun_archive, archive, findings, loose, olden

pytestmark = pytest.mark.django_db


# --- killed at any moment ---


class Killed(BaseException):
    """As by a power cut: nothing in the program catches it."""


def before(room: Any, name: str, at: int) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: _kill(patch, room, name, at, after=False)


def after(room: Any, name: str, at: int) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: _kill(patch, room, name, at, after=True)


def _kill(patch: pytest.MonkeyPatch, room: Any, name: str, at: int, *, after: bool) -> None:
    original, calls = getattr(room, name), []

    def deadly(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        if len(calls) == at and not after:
            raise Killed
        result = original(*args, **kwargs)
        if len(calls) == at:
            raise Killed
        return result

    patch.setattr(room, name, deadly)


MOMENTS = {
    "while the file is written": before(files, "_line", 5),
    "before it is on the disk": before(os, "fsync", 1),
    "before it has its name": before(os, "link", 1),
    "while it has two names": after(os, "link", 1),
    "before its folder is on the disk": before(os, "fsync", 2),
    "before it is kept": before(index, "keep", 1),
    "while it is kept": before(index, "_insert", 1),
    "once it is kept": after(index, "keep", 1),
    "before the first rows leave": before(leave, "_remove", 1),
    "between rows that leave": after(leave, "_remove", 1),
    "once all rows of a file have left": after(leave, "_remove", 3),
    "once the first file is done": after(run, "empty_out", 1),
    "while the second file is written": before(files, "_line", 40),
    "before the second is kept": before(index, "keep", 2),
}


def killed(moment: Callable[[pytest.MonkeyPatch], None], folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        moment(patch)
        with pytest.raises(Killed):
            archive(folder)


def everything(folder: Path) -> dict[str, list[int]]:
    """Numbers of all rows that are anywhere, in the database or in a file that was kept; doubles stay doubles."""
    found: dict[str, list[int]] = {kind: [] for kind in groups.KINDS}
    for kind, model in groups.KINDS.items():
        found[kind] += model._default_manager.values_list("pk", flat=True)
    for one in Archive.objects.all():
        for group in files.read(folder / one.file_name):
            for kind in groups.KINDS:
                found[kind] += [row["id"] for row in group.rows(kind) if not leave.stays(row)]
    return {kind: sorted(numbers) for kind, numbers in found.items()}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three payments in a file, one in a transaction."""
    monkeypatch.setattr(run, "PAYMENTS_IN_A_FILE", 3)
    monkeypatch.setattr(leave, "AT_ONCE", 1)
    monkeypatch.setattr(index, "AT_ONCE", 2)


@pytest.mark.promise("I22", "I23")
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_killed_at_any_moment_nothing_is_lost_and_nothing_twice(
    moment: Callable[[pytest.MonkeyPatch], None], small: None, tmp_path: Path, trials: Callable[[int], None]
) -> None:
    for number in range(1, 6):
        olden(number, "failed" if number % 2 else "succeeded")
    loose()
    whole = everything(tmp_path)
    killed(moment, tmp_path)
    assert findings(tmp_path) == [], "What is in both places is no difference."
    assert {kind: sorted(set(rows)) for kind, rows in everything(tmp_path).items()} == whole
    archive(tmp_path)
    assert findings(tmp_path) == []
    assert everything(tmp_path) == whole
    assert not Delivery.objects.exists()
    assert not Archive.objects.filter(removed_at=None).exists()
    assert set(check.strays(tmp_path)) <= {path.name for path in tmp_path.iterdir()}
    trials(1)


def test_rows_leave_only_while_their_file_lies_there(tmp_path: Path) -> None:
    olden()
    killed(MOMENTS["once it is kept"], tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(BadInput, match="is not in"):
        archive(tmp_path)
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(BadInput, match="not the file that was written"):
        archive(tmp_path)
    assert Event.objects.filter(refund=Refund.objects.get()).exists()
    path.write_bytes(content)
    archive(tmp_path)
    assert findings(tmp_path) == []


def test_a_row_that_is_not_what_the_archive_has_does_not_leave(tmp_path: Path) -> None:
    refund = olden()
    killed(MOMENTS["once it is kept"], tmp_path)
    Attempt.objects.filter(refund=refund, kind="look_up").update(said="other")
    with pytest.raises(WrongMoment, match="is not what the archive has of it"):
        archive(tmp_path)
    assert refund.events.exists()
    assert refund.attempts.count() == 2


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    olden()
    first = files.write(tmp_path, {"sequence": 1}, run._of_payments([Payment.objects.get().pk]))
    first.path.write_bytes(b"something else")
    with pytest.raises(BadInput, match="says something else"):
        files.write(tmp_path, {"sequence": 1}, run._of_payments([Payment.objects.get().pk]))
    assert first.path.read_bytes() == b"something else"


# --- tampered with ---


@pytest.fixture
def archived(tmp_path: Path) -> Iterator[Path]:
    """Two archives of refunds, one of webhooks, one refund that is not over; the guards are off."""
    for number in (1, 2):
        olden(number)
        archive(tmp_path)
    loose()
    archive(tmp_path)
    live = ask(make_payment(reference="live"))
    history.set_checkpoint()
    assert live.events.exists()
    assert findings(tmp_path) == []
    guards.remove(connection)
    yield tmp_path
    guards.install(connection)


def path_of(folder: Path, sequence: int = 1) -> Path:
    return folder / Archive.objects.get(sequence=sequence).file_name


def flip_a_byte(folder: Path) -> None:
    content = bytearray(path_of(folder).read_bytes())
    content[len(content) // 2] ^= 1
    path_of(folder).write_bytes(content)


def cut_it_short(folder: Path) -> None:
    path_of(folder).write_bytes(path_of(folder).read_bytes()[:-20])


def lose_the_file(folder: Path) -> None:
    path_of(folder).unlink()


def swap_two_files(folder: Path) -> None:
    one, other = path_of(folder, 1), path_of(folder, 2)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def _rewrite(folder: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """The file anew, with the database's digest of it and all seals computed anew, as whoever may write all can."""
    path = path_of(folder)
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    change(rows)
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    Archive.objects.filter(sequence=1).update(file_digest=hashlib.sha256(path.read_bytes()).hexdigest())
    _seal_anew()


def _seal_anew() -> None:
    previous = ""
    for one in Archive.objects.order_by("sequence"):
        kept = (one.chains.order_by("pk"), one.lines.order_by("pk"), one.deliveries.order_by("pk"))
        previous = seal_over(one, *kept, previous)
        Archive.objects.filter(pk=one.pk).update(digest=previous)


def change_a_line_in_the_file(folder: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        next(row for row in rows if "event" in row)["event"]["text"] = "amended"

    _rewrite(folder, change)


def take_a_line_out_of_the_file(folder: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows.remove(next(row for row in rows if row.get("event", {}).get("sequence", 0) > 2))
        rows[-1]["end"]["event"] -= 1

    _rewrite(folder, change)


def take_an_attempt_out_of_the_file(folder: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows.remove(next(row for row in rows if "attempt" in row))
        rows[-1]["end"]["attempt"] -= 1

    _rewrite(folder, change)


def put_a_webhook_into_the_file(folder: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        row = next(row for row in rows if "delivery" in row)
        rows.insert(rows.index(row), {"delivery": {**row["delivery"], "id": 999, "digest": "0" * 64}})
        rows[-1]["end"]["delivery"] += 1

    _rewrite(folder, change)


def fill_the_file_with_something_else(folder: Path) -> None:
    _rewrite(folder, lambda rows: rows.__setitem__(1, {"event": "no row"}))


def delete_live_lines(folder: Path) -> None:
    Event.objects.filter(refund=Refund.objects.latest("pk")).delete()


def delete_a_payment_s_lines(folder: Path) -> None:
    Event.objects.filter(payment=Payment.objects.latest("pk"), refund=None).delete()


def change_a_head(folder: Path) -> None:
    ArchivedChain.objects.filter(refund=Refund.objects.earliest("pk")).update(status="failed")


def change_what_stood_before(folder: Path) -> None:
    ArchivedChain.objects.filter(refund=Refund.objects.earliest("pk")).update(previous="0" * 64)
    _seal_anew()


def change_what_was_heard(folder: Path) -> None:
    ArchivedChain.objects.filter(refund=Refund.objects.earliest("pk")).update(heard=[])


def change_a_head_and_what_follows(folder: Path) -> None:
    change_a_head(folder)
    Refund.objects.filter(pk=Refund.objects.earliest("pk").pk).update(status="failed")
    Payment.objects.filter(pk=Payment.objects.earliest("pk").pk).update(refunded=0)
    _seal_anew()


def remove_a_head(folder: Path) -> None:
    ArchivedChain.objects.filter(refund=Refund.objects.earliest("pk")).delete()
    _seal_anew()


def change_a_digest(folder: Path) -> None:
    part = ArchivedLines.objects.first()
    (number, digest), *rest = unpacked(part.packed)
    ArchivedLines.objects.filter(pk=part.pk).update(packed=packed([(number, digest[::-1]), *rest]))
    _seal_anew()


def remove_digests(folder: Path) -> None:
    ArchivedLines.objects.first().delete()
    _seal_anew()


def remove_a_webhook_s_digest(folder: Path) -> None:
    ArchivedDelivery.objects.first().delete()
    _seal_anew()


def remove_an_archive(folder: Path) -> None:
    for kept in (ArchivedChain, ArchivedLines, ArchivedDelivery):
        kept.objects.filter(archive__sequence=1).delete()
    Archive.objects.filter(sequence=1).delete()


def name_another_file(folder: Path) -> None:
    other = path_of(folder, 2)
    copy = folder / "archive-000001-copy.jsonl.gz"
    copy.write_bytes(other.read_bytes())
    digest = Archive.objects.get(sequence=2).file_digest
    Archive.objects.filter(sequence=1).update(file_name=copy.name, file_digest=digest)
    _seal_anew()


def invent_an_archive(folder: Path) -> None:
    """Live lines deleted, with everything kept that an archive would have kept: only a file is missing."""
    refund = Refund.objects.latest("pk")
    payment, lines = refund.payment, list(Event.objects.filter(payment=refund.payment_id).order_by("pk"))
    fake = Archive.objects.last()
    fake.pk, fake.sequence, fake.file_name = None, 4, "archive-000004-none.jsonl.gz"
    fake.n_payments, fake.n_events, fake.n_attempts, fake.n_deliveries = 1, len(lines), 0, 0
    fake.save()
    for refund_id in (None, refund.pk):
        piece = index.piece_of([line for line in lines if line.refund_id == refund_id], 0)
        piece.archive = fake
        piece.save()
    seal = Checkpoint.objects.first()
    ArchivedLines.objects.create(
        archive=fake, checkpoint=seal.sequence, packed=packed((line.pk, line.digest) for line in lines)
    )
    Event.objects.filter(payment=payment).delete()
    _seal_anew()


BY_THE_DATABASE_ALONE = (
    delete_live_lines,
    delete_a_payment_s_lines,
    change_a_head,
    change_what_stood_before,
    change_what_was_heard,
    remove_a_head,
    change_a_digest,
    remove_digests,
    remove_an_archive,
)
BY_THE_FILES = (
    flip_a_byte,
    cut_it_short,
    lose_the_file,
    swap_two_files,
    change_a_line_in_the_file,
    take_a_line_out_of_the_file,
    take_an_attempt_out_of_the_file,
    put_a_webhook_into_the_file,
    fill_the_file_with_something_else,
    change_a_head_and_what_follows,
    remove_a_webhook_s_digest,
    name_another_file,
    invent_an_archive,
)


@pytest.mark.promise("I23")
@pytest.mark.parametrize("tamper", [*BY_THE_DATABASE_ALONE, *BY_THE_FILES], ids=lambda tamper: tamper.__name__)
def test_no_tampering_with_archives_is_missed(
    tamper: Callable[[Path], None], archived: Path, trials: Callable[[int], None]
) -> None:
    tamper(archived)
    found_here = history.verify().findings
    assert [*found_here, *check.flaws_of_files(archived)]
    assert bool(found_here) == (tamper in BY_THE_DATABASE_ALONE)
    trials(1)


# --- what the database refuses ---


def delete(model: Any, **which: Any) -> Callable[[], Any]:
    return lambda: model.objects.filter(**which).delete()


def chain_of(refund: Refund, **changes: Any) -> ArchivedChain:
    """As it would have to be for a refund's lines, in an archive of nothing."""
    piece = index.piece_of(list(refund.events.order_by("sequence")), 0)
    piece.archive = a_begun_archive()
    for name, value in changes.items():
        setattr(piece, name, value)
    return piece


def test_what_no_archive_has_never_leaves() -> None:
    refund = olden()
    for model in (Event, Attempt, Delivery):
        with pytest.raises(DatabaseError, match="never deleted"), transaction.atomic():
            delete(model, refund=refund)()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"digest": "0" * 64}, "the line that was written"),
        ({"last_sequence": 3}, "the line that was written"),
        ({"status": "failed"}, "the line that was written"),
        ({"last_event": 1}, "the line that was written"),
    ],
)
def test_an_archive_ends_with_the_line_that_was_written(changes: dict[str, Any], why: str) -> None:
    piece = chain_of(olden(), **changes)
    with pytest.raises(DatabaseError, match=why), transaction.atomic():
        piece.save()
    assert not ArchivedChain.objects.exists()


def test_what_is_not_sealed_is_never_archived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.refunds.olden.seal", lambda *_: None)
    piece = chain_of(olden())
    with pytest.raises(DatabaseError, match="a checkpoint has sealed"), transaction.atomic():
        piece.save()


def test_what_is_not_over_is_never_archived() -> None:
    refund = ask()
    history.set_checkpoint()
    piece = chain_of(refund)
    with pytest.raises(DatabaseError, match="once all its refunds are over"), transaction.atomic():
        piece.save()


def test_a_send_and_an_open_attempt_never_leave_whatever_an_archive_says(tmp_path: Path) -> None:
    refund = olden()
    killed(MOMENTS["once it is kept"], tmp_path)
    Attempt.objects.filter(refund=refund, kind="look_up").update(outcome="open")
    for kind in ("send", "look_up"):
        with pytest.raises(DatabaseError, match="never deleted"), transaction.atomic():
            delete(Attempt, refund=refund, kind=kind)()


def test_a_webhook_with_another_body_does_not_leave(tmp_path: Path) -> None:
    refund = olden()
    killed(MOMENTS["once it is kept"], tmp_path)
    Delivery.objects.filter(refund=refund).update(digest="0" * 64)
    with pytest.raises(DatabaseError, match="never deleted"), transaction.atomic():
        delete(Delivery, refund=refund)()


def test_what_an_archive_left_is_never_rewritten(tmp_path: Path) -> None:
    olden()
    archive(tmp_path)
    tries: list[Callable[[], Any]] = [
        lambda: ArchivedChain.objects.update(digest="0" * 64),
        lambda: ArchivedLines.objects.update(packed=b""),
        lambda: ArchivedDelivery.objects.update(digest="0" * 64),
        lambda: Archive.objects.update(file_digest="0" * 64),
        lambda: Archive.objects.update(removed_at=None),
        *(delete(model) for model in (ArchivedChain, ArchivedLines, ArchivedDelivery, Archive)),
    ]
    for one in tries:
        with pytest.raises(DatabaseError), transaction.atomic():
            one()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no TRUNCATE.")
def test_truncate_stays_refused_after_an_archive(tmp_path: Path) -> None:
    olden()
    archive(tmp_path)
    for table in ("event", "attempt", "delivery", "archive", "archivedchain", "archivedlines", "archiveddelivery"):
        with pytest.raises(DatabaseError, match="never"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE refunds_{table} CASCADE")
