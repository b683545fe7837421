"""The tests' ground: their environment, one database per worker, and a flush that gets past the guards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Set before the settings are read, so that no .env and no demo leaks into a test.
os.environ.update(
    READ_DOT_ENV="off",
    SECRET_KEY="only-for-tests-" + "0123456789abcdef" * 4,
    DEBUG="off",
    HTTPS="off",
    ALLOWED_HOSTS="testserver,127.0.0.1,localhost",
    PUBLIC_URL="https://refunds.example",
    GATEWAY_ACCOUNTS="payerly-eu:payerly",
    PAYERLY_EU_URL="http://127.0.0.1:9/payerly/v1",
    PAYERLY_EU_TOKEN="token-for-tests-0123456789",
    LOG_LEVEL="WARNING",
)
for name in ("SECRET_KEY_FILE", "DATABASE_URL_FILE", "PAYERLY_EU_TOKEN_FILE", "PAYERLY_EU_MODE", "TASKS_BACKEND"):
    os.environ.pop(name, None)
os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL") or "sqlite:///:memory:"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> Iterator[None]:
    """A file for SQLite, so that threads and processes see the same rows; a name of its own for every worker."""
    from django.conf import settings

    database = settings.DATABASES["default"]
    worker = getattr(request.config, "workerinput", {}).get("workerid", "main")
    folder = Path(tempfile.mkdtemp(prefix="refunds-test-"))
    name = str(folder / f"{worker}.sqlite3") if "sqlite3" in database["ENGINE"] else f"test_{database['NAME']}_{worker}"
    database.setdefault("TEST", {})["NAME"] = name
    yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def flush_past_the_guards() -> Iterator[None]:
    """Transactional tests end with a flush, which the guards of the money tables would refuse."""
    from django.test import TransactionTestCase

    original = TransactionTestCase._fixture_teardown
    patch = pytest.MonkeyPatch()
    patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: flush(case, original))
    yield
    patch.undo()


def flush(case: object, original: object) -> None:
    from django.apps import apps
    from django.core.cache import cache
    from django.db import connection

    from refunds import guards, people, reasons

    guards.remove(connection)
    try:
        original(case)
    finally:
        guards.install(connection)
    cache.clear()
    people.create_groups(apps)
    reasons.create_reasons(apps)
