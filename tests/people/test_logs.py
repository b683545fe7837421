"""One event, one line: whatever a stranger puts into it, a log can be read by machines and believed by people."""

from __future__ import annotations

import json
import logging
import re
import sys
from io import StringIO
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.views.debug import ExceptionReporter

from refunds import correlation
from refunds_site import checks, logs
from refunds_site.environment import ENV
from tests.builders import make_account
from tests.people.canaries import PANS, sightings

ORDER = '{"time": "2026-11-21", "level": "INFO", "logger": "refunds", "act": "-", "message": "R-000001 succeeded"}'
PAYLOADS = [
    *(f"a{chr(code)}b" for code in range(32)),
    "a\x7fb",
    *(f"a{chr(code)}b" for code in (0x80, 0x85, 0x9B, 0x9F, 0xAD)),
    *(f"a{sign}b" for sign in "\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e"),
    *(f"a{sign}b" for sign in "\u2066\u2067\u2068\u2069\ufeff"),
    "\x1b[2J\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b31m",
    f"\r\n{ORDER}",
    f"\n{ORDER}\n",
    f'"}}\n{ORDER}',
    "\ud800 half a pair",
    "\\n \\u0000 %s %(x)s %d {0}",
    "12:00:00 INFO    [-] refunds  R-000001 succeeded",
    "x" * 20_000,
]  # fmt: skip
UGLY = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
FORMATS = {"json": logs.Json, "line": logs.Line}


class Paper:
    """A logger of its own that writes to memory."""

    def __init__(self, formatter: type[logging.Formatter]) -> None:
        self.stream = StringIO()
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(formatter())
        handler.addFilter(correlation.Stamp())
        self.log = logging.Logger("paper")
        self.log.addHandler(handler)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().split("\n")[:-1]


def write(log: logging.Logger, field: str, text: str) -> None:
    """One event with the payload in one of its fields."""
    match field:
        case "message":
            log.info(text.replace("%", "%%"), *())
        case "argument":
            log.warning("A delivery for %s was refused", text)
        case "logger":
            log.name = text
            log.info("something")
        case "exception":
            try:
                raise RuntimeError(text)
            except RuntimeError:
                log.exception("It went wrong with %s", text)
        case "chained exception":
            try:
                try:
                    raise ValueError(text)
                except ValueError as cause:
                    raise RuntimeError(text) from cause
            except RuntimeError:
                log.exception("again")
        case "act":
            token = correlation._act.set(text)
            log.info("something")
            correlation._act.reset(token)


FIELDS = ("message", "argument", "logger", "exception", "chained exception", "act")


@pytest.mark.promise("I43")
@pytest.mark.parametrize("field", FIELDS)
def test_each_event_is_one_line_of_json(field: str, trials: Any) -> None:
    assert len(PAYLOADS) >= 60
    paper = Paper(logs.Json)
    for text in PAYLOADS:
        write(paper.log, field, text)
    trials(len(PAYLOADS))
    assert len(paper.lines) == len(PAYLOADS)
    for line in paper.lines:
        assert line.isascii()
        assert not UGLY.search(line)
        told = json.loads(line)
        assert set(told) - {"exception"} == {"time", "level", "logger", "act", "message"}
        assert ("exception" in told) == ("exception" in field)
        for name, value in told.items():
            assert not UGLY.search(value.replace("\n", "") if name == "exception" else value), (name, value)


@pytest.mark.promise("I43")
@pytest.mark.parametrize("field", FIELDS)
def test_for_people_each_event_has_one_line_and_nothing_looks_like_another(field: str, trials: Any) -> None:
    paper = Paper(logs.Line)
    for text in PAYLOADS:
        write(paper.log, field, text)
    trials(len(PAYLOADS))
    events = [line for line in paper.lines if not line.startswith("    ")]
    assert len(events) == len(PAYLOADS)
    assert all(re.match(r"\d\d:\d\d:\d\d [A-Z]+ +\[.*\] .*  ", line) for line in events)
    assert not UGLY.search("".join(paper.lines))


def test_what_people_write_stays_readable() -> None:
    paper = Paper(logs.Json)
    paper.log.info("Zażółć %s", "1 234,50 zł · ąęś 漢字")
    assert json.loads(paper.lines[0])["message"] == "Zażółć 1 234,50 zł · ąęś 漢字"


@pytest.mark.promise("I42")
@pytest.mark.parametrize("formatter", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("field", ["message", "argument", "exception", "chained exception"])
def test_a_log_line_holds_no_secret_and_no_card(
    field: str,
    formatter: type[logging.Formatter],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    tmp_path: Any,
    trials: Any,
) -> None:
    (tmp_path / "secret").write_text("canary-in-a-file-0815\n")
    monkeypatch.delenv("PAYERLY_EU_TOKEN", raising=False)
    monkeypatch.setenv("PAYERLY_EU_TOKEN_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("AIRPAY_IN_PASSWORD", "canary/with+signs=& 4711")
    monkeypatch.setenv("DATABASE_URL", "postgres://desk:canary%2Fdb-password@db.example/refunds")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=refunds,authorization=Bearer canary-of-a-header")
    # What was read from a file is remembered; the next test has a token of its own.
    request.addfinalizer(lambda: ENV.ENVIRON.files_cache.pop("PAYERLY_EU_TOKEN", None))
    secrets = ["canary-in-a-file-0815", "canary/with+signs=& 4711", "canary/db-password", "canary-of-a-header", *PANS]
    paper = Paper(formatter)
    for secret in secrets:
        forms = [secret, *([secret.encode().hex()] if secret not in PANS else [])]
        for form in forms:
            write(paper.log, field, f"it said {form} to us")
    trials(len(secrets))
    assert sightings(paper.stream.getvalue(), secrets) == []
    assert "it said" in paper.stream.getvalue()


@pytest.mark.django_db
@pytest.mark.once
@pytest.mark.promise("I43")
def test_what_a_stranger_asks_for_is_logged_on_one_line(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    make_account()
    paper = Paper(logs.Json)
    handler = paper.log.handlers[0]
    loggers = [logging.getLogger(name) for name in ("django", "refunds")]
    for log in loggers:
        log.addHandler(handler)
    before = loggers[1].level
    loggers[1].setLevel(logging.INFO)
    try:
        for evil in ("%0A%7B%22level%22%3A1%7D", "%1B%5B2J", "%E2%80%AEabc", "%C2%85x", PANS[0]):
            client.get(f"/no-such/{evil}/")
            client.post(f"/webhooks/{evil}/", "{}", content_type="application/json")
    finally:
        for log in loggers:
            log.removeHandler(handler)
        loggers[1].setLevel(before)
    told = [json.loads(line) for line in paper.lines]
    assert len(told) >= 5
    assert not any(UGLY.search(line["message"]) for line in told)
    assert PANS[0] not in paper.stream.getvalue()
    assert all(len(line["act"]) == 32 for line in told if line["logger"] == "refunds.webhooks")


@pytest.mark.promise("I42")
def test_an_error_report_stars_everything_out(settings: Any) -> None:
    """Nobody is mailed today; whoever switches mails on learns where it happened and no value."""
    canary = "canary-of-a-report-2718"
    settings.SECRET_KEY = canary
    request = RequestFactory(HTTP_AUTHORIZATION=canary, PAYERLY_EU_TOKEN=canary, DATABASE_URL=canary).post(
        "/admin/", {"password": canary, "text": PANS[0]}
    )
    request.COOKIES["desk-session"] = canary
    try:
        local = canary, PANS[0]
        raise RuntimeError("it went wrong", len(local))
    except RuntimeError:
        reporter = ExceptionReporter(request, *sys.exc_info(), is_email=True)
    filtered = reporter.filter
    shown = {
        "settings": filtered.get_safe_settings(),
        "meta": filtered.get_safe_request_meta(request),
        "post": filtered.get_post_parameters(request),
        "cookies": filtered.get_safe_cookies(request),
        "frames": [frame["vars"] for frame in reporter.get_traceback_frames()],
    }
    assert filtered.__class__ is logs.Stars
    assert sightings(repr(shown), [canary, PANS[0]]) == []
    assert sightings(reporter.get_traceback_text(), [canary]) == []


@pytest.mark.parametrize(("name", "found"), [("json", 0), ("line", 0), ("xml", 1), ("", 1)])
def test_a_log_format_that_nobody_knows_is_refused(settings: Any, name: str, found: int) -> None:
    settings.LOG_FORMAT = name
    assert [error.id for error in checks.check_logs_and_exports()] == ["refunds.E044"] * found
