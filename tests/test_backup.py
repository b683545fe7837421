"""The drill of docs/backup.md, by its own lines: backup, refunds sent after it, loss, restore, and no money twice."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from refunds import services
from refunds.models import Refund
from tests.builders import ACCOUNTS, approved, dora, make_account, make_payment

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/backup.md").read_text()
DRILL = "drill_of_the_tests"
N_REFUNDS = 4
pytestmark = pytest.mark.django_db(transaction=True)


def of_postgresql(program: str) -> str:
    """The client program of the server's own version, from the PATH or from the packages of the tests."""
    major = str(connection.pg_version // 10_000)
    packages = Path(sys.executable).parent.parent.glob(f"lib/*/site-packages/*/pginstall*/bin/{program}")
    for found in filter(None, [shutil.which(program), *map(str, sorted(packages))]):
        if re.search(rf" {major}\b", subprocess.check_output([found, "--version"], text=True)):
            return found
    pytest.skip(f"{program} of PostgreSQL {major} is missing: the drill did not run")


def url_of(database: str) -> str:
    return urlunsplit(urlsplit(os.environ["TEST_DATABASE_URL"])._replace(path=f"/{database}"))


@pytest.fixture
def spare(tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database to restore into."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path / 'restored.sqlite3'}"
        return
    with psycopg.connect(os.environ["TEST_DATABASE_URL"], autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {DRILL}")
        server.execute(f"CREATE DATABASE {DRILL}")
        yield url_of(DRILL)
        server.execute(f"DROP DATABASE {DRILL} WITH (FORCE)")


def words_of(line: str, **filled: str) -> list[str]:
    """The words of a line that stands in the page, with its names filled in."""
    assert f"\n    {line}\n" in PAGE, line
    for name, value in filled.items():
        line = line.replace(name, value)
    return line.replace('"', "").split()


def back_up(folder: Path) -> Path:
    if connection.vendor == "sqlite":
        assert 'sqlite3 var/refunds.sqlite3 ".backup copy.sqlite3"' in PAGE
        copy = folder / "copy.sqlite3"
        with sqlite3.connect(str(connection.settings_dict["NAME"])) as old, sqlite3.connect(copy) as new:
            old.backup(new)  # what the shell's .backup does
        return copy
    dump = folder / "refunds.dump"
    line = 'pg_dump --format=custom --file=refunds.dump "$DATABASE_URL"'
    here = url_of(str(connection.settings_dict["NAME"]))
    words = words_of(line, **{"refunds.dump": str(dump), "$DATABASE_URL": here, "pg_dump": of_postgresql("pg_dump")})
    subprocess.run(words, check=True, capture_output=True)
    return dump


def restore(backup: Path, spare: str) -> None:
    if connection.vendor == "sqlite":
        shutil.copy(backup, spare.removeprefix("sqlite:///"))
        return
    line = 'pg_restore --exit-on-error --no-owner --dbname="$DATABASE_URL" refunds.dump'
    restorer = of_postgresql("pg_restore")
    words = words_of(line, **{"refunds.dump": str(backup), "$DATABASE_URL": spare, "pg_restore": restorer})
    subprocess.run(words, check=True, capture_output=True)


def manage(environment: dict[str, str], line: str, **filled: str) -> str:
    """One of the page's `manage.py` lines."""
    program, *arguments = words_of(line, **filled)
    command = [sys.executable, str(ROOT / program), *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sold(sandbox: Any, gateway: str, number: int) -> Refund:
    simulator = sandbox.simulators[gateway]
    reference = simulator.payment_name(number)
    sandbox.payment(reference, 5000, simulator.currency, gateway=gateway)
    payment = make_payment(5000, simulator.currency, reference, account=make_account(ACCOUNTS[gateway]))
    return approved(payment)


def paid_back(sandbox: Any) -> list[tuple[str, int]]:
    return sorted((move["payment"], move["minor"]) for move in sandbox.ledger() if move["kind"] == "refund")


@pytest.mark.promise("I18")
@pytest.mark.parametrize("gateway", ["payerly", "airpay"])
def test_a_lost_database_comes_back_and_pays_nothing_twice(
    gateway: str, sandbox: Any, process_environment: dict[str, str], spare: str, tmp_path: Path
) -> None:
    refunds = [sold(sandbox, gateway, number) for number in range(1, N_REFUNDS + 1)]
    by = dora().username
    moment = timezone.now()
    backup = back_up(tmp_path)
    for refund in refunds[:2]:
        services.send_refund(refund.pk)  # after the backup, so that the restored desk knows nothing of it
    before = paid_back(sandbox)
    assert len(before) == 2

    restore(backup, spare)
    there = {**process_environment, "DATABASE_URL": spare, "DEBUG": "on"}
    assert "0 of them were missing" in manage(there, "manage.py install_guards")
    manage(there, "manage.py check --database default")
    since = {"2026-11-21T08:00Z": moment.isoformat(), "dora": by}
    said = manage(there, "manage.py after_restore --since 2026-11-21T08:00Z --by dora", **since)
    assert f"now unknown: {N_REFUNDS}" in said
    assert "Everything fits." in manage(there, "manage.py verify")
    work_for(3, there)
    assert paid_back(sandbox) == before


def work_for(seconds: float, environment: dict[str, str]) -> None:
    """A worker on the restored database, as after the list is through."""
    worker = [sys.executable, "manage.py", "worker", "--sweep", "0.5", "--interval", "0.05"]
    process = subprocess.Popen(worker, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert "Worker ready" in process.stdout.readline()
    time.sleep(seconds)
    assert process.poll() is None
    process.terminate()
    assert process.wait(60) == 0
