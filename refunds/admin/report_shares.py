"""How many succeed, why refunds fail, and why customers get money back: each as parts of a whole."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from refunds.admin.report_tables import Cell, Report, Row
from refunds.capabilities import label_of
from refunds.reports.figures import Ends, Failure


def success(found: dict[str, Ends]) -> Report:
    total = sum(found.values(), Ends())
    answer = ""
    if found:
        words = {"rate": _rate(total), "succeeded": total.succeeded, "number": total.number}
        answer = _("%(rate)s: %(succeeded)d of %(number)d succeeded.") % words
    return Report(
        "success",
        _("How many succeed?"),
        _("By the final moment. Success rate: succeeded of all that succeeded, failed or were reversed."),
        [_("Gateway"), _("Success rate"), _("Succeeded"), _("Failed"), _("Reversed")],
        [_ends(label_of(gateway), ends) for gateway, ends in found.items()],
        answer,
        _("No refund has come to its end in these days."),
        unit="%",
        most="100",
        total=_ends(_("All together"), total) if len(found) > 1 else None,
    )


def _ends(label: str, ends: Ends) -> Row:
    numbers = (ends.succeeded, ends.failed, ends.reversed)
    return Row(label, [Cell(_rate(ends), _tenths(ends.per_mille)), *(Cell(str(number)) for number in numbers)])


def _rate(ends: Ends) -> str:
    return per_cent(ends.per_mille)


def _tenths(per_mille: int) -> str:
    """The bare number of per cent, for a chart."""
    return f"{per_mille // 10}.{per_mille % 10}"


def per_cent(per_mille: int) -> str:
    """92.3 %, with the point of the reader's language."""
    return f"{formats.number_format(Decimal(per_mille).scaleb(-1), 1)}\N{NO-BREAK SPACE}%"


def failures(found: Sequence[Failure]) -> Report:
    total = sum(one.number for one in found)
    answer = ""
    if found:
        words = {"total": total, "code": _code(found[0]), "number": found[0].number}
        text = ngettext(
            "%(total)d refund failed: %(code)s.",
            "%(total)d refunds failed; the most frequent code: %(code)s (%(number)d).",
            total,
        )
        answer = text % words
    return Report(
        "failures",
        _("Why do refunds fail?"),
        _("By the final moment, with the code that the gateway gave for its no."),
        [_("Gateway and code"), _("Failed"), _("Share")],
        [_failure(one, total) for one in found],
        answer,
        _("No refund has failed in these days."),
        unit=_("refunds"),
    )


def _failure(one: Failure, total: int) -> Row:
    return Row(f"{label_of(one.gateway)}: {_code(one)}", _share(one.number, total))


def _code(one: Failure) -> str:
    if one.is_declared:
        return _("declared by two people")
    return one.code or _("no code was kept")


def _share(number: int, total: int) -> list[Cell]:
    return [Cell(str(number), str(number)), Cell(per_cent((2000 * number + total) // (2 * total)))]


def reasons(found: Sequence[tuple[str, int]]) -> Report:
    total = sum(number for _name, number in found)
    answer = ""
    if found:
        words = {"reason": found[0][0], "number": found[0][1], "total": total}
        answer = _("Most often “%(reason)s”: %(number)d of %(total)d.") % words
    return Report(
        "reasons",
        _("Why do customers get money back?"),
        _("By the moment of the request, whatever became of it."),
        [_("Reason"), _("Requested"), _("Share")],
        [Row(name, _share(number, total)) for name, number in found],
        answer,
        _("Nothing was requested in these days."),
        unit=_("refunds"),
    )
