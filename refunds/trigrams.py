"""Indexes of the parts of texts, for the search: PostgreSQL's pg_trgm, where the server has it.

Without them the search finds the very same, by reading a whole table. No part of Django's schema, since a server may
lack the extension, and SQLite always does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.checks import Tags, Warning, register
from django.db import Error, connections

from refunds.schema import is_whole, waiting

EXTENSION = "pg_trgm"
# name → table and columns; each is looked through in capital letters, as Django's icontains does.
INDEXES = {
    "payment_parts": ("refunds_payment", ("reference", "order", "customer_email", "customer_name")),
    "refund_parts": ("refunds_refund", ("reference", "identifiers", "ticket")),
}


def install(db: Any) -> bool:
    """Build what is missing while the desk is at work. False where this server cannot: nothing is changed then."""
    if db.vendor != "postgresql" or not _has_extension(db):
        return False
    with db.cursor() as cursor, waiting(db, "0"):
        for name in missing(db):
            table, columns = INDEXES[name]
            parts = ", ".join(f'UPPER("{column}"::text) gin_trgm_ops' for column in columns)
            cursor.execute(f"DROP INDEX IF EXISTS {name}")  # half built
            cursor.execute(f"CREATE INDEX CONCURRENTLY {name} ON {table} USING gin ({parts})")
    return True


@register(Tags.database)
def check(databases: Iterable[str] | None = None, **kwargs: Any) -> list[Warning]:
    """A database that was never migrated is not asked."""
    return [
        Warning(
            "Searching for parts of names and addresses reads whole tables: this database has no indexes for it. "
            "Have pg_trgm installed (PostgreSQL's contrib package), and run manage.py index_search.",
            id="refunds.W013",
        )
        for alias in databases or ()
        if "refunds_refund" in connections[alias].introspection.table_names() and missing(connections[alias])
    ]


def remove(db: Any) -> None:
    if db.vendor == "postgresql":
        with db.cursor() as cursor:
            for name in INDEXES:
                cursor.execute(f"DROP INDEX IF EXISTS {name}")


def missing(db: Any) -> list[str]:
    """The indexes that a PostgreSQL server does not have whole; none on SQLite, which never has any."""
    if db.vendor != "postgresql":
        return []
    return [name for name in INDEXES if not is_whole(db, name)]


def _has_extension(db: Any) -> bool:
    """Whether it is there, now at the latest: the owner of a database may add it, where it is on the disk."""
    with db.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = %s", [EXTENSION])
        if not cursor.fetchone():
            return False
        try:
            cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {EXTENSION}")
        except Error:  # not allowed
            return False
    return True
