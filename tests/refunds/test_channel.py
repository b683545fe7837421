"""The house's channel: what is posted there, what never is, and a host that is down, slow or somebody else's."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.core import mail
from django.test import override_settings
from django.utils import timezone

from gateways.contract import Outcome
from refunds import keys, notice_checks, services
from refunds.models import Account, Notice, Refund, Status
from refunds.services import channel
from refunds.services.actor import Mouth
from refunds.services.breaker import note_accident, note_answer
from refunds_site.logs import Line, Stars, without_secrets
from tests.builders import make_account
from tests.refunds.test_notices import call_for_a_person
from tests.refunds.test_record import hear, standing_in

pytestmark = [pytest.mark.django_db, pytest.mark.once]
SECRET = "/services/T00000000/B00000000/only-for-tests-0123456789"


@dataclass
class Host:
    """What stands at the other end: it answers `status`, after `waits` seconds."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    waits: threading.Event | None = None
    posts: list[tuple[str, Any]] = field(default_factory=list)


@pytest.fixture
def host(settings: Any) -> Iterator[Host]:
    there = Host()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            there.posts.append((self.path, body))
            if there.waits:
                there.waits.wait(5)
            self.send_response(there.status)
            for name, value in there.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    there.url = f"http://127.0.0.1:{server.server_port}{SECRET}"
    settings.NOTICE_WEBHOOK_URL = there.url
    yield there
    server.shutdown()
    server.server_close()


def due_now() -> None:
    Notice.objects.filter(due_at__isnull=False).update(due_at=timezone.now() - timedelta(seconds=1))


def row() -> Notice:
    return Notice.objects.get(person=None)


def test_the_house_hears_of_reversals_and_of_calls_for_a_person_and_of_nothing_else(host: Host) -> None:
    refund = standing_in(Status.SUCCEEDED)
    assert Notice.objects.count() == 0
    hear(refund, Outcome.FAILED, Mouth.LOOK_UP)
    assert [(one.person, one.kind) for one in Notice.objects.all()] == [(None, "reversed")]
    assert services.tell(None) == 1
    ((path, body),) = host.posts
    link = f"https://refunds.example/admin/refunds/refund/{refund.pk}/change/"
    assert path == SECRET
    amount = "10.00\N{NO-BREAK SPACE}EUR"
    assert body == {"text": f"{refund} · {amount} · payerly-eu (sandbox): came back after it had succeeded\n{link}"}
    assert (mail.outbox, row().due_at, bool(row().sent_at)) == ([], None, True)


def test_no_words_of_people_or_gateways_are_posted(host: Host) -> None:
    refund = standing_in(Status.PROCESSING)
    call_for_a_person(refund, "They say: <!channel> Anna Nowak, 4111111111111111")
    services.tell(None)
    ((_, body),) = host.posts
    assert not {"Anna", "<!channel>", "4111111111111111", "order-1"} & set(body["text"].replace("\n", " ").split(" "))
    assert "Anna" not in body["text"]


def test_many_are_one_message_that_ends_with_a_number(host: Host) -> None:
    refund = standing_in(Status.PROCESSING)
    for number in range(channel.MOST_LINES + 2):
        call_for_a_person(refund, f"Look {number}.")
    assert services.tell(None) == 1
    ((_, body),) = host.posts
    assert body["text"].count("needs attention") == channel.MOST_LINES
    assert body["text"].endswith("\nand 2 more")


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_host_that_does_not_take_it_is_asked_again_later(host: Host, status: int) -> None:
    host.status, host.headers = status, {"Location": "http://127.0.0.1:1/"}
    call_for_a_person(standing_in(Status.PROCESSING))
    assert services.tell(None) == 0
    assert row().trouble == f"NotSent: The channel's host answered with status {status}."
    assert row().due_at > timezone.now() + timedelta(seconds=50)
    assert len(host.posts) == 1, "nothing is followed"
    host.status = 204
    due_now()
    assert services.tell(None) == 1


def test_it_waits_as_long_as_the_host_asks(host: Host) -> None:
    host.status, host.headers = 429, {"Retry-After": "600"}
    call_for_a_person(standing_in(Status.PROCESSING))
    services.tell(None)
    assert row().due_at > timezone.now() + timedelta(seconds=590)


def test_a_host_that_never_answers_is_left_after_its_deadline(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.waits = threading.Event()
    monkeypatch.setattr(channel, "DEADLINE", timedelta(seconds=0.3))
    call_for_a_person(standing_in(Status.PROCESSING))
    assert services.tell(None) == 0
    host.waits.set()
    assert "NoAnswer" in row().trouble


def test_the_address_is_in_no_log_no_row_and_no_report(
    host: Host, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTICE_WEBHOOK_URL", host.url)
    caplog.set_level(logging.DEBUG)
    call_for_a_person(standing_in(Status.PROCESSING))
    host.status = 500
    services.tell(None)
    with override_settings(NOTICE_WEBHOOK_URL=f"http://127.0.0.1:9{SECRET}"):
        due_now()
        services.tell(None)
    written = "".join(Line().format(record) for record in caplog.records)
    assert "urllib3" in written, "also what a library says of it"
    everything = written + " ".join(str(vars(one)) for one in Notice.objects.all())
    assert "only-for-tests" not in everything
    monkeypatch.setenv("EMAIL_URL", "smtp+tls://desk:a-password-of-a-mailer@mail.example:587")
    assert "only-for-tests" not in without_secrets(f"No answer of {host.url}")
    assert "a-password-of" not in without_secrets("535 a-password-of-a-mailer was refused")
    shown = Stars().get_safe_settings()
    assert "only-for-tests" not in str(shown["NOTICE_WEBHOOK_URL"])


@pytest.mark.parametrize("url", ["https://10.0.0.7/hook", "https://169.254.169.254/latest", "http://hooks.example/x"])
def test_an_address_inside_our_own_network_is_not_called(settings: Any, url: str) -> None:
    settings.NOTICE_WEBHOOK_URL = url
    assert [found.id for found in notice_checks.check_notices()] == ["refunds.E051"]
    call_for_a_person(standing_in(Status.PROCESSING))
    assert services.tell(None) == 0
    assert row().trouble.startswith("Misconfigured: ")


# --- What no journal tells ---


class FakeGateway:
    class http:
        exchanges = ["one"]

    def webhook_key(self) -> str:
        return "another key"


def test_a_breaker_that_opens_is_posted_once(host: Host) -> None:
    account = make_account()
    for _ in range(7):
        note_accident(Account.objects.get(pk=account.pk), FakeGateway(), "no answer")  # type: ignore[arg-type]
    assert [(one.kind, one.refund) for one in Notice.objects.all()] == [("breaker", None)]
    note_accident(Account.objects.get(pk=account.pk), FakeGateway(), "no answer", of_probe=True)  # type: ignore[arg-type]
    assert Notice.objects.count() == 1
    services.tell(None)
    ((_, body),) = host.posts
    link = f"https://refunds.example/admin/refunds/account/{account.pk}/change/"
    assert body["text"] == f"payerly-eu (sandbox): an account does not answer\n{link}"
    note_answer(account)


def test_another_key_is_posted_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    account = make_account(webhook_key="the pinned key")
    monkeypatch.setattr(keys.accounts, "connect", lambda account: FakeGateway())
    for _ in range(2):
        keys.fetch_webhook_key(account.pk)
    assert [one.kind for one in Notice.objects.all()] == ["key"]


def test_without_a_channel_nothing_is_written() -> None:
    call_for_a_person(standing_in(Status.PROCESSING))
    note_accident(make_account(), FakeGateway(), "no answer")  # type: ignore[arg-type]
    assert Notice.objects.count() == 0


# --- The settings ---


def test_a_half_configured_house_is_told_so(settings: Any) -> None:
    def found() -> list[str | None]:
        return [one.id for check in (notice_checks.check_mail, notice_checks.check_notices) for one in check()]

    assert found() == ["refunds.W010"]
    settings.DEBUG = True
    assert found() == []
    settings.DEBUG, settings.SENDS_MAIL = False, True
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "mail.example"
    assert found() == ["refunds.W011", "refunds.W012"]
    settings.EMAIL_USE_TLS, settings.DEFAULT_FROM_EMAIL = True, "desk@shop.example"
    assert found() == []
    settings.PUBLIC_URL = ""
    assert found() == ["refunds.E052"]
    settings.PUBLIC_URL, settings.NOTICE_DIGEST_MINUTES = "https://refunds.example", 0
    assert found() == ["refunds.E050"]
    settings.NOTICE_DIGEST_MINUTES = 60
    for url in (
        "https://hooks.example/a b",
        "https://hooks.example/x\ny",
        "hooks.example/x",
        "https://u:p@h.example/x",
    ):
        settings.NOTICE_WEBHOOK_URL = url
        (error,) = notice_checks.check_notices()
        assert (error.id, url in error.msg) == ("refunds.E051", False)
    settings.NOTICE_WEBHOOK_URL = "https://hooks.slack.com/services/T/B/X?thread=1"
    assert found() == []


def test_a_refund_that_is_gone_from_the_list_of_calls_is_still_told(host: Host) -> None:
    """The channel keeps no secrets from the house: what called once is said, also when somebody was quick."""
    refund = standing_in(Status.PROCESSING)
    call_for_a_person(refund)
    Refund.objects.filter(pk=refund.pk).update(needs_attention="")
    assert services.tell(None) == 1
