"""ExamplePay's wire: what is signed and goes out, what each answer means, and what one status can say of a refund."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import requests

from gateways.contract import Delivery, LookUp, Nudge, Outcome, RefundOrder, RefundUpdate, Repeat, Webhooks
from gateways.errors import BadWebhook, Misconfigured, NoAnswer, NotSent
from gateways.examplepay import ExamplePay
from gateways.money import Money
from gateways.sandbox import Sandbox
from gateways.signing import V2Sha256
from tests.gateways.conftest import answering, http_answer, listener, read_request, recorded

APP_ID, SECRET = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
CALLBACK = "https://desk.example/webhooks/examplepay-br/"
PAYMENT, REFERENCE = "20261101090000000000000000000042", "20261103101500000000000000000007"
ORDER = RefundOrder("rf-0001", PAYMENT, Money(1250, "BRL"), note="Arrived broken")
HEADER = re.compile(r"V2_SHA256 appId=([^, ]+),sign=([0-9a-f]{64}),timestamp=([0-9]{13}),nonce=([0-9a-f]{32})")
PROCESSING, SUCCEEDED, FAILED, UNCLEAR = Outcome.PROCESSING, Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNCLEAR


def examplepay(url: str = "https://gateway.example", **config: str) -> ExamplePay:
    return ExamplePay({"URL": url, "APP_ID": APP_ID, "APP_SECRET": SECRET, "CALLBACK_URL": CALLBACK, **config})


def sign(url: str, body: bytes, *, method="POST", timestamp="", nonce="00112233445566778899AABBCCDDEEFF", **who: str):
    """Their header, written anew: the seven parts, each with its line end."""
    timestamp = timestamp or str(now_ms())
    app_id, secret = who.get("app_id", APP_ID), who.get("secret", SECRET)
    parts = [app_id, secret, method, url, timestamp, nonce]
    mark = hashlib.sha256(b"".join(part.encode() + b"\n" for part in parts) + body + b"\n").hexdigest()
    return f"V2_SHA256 appId={app_id},sign={mark},timestamp={timestamp},nonce={nonce}"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def answer_to(verb: str, body: bytes, status: int = 200, *headers: str, order: RefundOrder = ORDER, **config: str):
    with answering(http_answer(status, body, *headers)) as (url, _):
        return getattr(examplepay(url, **config), verb)(order)


def told(story: str, status: int = 200, **config: str) -> RefundUpdate:
    return answer_to("refund", recorded("examplepay", story), status, **config)


def payment(word: object = "NOT_REFUNDED", **change: object) -> bytes:
    whole = json.loads(recorded("examplepay", "payment"))
    whole["data"] |= {"refundStatus": word, **change}
    return json.dumps(whole).encode()


@contextmanager
def signing_server(body: bytes, **how: str) -> Iterator[str]:
    """A server whose answers are signed over the address that was called."""

    def behave(line) -> None:
        request = read_request(line)
        path, host = request.split(b" ", 2)[1].decode(), re.search(rb"(?m)^Host: (.*)\r$", request)[1].decode()
        line.sendall(http_answer(200, body, f"Authorization: {sign(f'http://{host}{path}', body, **how)}"))

    with listener(behave) as url:
        yield url


def test_it_declares_what_their_pages_allow():
    can = ExamplePay.can
    assert (can.partial, can.several, can.cancel) == (True, False, False)
    assert (can.look_up, can.repeat, can.webhooks) == (LookUp.BY_PAYMENT, Repeat.NEVER, Webhooks.KNOCK)
    assert ExamplePay.webhook_answer == b'{"code":"OK"}'
    assert ExamplePay.secrets == ("APP_SECRET",)
    assert ExamplePay.callback_setting == "CALLBACK_URL"
    assert ExamplePay.poll_plan[0] >= timedelta(seconds=30)


# The signature

VECTOR = (
    "POST",
    "https://gateway.sandbox.test/pg/v2/refund/create",
    "1714128828114",
    "00112233445566778899AABBCCDDEEFF",
)
VECTOR_BODY = (
    '{"merchantRefundNo":"RF-1001","paymentNo":"20240101000000000000000000000001","amount":"50.00","description":"%s"}'
)


@pytest.mark.parametrize(
    ("note", "mark"),
    [
        ("test refund", "68c5f587fd58ae6de024cd803be13fed2e3520259a763e67f64ea93167aff575"),
        ("remboursé ₹", "188ff7d5863c4430884caa46a85f009e377dcf5a4790198ef8467fe0be03b915"),
    ],
)
def test_known_inputs_have_their_known_signature(note, mark):
    assert V2Sha256(APP_ID, SECRET).sign(*VECTOR, (VECTOR_BODY % note).encode()) == mark


def test_a_line_end_is_added_to_a_text_that_has_one():
    signature = V2Sha256(APP_ID, SECRET)
    assert signature.sign(*VECTOR, b"{}\n") != signature.sign(*VECTOR, b"{}")


def test_the_order_is_compact_json_in_a_fixed_order_and_in_ascii():
    assert examplepay().body(ORDER) == (
        b'{"merchantRefundNo":"rf-0001","paymentNo":"20261101090000000000000000000042",'
        b'"amount":"12.50","description":"Arrived broken"}'
    )
    assert b'"rembours\\u00e9 \\u20b9"' in examplepay().body(replace(ORDER, note="remboursé ₹"))


def test_what_goes_out_is_the_body_with_a_signature_of_its_own_each_time():
    with answering(http_answer(200, recorded("examplepay", "accepted"))) as (url, seen):
        gateway = examplepay(url + "/base")
        early = now_ms()
        for _ in range(3):
            gateway.refund(ORDER)
        late = now_ms()
    nonces = set()
    for request in seen:
        head, _, body = request.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /base/pg/v2/refund/create HTTP/1.1\r\n")
        assert {b"Content-Type: application/json", b"Accept: application/json"} <= set(head.split(b"\r\n"))
        assert body == gateway.body(ORDER)
        (header,) = re.findall(r"(?m)^Authorization: (.*)\r$", head.decode() + "\r\n")
        app_id, _, timestamp, nonce = HEADER.fullmatch(header).groups()
        assert header == sign(f"{url}/base/pg/v2/refund/create", body, timestamp=timestamp, nonce=nonce)
        assert app_id == APP_ID
        assert early <= int(timestamp) <= late
        nonces.add(nonce)
    assert len(nonces) == 3
    kept = repr(gateway.http.exchanges) + repr(gateway)
    assert SECRET not in kept
    assert "V2_SHA256" not in kept


@pytest.mark.parametrize("url", ["https://gateway.example/", "https://gateway.example"])
def test_a_closing_slash_of_the_url_is_not_doubled(url):
    assert examplepay(url).http.base_url == "https://gateway.example"


@pytest.mark.parametrize(
    ("setting", "text", "why"),
    [
        ("URL", "https://Gateway.example", "small letters"),
        ("URL", "https://gateway.example/pg v2", "small letters"),
        ("URL", "https://gateway.example/ü", "small letters"),
        ("APP_ID", "two words", "APP_ID"),
        ("APP_ID", "a,sign=b", "APP_ID"),
        ("APP_ID", "ä", "APP_ID"),
        ("APP_SECRET", "short77", "APP_SECRET"),
        ("APP_SECRET", "a secret\nin two lines", "APP_SECRET"),
        ("RESPONSE_SIGNATURE", "ignore", "record or require"),
        ("REFUND_QUERY_PATH", "pg/v2/refund/query", "REFUND_QUERY_PATH"),
        ("REFUND_QUERY_PATH", "/pg/v2/refund/query?x=1", "REFUND_QUERY_PATH"),
        ("REFUSAL_CODES", "A,OK", "OK"),
        ("REFUND_NOT_FOUND_CODES", "OK", "OK"),
        ("STATUS_NONE", "REFUNDED", "STATUS_NONE"),
        ("STATUS_PARTIAL", "REFUNDING", "STATUS_PARTIAL"),
        ("STATUS_FAILED", "REFUNDED", "already means"),
        ("CLOCK_SKEW_SECONDS", "soon", "CLOCK_SKEW_SECONDS"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(setting, text, why):
    with pytest.raises(Misconfigured, match=why):
        examplepay(**{"url" if setting == "URL" else setting: text})


# What the wire carries


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"key": "x" * 50},
        {"payment_reference": "9" * 50},
        {"payment_reference": "!~"},
        {"amount": Money(1, "BRL")},
        {"amount": Money(99_999_999_999_999_999, "INR")},
        {"note": ""},
        {"note": "two\nlines \ud800" + "x" * 5000},
    ],
    ids=lambda change: repr(change)[:40],
)
def test_a_sound_order_passes_the_check_and_fits_their_table(change):
    order = replace(ORDER, **change)
    assert examplepay().check(order) == ""
    asked = json.loads(examplepay().body(order))
    assert list(asked) == ["merchantRefundNo", "paymentNo", "amount", "description"]
    assert re.fullmatch(r"[0-9]{1,15}\.[0-9]{2}", asked["amount"])
    assert 1 <= len(asked["description"]) <= 80
    assert len(asked["amount"]) <= 18


@pytest.mark.parametrize(
    "change",
    [
        {"key": ""},
        {"key": "x" * 51},
        {"key": "rf 1"},
        {"key": "rf-1\n"},
        {"key": "rf-ü"},
        {"payment_reference": ""},
        {"payment_reference": "9" * 51},
        {"payment_reference": "pay 77"},
        {"payment_reference": "77\n"},
        {"payment_reference": "\u0661"},
        {"amount": Money(0, "BRL")},
        {"amount": Money(-1, "BRL")},
        {"amount": Money(100_000_000_000_000_000, "BRL")},
        {"amount": Money(1200, "JPY")},
        {"amount": Money(1200, "KWD")},
    ],
    ids=repr,
)
def test_what_the_wire_cannot_carry_is_said_before_sending(change):
    assert examplepay().check(replace(ORDER, **change)).endswith(".")


@pytest.mark.parametrize(
    ("note", "sent"),
    [
        ("", "Refund"),
        (" \n\t\0", "Refund"),
        ("User requested refund", "User requested refund"),
        ("two\r\nlines\tand  blanks", "two lines and blanks"),
        ("a\x00b\x7fc\u202ed\ud800e", "abcde"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 80),
        ("é" * 81, "é" * 80),
        ("x" * 79 + " y", "x" * 79),
        ("x" * 79 + "\U0001f600", "x" * 79),
        ("\U0001f600" * 41, "\U0001f600" * 40),
    ],
)
def test_the_description_is_the_note_on_one_line_of_80_and_never_empty(note, sent):
    assert json.loads(examplepay().body(replace(ORDER, note=note)))["description"] == sent


# What comes back from an order


def test_an_ok_is_accepted_and_never_more():
    assert told("accepted") == RefundUpdate(
        PROCESSING,
        reference=REFERENCE,
        key="rf-0001",
        payment_reference=PAYMENT,
        amount=Money(1250, "BRL"),
        details={"responseSignature": "missing"},
    )


def test_the_printed_request_is_what_we_would_send():
    asked = json.loads(recorded("examplepay", "seed_request"))
    order = RefundOrder("REFUND-001", asked["paymentNo"], Money(5000, "INR"), note="User requested refund")
    assert list(json.loads(examplepay().body(order)).items()) == list(asked.items())


def test_the_printed_answer_is_read_in_full():
    header = "Authorization: V2_SHA256 appId=1111b620f93b48c5904210ff47bb1111,sign="
    header += "ac6ae72f8c46f5c2092c3dab9bb0e08b6cdb6d5e7ff8ad190499a8955d57f297,"
    header += "timestamp=1714128245401,nonce=28FA11BF8FD1309767551B4FD8A57BD5"
    update = answer_to("refund", recorded("examplepay", "seed_answer"), 200, header)
    assert update == RefundUpdate(
        PROCESSING,
        reference="20240423220624300800001097000005",
        key="REFUND-001",
        payment_reference="20240423220624300800001097000004",
        amount=Money(5000, "INR"),
        details={"responseSignature": "does not verify"},
    )


def test_the_echo_is_what_they_said_and_not_what_we_asked():
    assert told("another_key").key == "rf-0002"
    assert told("another_payment").payment_reference == PAYMENT[:-1] + "3"
    assert told("another_amount").amount == Money(9900, "BRL")
    assert told("another_currency").amount == Money(1250, "INR")


DOUBTS = [
    "amount_as_number",
    "amount_off_the_grid",
    "reference_as_number",
    "without_refundNo",
    "without_paymentNo",
    "without_merchantRefundNo",
    "without_amount",
    "without_currency",
    "data_missing",
    "data_as_list",
    "code_as_number",
    "code_small",
    "code_missing",
    "refused",
    "unlisted_code",
    "payment",
]


@pytest.mark.parametrize("story", DOUBTS)
def test_an_answer_with_a_doubt_in_it_settles_nothing(story):
    with pytest.raises(NoAnswer):
        told(story)


@pytest.mark.parametrize(
    "status", [201, 202, 204, 302, 307, 400, 401, 403, 404, 408, 409, 422, 425, 429, 500, 502, 503]
)
def test_an_ok_counts_with_http_200_only(status):
    with pytest.raises(NoAnswer):
        told("accepted", status)


@pytest.mark.parametrize("status", [200, 400, 404, 422])
def test_a_listed_code_is_a_definite_no(status):
    update = told("refused", status, REFUSAL_CODES="A.B, Refund.Common.Rejected")
    assert update == RefundUpdate(
        FAILED,
        code="Refund.Common.Rejected",
        message="The payment cannot be refunded.",
        details={"responseSignature": "missing"},
    )


@pytest.mark.parametrize(
    ("story", "status"),
    [
        ("unlisted_code", 200),
        ("unlisted_code", 400),
        ("refused_with_refund", 200),
        *[("refused", status) for status in (201, 302, 401, 403, 408, 409, 425, 429, 500, 503)],
    ],
)
def test_a_no_with_a_doubt_in_it_is_none(story, status):
    with pytest.raises(NoAnswer):
        told(story, status, REFUSAL_CODES="Refund.Common.Rejected")


def test_no_code_is_a_refusal_by_itself():
    assert ExamplePay.takes["REFUSAL_CODES"] == ""
    with pytest.raises(NoAnswer, match="Rejected"):
        told("refused")


def test_a_wish_to_wait_is_passed_on():
    with pytest.raises(NoAnswer) as caught:
        answer_to("refund", b"slow down", 429, "Retry-After: 7")
    assert caught.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize("status", [200, 400, 404])
@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"null", b"[]", b"{}", b'{"code":"OK"}', b"\xff"])
def test_a_body_that_is_not_theirs_settles_nothing(body, status):
    for verb in ("refund", "look_up", "before"):
        with pytest.raises(NoAnswer):
            answer_to(verb, body, status)
    with pytest.raises(NoAnswer):
        answer_to("look_up", body, status, REFUND_QUERY_PATH="/q", REFUND_NOT_FOUND_CODES="N")


# The signature of their answers


def how_signed(verb: str = "refund", story: str = "accepted", config: dict[str, str] | None = None, **how: str):
    with signing_server(recorded("examplepay", story), **how) as url:
        return getattr(examplepay(url, **(config or {})), verb)(ORDER)


REQUIRE = {"RESPONSE_SIGNATURE": "require"}
WRONG = [
    {"secret": "another-secret"},
    {"app_id": "another-app"},
    {"method": "GET"},
    {"nonce": "short"},
    {"nonce": "with blank in it"},
    {"timestamp": "1714128245"},
    {"timestamp": "17141282454011"},
]


def test_a_true_signature_is_noted_and_lets_an_answer_in():
    for config in ({}, REQUIRE):
        assert how_signed(config=config).details == {"responseSignature": "verified"}
    assert ExamplePay.detail_labels["responseSignature"] == "Signature of their answer"


def test_an_old_moment_does_no_harm_to_an_answer():
    assert how_signed(config=REQUIRE, timestamp="1714128245401").details == {"responseSignature": "verified"}


@pytest.mark.parametrize("how", WRONG, ids=repr)
def test_a_wrong_signature_is_noted_or_where_required_settles_nothing(how):
    update = how_signed(**how)
    assert (update.outcome, update.details) == (PROCESSING, {"responseSignature": "does not verify"})
    with pytest.raises(NoAnswer, match="does not verify"):
        how_signed(config=REQUIRE, **how)


def test_a_missing_signature_settles_nothing_where_one_is_required():
    for verb, story in (("refund", "accepted"), ("look_up", "payment"), ("before", "payment")):
        with pytest.raises(NoAnswer, match="missing"):
            answer_to(verb, recorded("examplepay", story), **REQUIRE)
    with pytest.raises(NoAnswer, match="missing"):
        answer_to("look_up", recorded("examplepay", "refund_succeeded"), REFUND_QUERY_PATH="/q", **REQUIRE)
    with pytest.raises(NoAnswer, match="missing"):
        told("refused", REFUSAL_CODES="Refund.Common.Rejected", **REQUIRE)


def test_a_signature_over_another_address_or_text_is_none():
    body = recorded("examplepay", "accepted")
    for header in (sign("https://gateway.example/pg/v2/refund/create", body), sign("x", body), "Basic eDp5", "é"):
        update = answer_to("refund", body, 200, f"Authorization: {header}")
        assert update.details == {"responseSignature": "does not verify"}


@pytest.mark.parametrize("verb", ["look_up", "before"])
def test_every_call_s_answer_is_verified(verb):
    assert how_signed(verb, "payment", REQUIRE) in ([], {"refund_status": "NOT_REFUNDED", "amount": "100.00"})


# Before an order


def test_before_an_order_the_payment_s_status_and_amount_are_noted():
    with answering(http_answer(200, recorded("examplepay", "payment"))) as (url, seen):
        assert examplepay(url).before(ORDER) == {"refund_status": "NOT_REFUNDED", "amount": "100.00"}
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /pg/v2/payment/query HTTP/1.1\r\n")
    assert body == b'{"paymentNo":"20261101090000000000000000000042"}'


def test_an_order_in_another_currency_than_the_payment_s_never_leaves():
    with pytest.raises(NotSent, match="BRL"):
        answer_to("before", recorded("examplepay", "payment_in_rupees"))


@pytest.mark.parametrize(
    "story",
    [
        "payment_without_paymentNo",
        "payment_without_amount",
        "payment_without_currency",
        "payment_without_refundStatus",
        "payment_of_another",
        "refused",
        "accepted",
    ],
)
def test_a_payment_with_a_doubt_in_it_says_nothing(story):
    for verb in ("before", "look_up"):
        with pytest.raises(NoAnswer):
            answer_to(verb, recorded("examplepay", story), REFUSAL_CODES="Refund.Common.Rejected")


@pytest.mark.parametrize("body", [payment(None), payment(""), payment(7), payment("x" * 101), payment(amount=100)])
def test_a_payment_whose_word_or_amount_cannot_be_read_says_nothing(body):
    for verb in ("before", "look_up"):
        with pytest.raises(NoAnswer):
            answer_to(verb, body)


# What the payment's one status says of one order

WHOLE, PART = Money(10_000, "BRL"), Money(1250, "BRL")
BY_KEY, BY_REFERENCE = "by our key", "by their reference"
NONE, BUSY, SOME, ALL, NO, ODD = "NOT_REFUNDED", "REFUNDING", "PARTIAL_REFUNDED", "REFUNDED", "REFUND_FAILED", "ON_MARS"
# (before, amount, now) → the outcome and how it is ours, with a reference; None: never ours without one.
SAID = {
    (NONE, WHOLE, NONE): (PROCESSING, BY_REFERENCE),
    (NONE, WHOLE, BUSY): (PROCESSING, BY_KEY),
    (NONE, WHOLE, SOME): (PROCESSING, BY_KEY),
    (NONE, WHOLE, ALL): (SUCCEEDED, BY_KEY),
    (NONE, WHOLE, NO): (FAILED, BY_KEY),
    (NONE, WHOLE, ODD): (UNCLEAR, BY_REFERENCE),
    (NONE, PART, NONE): (PROCESSING, BY_REFERENCE),
    (NONE, PART, BUSY): (PROCESSING, BY_KEY),
    (NONE, PART, SOME): (SUCCEEDED, BY_KEY),
    (NONE, PART, ALL): (UNCLEAR, BY_REFERENCE),
    (NONE, PART, NO): (FAILED, BY_KEY),
    (NONE, PART, ODD): (UNCLEAR, BY_REFERENCE),
    # One failed before, so nothing is refunded yet: all that is refunded of the whole is ours.
    (NO, WHOLE, NO): (PROCESSING, BY_REFERENCE),
    (NO, WHOLE, NONE): (PROCESSING, BY_REFERENCE),
    (NO, WHOLE, BUSY): (PROCESSING, BY_KEY),
    (NO, WHOLE, SOME): (PROCESSING, BY_KEY),
    (NO, WHOLE, ALL): (SUCCEEDED, BY_KEY),
    (NO, WHOLE, ODD): (UNCLEAR, BY_REFERENCE),
    (NO, PART, NO): (PROCESSING, BY_REFERENCE),
    (NO, PART, SOME): (UNCLEAR, BY_REFERENCE),
    (NO, PART, ALL): (UNCLEAR, BY_REFERENCE),
    (NO, PART, BUSY): (UNCLEAR, BY_REFERENCE),
    # Some of it was refunded or under way before: the word can be about that as well.
    **{
        (was, amount, now): (PROCESSING if now in (was, NONE) else UNCLEAR, BY_REFERENCE)
        for was in (SOME, BUSY, ALL, ODD)
        for amount in (WHOLE, PART)
        for now in (NONE, BUSY, SOME, ALL, NO, ODD, "ON_VENUS")
    },
}


def looked_up(was: str, amount: Money, now: str, reference: str, **config: str) -> list[RefundUpdate]:
    before = {"refund_status": was, "amount": "100.00"}
    order = replace(ORDER, amount=amount, reference=reference, before=before)
    return answer_to("look_up", payment(now), order=order, **config)


@pytest.mark.parametrize("case", SAID, ids=lambda case: f"{case[0]} {case[1]} {case[2]}")
def test_one_status_for_all_refunds_says_of_ours_what_it_can(case):
    outcome, how = SAID[case]
    (update,) = looked_up(*case, REFERENCE)
    assert (update.outcome, update.reference, update.amount) == (outcome, REFERENCE, None)
    assert update.key == (ORDER.key if how is BY_KEY else "")
    assert update.details == {"refundStatus": case[2], "status": "PAID", "responseSignature": "missing"}
    without_reference = looked_up(*case, "")
    if how is BY_KEY and case[1] is WHOLE:
        assert without_reference == [replace(update, reference="")]
    else:
        assert without_reference == []


@pytest.mark.parametrize(
    ("case", "code", "message"),
    [
        ((NONE, WHOLE, ODD), ODD, ""),
        ((SOME, PART, ODD), ODD, ""),
        ((SOME, PART, ALL), "", "“REFUNDED” speaks of the whole payment, not of this refund."),
        ((BUSY, PART, SOME), "", "“PARTIAL_REFUNDED” speaks of the whole payment, not of this refund."),
        ((NONE, PART, ALL), "", "“REFUNDED” speaks of the whole payment, not of this refund."),
        ((NONE, PART, SOME), "", ""),
    ],
)
def test_what_is_unclear_says_why(case, code, message):
    (update,) = looked_up(*case, REFERENCE)
    assert (update.code, update.message) == (code, message)


def test_the_words_are_settings():
    words = {"STATUS_NONE": "A, a", "STATUS_PARTIAL": "B", "STATUS_SUCCEEDED": "C,c", "STATUS_FAILED": "D"}
    ends = {now: looked_up("a", PART, now, REFERENCE, **words)[0].outcome for now in ("A", "B", "C", "D", SOME, NO)}
    assert ends == {"A": PROCESSING, "B": SUCCEEDED, "C": UNCLEAR, "D": FAILED, SOME: UNCLEAR, NO: UNCLEAR}
    assert looked_up("A", WHOLE, "c", "", **words)[0].outcome is SUCCEEDED


@pytest.mark.parametrize(
    "before", [{}, {"amount": "100.00"}, {"refund_status": ""}, {"refund_status": "", "amount": 1}]
)
@pytest.mark.parametrize("word", [NONE, BUSY, ALL, SOME, NO, ODD])
def test_without_a_before_nothing_can_be_said(before, word):
    for reference in ("", REFERENCE):
        order = replace(ORDER, amount=WHOLE, before=before, reference=reference)
        assert answer_to("look_up", payment(word), order=order) == []
    asked_alone = RefundOrder("", PAYMENT, WHOLE)
    assert answer_to("look_up", payment(word), order=asked_alone, REFUND_QUERY_PATH="/q") == []


def test_a_whole_is_told_by_the_amount_that_stood_there_before():
    almost = replace(ORDER, amount=Money(9999, "BRL"), before={"refund_status": NONE, "amount": "100.00"})
    assert answer_to("look_up", payment(ALL), order=almost) == []
    elsewhere = replace(almost, amount=WHOLE, before={"refund_status": NONE, "amount": "200.00"})
    assert answer_to("look_up", payment(ALL), order=elsewhere) == []


# The refund query that they may have

BY_NUMBER = {"REFUND_QUERY_PATH": "/pg/v2/refund/query", "REFUND_NOT_FOUND_CODES": "Refund.Common.NotFound"}


def test_where_there_is_a_refund_query_it_is_asked_by_our_key_and_wins():
    order = replace(ORDER, before={"refund_status": SOME, "amount": "100.00"})
    with answering(http_answer(200, recorded("examplepay", "refund_succeeded"))) as (url, seen):
        (update,) = examplepay(url, **BY_NUMBER).look_up(order)
    assert (update.outcome, update.key, update.reference) == (SUCCEEDED, "rf-0001", REFERENCE)
    assert (update.amount, update.payment_reference, update.code) == (Money(1250, "BRL"), PAYMENT, "")
    assert update.details == {"status": "REFUNDED", "responseSignature": "missing"}
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert len(seen) == 1
    assert head.startswith(b"POST /pg/v2/refund/query HTTP/1.1\r\n")
    assert body == b'{"merchantRefundNo":"rf-0001"}'


@pytest.mark.parametrize(
    ("words", "outcome", "code"),
    [
        ({"status": "REFUNDED"}, SUCCEEDED, ""),
        ({"refundStatus": "REFUNDED"}, SUCCEEDED, ""),
        ({"refundStatus": "REFUND_FAILED", "status": "PAID"}, FAILED, ""),
        ({"status": "REFUNDING"}, PROCESSING, ""),
        ({"status": "PARTIAL_REFUNDED"}, UNCLEAR, "PARTIAL_REFUNDED"),
        ({"status": "NOT_REFUNDED"}, UNCLEAR, "NOT_REFUNDED"),
        ({"status": "ON_MARS"}, UNCLEAR, "ON_MARS"),
    ],
)
def test_the_word_about_one_refund_decides(words, outcome, code):
    whole = json.loads(recorded("examplepay", "accepted"))
    whole["data"] |= words
    (update,) = answer_to("look_up", json.dumps(whole).encode(), **BY_NUMBER)
    assert (update.outcome, update.code) == (outcome, code)


def test_the_query_s_echo_is_what_they_said():
    whole = json.loads(recorded("examplepay", "refund_succeeded"))
    whole["data"] |= {"merchantRefundNo": "rf-0002", "amount": "99.00"}
    (update,) = answer_to("look_up", json.dumps(whole).encode(), **BY_NUMBER)
    assert (update.key, update.amount) == ("rf-0002", Money(9900, "BRL"))


@pytest.mark.parametrize("status", [200, 404])
def test_an_absence_is_one_of_the_listed_codes(status):
    assert answer_to("look_up", recorded("examplepay", "not_found"), status, **BY_NUMBER) == []


@pytest.mark.parametrize("story", [*DOUBTS, "not_found", "accepted", "refused_with_refund"])
def test_a_query_with_a_doubt_in_it_says_nothing(story):
    codes = "" if story == "not_found" else "Refund.Common.Rejected" * (story == "refused_with_refund")
    with pytest.raises(NoAnswer):
        answer_to(
            "look_up", recorded("examplepay", story), REFUND_QUERY_PATH="/q", REFUND_NOT_FOUND_CODES=codes or "Nothing"
        )


# Callbacks


def delivery(body: bytes, url: str = CALLBACK, **how: str) -> Delivery:
    return Delivery({"authorization": sign(url, body, **how)}, body)


TRUE = recorded("examplepay", "webhook_refund")


def test_a_delivery_signed_with_our_secret_for_our_address_is_theirs():
    examplepay().verify_webhook(delivery(TRUE))
    for seconds in (-290, 290):
        examplepay().verify_webhook(delivery(TRUE, timestamp=str(now_ms() + seconds * 1000)))


def refuse(forged: Delivery, **config: str) -> None:
    with pytest.raises(BadWebhook):
        examplepay(**config).verify_webhook(forged)


@pytest.mark.parametrize(
    "how",
    [
        *WRONG,
        {"url": CALLBACK[:-1]},
        {"url": "https://gateway.example/pg/v2/refund/create"},
        {"timestamp": str(now_ms() // 1000)},
        {"nonce": ""},
        {"nonce": "x" * 65},
        {"nonce": "00112233445566778899AABBCCDDEEFF\n"},
    ],
    ids=lambda how: ",".join(how),  # the same in every process, whenever it collects
)
def test_a_delivery_signed_otherwise_is_refused(how):
    refuse(delivery(TRUE, **how))


@pytest.mark.parametrize("seconds", [-310, 310])
def test_a_delivery_of_another_hour_is_refused(seconds):
    old = delivery(TRUE, timestamp=str(now_ms() + seconds * 1000))
    refuse(old)
    examplepay(CLOCK_SKEW_SECONDS="400").verify_webhook(old)
    refuse(delivery(TRUE, timestamp=str(now_ms() + seconds * 100)), CLOCK_SKEW_SECONDS="20")


GOOD, AT_ANY_TIME = sign(CALLBACK, TRUE), {"CLOCK_SKEW_SECONDS": "9999999"}


@pytest.mark.parametrize(
    "header",
    [
        "",
        GOOD.lower(),
        GOOD + ", " + GOOD,
        GOOD + " ",
        GOOD + "\n",
        " " + GOOD,
        GOOD.replace("V2_SHA256 ", "V2_SHA256  "),
        GOOD.replace(",sign", ", sign"),
        GOOD.replace("V2", "V1"),
        re.sub("sign=[0-9a-f]{64}", lambda found: found[0].upper().replace("SIGN", "sign"), GOOD),
        re.sub("sign=[0-9a-f]{64}", "sign=", GOOD),
        re.sub("(appId=[^,]+),(sign=[^,]+)", r"\2,\1", GOOD),
        GOOD.replace("appId=0", "appId=é"),
        GOOD.replace("appId=0", "appId=1"),
    ],
    ids=range(14),
)
def test_a_header_of_another_shape_is_refused(header):
    refuse(Delivery({"authorization": header} if header else {}, TRUE), **AT_ANY_TIME)


@pytest.mark.parametrize("body", [TRUE + b" ", TRUE[:-1], TRUE.replace(b"12.50", b"99.00"), b"{}"], ids=range(4))
def test_another_text_under_the_same_signature_is_refused(body):
    refuse(Delivery({"authorization": GOOD}, body), **AT_ANY_TIME)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"a":1,"a":2}', b"{} {}", b"\xef\xbb\xbf{}", b'{"a":NaN}', b"a=b"]
)
def test_what_is_not_strict_json_is_refused_however_it_is_signed(body):
    refuse(delivery(body))


def test_without_our_address_nothing_can_be_told():
    with pytest.raises(Misconfigured, match="CALLBACK_URL"):
        ExamplePay({"URL": "https://gateway.example", "APP_ID": APP_ID, "APP_SECRET": SECRET}).verify_webhook(
            delivery(TRUE, url="")
        )


def primes(count: int) -> list[int]:
    return [n for n in range(2, 400) if all(n % d for d in range(2, n))][:count]


def cube_root(number: int) -> int:
    """The whole part of it."""
    low, high = 0, 1 << 48
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle - 1)
    return low


ROUNDS = [cube_root(prime << 96) & 0xFFFFFFFF for prime in primes(64)]


def rotated(word: int, bits: int) -> int:
    return (word >> bits | word << 32 - bits) & 0xFFFFFFFF


def carried_on(mark: str, block: bytes) -> str:
    """One more round of SHA-256, from a digest that somebody has seen."""
    state = [int(mark[place : place + 8], 16) for place in range(0, 64, 8)]
    words = [int.from_bytes(block[place : place + 4], "big") for place in range(0, 64, 4)]
    for n in range(16, 64):
        early, late = words[n - 15], words[n - 2]
        first = rotated(early, 7) ^ rotated(early, 18) ^ early >> 3
        second = rotated(late, 17) ^ rotated(late, 19) ^ late >> 10
        words.append((words[n - 16] + first + words[n - 7] + second) & 0xFFFFFFFF)
    a, b, c, d, e, f, g, h = state
    for constant, word in zip(ROUNDS, words, strict=True):
        one = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + (e & f ^ ~e & g) + constant + word
        two = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (one + two) & 0xFFFFFFFF, a, b, c, (d + one) & 0xFFFFFFFF, e, f, g
    return "".join(f"{(x + y) & 0xFFFFFFFF:08x}" for x, y in zip(state, (a, b, c, d, e, f, g, h), strict=True))


def padding(length: int) -> bytes:
    return b"\x80" + b"\0" * ((55 - length) % 64) + (8 * length).to_bytes(8, "big")


def test_a_signature_that_was_carried_on_without_the_secret_fits_and_is_refused_all_the_same():
    header, url = sign(CALLBACK, TRUE), CALLBACK
    _, mark, timestamp, nonce = re.fullmatch(
        r"V2_SHA256 appId=(.*),sign=(.*),timestamp=(.*),nonce=(.*)", header
    ).groups()
    # What the forger knows: how long the secret is, and all the rest of what was signed.
    known = len("\n".join([APP_ID, "s" * len(SECRET), "POST", url, timestamp, nonce, ""])) + len(TRUE) + 1
    glue, more = padding(known), b'{"code":"OK"}\n'
    forged = TRUE + b"\n" + glue + more[:-1]
    whole = known + len(glue) + len(more)
    new_mark = carried_on(mark, more + padding(whole))
    carried = header.replace(mark, new_mark)
    assert V2Sha256(APP_ID, SECRET).sign("POST", url, timestamp, nonce, forged) == new_mark
    V2Sha256(APP_ID, SECRET).verify(carried, "POST", url, forged)
    refuse(Delivery({"authorization": carried}, forged))


@pytest.mark.parametrize(
    ("story", "said"),
    [
        ("webhook_refund", [Nudge(PAYMENT, REFERENCE)]),
        ("webhook_payment", [Nudge(PAYMENT)]),
        ("webhook_payout", []),
        ("refused", []),
    ],
)
def test_a_delivery_is_a_nudge_at_most(story, said):
    assert examplepay().read_webhook(Delivery({}, recorded("examplepay", story))) == said


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"\xff", b'{"data":[]}', b'{"data":{"paymentNo":7}}', b'{"data":{"refundNo":"%s"}}' % (b"x" * 101)],
)
def test_a_delivery_that_cannot_be_read_is_refused(body):
    with pytest.raises(BadWebhook):
        examplepay().read_webhook(Delivery({}, body))


# The simulated gateway

KNOWN = "20240423220624300800001097000001"
ASKED = {"merchantRefundNo": "rf-1", "paymentNo": KNOWN, "amount": "12.00", "description": "Arrived broken"}


def connect(sandbox: Sandbox, **config: str) -> ExamplePay:
    return ExamplePay({**sandbox.credentials("examplepay"), **config})


def call(
    sandbox: Sandbox,
    body: object = ASKED,
    path: str = "/pg/v2/refund/create",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    **signed: str,
) -> requests.Response:
    """One call as their page shows it, or with a flaw; `signed` is what is signed otherwise than it should be."""
    known = sandbox.credentials("examplepay")
    url, raw = known["URL"] + path, body if isinstance(body, bytes) else json.dumps(body).encode()
    how = {"url": url, "method": method, "nonce": secrets.token_hex(16), "app_id": known["APP_ID"]}
    header = sign(body=raw, **{**how, "secret": known["APP_SECRET"], **signed})
    plain = {"Content-Type": "application/json", "Accept": "application/json", "Authorization": header}
    return requests.request(method, url, data=raw, headers=plain | (headers or {}), timeout=5)


def test_a_call_as_their_page_shows_it_is_taken_and_answered_with_a_signature(sandbox):
    answer = call(sandbox)
    assert answer.status_code == 200
    assert answer.json()["code"] == "OK"
    assert set(answer.json()["data"]) == {"refundNo", "paymentNo", "merchantRefundNo", "amount", "currency"}
    for gateway in (connect(sandbox), connect(sandbox, RESPONSE_SIGNATURE="require")):
        assert gateway.refund(replace(ORDER, payment_reference=KNOWN)).details == {"responseSignature": "verified"}


@pytest.mark.parametrize(
    ("status", "change"),
    [
        (401, {"headers": {"Authorization": ""}}),
        (401, {"headers": {"Authorization": "Bearer token"}}),
        (401, {"headers": {"Authorization": "V2_SHA256 sign=,appId=,timestamp=,nonce="}}),
        (401, {"secret": "another"}),
        (401, {"app_id": "another"}),
        (401, {"url": "https://gateway.example/pg/v2/refund/create"}),
        (401, {"timestamp": "1714128245"}),
        (401, {"timestamp": "1714128245401"}),
        (401, {"timestamp": "9999999999999"}),
        (401, {"nonce": "short"}),
        (405, {"method": "PUT"}),
        (415, {"headers": {"Content-Type": "text/plain"}}),
        (415, {"headers": {"Accept": "*/*"}}),
        (404, {"path": "/pg/v2/refund/none"}),
        (404, {"path": "/pg/v2/refund/create?x=1"}),
        (200, {"body": b"{"}),
        (200, {"body": []}),
        (200, {"body": b"\xff"}),
        *[(200, {"body": {name: text for name, text in ASKED.items() if name != gone}}) for gone in ASKED],
        *[(200, {"body": {**ASKED, name: ""}}) for name in ASKED],
        *[(200, {"body": {**ASKED, name: 12}}) for name in ASKED],
        (200, {"body": {**ASKED, "merchantRefundNo": "x" * 51}}),
        (200, {"body": {**ASKED, "paymentNo": "9" * 51}}),
        (200, {"body": {**ASKED, "description": "x" * 81}}),
        *[(200, {"body": {**ASKED, "amount": amount}}) for amount in ("12", "12.0", "0.00", "-1.00", "1" * 16 + ".00")],
        (200, {"path": "/pg/v2/payment/query", "body": {}}),
        (200, {"path": "/pg/v2/payment/query", "body": {"paymentNo": "9" * 33}}),
        (200, {"path": "/pg/v2/refund/query", "body": {"merchantRefundNo": "rf-9"}}),
    ],
)
def test_it_is_as_strict_as_a_real_one(sandbox, status, change):
    answer = call(sandbox, **change)
    assert answer.status_code == status
    assert answer.json()["code"] != "OK"
    assert answer.headers["Authorization"].startswith("V2_SHA256 appId=")
    assert sandbox.ledger() == []


def test_a_nonce_serves_once(sandbox):
    nonce = "0123456789abcdef0123456789ABCDEF"
    assert call(sandbox, nonce=nonce).json()["code"] == "OK"
    assert call(sandbox, nonce=nonce).json()["code"] == "Common.Nonce.Repeated"
    assert call(sandbox, nonce=nonce.lower()).status_code == 401
    assert len(sandbox.ledger()) == 1


def test_the_same_number_twice_pays_twice(sandbox):
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: call(sandbox).json()["data"], range(4)))
    assert len({one["refundNo"] for one in answers}) == 4
    assert {one["merchantRefundNo"] for one in answers} == {"rf-1"}
    assert len(sandbox.ledger()) == 4


def test_both_refunds_of_one_number_count(sandbox):
    sandbox.payment(KNOWN, 2400, "BRL", gateway="examplepay")
    for _ in range(2):
        call(sandbox)
    sandbox.settle()
    assert word(connect(sandbox)) == ("REFUNDED", "24.00")


def test_a_true_signature_under_another_app_is_refused(sandbox):
    raw, known = json.dumps(ASKED).encode(), sandbox.credentials("examplepay")
    how = {"app_id": known["APP_ID"], "secret": known["APP_SECRET"], "nonce": secrets.token_hex(16)}
    header = sign(known["URL"] + "/pg/v2/refund/create", raw, **how)
    refused = call(sandbox, headers={"Authorization": header.replace(known["APP_ID"], "1" * 32)})
    assert (refused.status_code, refused.json()["code"]) == (401, "Common.App.Unknown")
    assert call(sandbox, headers={"Authorization": header}).json()["code"] == "OK"


def test_a_registered_payment_cannot_be_exceeded(sandbox):
    sandbox.payment(KNOWN, 3000, "INR", gateway="examplepay")
    gateway, order = connect(sandbox), replace(ORDER, payment_reference=KNOWN, amount=Money(2000, "INR"))
    assert gateway.refund(order).outcome is PROCESSING
    refusal = gateway.refund(replace(order, key="rf-2"))
    assert (refusal.outcome, refusal.code) == (FAILED, "Refund.Common.AmountExceeded")
    assert len(sandbox.ledger()) == 1


def word(gateway: ExamplePay, currency: str = "BRL") -> tuple[object, object]:
    seen = gateway.before(replace(ORDER, payment_reference=KNOWN, amount=Money(1, currency)))
    return seen["refund_status"], seen["amount"]


def test_the_payment_s_word_follows_its_refunds(sandbox):
    gateway = connect(sandbox)
    assert word(gateway) == ("NOT_REFUNDED", "999999999.99")
    sandbox.payment(KNOWN, 5000, "INR", gateway="examplepay")
    order = replace(ORDER, payment_reference=KNOWN, amount=Money(2000, "INR"))
    for number, (story, after) in enumerate(
        [("fails_later", "REFUND_FAILED"), ("no_webhook", "PARTIAL_REFUNDED"), ("fails_later", "PARTIAL_REFUNDED")]
    ):
        sandbox.tell(story)
        gateway.refund(replace(order, key=f"rf-{number}"))
        assert word(gateway, "INR") == ("REFUNDING", "50.00")
        sandbox.settle()
        assert word(gateway, "INR") == (after, "50.00")
    sandbox.tell("no_webhook")
    gateway.refund(replace(order, key="rf-9", amount=Money(3000, "INR")))
    sandbox.settle()
    assert word(gateway, "INR") == ("REFUNDED", "50.00")


def test_a_word_that_nobody_knows_is_unclear(sandbox):
    gateway, order = connect(sandbox), replace(ORDER, payment_reference=KNOWN)
    order = replace(order, before=gateway.before(order))
    sandbox.tell("unheard_word")
    known = replace(order, reference=gateway.refund(order).reference)
    (update,) = gateway.look_up(known)
    assert (update.outcome, update.code, update.key) == (UNCLEAR, "ON_THE_MOON", "")


def test_a_part_whose_answer_was_lost_is_nobody_s_guess(sandbox):
    gateway, order = connect(sandbox), replace(ORDER, payment_reference=KNOWN)
    order = replace(order, before=gateway.before(order))
    sandbox.tell("answer_lost")
    with pytest.raises(NoAnswer):
        gateway.refund(order)
    sandbox.settle()
    assert gateway.look_up(order) == []
    (update,) = connect(sandbox, REFUND_QUERY_PATH="/pg/v2/refund/query").look_up(order)
    assert (update.outcome, update.key, update.amount) == (SUCCEEDED, ORDER.key, ORDER.amount)


def test_two_parts_one_after_the_other_are_told_apart_by_the_refund_query_only(sandbox):
    sandbox.payment(KNOWN, 5000, "BRL", gateway="examplepay")
    gateway = connect(sandbox)
    exact = connect(sandbox, REFUND_QUERY_PATH="/pg/v2/refund/query", REFUND_NOT_FOUND_CODES="Refund.Common.NotFound")
    said = []
    for key in ("rf-1", "rf-2"):
        order = RefundOrder(key, KNOWN, Money(1200, "BRL"))
        assert exact.look_up(order) == []
        order = replace(order, before=gateway.before(order))
        order = replace(order, reference=gateway.refund(order).reference)
        sandbox.settle()
        said.append([gateway.look_up(order)[0].outcome, exact.look_up(order)[0].outcome])
    assert said == [[SUCCEEDED, SUCCEEDED], [PROCESSING, SUCCEEDED]]


def test_its_callbacks_are_signed_for_the_registered_address_and_forged_ones_are_not(sandbox, inbox):
    sandbox.callback("examplepay", inbox.url)
    gateway = connect(sandbox, CALLBACK_URL=inbox.url)
    order = replace(ORDER, payment_reference=KNOWN)
    reference = gateway.refund(order).reference
    sandbox.settle()
    sandbox.webhook(order.key, forged=True, gateway="examplepay")
    sandbox.settle()
    true, forged = (Delivery(*letter) for letter in inbox.letters)
    gateway.verify_webhook(true)
    assert gateway.read_webhook(true) == [Nudge(KNOWN, reference)]
    assert json.loads(true.body)["data"]["refundStatus"] == "REFUNDED"
    for other, config in ((forged, {}), (true, {"CALLBACK_URL": CALLBACK}), (true, {"APP_SECRET": "another secret"})):
        with pytest.raises(BadWebhook):
            connect(sandbox, **{"CALLBACK_URL": inbox.url, **config}).verify_webhook(other)
