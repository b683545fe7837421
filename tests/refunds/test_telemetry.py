"""Traces and error reports, with the real packages against a listener on this machine: what leaves, and what never."""

from __future__ import annotations

import gzip
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import Error
from django.test import Client
from django.urls import reverse

from refunds import correlation
from refunds_site import checks, logs, telemetry
from tests.builders import again, ask, bob, make_account, make_payment
from tests.house import House, until, until_status
from tests.people.canaries import PANS

pytest.importorskip("sentry_sdk", reason="pip install -r requirements-observability.txt")
pytest.importorskip("opentelemetry.sdk", reason="pip install -r requirements-observability.txt")

ROOT = Path(__file__).resolve().parents[2]
CUSTOMER, TOKEN = "anna@example.com", "token-for-tests-0123456789"
CANARIES = (CUSTOMER, "Anna Nowak", TOKEN, PANS[0], "canary-of-a-search", "canary-of-a-local", "canary-of-a-text")


class Listener:
    """Takes whatever is posted to it."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, bytes]] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.posts.append((self.path, plain(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.host = f"127.0.0.1:{self.server.server_port}"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.host}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "SENTRY_DSN": f"http://abcdef0123456789@{self.host}/1",
        }

    def spans(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found = []
        for path, body in self.posts:
            if path == "/v1/traces":
                told = ExportTraceServiceRequest.FromString(body)
                scopes = [scope for resource in told.resource_spans for scope in resource.scope_spans]
                found += [(scope.scope.name.rpartition(".")[2], span) for scope in scopes for span in scope.spans]
        return found

    def errors(self) -> list[dict[str, Any]]:
        """The events in the envelopes that Sentry was sent."""
        lines = [line for path, body in self.posts if "envelope" in path for line in body.splitlines()]
        return [found for line in lines if "platform" in (found := json.loads(line or b"{}"))]


def plain(body: bytes) -> bytes:
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.server.shutdown()


def attributes(span: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in span.attributes}


@pytest.mark.django_db(transaction=True)
@pytest.mark.once
def test_one_name_leads_from_the_click_over_the_job_and_the_call_to_the_webhook(
    house: House, listener: Listener, caplog: Any
) -> None:
    """In the logs by the refund's number or the origin's name; in the traces as one trace under that name."""
    house.environment |= {**listener.settings, "LOG_FORMAT": "json", "LOG_LEVEL": "INFO", "POLL_PACE": "1"}
    house.sweep = "60"  # its tickets follow from nothing
    caplog.handler.addFilter(correlation.Stamp())
    caplog.handler.setFormatter(logs.Json())
    caplog.set_level(logging.INFO, logger="refunds")
    house.open_doors()
    refund = ask(house.sold("payerly"))
    approver = Client()
    approver.force_login(bob())
    step = reverse("admin:refunds_refund_step", args=(refund.pk, "approve"))
    click = approver.post(step, {"seen": refund.version})["X-Request-ID"]
    until_status(refund, "succeeded")
    until(lambda: refund.events.filter(step="confirmed").exists())
    until(lambda: [span for _of, span in listener.spans() if span.trace_id.hex() == click and span.name == "PUT"])
    house.stop()

    here = [json.loads(line) for line in caplog.text.splitlines()]
    there = [json.loads(line) for line in house.log.read_text().splitlines() if line.startswith("{")]
    ours = [line for line in (*here, *there) if line.get("refund") == refund.number]
    told = "\n".join(line["message"] for line in ours)
    for what in (
        "approved by bob",
        "sending by worker",
        "PUT at 127.0.0.1",
        "send at payerly-eu",
        "Delivery",
        "succeed",
    ):
        assert what in told, told
    assert {line["account"] for line in ours} == {"payerly-eu"}

    of_the_click = [line for line in (*here, *there) if click in (line["act"], line.get("origin"))]
    told = "\n".join(line["message"] for line in of_the_click)
    assert "approved by bob" in told
    assert "PUT at 127.0.0.1" in told
    (call,) = [line for line in of_the_click if line.get("kind") == "send"]
    assert (call["outcome"], call["seconds"] > "0") == ("answered", True)

    trace = [(of, span) for of, span in listener.spans() if span.trace_id.hex() == click]
    names = {span.name for _of, span in trace}
    assert {"job turn", "PUT", "SELECT"} <= names
    (put,) = [span for _of, span in trace if span.name == "PUT"]
    assert attributes(put)["refund"] == refund.number
    assert attributes(put)["account"] == "payerly-eu"
    assert_nothing_left(listener, house, again(refund).payment.reference)


def assert_nothing_left(listener: Listener, house: House, *more: str) -> None:
    left = b"\n".join(body for _path, body in listener.posts)
    for secret in (*CANARIES, *more, "INSERT INTO", house.environment["PAYERLY_EU_TOKEN"]):
        assert secret.encode() not in left, secret
    told = {name.lower() for call in house.sandbox.requests() for name in call["headers"]}
    assert told.isdisjoint({"traceparent", "tracestate", "sentry-trace", "baggage"})


BREAKS = """
from refunds_site.wsgi import application
import logging
from django.db import IntegrityError, connection
from django.test import Client
from refunds import webhooks

connection.cursor().execute("SELECT 'of the poller'")
client = Client(raise_request_exception=False)
client.get("/readyz")
client.get("/accounts/login/?q=canary-of-a-search", headers={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"})

def breaks(*words):
    local = "canary-of-a-local anna@example.com"
    try:
        raise IntegrityError("canary-of-a-text DETAIL: Key (customer_email)=(anna@example.com) CARD")
    except IntegrityError as cause:
        raise RuntimeError("canary-of-a-text TOKEN anna@example.com") from cause

webhooks._knock = breaks
client.post("/webhooks/payerly-eu/?canary-of-a-search", "canary-of-a-text", content_type="application/json")
logging.getLogger("refunds").error("%s of %s was given up", "canary-of-a-text anna@example.com", "Anna Nowak")

import sentry_sdk
from opentelemetry import trace
sentry_sdk.flush()
trace.get_tracer_provider().force_flush()
"""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Listener:
    """What came from a web process in which a view breaks, with everything that must not leave at hand."""
    listener, database = Listener(), tmp_path_factory.mktemp("broken") / "db.sqlite3"
    code = BREAKS.replace("CARD", PANS[0]).replace("TOKEN", TOKEN)
    environment = {**os.environ, **listener.settings, "DATABASE_URL": f"sqlite:///{database}", "DEBUG": "on"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return listener


def test_an_error_report_says_where_and_no_word_of_anybody(broken: Listener) -> None:
    reports = broken.errors()
    assert len(reports) >= 2
    (crash,) = [report for report in reports if "exception" in report]
    raised = crash["exception"]["values"]
    assert [one["type"] for one in raised] == ["IntegrityError", "RuntimeError"]
    assert raised[-1]["stacktrace"]["frames"][-1]["function"] == "breaks"
    assert len(crash["tags"]["act"]) == 32
    assert {report["logentry"]["message"] for report in reports if "logentry" in report} >= {"%s of %s was given up"}
    allowed = {"event_id", "timestamp", "level", "platform", "logger", "tags", "transaction", "logentry", "exception"}
    # The client itself adds what it is.
    added = {"environment", "release", "sdk", "server_name"}
    assert {name for report in reports for name in report} <= allowed | added
    left = b"\n".join(body for _path, body in broken.posts)
    assert [secret for secret in CANARIES if secret.encode() in left] == []


def test_a_traced_request_says_its_route_and_bears_a_name_of_ours(broken: Listener) -> None:
    found = {span.name: span for of, span in broken.spans() if of == "django"}
    login = found["GET accounts/login/"]
    assert login.trace_id.hex() == attributes(login)["act"] != "a" * 32
    assert {name for _of, span in broken.spans() for name in attributes(span)} <= set(telemetry.KEPT)
    assert {event.name for _of, span in broken.spans() for event in span.events} <= {"exception"}


def test_an_endless_poller_makes_no_traces(broken: Listener) -> None:
    """That process asked once outside of any act, and then inside."""
    assert [span for of, span in broken.spans() if of == "sqlite3"]
    assert not [span for of, span in broken.spans() if not attributes(span).get("act")]


@pytest.mark.parametrize("setting", telemetry.NEEDED)
def test_what_is_configured_and_not_installed_ends_the_start(
    setting: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(checks.check_watching()) == []
    setattr(settings, setting, "https://listener.example/1")
    assert list(checks.check_watching()) == []
    first = telemetry.NEEDED[setting][0]
    monkeypatch.setattr(telemetry, "find_spec", lambda name: None if name == first else object())
    (error,) = checks.check_watching()
    assert isinstance(error, Error)
    assert error.id == "refunds.E047"
    assert f"{setting} is set, but {first} is not installed" in error.msg
    telemetry.start()  # and nothing breaks on the way there
    assert telemetry._started == set()


def test_switched_off_nothing_of_it_is_even_imported() -> None:
    code = "import refunds_site.wsgi, sys; print({'sentry_sdk', 'opentelemetry'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.django_db
def test_a_line_says_what_it_is_about_and_nothing_where_it_is_about_nothing() -> None:
    record = logging.LogRecord("refunds", logging.INFO, "", 0, "said", (), None)
    with correlation.act("f" * 32), correlation.about(refund="R-000007", account="payerly-eu"):
        correlation.Stamp().filter(record)
        own = correlation.current()
    told = json.loads(logs.Json().format(record))
    assert (told["act"], told["origin"], told["refund"], told["account"]) == (own, "f" * 32, "R-000007", "payerly-eu")
    bare = logging.LogRecord("refunds", logging.INFO, "", 0, "said", (), None)
    correlation.Stamp().filter(bare)
    assert set(json.loads(logs.Json().format(bare))) == {"time", "level", "logger", "act", "message"}


@pytest.mark.django_db
def test_a_job_takes_its_origin_along_to_the_jobs_that_follow() -> None:
    from django_tasks_db.models import DBTaskResult

    from refunds import jobs

    account = make_account()
    with correlation.act("f" * 32):
        jobs.wake_key_fetch(account.pk)
        payment = make_payment()
        jobs.wake_payment(payment.pk, payment.created_at)
    assert {row.args_kwargs["kwargs"]["origin"] for row in DBTaskResult.objects.all()} == {"f" * 32}
