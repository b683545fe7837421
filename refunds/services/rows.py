"""Files read strictly into rows of text; here those of payments. What a row means is decided in intake.py."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import BinaryIO, NoReturn

from django.utils.translation import gettext as _

from refunds.errors import BadInput

PIECE = 1 << 20  # bytes that are read at once
LONGEST_LINE = 4000  # characters; the longest honest row has some 900

Line = tuple[int, list[str]]  # where it stands, and its fields


@dataclass(frozen=True)
class PaymentRow:
    """One payment as it was written; `line` is where it stands in its file, 0 when it was typed into the form."""

    account: str
    payment_reference: str
    order: str
    amount: str
    currency: str
    captured_at: str
    customer_name: str
    customer_email: str
    method: str
    disputed: str
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be taken in, and why; `said` is what stood in it, where that is known."""

    line: int
    reason: str
    said: tuple[str, ...] = field(default=(), compare=False)


COLUMNS = tuple(column.name for column in fields(PaymentRow) if column.name != "line")


def read_rows(file: BinaryIO) -> Iterator[PaymentRow | BadRow]:
    """Every line but the blank ones, good or bad, one by one however long the file is.

    Raises BadInput at once when the file as a whole is not what we read. It stays open until the last row is read.
    """
    lines = csv_lines(file)
    names = header_of(lines, COLUMNS)
    _demand_columns(names)
    return (line if isinstance(line, BadRow) else _row(names, *line) for line in lines)


def csv_lines(file: BinaryIO) -> Iterator[Line | BadRow]:
    """Every line but the blank ones, one by one. Raises BadInput at once for what is not UTF-8."""
    _demand_utf8(file)
    file.seek(0)
    return _lines(_text(file))


def header_of(lines: Iterator[Line | BadRow], columns: Iterable[str]) -> list[str]:
    """The first line, which names the columns."""
    header = next(lines, None)
    if header is None:
        raise BadInput(
            _("The file is empty. Its first line has to name the columns: %(columns)s.")
            % {"columns": ",".join(columns)}
        )
    if isinstance(header, BadRow):
        raise BadInput(
            _("Line %(line)s, which has to name the columns, cannot be read: %(reason)s")
            % {"line": header.line, "reason": header.reason}
        )
    names = header[1]
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        raise BadInput(_("The columns have to be separated by commas, not by semicolons or tabs."))
    return names


def _text(file: BinaryIO) -> Iterator[str]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        yield from text
    finally:
        if not file.closed:
            text.detach()  # whoever has opened it closes it


def _demand_utf8(file: BinaryIO) -> None:
    decoder, line = codecs.getincrementaldecoder("utf-8-sig")(), 1
    while piece := file.read(PIECE):
        try:
            decoder.decode(piece)
        except UnicodeDecodeError as trouble:
            read_until = trouble.start - len(trouble.object) + len(piece)  # the decoder may begin in the piece before
            _refuse(line + piece.count(b"\n", 0, max(read_until, 0)))
        line += piece.count(b"\n")
    if decoder.getstate()[0]:
        _refuse(line)


def _refuse(line: int) -> NoReturn:
    raise BadInput(
        _("The file is not UTF-8 text: line %(line)s cannot be read. Save it as CSV UTF-8.") % {"line": line}
    )


def _lines(text: Iterable[str]) -> Iterator[Line | BadRow]:
    """The line number and the fields of each record; a record that breaks the rules of CSV is a bad row."""
    said: list[str] = []
    reader = csv.reader(_kept(text, said), strict=True)
    while True:
        first = reader.line_num + 1
        said.clear()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as trouble:
            yield BadRow(first, _broken(str(trouble), first, reader.line_num), tuple(said))
            continue
        if reader.line_num > first:
            yield BadRow(first, _broken(_("a field goes over several lines"), first, reader.line_num), tuple(record))
        elif record:
            yield first, record


def _kept(text: Iterable[str], said: list[str]) -> Iterator[str]:
    """The lines, each also put down in `said`: a record that cannot be read is shown as it stood there."""
    for line in text:
        said.append(line)
        yield line


def _broken(trouble: str, first: int, last: int) -> str:
    if last > first:
        return _(
            "Lines %(first)s to %(last)s are one row: look for a quotation mark that is never closed (%(trouble)s)."
        ) % {"first": first, "last": last, "trouble": trouble}
    return _("This is not CSV: %(trouble)s. Look at its quotation marks.") % {"trouble": trouble}


def _demand_columns(names: list[str]) -> None:
    """Exactly our columns, in any order."""
    missing = [name for name in COLUMNS if name not in names]
    unknown = [name for name in names if name not in COLUMNS]
    doubled = sorted({name for name in names if names.count(name) > 1 and name in COLUMNS})
    troubles = [
        f"{word} {', '.join(map(repr, found))}"
        for word, found in ((_("missing:"), missing), (_("unknown:"), unknown), (_("twice:"), doubled))
        if found
    ]
    if troubles:
        shown = "; ".join(troubles)[:500]
        raise BadInput(
            _("The first line has to name exactly the columns %(columns)s. Here is %(shown)s.")
            % {"columns": ",".join(COLUMNS), "shown": shown}
        )


def _row(names: list[str], line: int, record: list[str]) -> PaymentRow | BadRow:
    named = by_name(names, line, record)
    return named if isinstance(named, BadRow) else PaymentRow(**named, line=line)


def by_name(names: list[str], line: int, record: list[str]) -> dict[str, str] | BadRow:
    """The fields of a row by the names of their columns."""
    if len(record) != len(names):
        return BadRow(
            line,
            _("Fields in this row: %(here)s instead of %(columns)s.") % {"here": len(record), "columns": len(names)},
            tuple(record),
        )
    if sum(map(len, record)) > LONGEST_LINE:
        why = _("This row is longer than %(longest)s characters.") % {"longest": LONGEST_LINE}
        return BadRow(line, why, tuple(record))
    return dict(zip(names, record, strict=True))
