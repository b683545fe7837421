"""Piles: some rows that somebody should look at, how many, how much money, and where to find them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.db.models import Sum as Added
from django.urls import reverse
from django.utils.translation import gettext as _

from gateways.money import Money
from refunds.admin import changes
from refunds.admin.desk import DeskRequest
from refunds.models import Refund
from refunds.reports.sums import Sum

TOLD_APART = ("account__mode", "payment__currency")  # money of two of them is never added up
ALL = Q(pk__isnull=False)
FEW = 6  # rows of a list on the first page; its pile leads to the rest


@dataclass(frozen=True)
class Pile:
    """`figure` stands where the number would, if something else says more."""

    title: str
    number: int
    link: str
    tone: str
    sums: list[Sum] = field(default_factory=list)
    figure: str = ""


@dataclass(frozen=True)
class Part:
    """What one part of the house meets first: its piles, and a template with its lists."""

    title: str
    piles: list[Pile]
    template: str = ""
    lists: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tally:
    """How many refunds, and how much in each mode and currency."""

    number: int
    sums: list[Sum]


def tallies(refunds: QuerySet[Refund], conditions: dict[str, Q]) -> dict[str, Tally]:
    """Of all conditions by one query; a refund counts for each that it meets.

    All of `refunds` are read, so the caller has narrowed them to few.
    """
    counts: dict[str, Any] = {f"n_{name}": Count("pk", filter=asked) for name, asked in conditions.items()}
    sums: dict[str, Any] = {f"sum_{name}": Added("amount", filter=asked) for name, asked in conditions.items()}
    rows = refunds.order_by().values(*TOLD_APART).annotate(**counts, **sums)
    found: list[dict[str, Any]] = sorted(map(dict, rows), key=lambda row: [row[name] for name in TOLD_APART])
    return {name: _tally(found, name) for name in conditions}


def _tally(rows: list[dict[str, Any]], name: str) -> Tally:
    met = [row for row in rows if row[f"n_{name}"]]
    sums = [Sum(Money(row[f"sum_{name}"], row["payment__currency"]), row["account__mode"]) for row in met]
    return Tally(sum(row[f"n_{name}"] for row in met), sums)


def of_refunds(title: str, tally: Tally, query: str, tone: str) -> Pile:
    """A pile that leads to the list of refunds, or below it."""
    return Pile(title, tally.number, reverse("admin:refunds_refund_changelist") + query, tone, tally.sums)


def changes_to_confirm(request: DeskRequest) -> Pile | None:
    """For those who could confirm one."""
    if not changes.kinds_confirmed(request.user):
        return None
    link = reverse("admin:refunds_change_changelist") + "?standing=mine"
    return Pile(_("Changes waiting for you to confirm"), changes.number_waiting(request), link, "waiting")
