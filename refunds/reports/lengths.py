"""How long something took: the median and the 95th percentile, found by the database, exactly and on any of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, DurationField, ExpressionWrapper, F, Q, QuerySet, Window
from django.db.models.functions import RowNumber


@dataclass(frozen=True)
class Length:
    """Of `number` rows. The median of an even number is the mean of the two in the middle.

    `p95` is the shortest length that at least 95 of 100 rows stay within (nearest rank), so it always was one of them.
    """

    number: int
    median: timedelta
    p95: timedelta


def lengths(rows: QuerySet[Any], start: str, end: str, by: str) -> dict[Any, Length]:
    """From the column `start` to the column `end`, for each value of the column `by`; one query, few rows come back."""
    found: dict[Any, list[tuple[int, int, timedelta]]] = {}
    for key, *ranked in _decisive(rows, start, end, by).values_list(by, "number", "rank", "length"):
        found.setdefault(key, []).append(tuple(ranked))
    return {key: _length(ranked) for key, ranked in found.items()}


def length(rows: QuerySet[Any], start: str, end: str) -> Length | None:
    """Of all rows together; None of none."""
    ranked = list(_decisive(rows, start, end, None).values_list("number", "rank", "length"))
    return _length(ranked) if ranked else None


def _decisive(rows: QuerySet[Any], start: str, end: str, by: str | None) -> QuerySet[Any]:
    """The rows in the middle and at the 95th percentile, ranked by their length."""
    took = ExpressionWrapper(F(end) - F(start), output_field=DurationField())
    ranked = rows.order_by().annotate(
        length=took,
        rank=Window(RowNumber(), partition_by=by, order_by=("length", "pk")),
        number=Window(Count("pk"), partition_by=by),
    )
    in_the_middle = Q(twice__gte=F("number"), twice__lte=F("number") + 2)
    at_95 = Q(hundredfold__gte=F("number") * 95, hundredfold__lt=F("number") * 95 + 100)
    return ranked.annotate(twice=F("rank") * 2, hundredfold=F("rank") * 100).filter(in_the_middle | at_95)


def _length(ranked: Iterable[tuple[int, int, timedelta]]) -> Length:
    by_rank = {rank: took for _, rank, took in ranked}
    number = next(number for number, _, _ in ranked)
    middle = by_rank[(number + 1) // 2] + by_rank[number // 2 + 1]
    return Length(number, middle // 2, by_rank[-(-95 * number // 100)])
