"""The door for webhooks, bolt by bolt: what each refuses, with which status, and what is kept of who gets in."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from gateways.contract import Nudge
from gateways.errors import Misconfigured
from gateways.payerly import Payerly
from refunds import webhooks
from refunds.models import Account, Delivery
from refunds.webhooks import MOST_BYTES
from tests.builders import again, make_account
from tests.refunds.test_record import standing_in
from tests.refunds.test_webhooks import DOOR, OURS, callback, deliver, pem, signed

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _pinned() -> None:
    make_account(webhook_key=pem(OURS))


def knock(
    method: str = "POST", url: str = DOOR, body: bytes = b"{}", kind: str = "application/json", **more: str
) -> int:
    headers = {"Signature": signed(body), **more}
    client = Client(raise_request_exception=False)
    return client.generic(method, url, body, content_type=kind, headers=headers).status_code


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE"])
def test_only_a_post_is_heard(method: str) -> None:
    assert knock(method) == 405


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON ; charset=UTF-8", 200),
        ("application/json; charset=utf8", 200),
        ("application/json; charset=latin-1", 415),
        ("application/json; charset=utf-16", 415),
        ("application/x-www-form-urlencoded", 415),  # let in by the door, and none of Payerly's
        ("text/plain", 415),
        ("", 415),
    ],
)
def test_only_what_the_gateway_sends_is_read(kind: str, status: int) -> None:
    assert knock(body=callback(), kind=kind) == status


def padded(size: int) -> bytes:
    body = callback()
    return body + b" " * (size - len(body))


@pytest.mark.promise("I40")
def test_a_body_is_at_most_64_kib() -> None:
    assert MOST_BYTES == 65536
    assert knock(body=padded(MOST_BYTES)) == 200
    assert knock(body=padded(MOST_BYTES + 1)) == 413


@pytest.mark.promise("I40")
@pytest.mark.parametrize("length", ["65537", "-1", "x", "²", "9" * 5000, "1e3"])
def test_a_length_that_is_none_or_too_long_is_refused_unread(length: str, rf: Any) -> None:
    request = rf.generic("POST", DOOR, callback(), content_type="application/json")
    request.META["CONTENT_LENGTH"] = length
    request.read = None
    assert webhooks.receive(request, "payerly-eu").status_code == 413


def test_a_length_that_is_too_small_lets_nothing_more_in(rf: Any) -> None:
    request = rf.generic("POST", DOOR, padded(MOST_BYTES + 1), content_type="application/json")
    request.META["CONTENT_LENGTH"] = "10"
    assert webhooks.receive(request, "payerly-eu").status_code == 413


def test_nobody_and_nothing_have_their_own_answers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="refunds.webhooks")
    assert knock(url="/webhooks/payerly-xx/") == 404
    empty = Client().generic("POST", DOOR, b"", CONTENT_TYPE="application/json")
    assert empty.status_code == 400
    assert "refused with 404: no such account" in caplog.text
    assert not Delivery.objects.exists()


def test_an_account_without_its_settings_is_shut_for_now() -> None:
    make_account("payerly-xx", webhook_key=pem(OURS))
    assert knock(url="/webhooks/payerly-xx/") == 503
    assert Account.objects.get(slug="payerly-xx").webhook_key_asked_at is None


@pytest.mark.parametrize(("trouble", "status"), [(Misconfigured("no key"), 503), (RuntimeError("?"), 401)])
def test_whatever_goes_wrong_while_verifying_refuses(
    trouble: Exception, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise trouble

    monkeypatch.setattr(Payerly, "verify_webhook", fail)
    assert knock() == status
    assert Account.objects.get().webhook_key_asked_at is not None, "its key is fetched anew"
    assert not Delivery.objects.exists()


def test_a_delivery_is_kept_as_it_came_without_what_is_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Payerly, "webhook_answer", b"received")
    refund, before = standing_in("processing"), timezone.now()
    body = callback(refund)
    more = {"User-Agent": "payerly/1", "Date": "today", "X-Request-ID": "r-1", "Authorization": "Bearer x"}
    answer = deliver(body, **more)
    assert (answer.status_code, answer.content) == (200, b"received")
    assert answer["Content-Type"] == "application/json"
    kept = Delivery.objects.get()
    assert (kept.account.slug, kept.digest) == ("payerly-eu", hashlib.sha256(body).hexdigest())
    assert (kept.body, kept.result, kept.refund) == (body.decode(), "applied", refund)
    assert before <= kept.received_at <= timezone.now()
    assert kept.headers == {
        "content-type": "application/json",
        "signature": signed(body),
        "user-agent": "payerly/1",
        "date": "today",
        "x-request-id": "r-1",
    }


def test_bytes_that_are_no_text_are_kept_readable() -> None:
    assert deliver(b"\xff\0{").status_code == 400
    kept = Delivery.objects.get()
    assert (kept.body, kept.result) == ("\\xff\\x00{", "unreadable")
    assert kept.why
    assert len(kept.why) <= 300


def test_a_repeat_gets_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Payerly, "webhook_answer", b"received")
    body = callback(standing_in("processing"))
    first, second = deliver(body), deliver(body)
    assert (first.status_code, second.status_code, second.content) == (200, 200, b"received")
    assert second["Content-Type"] == first["Content-Type"] == "application/json"


def test_what_is_about_no_refund_is_ignored_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Payerly, "read_webhook", lambda *_: [])
    assert deliver(b'{"a": 1}').status_code == 200
    kept = Delivery.objects.get()
    assert (kept.result, kept.why, kept.refund) == ("ignored", "It is not about a refund.", None)


def test_a_nudge_from_who_speaks_books_a_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    refund = standing_in("processing", ask_at=None)
    monkeypatch.setattr(Payerly, "read_webhook", lambda *_: [Nudge(refund.payment.reference)])
    assert deliver(b'{"a": 1}').status_code == 200
    assert (again(refund).status, again(refund).ask_at is not None) == ("processing", True)
