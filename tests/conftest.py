"""The tests' ground: one database per worker, and a flush that gets past the guards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings

from gateways.http import HttpClient
from tests import chromium

pytest_plugins = ["tests.house", "tests.front", "tests.promises"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only-database", action="store_true", help="leave out what needs none: for the second database")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    from tests.promises import uses_database  # a plugin: pytest wants to import it first

    if config.getoption("--only-database"):
        kept = [item for item in items if uses_database(item) and not item.get_closest_marker("once")]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def pytest_report_header() -> str:
    return f"database: {'PostgreSQL' if os.environ.get('TEST_DATABASE_URL') else 'SQLite'}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and not chromium.find():
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(chromium.MISSING, pytrace=False)
        pytest.skip(chromium.MISSING)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A skipped browser test must not look like a green one."""
    n_silent = sum(chromium.MISSING in str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    if n_silent:
        terminalreporter.section("BROWSER TESTS DID NOT RUN", sep="!", red=True, bold=True)
        terminalreporter.line(f"{n_silent} skipped. {chromium.MISSING}")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The Chromium that browser tests start; they carry the marker `browser`."""
    return chromium.find()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> Iterator[None]:
    """A file for SQLite, so that threads and processes see the same rows; a name of its own for every worker."""
    database = settings.DATABASES["default"]
    is_file = database["ENGINE"] == "django.db.backends.sqlite3"
    assert is_file != bool(os.environ.get("TEST_DATABASE_URL")), "This is not the database that was asked for."
    worker = getattr(request.config, "workerinput", {}).get("workerid", "main")
    folder = Path(tempfile.mkdtemp(prefix="refunds-test-"))
    name = str(folder / f"{worker}.sqlite3") if is_file else f"test_{database['NAME']}_{worker}"
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


@pytest.fixture(autouse=True)
def no_transaction_over_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is called while a transaction is open fails the test, whichever it is."""
    original = HttpClient.send

    def send(client: HttpClient, *args: object, **kwargs: object) -> object:
        from django.db import connection

        # The transaction that a test itself runs in is not ours.
        ours = [block for block in connection.atomic_blocks if not block._from_testcase]
        assert not ours, "A gateway was called while a transaction was open."
        return original(client, *args, **kwargs)

    monkeypatch.setattr(HttpClient, "send", send)


@pytest.fixture
def process_environment(transactional_db: None) -> dict[str, str]:
    """What a process started by a test gets, so that it works on the test's own database."""
    return {**os.environ, "DATABASE_URL": database_url()}


def database_url() -> str:
    """The test's own database."""
    from django.db import connection

    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "postgresql":
        return urlunsplit(urlsplit(os.environ["TEST_DATABASE_URL"])._replace(path=f"/{name}"))
    return f"sqlite:///{name}"
