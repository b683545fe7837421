"""Paynow's wire: what is signed and goes out, what each answer means, and what its simulator refuses."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from gateways.contract import Delivery, LookUp, Nudge, Outcome, RefundOrder, RefundUpdate, Repeat, Webhooks
from gateways.errors import BadWebhook, Misconfigured, NoAnswer, NotSent
from gateways.http import Response
from gateways.money import Money
from gateways.paynow import REFUSALS, Paynow, signature
from gateways.sandbox import Sandbox
from tests.gateways.conftest import answering, http_answer, listener, read_request, recorded

PAYMENT, REFERENCE = "NOLV-8F9-08K-WGD", "RF01-2AB-3CD-4EF"
ORDER = RefundOrder("0f9a4c52-7d1c-4f43-9c0a-1a2b3c4d5e6f", PAYMENT, Money(2500, "PLN"), reason="OTHER")
KNOWN = replace(ORDER, reference=REFERENCE)
API_KEY, SIGNATURE_KEY = "97a55694-5478-43b5-b406-fb49ebfdd2b5", "b305b996-bca5-4404-a0b7-2ccea3d2b64b"


def paynow(url: str = "https://api.sandbox.paynow.pl", **config: str) -> Paynow:
    return Paynow({"URL": url, "API_KEY": API_KEY, "SIGNATURE_KEY": SIGNATURE_KEY, **config})


def told(verb: str, body: bytes, status: int = 200, *headers: str, order: RefundOrder = KNOWN):
    with answering(http_answer(status, body, *headers)) as (url, _):
        return getattr(paynow(url), verb)(order)


def envelope(*kinds: str, status: int = 400) -> bytes:
    errors = [{"errorType": kind, "message": f"No {number}."} for number, kind in enumerate(kinds, 1)]
    return json.dumps({"statusCode": status, "errors": errors}).encode()


@contextmanager
def in_turn(*answers: bytes) -> Iterator[str]:
    """A server that gives one answer after the other, and then hangs up."""
    left = iter(answers)

    def behave(line):
        read_request(line)
        line.sendall(next(left, b""))

    with listener(behave) as url:
        yield url


def asked(verb: str, order: RefundOrder = KNOWN, answer: bytes = b"") -> dict[str, str]:
    """The request as it went out: its first line under "", its headers in lower case, and its body."""
    answer = answer or http_answer(200, recorded("paynow", "succeeded"))
    with answering(answer) as (url, seen):
        getattr(paynow(url), verb)(order)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return {"": first, **{n.lower(): t for n, t in (line.split(": ", 1) for line in lines)}, "body": body.decode()}


# --- signatures: published by the vendor and in public tests, recomputed; the last one is computed by us ---


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        (
            SIGNATURE_KEY,
            '{"headers":{"Api-Key":"97a55694-5478-43b5-b406-fb49ebfdd2b5",'
            '"Idempotency-Key":"d243fdb3-c287-484a-bb9c-58536f2794c1"},"parameters":{},"body":""}',
            "fXwLZRwo0WiGll90PPl5oULX9VKA0gpFA/3+E+NRp5E=",
        ),
        (
            "a621a1fb-b4d8-48ba-a6a3-2a28ed61f605",
            '{"key1":"value1","key2":"value2"}',
            "rFAkhfbUFRn4bTR82qb742Mwy34g/CSi8frEHciZhCU=",
        ),
        (
            SIGNATURE_KEY,
            '{"headers":{"Api-Key":"97a55694-5478-43b5-b406-fb49ebfdd2b5","Idempotency-Key":"refund-0001"},'
            '"parameters":{},"body":"{\\"amount\\":100}"}',
            "R7ogm1tQPhHaIFgqQVOixeTmK7pgWSKrw5ZxFTr/VOU=",
        ),
    ],
)
def test_signatures_are_the_known_ones(key, text, expected):
    assert signature(key, text.encode()).decode() == expected


def test_an_order_goes_out_signed_as_the_derived_vector_says():
    order = RefundOrder("refund-0001", PAYMENT, Money(100, "PLN"))
    sent = asked("refund", order, http_answer(201, recorded("paynow", "created")))
    assert sent[""].startswith(f"POST /v3/payments/{PAYMENT}/refunds ")
    assert sent["body"] == '{"amount":100}'
    assert sent["signature"] == "R7ogm1tQPhHaIFgqQVOixeTmK7pgWSKrw5ZxFTr/VOU="
    assert (sent["api-key"], sent["idempotency-key"]) == (API_KEY, "refund-0001")
    assert (sent["accept"], sent["content-type"]) == ("application/json", "application/json")
    assert sent["user-agent"].startswith("refund-desk/")


def test_a_look_up_goes_out_signed_as_the_published_vector_says(monkeypatch):
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID("d243fdb3-c287-484a-bb9c-58536f2794c1"))
    sent = asked("look_up")
    assert sent[""].startswith(f"GET /v3/refunds/{REFERENCE}/status ")
    assert sent["signature"] == "fXwLZRwo0WiGll90PPl5oULX9VKA0gpFA/3+E+NRp5E="
    assert sent["body"] == ""


@pytest.mark.parametrize("verb", ["refund", "look_up", "cancel"])
def test_every_call_says_who_asks_and_what_is_understood(verb):
    sent = asked(verb)
    assert sent["user-agent"].startswith("refund-desk/")
    assert (sent["accept"], sent["api-key"]) == ("application/json", API_KEY)
    assert ("content-type" in sent) == (verb == "refund") == (sent["body"] != "")


def test_neither_key_is_in_the_record_of_a_call():
    gossip = http_answer(500, f"{API_KEY} {SIGNATURE_KEY} an-older-key".encode(), f"X-Echo: {SIGNATURE_KEY}")
    with answering(gossip) as (url, _):
        gateway = paynow(url, SIGNATURE_KEY_PREVIOUS="an-older-key")
        with pytest.raises(NoAnswer) as accident:
            gateway.refund(ORDER)
    kept = repr((gateway.http.exchanges, gateway, accident.value))
    assert gateway.http.exchanges[0].url == f"{url}/v3/payments/{PAYMENT}/refunds"
    assert not [key for key in (API_KEY, SIGNATURE_KEY, "an-older-key") if key in kept]


def test_the_reason_goes_out_and_the_body_stays_plain():
    assert asked("refund")["body"] == '{"amount":2500,"reason":"OTHER"}'
    assert paynow().body(ORDER) == b'{"amount":2500,"reason":"OTHER"}'
    assert paynow().body(replace(ORDER, reason="")) == b'{"amount":2500}'


def test_no_key_serves_two_calls():
    first, second = asked("look_up"), asked("look_up")
    assert first[""].startswith(f"GET /v3/refunds/{REFERENCE}/status ")
    keys = {first["idempotency-key"], second["idempotency-key"], ORDER.key}
    assert len(keys) == 3
    assert uuid.UUID(first["idempotency-key"])
    cancel = asked("cancel")
    assert cancel[""].startswith(f"POST /v3/refunds/{REFERENCE}/cancel ")
    assert cancel["idempotency-key"] == f"{ORDER.key}-cancel"
    assert len(cancel["idempotency-key"]) <= 45
    assert "content-type" not in cancel


# --- what the wire can carry: each limit of their page, and one past it ---


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"payment_reference": "nolv-8f9-08k-wgd"}, True),
        ({"payment_reference": "NOLV-8F9-08K-WG"}, False),
        ({"payment_reference": "NOL-8F9-08K-WGDX"}, False),
        ({"payment_reference": "OLV-8F9-08K-WGD"}, False),
        ({"payment_reference": "NOLV-8F9-08K"}, False),
        ({"payment_reference": "NOLV-8F9-08K-WGD-XYZ"}, False),
        ({"payment_reference": "NOŁV-8F9-08K-WGD"}, False),
        ({"payment_reference": ""}, False),
        ({"payment_reference": "NOLV-8F9-08K-WGDX"}, False),
        ({"payment_reference": "NOLV-8F9-08K-WG_"}, False),
        ({"payment_reference": "NOLV8-F9-08K-WGD"}, False),
        ({"payment_reference": "NOLV-8F9-08K-WGD\n"}, False),
        ({"amount": Money(1, "PLN")}, True),
        ({"amount": Money(0, "PLN")}, False),
        ({"amount": Money(-1, "PLN")}, False),
        ({"amount": Money(9_999_999_999, "PLN")}, True),
        ({"amount": Money(10_000_000_000, "PLN")}, False),
        *(({"amount": Money(100, currency)}, True) for currency in ("EUR", "USD", "GBP", "CZK")),
        ({"amount": Money(100, "JPY")}, False),
        ({"amount": Money(100, "KWD")}, False),
        *(({"reason": word}, True) for word in ("", "RMA", "REFUND_BEFORE_14", "REFUND_AFTER_14")),
        ({"reason": "BY_AGE"}, False),
        ({"reason": "OTHER"}, True),
        ({"reason": "rma"}, False),
        ({"key": "k" * 38}, True),
        ({"key": "k" * 39}, False),
        ({"key": ""}, False),
        ({"key": "ż"}, False),
    ],
)
def test_what_it_cannot_carry_is_refused(change, fits):
    objection = paynow().check(replace(ORDER, **change))
    assert (objection == "") == fits
    assert fits or objection.endswith(".")


# --- reasons by age, in Polish calendar days ---


@pytest.mark.parametrize(
    ("captured", "now", "word"),
    [
        ("2026-11-01T10:00:00", "2026-11-15T22:59:59", "REFUND_BEFORE_14"),  # 23:59:59 in Warsaw, the 14th day
        ("2026-11-01T10:00:00", "2026-11-15T23:00:00", "REFUND_AFTER_14"),  # midnight there
        ("2026-11-01T22:59:59", "2026-11-16T12:00:00", "REFUND_AFTER_14"),  # captured on the 1st there, just so
        ("2026-11-01T23:00:00", "2026-11-16T12:00:00", "REFUND_BEFORE_14"),  # captured on the 2nd there
        ("2026-07-01T21:59:59", "2026-07-16T12:00:00", "REFUND_AFTER_14"),
        ("2026-07-01T22:00:00", "2026-07-16T12:00:00", "REFUND_BEFORE_14"),
        ("2026-07-01T10:00:00", "2026-07-15T21:59:59", "REFUND_BEFORE_14"),  # summer time: two hours ahead
        ("2026-07-01T10:00:00", "2026-07-15T22:00:00", "REFUND_AFTER_14"),
        ("2026-10-20T10:00:00", "2026-11-03T22:59:59", "REFUND_BEFORE_14"),  # over the end of summer time
        ("2026-10-20T10:00:00", "2026-11-03T23:00:00", "REFUND_AFTER_14"),
        ("2026-03-20T10:00:00", "2026-04-03T21:59:59", "REFUND_BEFORE_14"),  # over its beginning
        ("2026-03-20T10:00:00", "2026-04-03T22:00:00", "REFUND_AFTER_14"),
        ("2026-11-01T10:00:00", "2026-11-01T10:00:01", "REFUND_BEFORE_14"),
    ],
)
def test_a_reason_by_age_is_decided_by_the_polish_day(captured, now, word):
    moments = (datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in (captured, now))
    assert paynow().reason_word("BY_AGE", *moments) == word


@pytest.mark.parametrize("word", ["", "RMA", "OTHER"])
def test_other_reasons_stay_as_they_are(word):
    now = datetime.now(UTC)
    assert paynow().reason_word(word, now - timedelta(days=99), now) == word


# --- answers ---


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize(
    ("story", "outcome"),
    [
        ("created", Outcome.PROCESSING),
        ("waiting", Outcome.PROCESSING),
        ("succeeded", Outcome.SUCCEEDED),
        ("failed", Outcome.FAILED),
        ("cancelled", Outcome.CANCELLED),
    ],
)
def test_every_status_word_is_a_first_answer(story, outcome, status):
    update = told("refund", recorded("paynow", story), status)
    assert (update.outcome, update.reference) == (outcome, REFERENCE)
    assert told("look_up", recorded("paynow", story)) == [update]


@pytest.mark.parametrize(
    ("why", "code", "message"),
    [
        ("CARD_BALANCE_ERROR", "CARD_BALANCE_ERROR", "The card balance was too low"),
        ("BUYER_ACCOUNT_CLOSED", "BUYER_ACCOUNT_CLOSED", "The account is closed"),
        ("OTHER", "OTHER", "They give no reason"),
        ("NEW_WORD", "NEW_WORD", "They give no reason"),
        ("", "FAILED", "They give no reason"),
        (None, "FAILED", "They give no reason"),
    ],
)
def test_a_failure_is_told_in_plain_words(why, code, message):
    body = json.dumps({"refundId": REFERENCE, "status": "FAILED", "failureReason": why}).encode()
    update = told("look_up", body)[0]
    assert (update.outcome, update.reference) == (Outcome.FAILED, REFERENCE)
    assert (update.code, update.message) == (code, message)
    assert update.details == {"status": "FAILED", **({"failureReason": why} if why else {})}
    assert set(update.details) <= set(Paynow.detail_labels)


def test_a_reason_for_failing_belongs_to_a_failure():
    body = json.dumps({"refundId": REFERENCE, "status": "PENDING", "failureReason": "OTHER"}).encode()
    update = told("look_up", body)[0]
    assert (update.outcome, update.code, update.message) == (Outcome.PROCESSING, "PENDING", "")


def test_a_cancel_that_is_not_ours_says_that_it_may_have_expired():
    assert "expired at Paynow" in told("refund", recorded("paynow", "cancelled")).message


def test_a_word_nobody_knows_is_unclear_and_keeps_its_reference():
    update = told("refund", b'{"refundId":"RF01-2AB-3CD-4EF","status":"DONE"}', 201)
    assert (update.outcome, update.code, update.reference) == (Outcome.UNCLEAR, "DONE", REFERENCE)


@pytest.mark.parametrize("status", [400, 401, 404, 422])
@pytest.mark.parametrize("kind", REFUSALS)
def test_a_documented_error_is_a_refusal(kind, status):
    update = told("refund", envelope(kind, status=status), status)
    assert (update.outcome, update.code, update.reference) == (Outcome.FAILED, kind, "")
    assert update.message == f"{REFUSALS[kind]}. No 1."


def test_a_refusal_tells_everything_that_they_object_to():
    update = told("refund", recorded("paynow", "refused"), 400)
    assert (update.outcome, update.code) == (Outcome.FAILED, "INSUFFICIENT_BALANCE_FUNDS")
    assert update.message == "The balance at Paynow is too low. Insufficient balance funds"
    several = told("refund", envelope("VALIDATION_ERROR", "BAD_REQUEST", "VALIDATION_ERROR"), 400)
    assert several.code == "VALIDATION_ERROR BAD_REQUEST"
    assert several.message == "They found the request malformed. No 1.; No 2.; No 3."
    silent = told("refund", b'{"errors":[{"errorType":"BAD_REQUEST"}]}', 400)
    assert silent.message == "They do not refund this payment."


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, envelope("SOMETHING_NEW")),
        (400, envelope("SYSTEM_TEMPORARILY_UNAVAILABLE")),
        (400, envelope("BAD_REQUEST", "SYSTEM_TEMPORARILY_UNAVAILABLE")),
        (404, b"<html>Not Found</html>"),
        (401, b""),
        (400, recorded("paynow", "succeeded")),
        (408, envelope("BAD_REQUEST", status=408)),
        (425, envelope("BAD_REQUEST", status=425)),
        (500, recorded("paynow", "succeeded")),
        (503, envelope("BAD_REQUEST", status=503)),
        (400, b'{"statusCode":400,"errors":[]}'),
        (400, b'{"statusCode":400,"errors":"BAD_REQUEST"}'),
        (400, b'{"statusCode":400,"errors":[{"errorType":"BAD_REQUEST","message":""},{"errorType":"ODD"}]}'),
        (400, b'{"errors":[{"errorType":"BAD_REQUEST"}],"refundId":"RF01-2AB-3CD-4EF"}'),
        (403, envelope("BAD_REQUEST", status=403)),
        (409, envelope("BAD_REQUEST", status=409)),
        (429, envelope("BAD_REQUEST", status=429)),
        (500, envelope("INTERNAL_SERVER_ERROR", status=500)),
        (503, recorded("paynow", "outage")),
        (201, b'{"refundId":"RF01-2AB-3CD-4EF"}'),
        (201, b'{"status":"NEW"}'),
        (201, b'{"refundId":"RF01","status":"NEW"}'),
        (201, b'{"refundId":"RF01-2AB-3CD-4EF\\n","status":"NEW"}'),
        (201, b'{"refundId":"RF0-2AB-3CD-4EF","status":"NEW"}'),
        (201, b'{"refundId":"","status":"NEW"}'),
        (201, b'{"refundId":7,"status":"NEW"}'),
        (201, b'{"refundId":"RF01-2AB-3CD-4EF","status":"FAILED","failureReason":7}'),
        (200, b'{"refundId":"RF01-2AB-3CD-4EF","status":"SUCCESSFUL","errors":[{"errorType":"BAD_REQUEST"}]}'),
        (200, envelope("BAD_REQUEST")),
        (201, b'{"refundId":"RF01-2AB-3CD-4EF","status":["NEW"]}'),
        (201, b'{"refundId":"RF01-2AB-3CD-4EF","status":"NEW","status":"FAILED"}'),
        (202, recorded("paynow", "created")),
    ],
)
def test_anything_else_settles_nothing(status, body):
    with pytest.raises(NoAnswer):
        told("refund", body, status)


@pytest.mark.parametrize("verb", ["refund", "look_up"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, recorded("paynow", "outage")),
        (429, b""),
        (400, envelope("SYSTEM_TEMPORARILY_UNAVAILABLE")),
        (404, b"<html>"),
        (200, b'{"refundId":"RF01-2AB-3CD-4EF"}'),
    ],
)
def test_what_settles_nothing_says_when_to_come_back(verb, status, body):
    with pytest.raises(NoAnswer) as accident:
        told(verb, body, status, "Retry-After: 7")
    assert accident.value.retry_after == timedelta(seconds=7)
    with pytest.raises(NoAnswer) as accident:
        told(verb, body, status)
    assert accident.value.retry_after is None


BODIES = [recorded("paynow", name) for name in ("created", "succeeded", "failed", "refused", "not_found", "outage")]


@given(
    st.sampled_from([200, 201, 204, 400, 401, 403, 404, 409, 422, 500]),
    st.sampled_from(BODIES),
    st.integers(0, 120),
    st.binary(max_size=4),
)
def test_no_bytes_are_more_than_no_answer(status, body, place, scribble):
    """Recorded bodies with some bytes put in or over: a known answer, a word that is unclear, or NoAnswer."""
    gateway = paynow()
    for damaged in (body[:place] + scribble + body[place:], body[:place] + scribble + body[place + len(scribble) :]):
        answer = Response(status, {}, damaged)
        gateway._send = lambda *_, answer=answer: answer
        for verb in ("refund", "look_up", "cancel"):
            with suppress(NoAnswer):
                said = getattr(gateway, verb)(KNOWN)
                for update in said if isinstance(said, list) else [said]:
                    is_theirs = status in (200, 201) and body in BODIES[:3]
                    assert is_theirs or update.outcome is Outcome.FAILED
                    assert update.outcome is not Outcome.SUCCEEDED or b"SUCCESSFUL" in damaged


# --- look-ups and cancels ---


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"{}"),
        (404, b"<html>"),
        (404, b'{"statusCode":404,"errors":[]}'),
        (404, envelope("NOT_FOUND", "BAD_REQUEST", status=404)),
        (404, envelope("BAD_REQUEST", status=404)),
        (400, envelope("NOT_FOUND")),
        (401, envelope("UNAUTHORIZED", status=401)),
        (403, envelope("NOT_FOUND", status=403)),
        (200, recorded("paynow", "not_found")),
    ],
)
def test_their_not_found_is_an_absence_and_nothing_else_is(status, body):
    assert told("look_up", recorded("paynow", "not_found"), 404) == []
    with pytest.raises(NoAnswer):
        told("look_up", body, status)


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, recorded("paynow", "succeeded").replace(b"RF01", b"RF02")), (401, envelope("UNAUTHORIZED", status=401))],
)
def test_a_status_of_another_refund_or_of_none_is_no_answer(status, body):
    with pytest.raises(NoAnswer, match="another refund") as accident:
        told("look_up", body, status, "Retry-After: 7")
    assert accident.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize("verb", ["look_up", "cancel"])
@pytest.mark.parametrize("reference", ["", "nonsense", "../x", "RF0-2AB-3CD-4EF", "RF01-2AB-3CD-4EF\n"])
def test_without_a_reference_of_theirs_there_is_nothing_to_ask_by(verb, reference):
    with pytest.raises(NoAnswer, match="refundId"):
        getattr(paynow(), verb)(replace(ORDER, reference=reference))


def test_a_cancel_is_believed_only_when_it_is_read_back(sandbox: Sandbox):
    gateway = Paynow(sandbox.credentials("paynow"))
    sandbox.tell("waits")
    waiting = replace(ORDER, reference=gateway.refund(ORDER).reference)
    assert gateway.cancel(waiting).outcome is Outcome.CANCELLED
    assert gateway.look_up(waiting)[0].outcome is Outcome.CANCELLED
    sandbox.settle()
    assert sandbox.ledger() == []


def test_a_cancel_that_loses_tells_how_the_refund_stands(sandbox: Sandbox):
    gateway = Paynow(sandbox.credentials("paynow"))
    begun = replace(ORDER, reference=gateway.refund(ORDER).reference)
    assert gateway.cancel(begun).outcome in (Outcome.PROCESSING, Outcome.SUCCEEDED)
    sandbox.settle()
    assert len(sandbox.ledger()) == 1


OK, REFUSED = b'{"status":"CANCELLED"}', envelope("BAD_REQUEST")


@pytest.mark.parametrize(
    ("status", "body", "now_is", "outcome"),
    [
        (200, OK, "cancelled", Outcome.CANCELLED),
        (201, b"", "cancelled", Outcome.CANCELLED),
        (200, OK, "waiting", Outcome.PROCESSING),  # whatever the cancel says, the status counts
        (200, b"<html>", "succeeded", Outcome.SUCCEEDED),
        (400, REFUSED, "created", Outcome.PROCESSING),
        (401, REFUSED, "waiting", Outcome.PROCESSING),
        (403, REFUSED, "created", Outcome.PROCESSING),
        (409, envelope("SOMETHING_NEW"), "created", Outcome.PROCESSING),
        (400, REFUSED, "failed", Outcome.FAILED),
        (400, REFUSED, "cancelled", Outcome.CANCELLED),
        (404, b"<html>", "succeeded", Outcome.SUCCEEDED),  # an end is an end, whoever has answered the cancel
        (503, b"", "cancelled", Outcome.CANCELLED),
    ],
)
def test_after_a_cancel_the_status_is_what_counts(status, body, now_is, outcome):
    with in_turn(http_answer(status, body), http_answer(200, recorded("paynow", now_is))) as url:
        update = paynow(url).cancel(KNOWN)
    assert (update.outcome, update.reference) == (outcome, REFERENCE)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, b""),
        (500, REFUSED),
        (429, REFUSED),
        (425, REFUSED),
        (408, REFUSED),
        (404, b"<html>"),
        (400, b'{"statusCode":400,"errors":[]}'),
        (400, b'{"errors":[{"message":"No."}]}'),
        (302, REFUSED),
    ],
)
def test_a_cancel_that_was_not_understood_is_no_answer_while_the_refund_still_waits(status, body):
    answers = http_answer(status, body, "Retry-After: 7"), http_answer(200, recorded("paynow", "waiting"))
    with in_turn(*answers) as url, pytest.raises(NoAnswer) as accident:
        paynow(url).cancel(KNOWN)
    assert accident.value.retry_after == timedelta(seconds=7)


def test_a_cancel_is_never_called_done_unread():
    lost = [(b"",), (http_answer(200, OK), b""), (http_answer(200, OK), http_answer(503, b""))]
    gone = (http_answer(200, OK), http_answer(404, recorded("paynow", "not_found")))
    for answers in (*lost, gone):
        with in_turn(*answers) as url, pytest.raises(NoAnswer):
            paynow(url).cancel(KNOWN)


def test_a_cancel_that_went_out_is_not_called_unsent(monkeypatch):
    gateway = paynow()

    def send(method, *_):
        if method == "GET":
            raise NotSent("Nothing was sent.")
        return Response(200, {}, OK)

    monkeypatch.setattr(gateway, "_send", send)
    with pytest.raises(NoAnswer):
        gateway.cancel(KNOWN)


def test_it_declares_what_their_page_allows():
    can = Paynow.can
    assert (can.partial, can.several, can.cancel) == (True, True, True)
    assert (can.look_up, can.repeat, can.webhooks) == (LookUp.BY_REFERENCE, Repeat.WITHIN_WINDOW, Webhooks.KNOCK)
    assert Paynow.hosts == {"sandbox": "https://api.sandbox.paynow.pl", "live": "https://api.paynow.pl"}
    assert Paynow.reason_words == ("RMA", "OTHER", "BY_AGE")
    assert set(Paynow.secrets) == {"API_KEY", "SIGNATURE_KEY", "SIGNATURE_KEY_PREVIOUS"}
    assert Paynow.webhook_answer == b""


# --- notifications ---

VECTOR_KEY = "s3ecret-k3y"
VECTOR = "Aq/VmN15rtjVbuy9F7Yw+Ym76H+VZjVSuHGpg4dwitY="


def notified(mark: str = VECTOR, body: bytes | None = None) -> Delivery:
    return Delivery({"signature": mark}, recorded("paynow", "notification") if body is None else body)


def test_the_published_notification_is_theirs():
    paynow(SIGNATURE_KEY=VECTOR_KEY).verify_webhook(notified())
    paynow(SIGNATURE_KEY_PREVIOUS=VECTOR_KEY).verify_webhook(notified())


@pytest.mark.parametrize(
    "delivery",
    [
        notified("Wq/V2N15rtjVbuy9F7Yw+Ym76H+VZjVSuHGpg4dwitY="),  # the published negative one
        notified(""),
        notified("żółć"),
        notified(VECTOR.lower()),
        notified(body=recorded("paynow", "notification") + b"\n"),
        notified(body=recorded("paynow", "notification").replace(b"CONFIRMED", b"REJECTED!")),
        Delivery({}, recorded("paynow", "notification")),
    ],
)
def test_a_forged_notification_is_refused(delivery):
    with pytest.raises(BadWebhook):
        paynow(SIGNATURE_KEY=VECTOR_KEY).verify_webhook(delivery)
    with pytest.raises(BadWebhook):
        paynow().verify_webhook(notified())


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_previous_key_opens_nothing(blank):
    forged = notified(signature(blank, b"{}").decode(), b"{}")
    with pytest.raises(BadWebhook):
        paynow(SIGNATURE_KEY_PREVIOUS=blank).verify_webhook(forged)


def test_after_a_change_of_keys_both_are_theirs():
    gateway = paynow(SIGNATURE_KEY_PREVIOUS="an-older-key")
    for key in (SIGNATURE_KEY, "an-older-key"):
        gateway.verify_webhook(notified(signature(key, b"{}").decode(), b"{}"))
    with pytest.raises(BadWebhook):
        gateway.verify_webhook(notified(signature("another-key", b"{}").decode(), b"{}"))


@pytest.mark.parametrize(
    ("body", "nudges"),
    [
        (recorded("paynow", "notification"), [Nudge(payment_reference=PAYMENT)]),
        (b'{"refundId":"RF01-2AB-3CD-4EF","status":"SUCCESSFUL"}', [Nudge(reference=REFERENCE)]),
        (
            b'{"refundId":"RF01-2AB-3CD-4EF","paymentId":"NOLV-8F9-08K-WGD"}',
            [Nudge(payment_reference=PAYMENT, reference=REFERENCE)],
        ),
    ],
)
def test_a_notification_only_nudges(body, nudges):
    assert paynow().read_webhook(Delivery({}, body)) == nudges


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"paymentId":7}', b"\xff"])
def test_an_unreadable_notification_is_none(body):
    with pytest.raises(BadWebhook):
        paynow().read_webhook(Delivery({}, body))


# --- settings ---


def test_the_window_of_a_key_is_a_setting():
    assert Paynow.key_window == paynow().key_window == timedelta(hours=20)
    assert paynow(KEY_WINDOW_HOURS="3").key_window == timedelta(hours=3)
    for wrong in ("0", "-1", "1.5", "twenty", "9999", "020", "२०"):
        with pytest.raises(Misconfigured, match="KEY_WINDOW_HOURS"):
            paynow(KEY_WINDOW_HOURS=wrong)


# --- the simulator is as strict as the real one ---


CREATE, SORTED = f"/v3/payments/{PAYMENT}/refunds", '{"a":["1"],"b":["2","3"],"c":["4"]}'


def post(
    sandbox: Sandbox,
    body: bytes = b'{"amount":2500}',
    path: str = CREATE,
    method: str = "POST",
    *,
    sign: bool = True,
    query: str = "{}",
    **change: str,
):
    """A call written by hand, with the query as it is signed; `change` overrides headers, "" takes one away."""
    config = sandbox.credentials("paynow")
    key = change.get("Idempotency_Key", "key-1")
    named = {"Api-Key": config["API_KEY"], "Idempotency-Key": key}
    text = {"headers": named, "parameters": json.loads(query), "body": body.decode()}
    signed = json.dumps(text, separators=(",", ":"))
    mark = signature(config["SIGNATURE_KEY"], signed.encode()).decode() if sign else "bm8="
    headers = {**named, "Signature": mark, "Accept": "application/json", "Content-Type": "application/json"}
    headers |= {name.replace("_", "-"): text for name, text in change.items()}
    headers = {name: text or None for name, text in headers.items()}  # None also takes the library's own away
    return requests.request(method, sandbox.url("paynow") + path, data=body, headers=headers, timeout=5)


def test_a_good_order_is_taken(sandbox: Sandbox):
    answer = post(sandbox)
    assert (answer.status_code, answer.json()["status"]) == (201, "PENDING")
    assert set(answer.json()) == {"refundId", "status"}


@pytest.mark.parametrize(
    ("change", "status", "kind"),
    [
        ({"sign": False}, 401, "VERIFICATION_FAILED"),
        ({"Signature": ""}, 401, "VERIFICATION_FAILED"),
        ({"Api_Key": "another"}, 401, "UNAUTHORIZED"),
        ({"Idempotency_Key": ""}, 400, "VALIDATION_ERROR"),
        ({"Idempotency_Key": "k" * 46}, 400, "VALIDATION_ERROR"),
        ({"Accept": "text/html"}, 400, "VALIDATION_ERROR"),
        ({"Accept": ""}, 400, "VALIDATION_ERROR"),
        ({"Api_Key": ""}, 401, "UNAUTHORIZED"),
        ({"Content_Type": ""}, 400, "VALIDATION_ERROR"),
        ({"query": '{"a":["b"]}'}, 401, "VERIFICATION_FAILED"),
        ({"path": f"{CREATE}?a=b"}, 401, "VERIFICATION_FAILED"),
        ({"path": "/v3/payments/NOLV-8F9-08K/refunds"}, 404, "NOT_FOUND"),
        ({"path": f"/v1/payments/{PAYMENT}/refunds"}, 404, "NOT_FOUND"),
        ({"method": "PUT"}, 404, "NOT_FOUND"),
        ({"Content_Type": "text/plain"}, 400, "VALIDATION_ERROR"),
        ({"body": b'{"amount":"2500"}'}, 400, "VALIDATION_ERROR"),
        ({"body": b'{"amount":25.0}'}, 400, "VALIDATION_ERROR"),
        ({"body": b'{"amount":true}'}, 400, "VALIDATION_ERROR"),
        ({"body": b'{"amount":-1}'}, 400, "VALIDATION_ERROR"),
        ({"body": b"{}"}, 400, "VALIDATION_ERROR"),
        ({"body": b""}, 400, "VALIDATION_ERROR"),
        ({"body": b'{"amount":0}'}, 400, "VALIDATION_ERROR"),
        ({"body": b'{"amount":10000000000}'}, 400, "VALIDATION_ERROR"),
        ({"body": b'{"amount":1,"reason":"MOOD"}'}, 400, "VALIDATION_ERROR"),
        ({"body": b'{"amount":1,"currency":"PLN"}'}, 400, "VALIDATION_ERROR"),
        ({"body": b"[]"}, 400, "VALIDATION_ERROR"),
        ({"body": b"{"}, 400, "VALIDATION_ERROR"),
    ],
)
def test_the_simulator_refuses_what_paynow_would(sandbox: Sandbox, change, status, kind):
    answer = post(sandbox, **change)
    assert (answer.status_code, answer.json()["errors"][0]["errorType"]) == (status, kind)
    assert sandbox.ledger() == []


def test_its_longest_key_largest_amount_and_signed_query_pass(sandbox: Sandbox):
    assert post(sandbox, Idempotency_Key="k" * 45).status_code == 201
    assert post(sandbox, b'{"amount":9999999999,"reason":null}', Idempotency_Key="key-2").status_code == 201
    signed = post(sandbox, path=f"{CREATE}?c=4&a=1&b=2&b=3", query=SORTED, Idempotency_Key="key-3")
    assert (signed.status_code, post(sandbox, Accept="*/*", Idempotency_Key="key-4").status_code) == (201, 201)


@pytest.mark.parametrize(("verb", "method"), [("status", "GET"), ("cancel", "POST")])
def test_a_look_up_and_a_cancel_are_signed_too(sandbox: Sandbox, verb, method):
    sandbox.tell("waits")
    reference = post(sandbox).json()["refundId"]
    path = f"/v3/refunds/{reference}/{verb}"
    refused = post(sandbox, b"", path, method, sign=False)
    assert (refused.status_code, refused.json()["errors"][0]["errorType"]) == (401, "VERIFICATION_FAILED")
    assert post(sandbox, b"", path, method, Idempotency_Key="").status_code == 400
    unknown = post(sandbox, b"", f"/v3/refunds/{REFERENCE}/{verb}", method)
    assert (unknown.status_code, unknown.json()["errors"][0]["errorType"]) == (404, "NOT_FOUND")
    assert post(sandbox, b"", path, method).status_code == 200


@pytest.mark.parametrize(
    ("story", "first", "last"),
    [
        ("success", "PENDING", "SUCCESSFUL"),
        ("waits", "NEW", "SUCCESSFUL"),
        ("expires", "NEW", "CANCELLED"),
        ("fails_later", "PENDING", "FAILED"),
        ("unheard_word", "ON_THE_MOON", "ON_THE_MOON"),
        ("wrong_amount", "PENDING", "SUCCESSFUL"),
    ],
)
def test_a_status_tells_the_word_and_nothing_of_amount_payment_or_time(sandbox: Sandbox, story, first, last):
    sandbox.tell(story)
    created = post(sandbox).json()
    sandbox.settle()
    now = post(sandbox, b"", f"/v3/refunds/{created['refundId']}/status", "GET").json()
    assert (created["status"], now["status"]) == (first, last)
    assert set(now) == {"refundId", "status"} | ({"failureReason"} if last == "FAILED" else set())
    assert now["refundId"] == created["refundId"]
    again = post(sandbox)
    assert (again.status_code, again.json()) == (201, created)  # the stored answer, whatever became since


def test_a_status_is_read_and_never_written(sandbox: Sandbox):
    path = f"/v3/refunds/{post(sandbox).json()['refundId']}/status"
    assert post(sandbox, b"", path, "GET").status_code == 200
    assert post(sandbox, b"", path, "POST").status_code == 404


def test_only_what_waits_can_be_cancelled_there(sandbox: Sandbox):
    reference = post(sandbox).json()["refundId"]
    answer = post(sandbox, b"", f"/v3/refunds/{reference}/cancel")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["errorType"] == "BAD_REQUEST"


def test_its_letters_are_about_the_payment_and_signed(sandbox: Sandbox, inbox):
    sandbox.callback("paynow", inbox.url)
    gateway = Paynow(sandbox.credentials("paynow"))
    gateway.refund(ORDER)
    sandbox.settle()
    headers, body = inbox.letters[0]
    assert set(json.loads(body)) == {"paymentId", "externalId", "status", "modifiedAt"}
    assert json.loads(body)["status"] == "CONFIRMED"
    gateway.verify_webhook(Delivery(headers, body))
    assert gateway.read_webhook(Delivery(headers, body)) == [Nudge(payment_reference=PAYMENT)]


def test_its_forged_letters_are_signed_by_somebody_else(sandbox: Sandbox, inbox):
    sandbox.callback("paynow", inbox.url)
    sandbox.tell("forged_webhook")
    gateway = Paynow(sandbox.credentials("paynow"))
    gateway.refund(ORDER)
    sandbox.settle()
    with pytest.raises(BadWebhook):
        gateway.verify_webhook(Delivery(*inbox.letters[0]))


def test_a_key_is_one_refund_and_never_two(sandbox: Sandbox):
    first, second = post(sandbox), post(sandbox)
    assert first.json()["refundId"] == second.json()["refundId"]
    other = post(sandbox, b'{"amount":2600}')
    assert (other.status_code, other.json()["errors"][0]["errorType"]) == (400, "VALIDATION_ERROR")
    assert len(sandbox.ledger()) == 1


def test_more_than_was_paid_is_refused(sandbox: Sandbox):
    sandbox.payment(PAYMENT, 3000, "PLN", gateway="paynow")
    assert post(sandbox).status_code == 201
    answer = post(sandbox, b'{"amount":600}', Idempotency_Key="key-2")
    assert answer.json()["errors"][0]["errorType"] == "REFUND_AMOUNT_TOO_LARGE"


def test_an_update_of_the_contract_carries_no_amount(sandbox: Sandbox):
    """Nothing on their wire says it, so nothing is made up."""
    update = Paynow(sandbox.credentials("paynow")).refund(ORDER)
    assert isinstance(update, RefundUpdate)
    assert update.amount is None
