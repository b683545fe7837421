"""A guard, and how it is written as a trigger in each of the two databases."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    """Before `event` on `table`, refuse with `text` when `condition` holds (SQL over OLD and NEW)."""

    name: str
    table: str
    event: str
    text: str
    condition: str = ""

    @property
    def columns(self) -> set[str]:
        """Those of its own table that it looks at."""
        return set(re.findall(r'\b(?:OLD|NEW)\."(\w+)"', self.condition))

    @property
    def others(self) -> set[str]:
        """The other tables that it looks at."""
        return set(re.findall(r"\b(?:FROM|JOIN) (refunds_\w+)", self.condition))


def differs(column: str) -> str:
    """Whether an update changes a column, also from or to nothing."""
    old, new = f'OLD."{column}"', f'NEW."{column}"'
    return f"({old} <> {new} OR ({old} IS NULL) <> ({new} IS NULL))"


def _sqlite(guard: Guard) -> list[str]:
    when = f"WHEN {guard.condition}" if guard.condition else ""
    return [
        f"DROP TRIGGER IF EXISTS {guard.name}",
        f"CREATE TRIGGER {guard.name} BEFORE {guard.event} ON {guard.table} FOR EACH ROW {when} "
        f"BEGIN SELECT RAISE(ABORT, '{guard.text}'); END",
    ]


def _postgresql(guard: Guard) -> list[str]:
    # A trigger's WHEN takes no subquery in PostgreSQL, so the condition stands in the function.
    result = "OLD" if guard.event == "DELETE" else "NEW"
    refuse = f"RAISE EXCEPTION '{guard.text}' USING ERRCODE = 'integrity_constraint_violation';"
    body = f"IF {guard.condition} THEN {refuse} END IF; RETURN {result};" if guard.condition else refuse
    statements = [
        _function(guard.name, body),
        f"DROP TRIGGER IF EXISTS {guard.name} ON {guard.table}",
        f"CREATE TRIGGER {guard.name} BEFORE {guard.event} ON {guard.table} FOR EACH ROW "
        f"EXECUTE FUNCTION {guard.name}()",
    ]
    if guard.event == "DELETE":
        truncate = f"{guard.name}_all"  # whatever may leave one by one, never all at once
        statements += [
            _function(truncate, refuse),
            f"DROP TRIGGER IF EXISTS {truncate} ON {guard.table}",
            f"CREATE TRIGGER {truncate} BEFORE TRUNCATE ON {guard.table} FOR EACH STATEMENT "
            f"EXECUTE FUNCTION {truncate}()",
        ]
    return statements


def _function(name: str, body: str) -> str:
    return f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"


SQL = {"sqlite": _sqlite, "postgresql": _postgresql}
