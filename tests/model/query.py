"""As much of the query language as the services use, on plain objects; what it hands out is a copy."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from typing import Any

from django.db.models import F, Q, Value
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce

SIGNS = {"+": operator.add, "-": operator.sub}
TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "in": lambda value, wanted: value in wanted,
    "gt": lambda value, wanted: value is not None and value > wanted,
    "gte": lambda value, wanted: value is not None and value >= wanted,
    "isnull": lambda value, wanted: (value is None) == wanted,
}

SPLIT: dict[str, tuple[str, str]] = {}  # lookups as they were taken apart before


def worth(expression: Any, row: Any) -> Any:
    """The value of what stands on the right side of an UPDATE."""
    if not hasattr(expression, "resolve_expression"):
        return expression
    if isinstance(expression, F):
        return getattr(row, expression.name)
    if isinstance(expression, Value):
        return expression.value
    if isinstance(expression, CombinedExpression):
        return SIGNS[expression.connector](worth(expression.lhs, row), worth(expression.rhs, row))
    assert isinstance(expression, Coalesce), expression
    values = (worth(part, row) for part in expression.get_source_expressions())
    return next((value for value in values if value is not None), None)


def fits(row: Any, lookups: dict[str, Any]) -> bool:
    return all(_fits(row, name, wanted) for name, wanted in lookups.items())


def _fits(row: Any, lookup: str, wanted: Any) -> bool:
    if lookup in SPLIT:
        name, test = SPLIT[lookup]
    else:
        name, _, test = lookup.partition("__")
        SPLIT[lookup] = name, test
    value = getattr(row, name)
    if isinstance(value, Query):  # of many rows, one with this key
        return any(other.pk == wanted for other in value.rows)
    if test:
        return TESTS[test](value, wanted)
    if hasattr(value, "pk") or hasattr(wanted, "pk"):
        return bool(getattr(value, "pk", value) == getattr(wanted, "pk", wanted))
    return bool(value == worth(wanted, row))


def holds(q: Q, row: Any) -> bool:
    """Whether a row fits a Q; those of the models' constraints, too."""
    join = all if q.connector == Q.AND else any
    return join(holds(part, row) if isinstance(part, Q) else _fits(row, *part) for part in q.children) != q.negated


class Query:
    """The rows that are asked for, or one column of them; what leaves it is a copy."""

    def __init__(self, rows: Iterable[Any], column: str = "") -> None:
        self.rows, self.column = list(rows), column

    def filter(self, *qs: Q, **lookups: Any) -> Query:
        found = (row for row in self.rows if fits(row, lookups) and all(holds(q, row) for q in qs))
        return Query(found, self.column)

    def exclude(self, **lookups: Any) -> Query:
        return Query((row for row in self.rows if not fits(row, lookups)), self.column)

    def all(self, *_: Any, **__: Any) -> Query:
        return self

    select_related = select_for_update = only = all

    def order_by(self, name: str) -> Query:
        rows = sorted(self.rows, key=lambda row: getattr(row, name.lstrip("-")))
        return Query(rows[::-1] if name.startswith("-") else rows, self.column)

    def annotate(self, **expressions: Any) -> Query:
        for row in self.rows:
            row.__dict__ |= {name: worth(expression, row) for name, expression in expressions.items()}
        return self

    def values_list(self, name: str, flat: bool = True) -> Query:
        return Query(self.rows, name)

    def _out(self, row: Any) -> Any:
        return getattr(row, self.column) if self.column else copy(row)

    def first(self) -> Any:
        return self._out(self.rows[0]) if self.rows else None

    def last(self) -> Any:
        return self._out(self.rows[-1]) if self.rows else None

    def get(self, **lookups: Any) -> Any:
        (row,) = self.filter(**lookups).rows
        return self._out(row)

    def exists(self) -> bool:
        return bool(self.rows)

    def count(self) -> int:
        return len(self.rows)

    __len__ = count

    def __iter__(self) -> Iterator[Any]:
        return map(self._out, self.rows)

    def update(self, **changes: Any) -> int:
        for row in self.rows:
            row.__dict__.update({name: worth(value, row) for name, value in changes.items()})
            row.demand_unique()
        return len(self.rows)
