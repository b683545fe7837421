"""Events, attempts and deliveries as partitions: everything still holds, also what an index over all rows had kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from refunds import guards
from refunds.models import Attempt, Delivery, Event, Refund
from tests.builders import again, approved, make_payment
from tests.partitions import UNIQUE, partition
from tests.refunds.olden import archive, findings, loose, olden

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no partitions."),
]


@pytest.fixture
def partitioned() -> Iterator[Refund]:
    """Converted with rows in it; the test's transaction takes it all back."""
    refund = olden(1)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for name in UNIQUE:
        partition(connection, name)
    yield refund
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_refunds_live_and_are_archived_over_partitions(partitioned: Refund, tmp_path: Path) -> None:
    assert guards.missing(connection) == []
    olden(2, "failed")
    loose()
    young = approved(make_payment(reference="young"))
    assert len(archive(tmp_path)) == 2
    assert findings(tmp_path) == []
    assert not Event.objects.filter(refund=partitioned).exists()
    assert again(young).events.count() == 2


def doubled(model: Any, **which: Any) -> None:
    row = model.objects.filter(**which).first()
    row.pk = None
    row.save(force_insert=True)


@pytest.mark.parametrize(
    ("model", "which"),
    [(Event, {"refund": None}), (Event, {"step": "sending"}), (Attempt, {"kind": "send"}), (Delivery, {})],
)
def test_nothing_is_there_twice_over_partitions(model: Any, which: dict[str, Any], partitioned: Refund) -> None:
    with pytest.raises(IntegrityError, match=r"_once\d_pkey"), transaction.atomic():
        doubled(model, **which)


@pytest.mark.parametrize("table", ["event", "event_p0", "attempt_p1", "delivery_p0"])
def test_no_partition_can_be_emptied(table: str, partitioned: Refund) -> None:
    with pytest.raises(DatabaseError, match="never"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE refunds_{table} CASCADE")
    if table.endswith("_p0"):
        with pytest.raises(DatabaseError, match="never"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM refunds_{table}")
