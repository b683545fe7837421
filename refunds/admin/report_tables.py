"""A report as a table, from which charts.js draws its chart; and the two reports about single days."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from gateways.money import Money
from refunds import wording
from refunds.capabilities import label_of
from refunds.reports.figures import OfADay
from refunds.reports.selection import Selection


@dataclass(frozen=True)
class Cell:
    """`value` is the bare number that a chart draws, in the chart's unit; "" where nothing is drawn."""

    text: str
    value: str = ""


@dataclass(frozen=True)
class Row:
    label: str
    cells: list[Cell]


@dataclass(frozen=True)
class Report:
    """One question and its answer. `counted_by` names the moment; a column with a value in its cells is drawn."""

    name: str
    title: str
    counted_by: str
    head: list[str]
    rows: list[Row]
    answer: str
    empty: str
    chart: str = "bars"  # "days": one stacked column a day; "bars": one group of bars a row
    unit: str = ""
    most: str = ""  # the end of the scale, where it is fixed
    total: Row | None = None
    links: list[tuple[str, str]] = field(default_factory=list)  # other currencies: words and what to choose

    @property
    def rem(self) -> int:
        """The chart's height, known before it is drawn, so that nothing jumps."""
        n_bars = sum(bool(cell.value) for row in self.rows for cell in row.cells)
        return 15 if self.chart == "days" else 5 + len(self.rows) + n_bars


# --- per day ---


def count_per_day(found: Sequence[OfADay], selection: Selection, counted_by: str) -> Report:
    numbers: dict[tuple[date, str], int] = {}
    for one in found:
        numbers[one.day, one.gateway] = numbers.get((one.day, one.gateway), 0) + one.number
    table = _days(numbers, selection, lambda number: Cell(str(number), str(number)))
    total = sum(one.number for one in found)
    by_day = {day: sum(numbers.get((day, gateway), 0) for gateway in _gateways(found)) for day in selection.days}
    busiest = max(by_day, key=lambda day: by_day[day])
    answer = ngettext(
        "%(total)d refund; the most on one day were %(most)d, on %(day)s.",
        "%(total)d refunds; the most on one day were %(most)d, on %(day)s.",
        total,
    ) % {"total": total, "most": by_day[busiest], "day": _day(busiest)}
    return Report(
        "count",
        _("How many refunds are there each day?"),
        counted_by,
        [_("Day"), *map(label_of, _gateways(found))],
        table if found else [],
        answer,
        _("No refund has come so far in these days."),
        chart="days",
        unit=_("refunds"),
    )


def volume_per_day(found: Sequence[OfADay], selection: Selection, counted_by: str) -> Report:
    """Of the chosen currency, or of the one with the most refunds; the others are named with their own sums."""
    totals = totals_of(found)
    currency = selection.currency or next(iter(totals), "")
    own = [one for one in found if one.currency == currency]
    sums: dict[tuple[date, str], int] = {}
    for one in own:
        sums[one.day, one.gateway] = sums.get((one.day, one.gateway), 0) + one.minor
    answer = ""
    if own:
        words = {"sum": wording.amount(totals[currency]), "currency": currency}
        answer = _("%(sum)s in all. Only %(currency)s is drawn: sums of two currencies are never added up.") % words
    return Report(
        "volume",
        _("How much money is it each day?"),
        counted_by,
        [_("Day"), *map(label_of, _gateways(own))],
        _days(sums, selection, lambda minor: _amount(minor, currency)) if own else [],
        answer,
        _("No refund has come so far in these days."),
        chart="days",
        unit=currency,
        links=[(wording.amount(money), name) for name, money in totals.items() if name != currency],
    )


def totals_of(found: Iterable[OfADay]) -> dict[str, Money]:
    """By currency, the one with the most refunds first."""
    numbers: dict[str, int] = {}
    sums: dict[str, Money] = {}
    for one in found:
        numbers[one.currency] = numbers.get(one.currency, 0) + one.number
        sums[one.currency] = sums.get(one.currency, Money(0, one.currency)) + Money(one.minor, one.currency)
    return {name: sums[name] for name in sorted(sums, key=lambda name: (-numbers[name], name))}


def _days(numbers: dict[tuple[date, str], int], selection: Selection, cell: Callable[[int], Cell]) -> list[Row]:
    """A row for each day, also for those without anything."""
    gateways = sorted({gateway for _any_day, gateway in numbers})
    return [Row(_day(day), [cell(numbers.get((day, gateway), 0)) for gateway in gateways]) for day in selection.days]


def _gateways(found: Iterable[OfADay]) -> list[str]:
    return sorted({one.gateway for one in found})


def _amount(minor: int, currency: str) -> Cell:
    money = Money(minor, currency)
    return Cell(wording.amount(money), str(money)) if minor else Cell("—", "0")


def _day(day: date) -> str:
    return formats.date_format(day, "j M Y")
