"""Lists that cost the same however long their table is: rows are counted, and paged through, up to a limit.

Nobody reads ten thousand rows. Whoever is shown so many narrows the list, and everything past them is left uncounted.
"""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.utils.functional import cached_property

MOST_ROWS = 10_000


class Bounded(Paginator):
    """Pages of the first MOST_ROWS rows; `is_cut` where there are more."""

    @cached_property
    def _n_seen(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: MOST_ROWS + 1].count())

    @property
    def count(self) -> int:
        return min(self._n_seen, MOST_ROWS)

    @property
    def is_cut(self) -> bool:
        return self._n_seen > MOST_ROWS
