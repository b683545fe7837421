"""A file of refunds to request, CSV or XLSX, read strictly into rows of text. What a row means: request_check.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from io import BytesIO

from django.utils.translation import gettext as _

from refunds.errors import BadInput
from refunds.services.rows import BadRow, Line, by_name, csv_lines, header_of
from refunds.services.workbook import is_workbook, workbook_lines
from refunds.sheets import as_typed

MOST_ROWS = 2000
NEEDED = ("account", "amount", "currency", "reason")
NAMING = ("payment_reference", "order")  # one of them at least
WHY_NOT = "why_not"  # written by us beside a refused row, and not read again
OLD_EXCEL = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True)
class RequestRow:
    """One refund to ask for as it was written; `line` is where it stands in its file."""

    account: str
    payment_reference: str
    order: str
    amount: str
    currency: str
    reason: str
    ticket: str
    internal_note: str
    line: int = field(default=0, compare=False)

    @property
    def given(self) -> dict[str, str]:
        return {name: text for name, text in asdict(self).items() if name != "line"}


COLUMNS = ("account", "payment_reference", "order", "amount", "currency", "reason", "ticket", "internal_note")


def read_request_rows(content: bytes) -> list[RequestRow | BadRow]:
    """Every line but the blank ones, good or bad. Raises BadInput when the file as a whole is not what we read."""
    if content.startswith(OLD_EXCEL):
        raise BadInput(_("This workbook is of an old format, or has a password. Save it as XLSX without one."))
    lines = workbook_lines(content) if is_workbook(content) else csv_lines(BytesIO(content))
    names = [name.strip().lower() for name in header_of(lines, COLUMNS)]
    _demand_columns(names)
    rows = list(_rows(names, lines))
    if not rows:
        raise BadInput(_("The file has a header and no rows."))
    return rows


def _rows(names: list[str], lines: Iterator[Line | BadRow]) -> Iterator[RequestRow | BadRow]:
    for number, line in enumerate(lines):
        if number >= MOST_ROWS:
            raise BadInput(_("The file has more than %(most)s rows. Split it.") % {"most": MOST_ROWS})
        yield line if isinstance(line, BadRow) else _row(names, *line)


def _row(names: list[str], line: int, record: list[str]) -> RequestRow | BadRow:
    named = by_name(names, line, record)
    if isinstance(named, BadRow):
        return named
    return RequestRow(**{name: as_typed(named.get(name, "").strip()).strip() for name in COLUMNS}, line=line)


def _demand_columns(names: list[str]) -> None:
    """What is needed, and nothing that is not known: a column that nobody reads could be the one that was meant."""
    known = (*COLUMNS, WHY_NOT)
    missing = [name for name in NEEDED if name not in names]
    if not any(name in names for name in NAMING):
        missing.append(" / ".join(NAMING))
    unknown = [name for name in names if name not in known]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if not (missing or unknown or doubled):
        return
    said = [", ".join(map(repr, found))[:300] or "-" for found in (missing, unknown, doubled)]
    raise BadInput(
        _(
            "The first line has to name the columns: %(all)s. "
            "Missing: %(missing)s. Not known: %(unknown)s. Twice: %(twice)s."
        )
        % {"all": ", ".join(COLUMNS), **dict(zip(("missing", "unknown", "twice"), said, strict=True))}
    )
