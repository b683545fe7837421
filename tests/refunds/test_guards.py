"""The triggers hold, are seen when they are gone, can be put back, and are there after every migration."""

from __future__ import annotations

import uuid
from datetime import date
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from refunds import guards, history, services
from refunds.checks import check_database
from refunds.models import Event, Payment
from tests.builders import alice, approved, bert, bob, make_payment, make_rule, stand_in, ute
from tests.people.rooms import a_batch
from tests.refunds.olden import a_begun_archive

pytestmark = pytest.mark.django_db


def complaints() -> set[str]:
    return {error.id for error in check_database(databases=list(connections))}


def test_a_database_without_its_guards_is_not_started() -> None:
    guards.remove(connection)
    assert "refunds.E017" in complaints()
    call_command("install_guards", verbosity=0)
    assert guards.missing(connection) == []
    assert "refunds.E017" not in complaints()


def test_installing_twice_is_harmless() -> None:
    guards.install(connection)
    guards.install(connection)
    assert guards.missing(connection) == []


OTHER: dict[type[models.Field], Any] = {
    models.BigIntegerField: 77,
    models.PositiveIntegerField: 77,
    models.BooleanField: False,
    models.CharField: "XXX",
    models.TextField: "other",
    models.FileField: "other.pdf",
    models.UUIDField: uuid.UUID(int=7),
    models.DateTimeField: timezone.now(),
    models.DateField: date(2000, 1, 1),
    models.ForeignKey: 77,
    models.JSONField: {"other": 77},
}
FROZEN = [(table, column) for table, columns in guards.FROZEN.items() for column in columns if table != "declaration"]


@pytest.mark.promise("I7")
@pytest.mark.parametrize(("table", "column"), FROZEN)
def test_what_was_asked_for_never_changes(table: str, column: str) -> None:
    approved()
    make_rule("2")
    stand_in(bob(), bert())
    a_batch()
    if table == "archive":
        a_begun_archive()
    services.propose_change(
        "accounts", "alice", {"accounts": ["payerly-eu"]}, ute(), "She helps there.", person=alice()
    )
    model = apps.get_model("refunds", table)
    field = next(field for field in model._meta.concrete_fields if field.attname == column)
    change = {column: OTHER[type(field)]}
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        model.objects.update(**change)
    if field.null and getattr(model.objects.first(), column) is not None:
        with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
            model.objects.update(**{column: None})


def migrate(name: str) -> Any:
    executor = MigrationExecutor(connection)
    executor.migrate([("refunds", name)])
    return executor.loader.project_state([("refunds", name)]).apps


@pytest.mark.promise("I22")
@pytest.mark.django_db(transaction=True)
def test_after_a_migration_from_zero_every_guard_stands() -> None:
    call_command("migrate", "refunds", "zero", verbosity=0)
    assert "refunds_event" not in connection.introspection.table_names()
    call_command("migrate", "refunds", verbosity=0)
    assert guards.missing(connection) == []
    approved()
    with pytest.raises(IntegrityError), transaction.atomic():
        Event.objects.all().delete()


@pytest.mark.promise("I23")
@pytest.mark.django_db(transaction=True)
def test_journals_from_before_there_were_chains_are_chained() -> None:
    old = migrate("0003_declarations_unmatched_proofs")
    account = old.get_model("refunds", "Account").objects.create(slug="payerly-eu", gateway="payerly")
    now = timezone.now()
    payment = old.get_model("refunds", "Payment").objects.create(
        account=account, reference="pay-1", currency="EUR", captured=5000, captured_at=now
    )
    old.get_model("refunds", "Event").objects.create(
        payment=payment, sequence=1, step="taken in", to_status="captured", actor="import", source="worker", at=now
    )
    call_command("migrate", "refunds", verbosity=0)
    assert guards.missing(connection) == []
    make_payment(reference="pay-2")
    verdict = history.verify()
    assert (verdict.findings, verdict.n_events, Payment.objects.count()) == ([], 2, 2)
