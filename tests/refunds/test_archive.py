"""What is over and old moves into files: nothing is lost, nothing is there twice, and the history still holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateways.contract import Outcome, RefundUpdate
from refunds import history, services
from refunds.models import Delivery, Event
from refunds.services.actor import Mouth
from tests.builders import again, approved, make_payment
from tests.refunds.olden import archive, findings, loose, olden, seal

pytestmark = pytest.mark.django_db


def test_what_is_over_and_old_leaves_the_database_and_the_history_holds(tmp_path: Path) -> None:
    old, young = olden(1), approved(make_payment(reference="young"))
    loose()
    n_lines = Event.objects.filter(payment=old.payment_id).count()
    first, second = archive(tmp_path)
    assert (first.n_payments, first.n_events, first.n_attempts, first.n_deliveries) == (1, n_lines, 2, 1)
    assert (second.n_payments, second.n_deliveries) == (0, 1)
    assert not Event.objects.filter(payment=old.payment_id).exists()
    assert young.events.exists()
    assert not Delivery.objects.exists()
    assert findings(tmp_path) == []
    assert history.verify().n_archived == n_lines
    assert [path.name for path in sorted(tmp_path.iterdir())] == sorted([first.file_name, second.file_name])
    assert archive(tmp_path) == []


def test_the_order_stays_without_its_traffic(tmp_path: Path) -> None:
    """It is what tells us that something may have left the house: no archive may make us forget it."""
    refund = olden()
    archive(tmp_path)
    (order,) = refund.attempts.all()
    assert (order.kind, order.exchanges, order.outcome) == ("send", [], "answered")


def test_a_later_line_goes_on_from_the_archived_head(tmp_path: Path) -> None:
    refund = olden()
    version = refund.version
    archive(tmp_path)
    update = RefundUpdate(Outcome.FAILED, reference="REF-1", code="returned", message="The bank sent it back.")
    services.record_update(refund.pk, update, Mouth.LOOK_UP)
    assert again(refund).status == "reversed"
    assert refund.events.get().sequence == version + 1
    assert findings(tmp_path) == []
    seal()
    assert findings(tmp_path) == []
