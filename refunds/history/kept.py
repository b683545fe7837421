"""What archives left here: the heads of chains to go on from, the digests of their lines, and the seal over each."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from refunds.models import Archive, ArchivedChain, ArchivedDelivery, ArchivedLines

# How an archive reads in the log, so that `verify --log` finds it there.
EXPORTED_ARCHIVE = re.compile(r"archive (?P<sequence>\d+) in (?P<file>\S+): (?P<digest>[0-9a-f]{64})")
LINE = struct.Struct(">q32s")
OF_THE_FILE = (
    "sequence",
    "at",
    "by_id",
    "before",
    "file_name",
    "file_digest",
    "n_payments",
    "n_events",
    "n_attempts",
    "n_deliveries",
)
OF_A_CHAIN = (
    "payment_id",
    "refund_id",
    "first_sequence",
    "last_sequence",
    "previous",
    "digest",
    "status",
    "last_event",
    "last_attempt",
    "began",
    "heard",
    "failed",
)


@dataclass(frozen=True)
class Head:
    """Where a chain goes on: the number, digest and status of the last line that is not here any more.

    `began` is what the chain's first line said of money: amount in minor units, currency.
    """

    sequence: int = 0
    digest: str = ""
    to_status: str = ""
    began: dict[str, Any] = field(default_factory=dict)


NO_HEAD = Head()


def head_before(pieces: Sequence[ArchivedChain], sequence: int | None) -> Head:
    """The head that line `sequence` follows, or the last one where nothing follows; NO_HEAD where there is none."""
    for piece in reversed(pieces):
        if sequence is None or piece.last_sequence == sequence - 1:
            return Head(piece.last_sequence, piece.digest, piece.status, pieces[0].began)
    return NO_HEAD


def digest_at(payment_id: int, refund_id: int | None, sequence: int) -> str:
    """The digest of an archived line that ended its piece of the chain, or ""; before line 1 stands none."""
    if not sequence:
        return ""
    pieces = ArchivedChain.objects.filter(payment=payment_id, refund=refund_id, last_sequence=sequence)
    return pieces.values_list("digest", flat=True).first() or ""


def has_heard(refund_id: int, fingerprint: str) -> bool:
    """Whether a gateway's word stands in the archived part of a refund's journal."""
    heard = ArchivedChain.objects.filter(refund=refund_id).values_list("heard", flat=True)
    return any(fingerprint in words for words in heard)


def packed(lines: Iterable[tuple[int, str]]) -> bytes:
    """Number and digest of each line, 40 bytes each."""
    return b"".join(LINE.pack(number, bytes.fromhex(digest)) for number, digest in lines)


def unpacked(data: bytes | memoryview) -> Iterator[tuple[int, str]]:
    for number, digest in LINE.iter_unpack(data):
        yield number, digest.hex()


def lines_under(checkpoint: int) -> list[tuple[int, str]]:
    """Number and digest of each line that archives took from under this checkpoint, in order."""
    parts = ArchivedLines.objects.filter(checkpoint=checkpoint).values_list("packed", flat=True)
    return sorted(line for part in parts for line in unpacked(part))


def lines_of_archive(archive: Archive) -> list[tuple[int, str]]:
    """Number and digest of each line that one archive took, in order."""
    return sorted(line for part in archive.lines.all() for line in unpacked(part.packed))


def seal_over(
    archive: Archive,
    chains: Iterable[ArchivedChain],
    lines: Iterable[ArchivedLines],
    deliveries: Iterable[ArchivedDelivery],
    previous: str,
) -> str:
    """SHA-256 of the archive before ("" for the first), of this one, and of every row that it leaves here, in order."""
    seal = hashlib.sha256(previous.encode())
    said: Iterator[list[Any]] = chain(
        [[getattr(archive, name) for name in OF_THE_FILE]],
        ([getattr(one, name) for name in OF_A_CHAIN] for one in chains),
        ([one.checkpoint, hashlib.sha256(one.packed).hexdigest()] for one in lines),
        ([one.number, one.account_id, one.digest] for one in deliveries),
    )
    for values in said:
        text = json.dumps(values, sort_keys=True, separators=(",", ":"), default=lambda value: value.isoformat())
        seal.update(b"\n" + text.encode())
    return seal.hexdigest()


def flaws_of_archives(exported: dict[int, tuple[str, str]]) -> Iterator[str]:
    """Where what archives left here is not what was left; `exported`: sequence → file and seal, as the log has them."""
    previous = ""
    for expected, archive in enumerate(Archive.objects.order_by("sequence"), 1):
        if archive.sequence != expected:
            yield f"Archive {expected} is missing; archive {archive.sequence} stands in its place."
            return
        if archive.digest != _seal_now(archive, previous):
            yield f"Archive {expected} ({archive.file_name}): what it left here was changed."
        said = (archive.file_name, archive.digest)
        if exported.pop(expected, said) != said:
            yield f"Archive {expected} is not the one that was written to the log."
        previous = archive.digest
    yield from (f"Archive {sequence} stands in the log and not in the database." for sequence in sorted(exported))


def _seal_now(archive: Archive, previous: str) -> str:
    """By key, the order in which the rows were written; piece by piece, so memory stays flat."""
    return seal_over(
        archive,
        archive.chains.order_by("pk").iterator(chunk_size=500),
        archive.lines.order_by("pk").iterator(chunk_size=100),
        archive.deliveries.order_by("pk").iterator(chunk_size=500),
        previous,
    )


def flaws_of_pieces(name: str, pieces: Sequence[ArchivedChain]) -> Iterator[str]:
    """Archived pieces of one chain that do not follow from each other."""
    last, digest = 0, ""
    for piece in pieces:
        if (piece.first_sequence, piece.previous) != (last + 1, digest):
            yield f"{name}: the archived lines from {piece.first_sequence} on do not follow line {last}."
        last, digest = piece.last_sequence, piece.digest
