"""Tables as CSV or XLSX whose cells are text, and never a formula, whatever was typed into them."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell

LONGEST_CELL = 32_767  # what a spreadsheet takes
# A program that opens the table would calculate with these, wherever it believes a cell to begin.
FORMULA = r"[=+\-@\uFF1D\uFF0B\uFF0D\uFF20\u2212\uFE62\uFE63\uFE66\uFE6B\uFE55]"
BLANKS = r"[\s\"\u00a0\u200b-\u200f\u2028-\u202f\u2060-\u2064\ufeff\x00-\x1f]*"
AT_THE_START = re.compile(rf"\A({BLANKS})(?={FORMULA})|\A(?=[\t\r\n\x00])")
# A semicolon or a tab parts cells where the reader's country says so.
WITHIN = re.compile(rf"([;\t\r\n]{BLANKS})(?={FORMULA})")
UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

Row = Sequence[str]


def safe(text: str) -> str:
    """The text as a cell that no program takes for a formula: an apostrophe stands before what could be one."""
    begins_badly = AT_THE_START.match(text)
    text = WITHIN.sub(r"\1'", writable(text))
    return (f"'{text}" if begins_badly else text)[:LONGEST_CELL]


def writable(text: str) -> str:
    """Signs that neither a sheet nor a database takes, by their numbers."""
    return UNWRITABLE.sub(lambda sign: f"\\x{ord(sign[0]):02x}", text)


def as_typed(text: str) -> str:
    """A cell of ours read back: without the one apostrophe that stands before what could be a formula."""
    return text[1:] if text.startswith("'") and AT_THE_START.match(text[1:]) else text


class _Line:
    """What the csv module writes into; it hands the line straight on."""

    def write(self, line: str) -> str:
        return line


def as_csv(rows: Iterable[Row]) -> Iterator[bytes]:
    """RFC 4180, every cell quoted, UTF-8 with the mark by which spreadsheets know it; a row at a time."""
    writer: Any = csv.writer(_Line(), quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    yield b"\xef\xbb\xbf"
    for row in rows:
        yield writer.writerow([safe(text) for text in row]).encode()


def as_xlsx(rows: Iterable[Row]) -> IO[bytes]:
    """A workbook in a file that is gone once it is closed; rows go to the disk as they come."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Export")
    for row in rows:
        sheet.append([_cell(sheet, text) for text in row])
    file = tempfile.TemporaryFile()  # noqa: SIM115  the answer closes it
    book.save(file)
    file.seek(0)
    return file


def _cell(sheet: Any, text: str) -> Any:
    cell = WriteOnlyCell(sheet, safe(text))
    cell.data_type = "s"  # openpyxl would take a leading = for a formula
    return cell
