"""An XLSX file read strictly into lines of text. Its numbers are taken as they are shown, or not at all."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from openpyxl import load_workbook
from openpyxl.cell.read_only import ReadOnlyCell

from refunds.errors import BadInput
from refunds.services.rows import BadRow, Line

MOST_PARTS = 200
MOST_UNPACKED = 16 * 1024 * 1024  # bytes; 2,000 honest rows have some two million
MOST_TAGS = 300_000  # in one part: each becomes an object a hundred times its size
MOST_LINES, MOST_CELLS = 10_000, 200_000  # blank ones included
MOST_DIGITS = 15  # what a spreadsheet's number holds; the digits after them are noise
XML = (".xml", ".rels")
STRANGE = re.compile(rb"\0|<!DOCTYPE|<!ENTITY|\A\s*<\?xml[^>]*encoding\s*=\s*[\"'](?!utf-8[\"'])", re.IGNORECASE)
ODD = gettext_lazy("This is not a workbook that can be read here. Save it anew as XLSX, or as CSV UTF-8.")


def is_workbook(content: bytes) -> bool:
    return content.startswith(b"PK\x03\x04")


def workbook_lines(content: bytes) -> Iterator[Line | BadRow]:
    """The lines of its only sheet but the blank ones, each as long as the first. Raises BadInput."""
    try:
        yield from _lines(_only_sheet(_plain(content)))
    except BadInput:
        raise
    except Exception as trouble:  # what the library makes of a crooked file is not told by a class
        raise BadInput(ODD) from trouble


def _plain(content: bytes) -> io.BytesIO:
    """The XML parts alone, unpacked within bounds and free of what XML can hide, in an archive of our own."""
    plain, n_unpacked = io.BytesIO(), 0
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed, zipfile.ZipFile(plain, "w") as ours:
            parts = [part for part in packed.infolist() if part.filename.lower().endswith(XML)]
            if len({part.filename for part in parts}) != len(parts) or len(parts) > MOST_PARTS:
                raise BadInput(ODD)
            for part in parts:
                n_unpacked += part.file_size  # never more is unpacked than it claims
                if n_unpacked > MOST_UNPACKED:
                    raise BadInput(_("This workbook is too large once it is unpacked. Keep only the rows to refund."))
                text = packed.read(part)
                if STRANGE.search(text) or text.count(b"<") > MOST_TAGS:
                    raise BadInput(ODD)
                ours.writestr(part.filename, text)
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError) as trouble:
        raise BadInput(ODD) from trouble
    plain.seek(0)
    return plain


def _only_sheet(plain: io.BytesIO) -> Any:
    book = load_workbook(plain, read_only=True, data_only=False, keep_links=False)
    if len(book.worksheets) != 1:
        names = ", ".join(map(repr, book.sheetnames))[:300]
        raise BadInput(_("Keep only one sheet in the workbook; it has %(names)s.") % {"names": names})
    sheet = book.worksheets[0]
    sheet.reset_dimensions()  # it may claim any size
    return sheet


def _lines(sheet: Any) -> Iterator[Line | BadRow]:
    n_cells, width = 0, 0
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        n_cells += len(cells)
        if number > MOST_LINES or n_cells > MOST_CELLS:
            raise BadInput(_("This sheet is too large, blank rows and columns included. Keep only the rows to refund."))
        if all(cell.value is None for cell in cells):
            continue
        try:
            texts = [_text(cell) for cell in cells]
        except BadCell as trouble:
            yield BadRow(number, str(trouble), tuple(str(cell.value) for cell in cells))
            continue
        while len(texts) > width and not texts[-1].strip():
            texts.pop()
        if texts:
            width = width or len(texts)
            yield number, texts + [""] * (width - len(texts))


class BadCell(ValueError):
    """A cell that is no text and no plain number."""


def _text(cell: ReadOnlyCell) -> str:
    value: Any = cell.value
    if value is None:
        return ""
    if cell.data_type == "f":
        raise BadCell(_("The cell %(cell)s is a formula. Paste its value instead.") % {"cell": cell.coordinate})
    if isinstance(value, str) and cell.data_type == "s":
        return value
    if cell.data_type == "n" and isinstance(value, int | float) and (text := _plain_number(value)):
        return text
    if cell.data_type == "n":
        said = {"cell": cell.coordinate, "value": str(value)[:40]}
        raise BadCell(
            _(
                "The cell %(cell)s holds the number %(value)s, which a calculation left or a spreadsheet cannot hold "
                "exactly. Round it, or format the cell as text and type it."
            )
            % said
        )
    raise BadCell(
        _("The cell %(cell)s is a date, an error or a yes/no. Format it as text and type it.")
        % {"cell": cell.coordinate}
    )


def _plain_number(value: Any) -> str:
    """The number that was typed, as the shortest decimal that is stored this way; "" where that is not plain."""
    text = repr(value).removesuffix(".0")
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text, re.ASCII):
        return ""
    return text if len(text.strip("-0.").replace(".", "")) <= MOST_DIGITS else ""
