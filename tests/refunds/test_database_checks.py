"""Checks of the database itself: what the connection says about how well it keeps a commit."""

from __future__ import annotations

import pytest
from django.db import connection

from refunds import checks


def ids(errors):
    return [error.id for error in errors]


on_sqlite = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="speaks of SQLite's pragmas")
on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="speaks of PostgreSQL's settings")


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_without_a_database_nothing_is_asked():
    assert ids(checks.check_database()) == []


@pytest.mark.django_db
def test_the_tests_own_database_is_fine():
    assert ids(checks.check_database(databases=["default"])) == []


@on_sqlite
@pytest.mark.promise("I9")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "pragma", ["synchronous=NORMAL", "synchronous=OFF", "foreign_keys=OFF", "busy_timeout=10", "journal_mode=DELETE"]
)
def test_a_weak_pragma_is_refused(pragma):
    before = checks._ask(connection, f"PRAGMA {pragma.partition('=')[0]}")
    execute(f"PRAGMA {pragma}")
    try:
        assert ids(checks.check_database(databases=["default"])) == ["refunds.E008"]
    finally:
        execute(f"PRAGMA {pragma.partition('=')[0]}={before}")


@on_sqlite
@pytest.mark.django_db
def test_deferred_transactions_are_refused(monkeypatch):
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "transaction_mode", "DEFERRED")
    assert ids(checks.check_database(databases=["default"])) == ["refunds.E008"]


@on_postgresql
@pytest.mark.promise("I9")
@pytest.mark.django_db
def test_a_commit_that_does_not_wait_for_the_disk_is_refused():
    execute("SET LOCAL synchronous_commit = off")
    assert ids(checks.check_database(databases=["default"])) == ["refunds.E009"]


@pytest.mark.django_db
def test_a_missing_cache_table_is_named(settings):
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "elsewhere"}}
    assert ids(checks.check_database(databases=["default"])) == ["refunds.E016"]
