"""An archive file: compressed lines of JSON, the same for the same rows, written once and never again."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refunds.archives.groups import KINDS, Group
from refunds.errors import BadInput

FORMAT = 1
PIECE = 1024 * 1024


@dataclass(frozen=True)
class Written:
    """`digest` is the SHA-256 of the file; `counts` its payments and its rows of each kind."""

    path: Path
    digest: str
    counts: Counter[str]


def folder_or_refuse(folder: Path) -> Path:
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder.")
    return folder


def write(folder: Path, about: dict[str, Any], groups: Iterable[Group]) -> Written:
    """On the disk for certain when this returns, under a name that holds the digest; nothing is ever overwritten.

    `about` goes into its first line; its "sequence" is part of the name.
    """
    draft = folder / f".archive-{about['sequence']:06}.partial"
    with draft.open("wb") as file:
        counts = _fill(file, about, groups)
        file.flush()
        os.fsync(file.fileno())
    digest = digest_of(draft)
    path = folder / f"archive-{about['sequence']:06}-{digest[:16]}.jsonl.gz"
    _give_name(draft, path, digest)
    return Written(path, digest, counts)


def _fill(file: Any, about: dict[str, Any], groups: Iterable[Group]) -> Counter[str]:
    counts: Counter[str] = Counter(payment=0, **dict.fromkeys(KINDS, 0))
    # Neither a time nor a name stands in its head, so the same rows make the same bytes.
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as out:
        out.write(_line("archive", {"format": FORMAT, **about}))
        for group in groups:
            out.write(_line("payment", group.payment))
            counts["payment"] += bool(group.payment)
            for kind in KINDS:
                rows = group.rows(kind)
                out.writelines(_line(kind, row) for row in rows)
                counts[kind] += len(rows)
        out.write(_line("end", counts))
    return counts


def _give_name(draft: Path, path: Path, digest: str) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:  # an earlier run came as far as this
        if digest_of(path) != digest:
            raise BadInput(f"{path} is there already and says something else.") from None
    draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def read(path: Path) -> Iterator[Group]:
    """Group by group, so memory stays flat; BadInput for whatever is not a whole archive file."""
    counts: Counter[str] = Counter(payment=0, **dict.fromkeys(KINDS, 0))
    group: Group | None = None
    end = None
    for kind, value in _lines(path):
        if kind == "payment":
            if group:
                yield group
            group = Group(value)
            counts["payment"] += bool(value)
        elif kind in KINDS and group:
            group.rows(kind).append(value)
            counts[kind] += 1
        elif kind == "end":
            end = value
    if group:
        yield group
    if end != counts:
        raise BadInput(f"{path.name} does not hold what its last line says.")


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with gzip.open(path, "rb") as file:
            for text in file:
                ((kind, value),) = json.loads(text).items()
                yield kind, value
    except (OSError, EOFError, ValueError, zlib.error) as trouble:
        raise BadInput(f"{path.name} cannot be read: {trouble}") from trouble


def _line(kind: str, value: Any) -> bytes:
    return json.dumps({kind: value}, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
