"""What machines ask: who is told what, and that it is the truth."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_tasks_db.management.commands import db_worker

from refunds import guards, history, vitals, worker
from refunds.metrics import page
from refunds.models import Event, Notice, Refund, WorkerSign
from refunds.signs import Sign
from tests.builders import alice, ask, carol, gina, make_account, make_sign
from tests.refunds.test_home import reads_all
from tests.refunds.test_record import standing_in

pytestmark = pytest.mark.django_db
TOKEN = "a-token-of-the-metrics-4711"


@pytest.fixture(autouse=True)
def _fresh(settings: Any) -> None:
    """A token, and nothing remembered."""
    settings.METRICS_TOKEN = TOKEN
    vitals.READY.last = vitals.DESK.last = None
    cache.clear()


def known() -> Client:
    return Client(headers={"Authorization": f"Bearer {TOKEN}"})


def said(path: str, client: Client | None = None) -> tuple[int, dict[str, Any]]:
    vitals.READY.last = vitals.DESK.last = None
    answer = (client or Client()).get(path)
    return answer.status_code, answer.json()


class Away:
    """A database that does not answer."""

    def __call__(self, execute: Any, *more: Any) -> Any:
        raise OperationalError("connection to server at 10.0.0.9 failed")


# --- Probes ---


def test_a_process_is_alive_without_a_database() -> None:
    with connection.execute_wrapper(Away()):
        assert said("/healthz") == (200, {"status": "ok"})


def test_it_is_ready_without_a_worker_but_the_desk_is_not_alive() -> None:
    assert said("/readyz") == (
        200,
        {"status": "ok", "checks": {"database": "ok", "migrations": "ok", "guards": "ok"}},
    )
    status, told = said("/statusz")
    assert (status, told["status"], told["checks"]["worker"], told["checks"]["sweep"]) == (503, "late", "late", "late")
    make_sign()
    status, told = said("/statusz")
    assert (status, set(told["checks"].values())) == (200, {"ok"})


def test_a_desk_that_is_late_is_an_answer_and_no_error_of_ours(caplog: Any) -> None:
    for _time in range(3):
        assert said("/statusz")[0] == 503
    assert caplog.records == []


def test_without_its_database_it_is_not_ready_and_says_no_address() -> None:
    with connection.execute_wrapper(Away()):
        assert said("/readyz") == (503, {"status": "late", "checks": {"database": "late"}})
        assert b"10.0.0.9" not in known().get("/readyz").content


def test_code_that_is_ahead_of_its_database_is_not_ready_and_one_that_is_behind_is() -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_applied("refunds", "9999_of_a_newer_release")
    assert said("/readyz")[0] == 200
    recorder.record_unapplied("refunds", "0009_indexes_for_reports")
    status, told = said("/readyz", known())
    assert (status, told["checks"]["migrations"]["why"]) == (503, "refunds.0009_indexes_for_reports")


def test_a_database_without_its_guards_is_not_ready() -> None:
    guards.remove(connection)
    try:
        assert said("/readyz")[1]["checks"]["guards"] == "late"
    finally:
        guards.install(connection)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("worker", lambda: make_sign(polled_at=timezone.now() - timedelta(minutes=3))),
        ("sweep", lambda: make_sign(swept_at=timezone.now() - timedelta(minutes=6))),
        ("due", lambda: Refund.objects.filter(pk=ask().pk).update(ask_at=timezone.now() - timedelta(minutes=11))),
        ("history", lambda: _an_old_line()),
    ],
)
def test_each_thing_that_is_late_is_named_with_its_age(name: str, make: Any) -> None:
    make_sign()
    make()
    status, told = said("/statusz", known())
    late = {check for check, one in told["checks"].items() if one["status"] == "late"}
    assert (status, late) == (503, {name})
    assert told["checks"][name]["seconds"] > 60


def _an_old_line() -> None:
    ask()
    guards.remove(connection)
    Event.objects.update(at=timezone.now() - timedelta(minutes=16))
    guards.install(connection)


def test_a_stranger_learns_no_age_and_a_wrong_token_is_a_strangers() -> None:
    make_sign()
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        checks = said("/statusz", Client(headers=headers))[1]["checks"]
        assert set(checks.values()) == {"ok"}


def test_asking_again_and_again_costs_one_look(django_assert_num_queries: Any) -> None:
    Client().get("/readyz")
    with django_assert_num_queries(0):
        for _time in range(20):
            Client().get("/readyz")


def test_nobody_stands_in_line_for_a_database_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "LONGEST_WAIT", 0.01)
    with vitals.READY.lock:  # another thread waits for it
        assert Client().get("/readyz").status_code == 503
    assert Client().get("/readyz").status_code == 200
    with vitals.READY.lock:
        assert Client().get("/readyz").status_code == 200
        monkeypatch.setattr(vitals, "STALE", 0.0)
        assert Client().get("/readyz").json()["checks"] == {"database": "late"}


def test_a_probe_inside_the_house_is_not_led_to_https(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert [Client().get(f"/{name}").status_code for name in ("healthz", "readyz", "metrics")] == [200, 200, 301]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/statusz", "/metrics"])
def test_none_of_them_stands_at_the_webhooks_door(path: str, settings: Any) -> None:
    settings.WEBHOOK_HOSTS = ["hooks.example.com"]
    settings.ALLOWED_HOSTS = ["hooks.example.com", "testserver"]
    token = {"Authorization": f"Bearer {TOKEN}"}
    assert Client(headers={"Host": "hooks.example.com", **token}).get(path).status_code == 404
    assert Client(headers=token).get(path).status_code != 404


# --- Who reads the metrics ---


def test_without_a_token_in_the_settings_there_are_no_metrics(settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer"}):
        assert Client(headers=headers).get("/metrics").status_code == 404


@pytest.mark.parametrize(
    "given", ["", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ", "Bearer żółć"]
)
def test_only_the_very_token_opens(given: str) -> None:
    answer = Client(headers={"Authorization": given} if given else {}).get("/metrics")
    assert (answer.status_code, answer["WWW-Authenticate"], answer.content) == (401, "Bearer", b"")


def test_with_the_token_they_are_told_and_kept_by_nobody() -> None:
    answer = known().get("/metrics")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "no-store" in answer["Cache-Control"]
    assert not answer.cookies


def test_metrics_name_no_refund_no_person_and_no_customer() -> None:
    make_sign()
    refund = standing_in("unknown")
    told = known().get("/metrics").content.decode()
    assert 'refund_desk_refunds{account="payerly-eu",mode="sandbox",status="unknown"} 1.0' in told
    payment = refund.payment
    for secret in (refund.number, str(refund.key), payment.reference, payment.customer_email, "alice", "bob"):
        assert secret not in told


def test_many_scrapes_are_one_reading(django_assert_max_num_queries: Any) -> None:
    first = known().get("/metrics").content
    with django_assert_max_num_queries(2):
        assert known().get("/metrics").content == first


def test_while_one_reads_the_others_get_the_last_text_or_are_told_to_come_back(time_machine: Any) -> None:
    time_machine.move_to(timezone.now(), tick=False)
    cache.add(page.BUSY, "y", timeout=page.LONGEST_READ)
    answer = known().get("/metrics")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    cache.delete(page.BUSY)
    first = known().get("/metrics").content
    make_account("another")
    time_machine.shift(page.FRESH + 1)
    cache.add(page.BUSY, "y", timeout=page.LONGEST_READ)
    assert known().get("/metrics").content == first
    cache.delete(page.BUSY)
    assert b"another" in known().get("/metrics").content


def test_a_reading_costs_so_many_questions_however_many_accounts(django_assert_num_queries: Any) -> None:
    for number in range(5):
        make_account(f"shop-{number}")
    n_more = 1 if connection.vendor == "postgresql" else 0  # the limit of time
    with django_assert_num_queries(22 + n_more):
        page.generate_latest(page._registry())


@pytest.mark.once
def test_a_reading_reads_no_table_of_history_from_end_to_end() -> None:
    """SQLite says how it finds the rows."""
    standing_in("unknown")
    history.set_checkpoint()
    with CaptureQueriesContext(connection) as asked:
        page.generate_latest(page._registry())
    questions = [query["sql"] for query in asked if query["sql"].startswith("SELECT")]
    assert len(questions) > 15
    for sql in questions:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            assert [row[-1] for row in cursor.fetchall() if reads_all(row[-1])] == [], sql


def test_a_database_that_is_away_is_no_error_page() -> None:
    with connection.execute_wrapper(Away()):
        assert known().get("/metrics").status_code == 503


# --- Signs of life ---


@pytest.fixture
def one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own, which nobody closes."""
    for module in (worker, db_worker):
        monkeypatch.setattr(module, "close_old_connections", lambda: None)


def test_a_worker_writes_its_sign_at_most_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    now = [100.0]
    monkeypatch.setattr("refunds.signs.time.monotonic", lambda: now[0])
    sign = Sign("w-1", threads=4)
    sign.poll(2)
    assert WorkerSign.objects.get().n_at_work == 2
    with django_assert_max_num_queries(0):
        sign.poll(3)
    now[0] += 10
    sign.poll(1)
    assert WorkerSign.objects.get().n_at_work == 1


def test_the_librarys_own_loop_gives_the_sign(one_connection: None) -> None:
    poller = worker.PoolWorker(2, interval=0, worker_id="w-2")
    assert not WorkerSign.objects.exists()
    poller.batch = True
    poller.run()
    assert WorkerSign.objects.get().name == "w-2"
    poller.stop()
    poller.finish()
    assert not WorkerSign.objects.exists()


def test_a_tick_of_the_clock_says_so_and_forgets_the_long_dead(one_connection: None) -> None:
    make_sign("dead", polled_at=timezone.now() - timedelta(days=2))
    worker._tick(Sign("w-1", threads=4))
    assert list(WorkerSign.objects.values_list("name", flat=True)) == ["w-1"]
    assert WorkerSign.objects.get().swept_at is not None


def test_a_database_that_is_away_costs_a_sign_and_never_the_poller(caplog: Any) -> None:
    sign = Sign("w-1", threads=4)
    with connection.execute_wrapper(Away()):
        sign.poll(0)
        sign.end()
    assert len(caplog.records) == 2


# --- What people see of it ---


def home_of(who: Any) -> str:
    client = Client()
    client.force_login(who)
    return " ".join(client.get("/admin/").content.decode().split())


def test_the_first_page_says_when_no_worker_is_alive_and_when_one_is() -> None:
    make_account()
    assert "No worker is alive" in home_of(gina())
    make_sign(swept_at=timezone.now() - timedelta(minutes=3))
    assert "1 worker is alive. Last sweep: 3 minutes ago." in home_of(gina())
    make_sign(polled_at=timezone.now() - timedelta(minutes=3))
    assert "No worker is alive" in home_of(carol())


def test_who_looks_after_accounts_is_told_of_notices_that_could_not_be_sent() -> None:
    refund = ask()
    Notice.objects.create(account=refund.account, kind="breaker", made_at=timezone.now(), trouble="refused")
    assert "1 notice could not be sent" in home_of(gina())
    assert "could not be sent" not in home_of(alice())
    assert "refund_desk_notices_given_up 1.0" in known().get("/metrics").content.decode()
