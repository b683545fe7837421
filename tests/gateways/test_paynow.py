"""Paynow's wire: what is signed and goes out, what each answer means, and what its simulator refuses."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests

from gateways.contract import Delivery, Nudge, Outcome, RefundOrder, RefundUpdate
from gateways.errors import BadWebhook, Misconfigured, NoAnswer
from gateways.money import Money
from gateways.paynow import FAILURES, REFUSALS, Paynow, signature
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


def envelope(kind: str, status: int = 400) -> bytes:
    return json.dumps({"statusCode": status, "errors": [{"errorType": kind, "message": "No."}]}).encode()


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


def test_the_reason_goes_out_and_the_body_stays_plain():
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
        ("2026-11-01T23:30:00", "2026-11-16T12:00:00", "REFUND_BEFORE_14"),  # captured on the 2nd there
        ("2026-07-01T10:00:00", "2026-07-15T21:59:59", "REFUND_BEFORE_14"),  # summer time: two hours ahead
        ("2026-07-01T10:00:00", "2026-07-15T22:00:00", "REFUND_AFTER_14"),
        ("2026-10-20T10:00:00", "2026-11-03T22:59:59", "REFUND_BEFORE_14"),  # over the end of summer time
        ("2026-10-20T10:00:00", "2026-11-03T23:00:00", "REFUND_AFTER_14"),
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


def test_a_failure_is_told_in_plain_words():
    update = told("refund", recorded("paynow", "failed"))
    assert (update.code, update.message) == ("FAILED", "The account is closed")
    for word in ("CARD_BALANCE_ERROR", "OTHER", "NEW_WORD", None):
        body = json.dumps({"refundId": REFERENCE, "status": "FAILED", "failureReason": word}).encode()
        assert told("refund", body).message == FAILURES.get(word, "They give no reason")


def test_a_cancel_that_is_not_ours_says_that_it_may_have_expired():
    assert "expired at Paynow" in told("refund", recorded("paynow", "cancelled")).message


def test_a_word_nobody_knows_is_unclear_and_keeps_its_reference():
    update = told("refund", b'{"refundId":"RF01-2AB-3CD-4EF","status":"DONE"}', 201)
    assert (update.outcome, update.code, update.reference) == (Outcome.UNCLEAR, "DONE", REFERENCE)


@pytest.mark.parametrize("status", [400, 401, 404, 422])
@pytest.mark.parametrize("kind", REFUSALS)
def test_a_documented_error_is_a_refusal(kind, status):
    update = told("refund", envelope(kind, status), status)
    assert (update.outcome, update.code) == (Outcome.FAILED, kind)
    assert REFUSALS[kind] in update.message


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, envelope("SOMETHING_NEW")),
        (400, envelope("SYSTEM_TEMPORARILY_UNAVAILABLE")),
        (400, b'{"statusCode":400,"errors":[]}'),
        (400, b'{"statusCode":400,"errors":"BAD_REQUEST"}'),
        (400, b'{"statusCode":400,"errors":[{"errorType":"BAD_REQUEST","message":""},{"errorType":"ODD"}]}'),
        (400, b'{"errors":[{"errorType":"BAD_REQUEST"}],"refundId":"RF01-2AB-3CD-4EF"}'),
        (403, envelope("BAD_REQUEST", 403)),
        (409, envelope("BAD_REQUEST", 409)),
        (429, envelope("BAD_REQUEST", 429)),
        (500, envelope("INTERNAL_SERVER_ERROR", 500)),
        (503, recorded("paynow", "outage")),
        (201, b'{"refundId":"RF01-2AB-3CD-4EF"}'),
        (201, b'{"status":"NEW"}'),
        (201, b'{"refundId":"RF01","status":"NEW"}'),
        (201, b'{"refundId":7,"status":"NEW"}'),
        (201, b'{"refundId":"RF01-2AB-3CD-4EF","status":["NEW"]}'),
        (201, b'{"refundId":"RF01-2AB-3CD-4EF","status":"NEW","status":"FAILED"}'),
        (202, recorded("paynow", "created")),
    ],
)
def test_anything_else_settles_nothing(status, body):
    with pytest.raises(NoAnswer):
        told("refund", body, status)


def test_an_outage_says_when_to_come_back():
    with pytest.raises(NoAnswer) as accident:
        told("refund", recorded("paynow", "outage"), 503, "Retry-After: 7")
    assert accident.value.retry_after == timedelta(seconds=7)


# --- look-ups and cancels ---


def test_their_not_found_is_an_absence_and_nothing_else_is():
    assert told("look_up", recorded("paynow", "not_found"), 404) == []
    for status, body in ((404, b"{}"), (404, b"<html>"), (401, envelope("UNAUTHORIZED", 401))):
        with pytest.raises(NoAnswer):
            told("look_up", body, status)


def test_a_status_of_another_refund_is_no_answer():
    other = recorded("paynow", "succeeded").replace(b"RF01", b"RF02")
    with pytest.raises(NoAnswer, match="another refund"):
        told("look_up", other)


@pytest.mark.parametrize("verb", ["look_up", "cancel"])
@pytest.mark.parametrize("reference", ["", "nonsense", "../x"])
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


def test_a_cancel_that_was_not_understood_is_no_answer_while_the_refund_still_waits():
    answers = iter([http_answer(503, b""), http_answer(200, recorded("paynow", "waiting"))])

    def behave(line):
        read_request(line)
        line.sendall(next(answers))

    with listener(behave) as url, pytest.raises(NoAnswer, match="became of the cancel"):
        paynow(url).cancel(KNOWN)


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


def test_an_empty_previous_key_opens_nothing():
    forged = notified(signature("", b"{}").decode(), b"{}")
    with pytest.raises(BadWebhook):
        paynow().verify_webhook(forged)


@pytest.mark.parametrize(
    ("body", "nudges"),
    [
        (recorded("paynow", "notification"), [Nudge(payment_reference=PAYMENT)]),
        (b'{"refundId":"RF01-2AB-3CD-4EF","status":"SUCCESSFUL"}', [Nudge(reference=REFERENCE)]),
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
    assert paynow().key_window == timedelta(hours=20)
    assert paynow(KEY_WINDOW_HOURS="3").key_window == timedelta(hours=3)
    for wrong in ("0", "-1", "1.5", "twenty", "9999"):
        with pytest.raises(Misconfigured, match="KEY_WINDOW_HOURS"):
            paynow(KEY_WINDOW_HOURS=wrong)


# --- the simulator is as strict as the real one ---


def post(sandbox: Sandbox, body: bytes = b'{"amount":2500}', *, sign: bool = True, **change: str):
    """An order written by hand; `change` overrides headers, "" takes one away."""
    config = sandbox.credentials("paynow")
    key = change.get("Idempotency_Key", "key-1")
    named = {"Api-Key": config["API_KEY"], "Idempotency-Key": key}
    signed = json.dumps({"headers": named, "parameters": {}, "body": body.decode()}, separators=(",", ":"))
    mark = signature(config["SIGNATURE_KEY"], signed.encode()).decode() if sign else "bm8="
    headers = {**named, "Signature": mark, "Accept": "application/json", "Content-Type": "application/json"}
    headers |= {name.replace("_", "-"): text for name, text in change.items()}
    headers = {name: text for name, text in headers.items() if text}
    return requests.post(
        f"{sandbox.url('paynow')}/v3/payments/{PAYMENT}/refunds", data=body, headers=headers, timeout=5
    )


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
        ({"Content_Type": "text/plain"}, 400, "VALIDATION_ERROR"),
        ({"body": b'{"amount":"2500"}'}, 400, "VALIDATION_ERROR"),
        ({"body": b'{"amount":25.0}'}, 400, "VALIDATION_ERROR"),
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
