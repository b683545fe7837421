"""Payerly's wire: what goes out, and what each recorded answer means."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from gateways.contract import Delivery, Nudge, Outcome, RefundOrder, RefundUpdate
from gateways.errors import BadWebhook, Misconfigured, NoAnswer
from gateways.money import Money
from gateways.payerly import Payerly
from tests.gateways.conftest import answering, http_answer, recorded

ORDER = RefundOrder(
    key="rf-0001",
    payment_reference="pay-77",
    amount=Money(1250, "EUR"),
    reason="damaged",
    note="Arrived broken",
    callback_url="https://desk.example/webhooks/shop/",
)
KEY = rsa.generate_private_key(65537, 2048)


def payerly(url: str = "https://api.example/v1", **config: str) -> Payerly:
    return Payerly({"URL": url, "TOKEN": "s3cret-token", **config})


def pem_of(key) -> str:
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form).decode()


def answer_to(verb: str, status: int, body: bytes, *headers: str, **config: str):
    with answering(http_answer(status, body, *headers)) as (url, _):
        return getattr(payerly(url, **config), verb)(ORDER)


def told(story: str, status: int = 200, **config: str):
    return answer_to("refund", status, recorded("payerly", story), **config)


def listed(story: str, status: int = 200):
    return answer_to("look_up", status, recorded("payerly", story))


# What goes out


def test_the_order_is_compact_json_in_a_fixed_order():
    assert payerly().body(ORDER) == (
        b'{"paymentId":"pay-77","callbackUrl":"https://desk.example/webhooks/shop/",'
        b'"amount":{"value":"12.50","currency":"EUR"},"customFields":{"cf1":"damaged"}}'
    )


def test_what_goes_out_is_the_body_under_our_key_with_the_token():
    with answering(http_answer(200, recorded("payerly", "accepted"))) as (url, seen):
        gateway = payerly(url + "/v1")
        gateway.refund(ORDER)
        gateway.refund(ORDER)
    assert seen[0] == seen[1]
    assert seen[0].startswith(b"PUT /v1/refunds/rf-0001 HTTP/1.1\r\n")
    assert seen[0].endswith(b"\r\n\r\n" + gateway.body(ORDER))
    assert b"Authorization: Bearer s3cret-token\r\n" in seen[0]
    assert b"Content-Type: application/json\r\n" in seen[0]
    assert "s3cret" not in repr(gateway.http.exchanges)


def test_empty_fields_are_left_out_and_the_amount_never():
    bare = RefundOrder("k", "p", Money(5, "KWD"))
    assert payerly().body(bare) == b'{"paymentId":"p","amount":{"value":"0.005","currency":"KWD"}}'
    assert b'"value":"1200","currency":"JPY"' in payerly().body(RefundOrder("k", "p", Money(1200, "JPY")))


def test_custom_fields_carry_what_the_settings_say():
    fields = json.loads(payerly(CUSTOM_FIELDS="cf2=note,cf5=reason").body(ORDER))["customFields"]
    assert fields == {"cf2": "Arrived broken", "cf5": "damaged"}


@pytest.mark.parametrize("text", ["cf6=note", "cf1=ticket", "cf1", "cf1=note;cf2=reason", ","])
def test_custom_fields_of_another_shape_are_refused(text):
    with pytest.raises(Misconfigured, match="CUSTOM_FIELDS"):
        payerly(CUSTOM_FIELDS=text)


@pytest.mark.parametrize("text", ["soon", "-1", "1.5", "1e3", "\u0663"])
def test_a_quiet_window_is_whole_seconds(text):
    with pytest.raises(Misconfigured, match="QUIET_WINDOW_SECONDS"):
        payerly(QUIET_WINDOW_SECONDS=text)
    assert payerly(QUIET_WINDOW_SECONDS="20").quiet_window == timedelta(seconds=20)
    assert payerly().quiet_window == timedelta(minutes=15)


@pytest.mark.parametrize("callback", ["", "https://desk.example/w/", "http://127.0.0.1:8000/w/", "http://localhost/w/"])
def test_a_sound_order_passes_the_check(callback):
    assert payerly().check(replace(ORDER, callback_url=callback)) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"key": ""},
        {"key": "a/b"},
        {"key": "x" * 65},
        {"key": "ref\u0661"},
        {"key": "rf-1\n"},
        {"payment_reference": ""},
        {"payment_reference": "pay 77"},
        {"payment_reference": "../pay"},
        {"amount": Money(0, "EUR")},
        {"amount": Money(-1, "EUR")},
        {"callback_url": "http://desk.example/w/"},
        {"callback_url": "http://127.0.0.1.desk.example/w/"},
        {"callback_url": "javascript:alert(1)"},
        {"callback_url": "https:///w/"},
        {"reason": "x" * 256},
        {"reason": "two\nlines"},
        {"reason": "half a pair \ud800"},
    ],
    ids=repr,
)
def test_what_the_wire_cannot_carry_is_said_before_sending(change):
    assert payerly().check(replace(ORDER, **change)).endswith(".")


# What comes back


@pytest.mark.parametrize(
    ("story", "outcome"),
    [
        ("accepted", Outcome.PROCESSING),
        ("succeeded", Outcome.SUCCEEDED),
        ("declined", Outcome.FAILED),
        ("unheard_word", Outcome.UNCLEAR),
        ("seed_answer_repaired", Outcome.UNCLEAR),
        ("error_with_status", Outcome.FAILED),
    ],
)
def test_the_status_word_decides(story, outcome):
    assert told(story).outcome is outcome


def test_every_status_word_of_the_settings_counts():
    config = {"STATUS_SUCCEEDED": "PARKED", "STATUS_FAILED": "SUCCESS"}
    assert told("unheard_word", **config).outcome is Outcome.SUCCEEDED
    assert told("succeeded", **config).outcome is Outcome.FAILED
    assert told("declined", **config).outcome is Outcome.UNCLEAR


def test_a_word_cannot_mean_two_things():
    with pytest.raises(Misconfigured, match="already means"):
        payerly(STATUS_FAILED="SUCCESS")


def test_an_answer_is_read_in_full():
    update = told("accepted")
    assert (update.key, update.payment_reference, update.reference) == ("rf-0001", "pay-77", "tx-5512")
    assert update.amount == Money(1250, "EUR")
    assert update.occurred_at == datetime(2026, 3, 1, 9, 30, 2, tzinfo=UTC)
    assert (update.code, update.message) == ("", "On its way")
    assert update.details == {
        "status": "PROCESSING",
        "statusDescription": "On its way",
        "txnId": "tx-5512",
        "orderId": "order-9",
        "rrn": "606012345678",
        "convAmount": "13.61 USD",
        "createdAt": "2026-03-01T09:30:00Z",
        "changedAt": "2026-03-01T10:30:02+01:00",
    }
    assert set(update.details) < set(Payerly.detail_labels)


def test_the_echo_is_what_they_said_and_not_what_we_asked():
    assert told("another_amount").amount == Money(9900, "EUR")
    assert told("seed_answer_repaired").key == "string"
    refusal = told("refused", 400)
    assert (refusal.key, refusal.payment_reference, refusal.amount) == ("", "", None)


def test_the_answer_that_their_page_prints_is_not_json_and_settles_nothing():
    with pytest.raises(NoAnswer, match="not JSON"):
        told("seed_answer")


def test_the_printed_answer_with_its_comma_mended_is_read_in_full_and_its_word_is_no_end():
    update = told("seed_answer_repaired")
    assert update == RefundUpdate(
        Outcome.UNCLEAR,
        reference="string",
        key="string",
        payment_reference="string",
        amount=Money(763501, "USD"),
        code="65535",
        message="string",
        occurred_at=datetime(2019, 8, 24, 14, 15, 22, tzinfo=UTC),
        details={
            "status": "string",
            "statusDescription": "string",
            "txnId": "string",
            "orderId": "string",
            "rrn": "4434636542976",
            "convAmount": "7635.01 USD",
            "createdAt": "2019-08-24T14:15:22Z",
            "changedAt": "2019-08-24T14:15:22Z",
            "traceId": "string",
            "errors": "string: string: string string string",
        },
    )


def test_a_detail_of_another_type_is_shown_and_spoils_nothing():
    odd = json.loads(recorded("payerly", "accepted"))
    odd["object"]["additionalInfo"]["rrn"] = 606012345678
    odd["object"]["convAmount"] = {"value": None}
    update = answer_to("refund", 200, json.dumps(odd).encode())
    assert update.outcome is Outcome.PROCESSING
    assert update.details["rrn"] == "606012345678"
    assert "convAmount" not in update.details


def test_a_moment_that_cannot_be_read_is_left_out():
    assert told("garbled_moment").occurred_at is None


@pytest.mark.parametrize("status", [400, 404, 422])
def test_their_error_block_is_a_definite_no(status):
    update = told("refused", status)
    assert update.outcome is Outcome.FAILED
    assert (update.code, update.message) == ("2007", "The payment is charged back.")
    assert update.details == {"traceId": "tr-88", "errors": "chargeback: A dispute is open: paymentId body pay-77"}


@pytest.mark.parametrize("status", [201, 202, 301, 307, 401, 403, 405, 408, 409, 425, 429, 500, 502, 503, 504])
def test_every_other_status_settles_nothing(status):
    for story in ("refused", "succeeded"):
        with pytest.raises(NoAnswer, match=str(status)):
            told(story, status)


def test_a_wish_to_wait_is_passed_on():
    with pytest.raises(NoAnswer) as caught:
        answer_to("refund", 429, b"slow down", "Retry-After: 7")
    assert caught.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    "story",
    [
        "seed_answer",
        "error_alone",
        "refund_not_named",
        "payment_not_named",
        "amount_as_number",
        "amount_off_the_grid",
        "code_as_text",
        "another_kind",
        "list_empty",
        "webhook_payment",
    ],
)
def test_an_answer_with_a_doubt_in_it_settles_nothing(story):
    with pytest.raises(NoAnswer):
        told(story)


@pytest.mark.parametrize("status", [400, 404, 422])
@pytest.mark.parametrize(
    "story", ["refused_without_code", "error_with_status", "succeeded", "seed_answer", "code_as_text"]
)
def test_a_no_with_a_doubt_in_it_is_none(story, status):
    with pytest.raises(NoAnswer):
        told(story, status)


@pytest.mark.parametrize("status", [200, 400, 404])
@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"null", b"[]", b"{}", b'{"type":"REFUND"}'])
def test_a_body_that_is_not_theirs_settles_nothing(body, status):
    for verb in ("refund", "look_up"):
        with pytest.raises(NoAnswer):
            answer_to(verb, status, body)


# Asking


def test_a_look_up_asks_for_the_payment():
    with answering(http_answer(200, recorded("payerly", "list_two"))) as (url, seen):
        updates = payerly(url).look_up(ORDER)
    assert seen[0].startswith(b"GET /payments/pay-77/refunds HTTP/1.1\r\n")
    assert [(u.key, u.outcome) for u in updates] == [
        ("rf-0001", Outcome.SUCCEEDED),
        ("rf-0002", Outcome.PROCESSING),
    ]


def test_absence_is_an_empty_list_or_their_own_not_found():
    assert listed("list_empty") == []
    assert listed("not_found", 404) == []


@pytest.mark.parametrize(
    ("story", "status"),
    [
        ("list_with_broken_item", 200),
        ("list_null", 200),
        ("list_beside_error", 200),
        ("list_with_doubles", 200),
        ("not_found", 200),
        ("not_found", 400),
        ("list_empty", 404),
        ("list_two", 500),
        ("refused_without_code", 404),
    ],
)
def test_a_list_with_a_doubt_in_it_is_no_absence(story, status):
    with pytest.raises(NoAnswer):
        listed(story, status)


# Webhooks


def delivery(body: bytes, key=KEY, algorithm=None, scheme=None) -> Delivery:
    signature = key.sign(body, scheme or padding.PKCS1v15(), algorithm or hashes.SHA256())
    return Delivery({"signature": base64.b64encode(signature).decode()}, body)


def test_a_delivery_signed_by_their_key_is_theirs():
    payerly(SIGNKEY_PEM=pem_of(KEY)).verify_webhook(delivery(recorded("payerly", "webhook_refund")))


TRUE = delivery(b'{"type":"REFUND"}')
SIGNATURE = TRUE.headers["signature"]


@pytest.mark.parametrize(
    "forged",
    [
        replace(TRUE, body=b'{"type":"REFUND" }'),
        replace(TRUE, body=b""),
        replace(TRUE, headers={}),
        *[
            replace(TRUE, headers={"signature": text})
            for text in (
                "",
                " ",
                SIGNATURE + ", " + SIGNATURE,
                SIGNATURE + "\n",
                " " + SIGNATURE,
                SIGNATURE[:-4],
                SIGNATURE.rstrip("="),
                SIGNATURE.swapcase(),
                SIGNATURE.replace("=", "") + "==é",
                SIGNATURE * 9,
                "é",
                "AAAA",
            )
        ],
        delivery(TRUE.body, key=rsa.generate_private_key(65537, 2048)),
        delivery(TRUE.body, algorithm=hashes.SHA1()),
        delivery(TRUE.body, algorithm=hashes.SHA512()),
        delivery(TRUE.body, scheme=padding.PSS(padding.MGF1(hashes.SHA256()), 32)),
    ],
    ids=range(19),
)
def test_a_delivery_with_any_flaw_in_its_signature_is_refused(forged):
    with pytest.raises(BadWebhook):
        payerly(SIGNKEY_PEM=pem_of(KEY)).verify_webhook(forged)


def test_a_second_spelling_of_the_same_signature_is_refused():
    body, spelling = SIGNATURE.rstrip("="), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = body[:-1] + spelling[spelling.index(body[-1]) ^ 1] + "=="
    assert base64.b64decode(other) == base64.b64decode(SIGNATURE)
    with pytest.raises(BadWebhook):
        payerly(SIGNKEY_PEM=pem_of(KEY)).verify_webhook(replace(TRUE, headers={"signature": other}))


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "garbage",
        "é",
        pem_of(rsa.generate_private_key(65537, 1024)),
        pem_of(ec.generate_private_key(ec.SECP256R1())),
        pem_of(ed25519.Ed25519PrivateKey.generate()),
    ],
    ids=["missing", "garbage", "not ASCII", "too short", "a curve", "another curve"],
)
def test_without_a_sound_key_nothing_can_be_told(pem):
    with pytest.raises(Misconfigured, match="SIGNKEY_PEM"):
        payerly(SIGNKEY_PEM=pem).verify_webhook(TRUE)
    with (
        answering(http_answer(200, json.dumps({"pem": pem}).encode())) as (url, _),
        pytest.raises(NoAnswer, match="key"),
    ):
        payerly(url).webhook_key()


def test_their_key_is_fetched_without_our_token():
    with answering(http_answer(200, json.dumps({"pem": pem_of(KEY)}).encode())) as (url, seen):
        assert payerly(url).webhook_key() == pem_of(KEY)
    assert seen[0].startswith(b"GET /signkey ")
    assert b"authorization" not in seen[0].lower()


def test_a_delivery_about_a_refund_says_what_an_answer_says():
    (update,) = payerly().read_webhook(Delivery({}, recorded("payerly", "webhook_refund")))
    assert (update.key, update.outcome, update.amount) == ("rf-0001", Outcome.SUCCEEDED, Money(1250, "EUR"))


def test_a_delivery_about_a_payment_is_a_nudge_and_others_are_nothing():
    assert payerly().read_webhook(Delivery({}, recorded("payerly", "webhook_payment"))) == [Nudge("pay-77")]
    assert payerly().read_webhook(Delivery({}, recorded("payerly", "webhook_payout"))) == []


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"type":1}', b'{"type":"REFUND"}', b'{"type":"PAYMENT"}'])
def test_a_delivery_that_cannot_be_read_is_refused(body):
    with pytest.raises(BadWebhook):
        payerly().read_webhook(Delivery({}, body))
    with pytest.raises(BadWebhook):
        payerly().read_webhook(Delivery({}, recorded("payerly", "seed_answer")))
