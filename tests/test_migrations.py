"""No migration makes the desk wait: what locks a large table, or takes away what the running code reads, is named here.

From 0009 on. The order in which releases may change a table stands in docs/upgrade.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, migrations, models
from django.db.migrations import operations as of_django
from django.db.migrations.loader import MigrationLoader
from django.db.models.expressions import Value
from django.db.models.functions import Now, Random

from refunds.schema import AddIndexOnline, RemoveIndexOnline

FIRST = "0009"  # nobody has a database with rows that is older
# Each has as many rows as there are people, accounts and rules; every other table grows with the refunds.
SMALL = {
    "account",
    "allowance",
    "change",
    "delegation",
    "preference",
    "reasonword",
    "refundreason",
    "rule",
    "scope",
    "verification",
}
# "0012_name: Add field x to y": why it may be so all the same, such as "no release reads it since 0.7".
REVIEWED: dict[str, str] = {}

ONLINE = (AddIndexOnline, RemoveIndexOnline)
HARMLESS_STEPS = {
    "create_groups",
    "forget_parts",
    "index_parts",
    "create_reasons",
    "install_guards",
    "lift_guards",
    "remove_guards",
    "noop",
}


def added_field(operation: Any, state: Any) -> Iterator[str]:
    field = operation.field
    if isinstance(field, models.ManyToManyField):
        return
    if isinstance(field, models.GeneratedField):
        yield "writes every row anew"
        return
    default = field.db_default
    if not field.null and default is models.NOT_PROVIDED:
        yield "give it null=True or db_default: the code of the last release inserts without it"
    if isinstance(default, models.expressions.Expression) and not isinstance(default, Value | Now):
        yield "its default is computed for every row, which writes them all anew"
    if field.unique or field.db_index:
        yield "builds an index under a lock: db_index=False, and AddIndexOnline in a migration of its own"


def altered_field(operation: Any, state: Any) -> Iterator[str]:
    after = state.clone()
    operation.state_forwards("refunds", after)
    old, new = (
        one.apps.get_model("refunds", operation.model_name)._meta.get_field(operation.name) for one in (state, after)
    )
    if connection.schema_editor()._field_should_be_altered(old, new):
        yield "changes a column under a lock: add another one, fill it, read it, and drop the old one later"


def always(sentence: str) -> Callable[[Any, Any], Iterator[str]]:
    return lambda operation, state: iter([sentence])


def step(operation: Any, state: Any) -> Iterator[str]:
    if operation.code.__name__ not in HARMLESS_STEPS:
        yield "moves data while the schema changes: small bites, in a command or a job"


GONE = "the code of the last release still reads it: stop using it first, drop it a release later"
LOCKED = "builds or drops an index under a lock: AddIndexOnline or RemoveIndexOnline of refunds.schema"
JUDGES: dict[type, Callable[[Any, Any], Iterator[str]]] = {
    of_django.AddField: added_field,
    of_django.AlterField: altered_field,
    of_django.AddIndex: always(LOCKED),
    of_django.RemoveIndex: always(LOCKED),
    of_django.AddConstraint: always("looks at every row under a lock"),
    of_django.AlterUniqueTogether: always("builds an index under a lock"),
    of_django.RemoveField: always(GONE),
    of_django.RenameField: always(GONE),
    of_django.RenameModel: always(GONE),
    of_django.DeleteModel: always(GONE),
    of_django.AlterModelTable: always(GONE),
    of_django.RunPython: step,
    of_django.RunSQL: always("nobody can tell what it locks"),
}


def dangers(migration: Any, state: Any) -> Iterator[str]:
    """A line for each operation that makes people wait, or breaks the release that still runs."""
    name, new = migration.name, set[str]()
    for operation in migration.operations:
        words = f"{name}: {operation.describe()}"
        table = getattr(operation, "model_name", getattr(operation, "name", "")).lower()
        if isinstance(operation, of_django.CreateModel):
            new.add(table)
        elif isinstance(operation, ONLINE):
            if migration.atomic:
                yield f"{words}: needs atomic = False"
        elif table not in new | SMALL:
            judges = [judge for kind, judge in JUDGES.items() if isinstance(operation, kind)]
            yield from (f"{words}: {why}" for judge in judges for why in judge(operation, state))
        if not migration.atomic and not isinstance(operation, ONLINE) and operation.reduces_to_sql:
            yield f"{words}: cannot be begun again once it was cut off; put it into a migration that is atomic"
        operation.state_forwards("refunds", state)


@pytest.mark.django_db
def test_no_migration_makes_the_desk_wait() -> None:
    loader = MigrationLoader(connection)
    ours = sorted(key for key in loader.disk_migrations if key[0] == "refunds" and key[1] >= FIRST)
    assert ours
    found = [
        line
        for key in ours
        for line in dangers(loader.disk_migrations[key], loader.project_state(key, at_end=False))
        if not any(line.startswith(known) for known in REVIEWED)
    ]
    assert found == []


def migration(*steps: Any, atomic: bool = True) -> Any:
    made = migrations.Migration("0999_made_up", "refunds")
    made.operations, made.atomic = list(steps), atomic
    return made


def fill(apps: Any, schema_editor: Any) -> None: ...


BY_WHEN = models.Index(fields=["sent_at"], name="refund_by_when")
BAD = {
    "an index": (migration(migrations.AddIndex("refund", BY_WHEN)), "under a lock"),
    "an index in a transaction": (migration(AddIndexOnline("refund", BY_WHEN)), "atomic = False"),
    "a removed index": (migration(migrations.RemoveIndex("refund", "refund_when_sent")), "under a lock"),
    "a field that must be given": (
        migration(migrations.AddField("refund", "x", models.IntegerField(default=0))),
        "null",
    ),
    "a field that is computed": (
        migration(migrations.AddField("event", "x", models.IntegerField(db_default=Random()))),
        "every row",
    ),
    "a generated field": (
        migration(
            migrations.AddField(
                "event",
                "x",
                models.GeneratedField(
                    expression=models.F("id"), output_field=models.BigIntegerField(), db_persist=True
                ),
            )
        ),
        "every row",
    ),
    "a field with an index": (
        migration(migrations.AddField("event", "x", models.IntegerField(null=True, db_index=True))),
        "under a lock",
    ),
    "a foreign key with its index": (
        migration(migrations.AddField("event", "x", models.ForeignKey("refunds.rule", models.PROTECT, null=True))),
        "under a lock",
    ),
    "another type": (migration(migrations.AlterField("payment", "reference", models.TextField())), "column"),
    "a check": (
        migration(
            migrations.AddConstraint("event", models.CheckConstraint(condition=models.Q(sequence__gt=0), name="x"))
        ),
        "every row",
    ),
    "a removed field": (migration(migrations.RemoveField("refund", "sent_at")), "last release"),
    "another name": (migration(migrations.RenameField("refund", "sent_at", "gone_at")), "last release"),
    "a dropped table": (migration(migrations.DeleteModel("RefusedKnock")), "last release"),
    "data": (migration(migrations.RunPython(fill)), "small bites"),
    "unknown words": (migration(migrations.RunSQL("SELECT 1")), "nobody can tell"),
    "what cannot be begun again": (
        migration(migrations.AddField("refund", "x", models.IntegerField(null=True)), atomic=False),
        "begun again",
    ),
}
GOOD = {
    "an index": migration(AddIndexOnline("refund", BY_WHEN), atomic=False),
    "a field that may be empty": migration(migrations.AddField("refund", "x", models.IntegerField(null=True))),
    "a field that the database fills": migration(migrations.AddField("refund", "x", models.IntegerField(db_default=0))),
    "a moment": migration(migrations.AddField("event", "x", models.DateTimeField(db_default=Now()))),
    "a foreign key": migration(
        migrations.AddField("event", "x", models.ForeignKey("refunds.rule", models.PROTECT, null=True, db_index=False))
    ),
    "other words in the admin": migration(
        migrations.AlterField("refund", "sent_at", models.DateTimeField(blank=True, null=True, help_text="Sent."))
    ),
    "anything of a small table": migration(migrations.AddField("rule", "x", models.IntegerField(default=0))),
    "a new table with all it has": migration(
        migrations.CreateModel("Thing", [("id", models.BigAutoField(primary_key=True))]),
        migrations.AddField("thing", "x", models.IntegerField(default=0, db_index=True)),
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize("what", BAD)
def test_what_would_make_the_desk_wait_is_found(what: str) -> None:
    made, why = BAD[what]
    (line,) = dangers(made, MigrationLoader(connection).project_state())
    assert why in line


@pytest.mark.django_db
@pytest.mark.parametrize("what", GOOD)
def test_what_makes_nobody_wait_is_let_through(what: str) -> None:
    assert list(dangers(GOOD[what], MigrationLoader(connection).project_state())) == []
