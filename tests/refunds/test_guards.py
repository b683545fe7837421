"""The triggers are seen when they are gone, and can be put back."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection, connections

from refunds import guards
from refunds.checks import check_database

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
