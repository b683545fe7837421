"""How long until a refund is approved, and until the money is back."""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext as _

from refunds.admin.report_tables import Cell, Report, Row
from refunds.capabilities import label_of, span
from refunds.reports.figures import Lengths
from refunds.reports.lengths import Length

UNITS = (
    (timedelta(days=1), "d"),
    (timedelta(hours=1), "h"),
    (timedelta(minutes=1), "min"),
    (timedelta(seconds=1), "s"),
)


def time_to_approve(found: Lengths) -> Report:
    return _times(
        "approve",
        _("How long until a refund is approved?"),
        _("From the request to the last approval, questions and answers included; by the moment of approval."),
        found,
        _("Nothing was approved by people in these days."),
    )


def time_to_settle(found: Lengths) -> Report:
    return _times(
        "settle",
        _("How long until the money is back?"),
        _("From sending to the word that it succeeded; by that final moment."),
        found,
        _("No refund that we sent has succeeded in these days."),
    )


def _times(name: str, title: str, counted_by: str, found: Lengths, empty: str) -> Report:
    longest = max((one.p95 for one in found.by_gateway.values()), default=timedelta())
    unit, symbol = next((pair for pair in UNITS if pair[0] <= longest), UNITS[-1])
    answer = ""
    if all_of_them := found.together:
        words = {"median": told(all_of_them.median), "p95": told(all_of_them.p95), "number": all_of_them.number}
        answer = _("Half of %(number)d took at most %(median)s, and 95 of 100 at most %(p95)s.") % words
    more = len(found.by_gateway) > 1 and found.together
    return Report(
        name,
        title,
        counted_by,
        [_("Gateway"), _("Median"), _("95 of 100"), _("Refunds")],
        [_time(label_of(gateway), one, unit) for gateway, one in found.by_gateway.items()],
        answer,
        empty,
        unit=symbol,
        total=_time(_("All together"), more, unit) if more else None,
    )


def _time(label: str, one: Length, unit: timedelta) -> Row:
    hundredths = [max(took, timedelta()) * 100 // unit for took in (one.median, one.p95)]
    values = [f"{number // 100}.{number % 100:02}" for number in hundredths]
    return Row(label, [Cell(told(one.median), values[0]), Cell(told(one.p95), values[1]), Cell(str(one.number))])


def told(took: timedelta) -> str:
    """Below ten seconds by the hundredth, up to a minute by the tenth, then by the second."""
    grids = ((timedelta(seconds=10), timedelta(milliseconds=10)), (timedelta(minutes=1), timedelta(milliseconds=100)))
    grid = next((grid for below, grid in grids if took < below), timedelta(seconds=1))
    rounded = (2 * max(took, timedelta()) + grid) // (2 * grid) * grid  # a clock set back makes no negative times
    return span(max(rounded, grids[0][1]))  # nothing takes no time at all
