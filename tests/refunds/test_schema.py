"""The schema changes while the desk is at work: an index is built beside writers, and a migration never queues long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connection, connections, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ModelState, ProjectState

from refunds import schema
from refunds.schema import AddIndexOnline, RemoveIndexOnline
from tests.house import until

pytestmark = pytest.mark.django_db(transaction=True)
on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="speaks of PostgreSQL's locks")
N_ROWS = 100_000
TABLE, INDEX = "refunds_ledger", "ledger_by_day"


def run(sql: str, *values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall()) if cursor.description else []


def indexes() -> list[str]:
    with connection.cursor() as cursor:
        return [name for name in connection.introspection.get_constraints(cursor, TABLE) if name == INDEX]


@pytest.fixture
def ledger() -> Iterator[ProjectState]:
    """A table of 100,000 rows that is no part of the desk."""
    state = ProjectState()
    fields = [("id", models.BigAutoField(primary_key=True)), ("day", models.IntegerField())]
    state.add_model(ModelState("refunds", "Ledger", fields))
    model = state.apps.get_model("refunds", "Ledger")
    with connection.schema_editor() as editor:
        editor.create_model(model)
    model.objects.bulk_create([model(day=number % 365) for number in range(N_ROWS)], batch_size=10_000)
    yield state
    run(f"DROP TABLE {TABLE}")


def move(state: ProjectState, operation: Any, *, back: bool = False) -> ProjectState:
    """Apply one operation as a migration with `atomic = False` does; returns the state after it."""
    after = state.clone()
    operation.state_forwards("refunds", after)
    with connection.schema_editor(atomic=False) as editor:
        if back:
            operation.database_backwards("refunds", editor, after, state)
        else:
            operation.database_forwards("refunds", editor, state, after)
    return after


def add(kind: Any = AddIndexOnline) -> Any:
    return kind(model_name="ledger", index=models.Index(fields=["day"], name=INDEX))


def test_an_index_comes_and_goes_and_may_be_asked_for_twice(ledger: ProjectState) -> None:
    for _ in range(2):
        with_index = move(ledger, add())
        assert indexes() == [INDEX]
    remove = RemoveIndexOnline("ledger", INDEX)
    for _ in range(2):
        move(with_index, remove)
        assert indexes() == []
    for _ in range(2):
        move(with_index, remove, back=True)
        assert indexes() == [INDEX]
    for _ in range(2):
        move(ledger, add(), back=True)
        assert indexes() == []


@on_postgresql
def test_rows_are_written_while_an_index_is_built(ledger: ProjectState) -> None:
    """The build has to wait for a writer who is not done yet; whoever writes behind it does not wait at all."""
    builder = threading.Thread(target=in_a_thread, args=(lambda: move(ledger, add()),))
    with transaction.atomic():
        run(f"INSERT INTO {TABLE} (day) VALUES (1)")
        builder.start()
        other = connections.create_connection("default")
        try:
            with other.cursor() as cursor:
                waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE INDEX%%'"
                until(lambda: cursor.execute(waits) and cursor.fetchone())
                cursor.execute("SET lock_timeout = '1s'")
                for day in range(100):
                    cursor.execute(f"INSERT INTO {TABLE} (day) VALUES (%s)", [day])
        finally:
            other.close()
        assert builder.is_alive()
    builder.join(30)
    assert indexes() == [INDEX]
    assert run(f"SELECT count(*) FROM {TABLE}") == [(N_ROWS + 101,)]


@on_postgresql
def test_what_a_broken_build_leaves_is_built_anew(ledger: ProjectState) -> None:
    run(f"INSERT INTO {TABLE} (id, day) SELECT -1, 0")
    with pytest.raises(DatabaseError):
        run(f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON {TABLE} (day)")
    assert schema._look(connection, INDEX) == schema.HALF
    move(ledger, add())
    assert schema._look(connection, INDEX) == schema.WHOLE


@on_postgresql
def test_a_migration_that_cannot_get_a_lock_lets_the_others_through(
    ledger: ProjectState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody reads for long; a change that needs the table alone gives up, and is tried again until it gets it."""
    waited = []
    reader = connections.create_connection("default")
    reader.set_autocommit(False)
    cursor = reader.cursor()
    cursor.execute(f"SELECT count(*) FROM {TABLE}")

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            reader.rollback()

    def change() -> None:
        with schema.waiting(connection, "50ms"):
            run(f"ALTER TABLE {TABLE} ADD COLUMN note text")

    monkeypatch.setattr(schema.time, "sleep", pause)
    before = run("SHOW lock_timeout")
    try:
        schema.patiently(change)
    finally:
        reader.close()
    assert waited == [schema.PAUSE] * 2
    assert run("SHOW lock_timeout") == before


def test_other_trouble_is_not_tried_again() -> None:
    tries = []

    def fail() -> None:
        tries.append(1)
        raise OperationalError("the disk is full")

    with pytest.raises(OperationalError, match="disk"):
        schema.patiently(fail)
    assert len(tries) == 1


@on_postgresql
def test_the_migrate_command_waits_for_no_lock_longer_than_a_slow_page(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        "django.core.management.commands.migrate.Command.handle",
        lambda self, *args, **options: seen.extend(run("SHOW lock_timeout")),
    )
    call_command("migrate")
    assert seen == [(schema.MOST_WAITING,)]


def test_migrations_of_indexes_may_be_run_again_after_they_were_cut_off() -> None:
    """What 0009 had built when it was cut off stands, and Django has no note of it."""
    loader = MigrationExecutor(connection).loader
    cut_off = loader.get_migration("refunds", "0009_indexes_for_reports")
    before = loader.project_state(("refunds", "0008_refused_knocks"))
    run("DROP INDEX refund_when_sent")
    with connection.schema_editor(atomic=cut_off.atomic) as editor:
        cut_off.apply(before, editor)
    assert schema._look(connection, "refund_when_sent") == schema.WHOLE


def in_a_thread(work: Any) -> None:
    try:
        work()
    finally:
        connections.close_all()
