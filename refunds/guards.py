"""Rules that the database itself keeps, by triggers, on SQLite and PostgreSQL. Installing them twice is harmless."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from refunds import archive_guards
from refunds.guard_sql import SQL, Guard, differs

NO_DELETE = (
    "account",
    "approval",
    "archive",
    *archive_guards.KEPT,
    "attempt",
    "batch",
    "batchrow",
    "change",
    "checkpoint",
    "declaration",
    "delegation",
    "delivery",
    "event",
    "payment",
    "reasonword",
    "refund",
    "refundreason",
    "rule",
    "unmatchedrefund",
    "verification",
)
FROZEN = {
    "archive": archive_guards.FROZEN,
    "batch": (
        "person_id",
        "file_name",
        "file_digest",
        "content_digest",
        "rows_digest",
        "rehearsed_at",
        "confirmed_at",
        "again_of_id",
    ),
    "batchrow": ("batch_id", "line", "given", "payment_id", "amount", "reason_id", "seen_free"),
    "change": ("kind", "subject", "person_id", "before", "after", "note", "source", "proposed_by_id", "proposed_at"),
    "delegation": ("person_id", "deputy_id", "from_at", "until"),
    "declaration": (
        "refund_id",
        "outcome",
        "version",
        "note",
        "ticket",
        "reference",
        "evidence",
        "evidence_name",
        "proposed_by_id",
        "proposed_at",
    ),
    "payment": ("account_id", "reference", "currency", "captured", "public_id"),
    "refund": (
        "payment_id",
        "account_id",
        "amount",
        "key",
        "requested_by_id",
        "source",
        "retry_of_id",
        "requested_at",
        "reason_id",
        "reason_word",
        "public_note",
    ),
    "rule": (
        "number",
        "version",
        "account_id",
        "currency",
        "from_amount",
        "to_amount",
        "sums_payment",
        "sums_customer",
        "sums_requester",
        "reason_id",
        "from_days",
        "demand",
        "began_at",
    ),
}

# A row that has one of these stays as it is.
ENDS = {
    "archive": ("removed_at",),
    "batch": ("finished_at",),
    "batchrow": ("done_at",),
    "change": ("confirmed_at", "dropped_at"),
    "declaration": ("confirmed_at", "dropped_at"),
    "delegation": ("ended_at",),
    "rule": ("ended_at",),
}


GUARDS: tuple[Guard, ...] = (
    *(
        Guard(
            f"guard_{table}_no_delete",
            f"refunds_{table}",
            "DELETE",
            f"A {table} is never deleted.",
            archive_guards.UNLESS_ARCHIVED.get(table, ""),
        )
        for table in NO_DELETE
    ),
    Guard(
        "guard_event_no_update",
        "refunds_event",
        "UPDATE",
        "The journal is never rewritten.",
    ),
    Guard(
        "guard_checkpoint_no_update",
        "refunds_checkpoint",
        "UPDATE",
        "A checkpoint is never rewritten.",
    ),
    Guard(
        "guard_approval_no_update",
        "refunds_approval",
        "UPDATE",
        "An approval is never rewritten.",
    ),
    *(
        Guard(
            f"guard_{table}_frozen",
            f"refunds_{table}",
            "UPDATE",
            f"What a {table} says of money never changes.",
            " OR ".join(differs(column) for column in columns),
        )
        for table, columns in FROZEN.items()
    ),
    *(
        Guard(
            f"guard_{table}_ended",
            f"refunds_{table}",
            "UPDATE",
            f"A {table} that has ended stays as it is.",
            " OR ".join(f'OLD."{column}" IS NOT NULL' for column in columns),
        )
        for table, columns in ENDS.items()
    ),
    *(
        Guard(
            f"guard_declaration_second_person_{event.lower()}",
            "refunds_declaration",
            event,
            "Whoever asked for a refund does not confirm what became of it.",
            'NEW."confirmed_by_id" IS NOT NULL AND EXISTS (SELECT 1 FROM refunds_refund AS asked '
            'WHERE asked.id = NEW."refund_id" AND asked.requested_by_id = NEW."confirmed_by_id")',
        )
        for event in ("INSERT", "UPDATE")
    ),
    Guard(
        "guard_refund_approved_by_enough",
        "refunds_refund",
        "UPDATE",
        "Too few people have approved this refund.",
        """OLD."status" = 'requested' AND NEW."status" = 'approved' AND """
        '(SELECT COUNT(*) FROM refunds_approval AS given WHERE given.refund_id = NEW."id" '
        'AND given.revision = NEW."revision") < NEW."approvals_needed"',
    ),
    Guard(
        "guard_refund_fewer_approvals",
        "refunds_refund",
        "UPDATE",
        "A refund that waits for approvals never gets along with fewer of them.",
        'NEW."approvals_needed" < OLD."approvals_needed" AND '
        '(NEW."approvals_needed" = 0 OR NEW."revision" = OLD."revision")',
    ),
    Guard(
        "guard_refund_nobodys_approval",
        "refunds_refund",
        "INSERT",
        "Only a rule lets a refund through without any approval.",
        """NEW."approvals_needed" = 0 AND NEW."source" = 'house' AND NOT EXISTS (SELECT 1 FROM refunds_rule AS met """
        """WHERE met.id = NEW."rule_id" AND met.demand = '0')""",
    ),
    Guard(
        "guard_batchrow_its_own_refund",
        "refunds_batchrow",
        "UPDATE",
        "The refund is not what the row asked for.",
        'NEW."refund_id" IS NOT NULL AND NOT EXISTS (SELECT 1 FROM refunds_refund AS asked '
        'JOIN refunds_batch AS whole ON whole.id = NEW."batch_id" WHERE asked.id = NEW."refund_id" '
        'AND asked.payment_id = NEW."payment_id" AND asked.amount = NEW."amount" '
        "AND asked.requested_by_id = whole.person_id)",
    ),
    Guard(
        "guard_batchrow_begins_open",
        "refunds_batchrow",
        "INSERT",
        "A row begins without a refund.",
        'NEW."refund_id" IS NOT NULL',
    ),
    Guard(
        "guard_approval_of_the_requester",
        "refunds_approval",
        "INSERT",
        "The approval names another requester than the refund.",
        "NOT EXISTS (SELECT 1 FROM refunds_refund AS asked "
        'WHERE asked.id = NEW."refund_id" AND asked.requested_by_id = NEW."requester_id")',
    ),
    *archive_guards.ARCHIVE_GUARDS,
)


def _columns(connection: Any, cursor: Any, table: str) -> set[str]:
    return {column.name for column in connection.introspection.get_table_description(cursor, table)}


def install(connection: Any) -> None:
    """Put every guard in place that fits: an early migration knows neither the later tables nor the later columns."""
    tables = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        for guard in GUARDS:
            if not guard.others <= tables and guard.event == "DELETE":
                guard = replace(guard, condition="")  # what could let a row go is not there: none goes
            if not {guard.table, *guard.others} <= tables:
                continue
            if not guard.columns <= _columns(connection, cursor, guard.table):
                continue
            for statement in SQL[connection.vendor](guard):
                cursor.execute(statement)


def remove(connection: Any) -> None:
    """Take every guard away; only for a test's flush and for a migration that rebuilds a guarded table."""
    on = " ON {0.table}" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for guard in GUARDS:
            cursor.execute(f"DROP TRIGGER IF EXISTS {guard.name}{on.format(guard)}")
            if connection.vendor == "postgresql" and guard.event == "DELETE":
                cursor.execute(f"DROP TRIGGER IF EXISTS {guard.name}_all ON {guard.table}")


def missing(connection: Any) -> list[str]:
    """Names of the guards that the database's own catalogue does not show."""
    query = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(query)
        found = {row[0] for row in cursor.fetchall()}
    return [guard.name for guard in GUARDS if guard.name not in found]
