"""Airpay's wire: what goes out, what each answer means, what a callback may do, and how strict its simulator is."""

from __future__ import annotations

import hashlib
import json
import random
import re
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import parse_qs, parse_qsl, urlencode

import pytest
import requests
import time_machine

from gateways import airpay as module
from gateways.airpay import Airpay
from gateways.contract import Delivery, Nudge, Outcome, RefundOrder, RefundUpdate
from gateways.errors import BadWebhook, Misconfigured, NoAnswer
from gateways.http import Response
from gateways.money import Money
from gateways.strictjson import parse
from tests.gateways.conftest import WIRE, answering, http_answer, recorded

ORDER = RefundOrder(key="rf-0001", payment_reference="5001", amount=Money(1000, "INR"), reason="damaged", note="Broken")
KNOWN = replace(ORDER, reference="500101")
ACCOUNT = {"MERCHANT_ID": "1001", "USERNAME": "demo_user", "PASSWORD": "demo_pass", "SECRET": "demo_secret"}
PRIVATE_KEY = "17b3b71997e0fd767a8e265e58bc90c5346d117e6a8af86b48ac632d95347147"
CHECKSUM_KEY = "ecfc87be809fa82a5f5a2c77c66314e2a18b47e609560e6857e5486bd19ba77a"
THAT_DAY = "2024-01-15T06:00:00Z"
PRINTED = [("5001", 1000), ("5002", 1500), ("5005", 5000), ("5007", 10_000), ("5006", 30_000), ("5003", 7000)]
PRINTED += [("5004", 700_000)]
PROCESSING, SUCCEEDED, FAILED, UNCLEAR = Outcome.PROCESSING, Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNCLEAR


def airpay(url: str = "https://kraken.example/airpay", **config: str) -> Airpay:
    return Airpay({"URL": url, **ACCOUNT, **config})


def order(payment: str = "5001", minor: int = 1000) -> RefundOrder:
    return RefundOrder(str(uuid.uuid4()), payment, Money(minor, "INR"))


def printed_orders() -> list[RefundOrder]:
    return [order(payment, minor) for payment, minor in PRINTED]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def answer_to(verb: str, status: int, body: bytes, *headers: str, asked: RefundOrder = KNOWN, **config: str):
    with answering(http_answer(status, body, *headers)) as (url, _):
        return getattr(airpay(url, **config), verb)(asked)


def told(story: str, status: int = 200) -> RefundUpdate:
    return answer_to("refund", status, recorded("airpay", story), asked=ORDER)


def answer(entry: dict[str, object] | None = None, **top: object) -> bytes:
    """The accepted answer with something changed; None takes a field out."""
    found = json.loads(recorded("airpay", "accepted"))
    found["transactions"][0].update(entry or {})
    found.update(top)
    found["transactions"] = without_none(found["transactions"])
    return json.dumps(without_none(found)).encode()


def without_none(value: object) -> object:
    if isinstance(value, list):
        return [without_none(inner) for inner in value]
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


def in_order(found: Mapping[str, RefundUpdate], orders: list[RefundOrder]) -> list[RefundUpdate | None]:
    assert set(found) <= {one.key for one in orders}
    return [found.get(one.key) for one in orders]


def read(entries: list[dict[str, object]], orders: list[RefundOrder], success: str = "true"):
    return in_order(airpay().read_entries({"success": success, "transactions": entries}, orders), orders)


def entry(payment: str, amount: str, success: str = "true", child: str = "") -> dict[str, object]:
    return {"airpayid": payment, "success": success, "amount": amount, "message": "m", "refundairpayid": child}


# What goes out


@time_machine.travel(THAT_DAY, tick=False)
def test_an_order_is_written_and_signed_as_the_vectors_say():
    assert airpay().write_entries([ORDER]) == (
        b'{"merchant_id":"1001","private_key":"' + PRIVATE_KEY.encode() + b'","mode":"refund",'
        b'"transactions":[{"amount":"10.00","processor_id":"5001"}],'
        b'"checksum":"e76d30511f7e2f10f625764880642849867800758bf0e550c1bb206c3160d297"}'
    )


def test_the_keys_of_the_vectors_are_the_hashes_of_their_texts():
    assert sha256("demo_secret@demo_user:|:demo_pass") == PRIVATE_KEY
    assert sha256("demo_user~:~demo_pass") == CHECKSUM_KEY
    hashed = CHECKSUM_KEY + '@1001refund[{"amount":"10.00","processor_id":"5001"}]2024-01-15'
    assert sha256(hashed) == "e76d30511f7e2f10f625764880642849867800758bf0e550c1bb206c3160d297"
    hashed = CHECKSUM_KEY + "@10015001012024-01-15"
    assert sha256(hashed) == "51e9dd310e2899b1e890a12b0e88bac2757f3b04a403969fdb9222d8c5b4c877"


@time_machine.travel(THAT_DAY)
def test_what_goes_out_is_one_post_of_json():
    with answering(http_answer(200, recorded("airpay", "accepted"))) as (url, seen):
        airpay(url + "/airpay").refund(ORDER)
    assert seen[0].startswith(b"POST /airpay/api/refundtxn.php HTTP/1.1\r\n")
    assert b"Content-Type: application/json\r\n" in seen[0]
    assert seen[0].endswith(b"\r\n\r\n" + airpay().write_entries([ORDER]))
    assert len(seen) == 1


@time_machine.travel(THAT_DAY)
def test_a_look_up_is_one_form_signed_as_the_vector_says():
    with answering(http_answer(200, xml())) as (url, seen):
        airpay(url + "/airpay").look_up(KNOWN)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /airpay/order/verify.php HTTP/1.1\r\n")
    assert b"Content-Type: application/x-www-form-urlencoded\r\n" in head
    assert parse_qsl(body.decode(), keep_blank_values=True) == [
        ("merchant_id", "1001"),
        ("private_key", PRIVATE_KEY),
        ("merchant_txn_id", ""),
        ("processor_id", "500101"),
        ("checksum", "51e9dd310e2899b1e890a12b0e88bac2757f3b04a403969fdb9222d8c5b4c877"),
    ]


def test_the_printed_request_is_what_its_seven_orders_write():
    printed = json.loads(recorded("airpay", "seed_request"))
    written = airpay().write_entries(printed_orders())
    assert json.loads(written)["transactions"] == printed["transactions"]
    assert set(json.loads(written)) == set(printed)
    assert re.sub(rb"\s", b"", written) == written


def test_the_checksum_is_over_the_very_text_that_is_sent():
    with time_machine.travel(THAT_DAY, tick=False):
        written = airpay(ID_FIELD="airpayid").write_entries(printed_orders()).decode()
    text = written.partition('"transactions":')[2].partition(',"checksum"')[0]
    assert text.startswith('[{"amount":"10.00","airpayid":"5001"},')
    assert json.loads(written)["checksum"] == sha256(f"{CHECKSUM_KEY}@1001refund{text}2024-01-15")


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2024-01-14T18:29:59.999999Z", "2024-01-14"),
        ("2024-01-14T18:30:00Z", "2024-01-15"),
        ("2024-01-15T18:29:59Z", "2024-01-15"),
        ("2024-12-30T12:00:00Z", "2024-12-30"),  # in the first week of 2025
        ("2024-12-31T18:30:00Z", "2025-01-01"),
        ("2024-07-15T18:29:59Z", "2024-07-15"),
    ],
)
def test_the_date_is_the_one_in_india(moment, day):
    with time_machine.travel(moment, tick=False):
        checksum = json.loads(airpay().write_entries([ORDER]))["checksum"]
    assert checksum == sha256(f'{CHECKSUM_KEY}@1001refund[{{"amount":"10.00","processor_id":"5001"}}]{day}')


def test_the_clock_is_read_once_for_a_call(monkeypatch):
    reads = []

    class Clock(datetime):
        @classmethod
        def now(cls, zone=None):
            reads.append(zone)
            return datetime.now(zone)

    monkeypatch.setattr(module, "datetime", Clock)
    airpay().write_entries(printed_orders())
    assert len(reads) == 1
    with pytest.raises(NoAnswer):
        answer_to("look_up", 200, b"")
    assert len(reads) == 2


def test_other_merchants_want_another_name_and_an_array():
    wrapped = airpay(ID_FIELD="airpayid", WRAP_IN_ARRAY="on").write_entries([ORDER])
    (asked,) = json.loads(wrapped)
    assert asked["transactions"] == [{"amount": "10.00", "airpayid": "5001"}]
    assert wrapped.startswith(b'[{"merchant_id":')
    assert wrapped.endswith(b'"}]')


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("ID_FIELD", "mercid"),
        ("ID_FIELD", "PROCESSOR_ID"),
        ("ID_FIELD", " airpayid"),
        ("WRAP_IN_ARRAY", "yes"),
        ("WRAP_IN_ARRAY", "ON"),
        ("MERCHANT_ID", "1" * 21),
        ("MERCHANT_ID", "10a1"),
        ("MERCHANT_ID", "1001\n"),
        ("MERCHANT_ID", "\u0661\u0662"),
        ("MERCHANT_ID", "-1"),
        ("STATUS_FAILED", "200"),
        *((key, "") for key in Airpay.needs),
    ],
)
def test_a_setting_that_cannot_be_right_is_named(key, text):
    with pytest.raises(Misconfigured, match=key):
        airpay(**{"url" if key == "URL" else key: text})


@pytest.mark.parametrize("number", ["1", "1" * 20])
def test_a_merchant_has_1_to_20_digits(number):
    assert json.loads(airpay(MERCHANT_ID=number).write_entries([ORDER]))["merchant_id"] == number


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"amount": Money(1, "INR")},
        {"amount": Money(99_999_999, "INR")},
        {"payment_reference": "1"},
        {"payment_reference": "9" * 20},
        {"note": "स्क्रीन टूट गई"},
    ],
    ids=repr,
)
def test_a_sound_order_passes_the_check(change):
    assert airpay().check(replace(ORDER, **change)) == ""
    amount = json.loads(airpay().write_entries([replace(ORDER, **change)]))["transactions"][0]["amount"]
    assert re.fullmatch(r"[0-9]{1,6}\.[0-9]{2}", amount)


@pytest.mark.parametrize(
    "change",
    [
        {"amount": Money(0, "INR")},
        {"amount": Money(-1, "INR")},
        {"amount": Money(100_000_000, "INR")},
        {"amount": Money(1000, "EUR")},
        {"amount": Money(1000, "JPY")},
        {"payment_reference": ""},
        {"payment_reference": "9" * 21},
        {"payment_reference": "5001a"},
        {"payment_reference": "5001\n"},
        {"payment_reference": "-5001"},
        {"payment_reference": "50 01"},
        {"payment_reference": "000"},
        {"payment_reference": "\u0665\u0660"},
    ],
    ids=repr,
)
def test_what_the_wire_cannot_carry_is_said_before_sending(change):
    assert airpay().check(replace(ORDER, **change)).endswith(".")


def test_keys_and_checksums_keep_to_their_lengths():
    asked = json.loads(airpay().write_entries([ORDER]))
    assert all(10 <= len(asked[name]) <= 200 for name in ("private_key", "checksum"))


def test_the_date_makes_the_bytes_of_another_day_others_so_none_are_promised():
    assert airpay().body(ORDER) == b""


@pytest.mark.parametrize(("verb", "asked"), [("refund", ORDER), ("look_up", KNOWN)])
def test_no_secret_and_no_key_is_kept(verb, asked):
    shown = f"{PRIVATE_KEY} demo_secret demo_pass"
    with answering(http_answer(500, shown.encode(), f"X-Echo: {PRIVATE_KEY}")) as (url, seen):
        gateway = airpay(url)
        with pytest.raises(NoAnswer) as accident:
            getattr(gateway, verb)(asked)
    assert PRIVATE_KEY.encode() in seen[0]
    kept = repr(gateway.http.exchanges) + repr(gateway) + repr(gateway.http) + str(accident.value)
    assert "1001" in kept
    assert [one for one in (PRIVATE_KEY, CHECKSUM_KEY, "demo_secret", "demo_pass") if one in kept] == []


# What an order's answer means


def test_an_answer_is_read_in_full():
    assert told("accepted") == RefundUpdate(
        PROCESSING,
        reference="500101",
        payment_reference="5001",
        amount=Money(1000, "INR"),
        message="Refund initiated",
    )


@pytest.mark.parametrize("story", ["in_an_array", "numbers_and_booleans"])
def test_other_shapes_say_the_same(story):
    assert told(story) == told("accepted")


def test_blanks_around_an_array_are_nothing():
    body = b" \t\r\n[\r\n" + GOOD + b"\t]\r\n\t "
    assert answer_to("refund", 200, body, asked=ORDER) == told("accepted")


def test_a_refused_entry_is_a_definite_no_in_whatever_words():
    update = told("refused")
    assert (update.outcome, update.message) == (FAILED, "Transaction does not exist.")
    assert (update.reference, update.payment_reference, update.amount) == ("", "5001", Money(1000, "INR"))
    assert told("refused_by_booleans") == update
    assert told("refused_as_already_made").outcome is FAILED


def test_the_printed_answer_speaks_of_four_orders_and_leaves_three_unknown():
    orders = printed_orders()
    updates = in_order(airpay().read_entries(parse(recorded("airpay", "seed_answer")), orders), orders)
    assert [update and update.outcome for update in updates] == [
        PROCESSING,
        FAILED,
        PROCESSING,
        FAILED,
        None,
        None,
        None,
    ]
    assert [update.reference for update in updates if update] == ["500101", "", "500501", ""]
    assert [update.amount for update in updates[:4]] == [one.amount for one in orders[:4]]
    assert updates[3].message == "Refund Amount greater than transaction amount."
    backwards = airpay().read_entries(parse(recorded("airpay", "seed_answer")), orders[::-1])
    assert in_order(backwards, orders) == updates


@pytest.mark.parametrize(("payment", "minor"), PRINTED)
def test_the_printed_answer_means_the_same_to_one_order(payment, minor):
    def ask():
        return answer_to("refund", 200, recorded("airpay", "seed_answer"), asked=order(payment, minor)).outcome

    if payment in ("5003", "5004", "5006"):
        with pytest.raises(NoAnswer):
            ask()
    else:
        assert ask() is (PROCESSING if payment in ("5001", "5005") else FAILED)


def test_the_printed_refusal_is_not_json_and_settles_nothing():
    with pytest.raises(NoAnswer, match="not JSON"):
        told("seed_answer_refused")


def test_the_printed_refusal_with_its_comma_mended_refuses_every_order():
    said = "Refund amount should be less than or equal to the balanced transaction amount."
    assert told("seed_answer_refused_repaired") == RefundUpdate(FAILED, message=said)
    orders = printed_orders()
    updates = airpay().read_entries(parse(recorded("airpay", "seed_answer_refused_repaired")), orders)
    assert in_order(updates, orders) == [RefundUpdate(FAILED, message=said)] * 7


@pytest.mark.parametrize("top", [{"transactions": []}, {"transactions": None}, {"success": False}])
def test_a_no_without_entries_is_a_no(top):
    body = answer(**{"success": "false", "transactions": None, "message": "Invalid key", **top})
    assert answer_to("refund", 200, body, asked=ORDER) == RefundUpdate(FAILED, message="Invalid key")


def test_a_no_to_the_answer_and_to_the_entry_is_a_no():
    body = answer({"success": "false", "refundairpayid": "", "message": "Too late."}, success="false")
    update = answer_to("refund", 200, body, asked=ORDER)
    assert (update.outcome, update.message) == (FAILED, "Too late.")


@pytest.mark.parametrize("child", ["9" * 22, "9" * 40])
def test_a_child_id_may_be_longer_than_the_longest_payment_id(child):
    assert answer_to("refund", 200, answer({"refundairpayid": child}), asked=ORDER).reference == child
    assert seen(xml(APTRANSACTIONID=child), asked=replace(ORDER, reference=child)).outcome is SUCCEEDED


@pytest.mark.parametrize(
    ("change", "top"),
    [
        ({"success": "false"}, {}),
        ({}, {"success": "false"}),
        ({"success": "false"}, {"success": "false"}),
        ({"success": "perhaps"}, {}),
        ({"success": "True"}, {}),
        ({"success": 1}, {}),
        ({"success": None}, {}),
        ({}, {"success": "perhaps"}),
        ({}, {"success": None}),
    ],
    ids=repr,
)
def test_a_child_of_anything_but_two_yeses_is_unclear_and_can_be_asked_about(change, top):
    update = answer_to("refund", 200, answer(change, **top), asked=ORDER)
    assert (update.outcome, update.reference) == (UNCLEAR, "500101")


NO_ENTRY = [
    {"refundairpayid": ""},
    {"refundairpayid": None},
    {"refundairpayid": "5001"},
    {"refundairpayid": 5001},
    {"refundairpayid": "R-1"},
    {"refundairpayid": "0"},
    {"refundairpayid": 0},
    {"refundairpayid": "1" * 41},
    {"refundairpayid": 500101.0},
    {"refundairpayid": True},
    {"refundairpayid": ["500101"]},
    {"refundairpayid": {}},
    {"airpayid": "5002"},
    {"airpayid": "05001"},
    {"airpayid": "500101"},
    {"airpayid": " 5001"},
    {"airpayid": None},
    {"airpayid": 5001.0},
    {"airpayid": False},
    {"success": ["true"]},
    {"success": {}},
    {"success": "perhaps", "refundairpayid": ""},
    {"success": None, "refundairpayid": ""},
    {"success": 0, "refundairpayid": ""},
    {"success": "False", "refundairpayid": ""},
    {"amount": 10},
    {"amount": 10.00},
    {"amount": "10,00"},
    {"amount": "1e3"},
    {"amount": "10.001"},
    {"amount": "-10.00"},
    {"message": 7},
    {"message": {}},
]
NO_ANSWER = [
    {"transactions": None},
    {"transactions": []},
    {"transactions": "none"},
    {"transactions": {}},
    {"transactions": ["5001"]},
    {"transactions": [[]]},
    {"success": None, "transactions": None},
    {"success": "perhaps", "transactions": None},
    {"success": "False", "transactions": None},
    {"success": 0, "transactions": None},
    {"success": [], "transactions": None},
    {"success": "false", "transactions": "none"},
    {"success": "false", "transactions": None, "message": 7},
    {"mercid": "1002"},
    {"mercid": 1002},
    {"mercid": "shop"},
    {"mercid": []},
    {"mode": "sale"},
    {"mode": 7},
]


@pytest.mark.parametrize("change", NO_ENTRY, ids=repr)
def test_an_entry_in_doubt_settles_nothing(change):
    with pytest.raises(NoAnswer):
        answer_to("refund", 200, answer(change), asked=ORDER)


@pytest.mark.parametrize("top", NO_ANSWER, ids=repr)
def test_an_answer_in_doubt_settles_nothing(top):
    with pytest.raises(NoAnswer):
        answer_to("refund", 200, answer(**top), asked=ORDER)


@pytest.mark.parametrize("mercid", [None, "", "1001", 1001])
def test_a_merchant_that_is_not_named_is_nobody_else(mercid):
    assert answer_to("refund", 200, answer(mercid=mercid, mode=None), asked=ORDER).outcome is PROCESSING


GOOD = recorded("airpay", "accepted").strip()
BODIES = [
    b"",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"[[]]",
    b"[",
    b"]",
    b"[" + GOOD + b"," + GOOD + b"]",
    b"[" + GOOD + b",]",
    b"[[" + GOOD + b"]]",
    GOOD + b"]",
    b"[" + GOOD,
    GOOD + b"x",
    b"\xef\xbb\xbf" + GOOD,
    b"\xff" + GOOD,
    GOOD.decode().encode("utf-16"),
    GOOD.replace(b'"mode"', b'"mercid"'),
    GOOD.replace(b'"10.00"', b"NaN"),
    b"<html>OK</html>",
    b"[" * 5000,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20]))
def test_a_body_that_is_not_one_object_settles_nothing(body):
    with pytest.raises(NoAnswer):
        answer_to("refund", 200, body, asked=ORDER)


@pytest.mark.parametrize("status", [201, 202, 204, 301, 307, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504])
def test_every_other_status_settles_nothing(status):
    for story in ("accepted", "refused", "seed_answer_refused_repaired"):
        with pytest.raises(NoAnswer, match=str(status)):
            told(story, status)
    with pytest.raises(NoAnswer, match=str(status)):
        answer_to("look_up", status, xml())


@pytest.mark.parametrize("verb", ["refund", "look_up"])
def test_a_wish_to_wait_is_passed_on(verb):
    with pytest.raises(NoAnswer) as accident:
        answer_to(verb, 503, b"", "Retry-After: 7")
    assert accident.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(("echo", "amount"), [("10.01", Money(1001, "INR")), ("10", Money(1000, "INR")), (None, None)])
def test_the_echo_is_what_they_said_and_not_what_we_asked(echo, amount):
    update = answer_to("refund", 200, answer({"amount": echo}), asked=ORDER)
    assert (update.outcome, update.amount) == (PROCESSING, amount)


# Several orders in one call


def test_a_bundle_is_one_post_and_each_order_has_its_own_answer():
    asked = [order("5001"), order("5002", 2500), order("5003", 500), order("5004"), order("5006"), order("5007")]
    with answering(http_answer(200, recorded("airpay", "several"))) as (url, seen):
        found = in_order(airpay(url, BATCH="6").refund_many(asked), asked)
    assert len(seen) == 1
    body = json.loads(seen[0].partition(b"\r\n\r\n")[2])
    assert [line["processor_id"] for line in body["transactions"]] == ["5001", "5002", "5003", "5004", "5006", "5007"]
    assert [update and update.outcome for update in found] == [PROCESSING, FAILED, PROCESSING, None, None, None]
    assert [update.reference for update in found if update] == ["500101", "", "500301"]
    assert found[2].amount == Money(600, "INR"), "what they say, and not what we asked"


@pytest.mark.parametrize("place", range(4))
def test_an_entry_is_found_wherever_it_stands(place):
    asked = [order(str(number)) for number in (7, 8, 9, 10)]
    entries = [entry(one.payment_reference, "10.00", child=f"{one.payment_reference}01") for one in asked]
    turned = entries[place:] + entries[:place]
    assert [update.reference for update in read(turned, asked)] == ["701", "801", "901", "1001"]


@pytest.mark.parametrize("change", [one for one in NO_ENTRY if "airpayid" not in one], ids=repr)
def test_a_doubt_about_one_entry_leaves_the_others_as_they_are(change):
    entries = [entry("5001", "10.00", child="500101") | change, entry("5002", "10.00", child="500201")]
    doubtful, sure = read(entries, [order("5001"), order("5002")])
    assert (doubtful, sure.reference) == (None, "500201")


@pytest.mark.parametrize("airpayid", [["5001"], {}, "R-1", 5001.0, True])
def test_an_entry_that_could_be_about_anybody_makes_all_of_them_doubtful(airpayid):
    entries = [entry("5001", "10.00", child="500101"), entry("5002", "10.00", "false") | {"airpayid": airpayid}]
    assert read(entries, [order("5001"), order("5003")]) == [None, None]


def test_an_entry_that_is_there_twice_settles_nothing():
    doubled = [entry("5001", "10.00", child="500101"), entry("5001", "10.00", child="500102")]
    assert read(doubled, [order()]) == [None]
    assert read([doubled[0], entry("5001", "10.00", "false")], [order()]) == [None]
    strange = [entry("5001", "10.00", child="500101"), entry("5001", "99.00", child="500102")]
    assert read(strange, [order()]) == [None]


def test_one_child_of_two_payments_is_nobodys():
    twins = [entry("5001", "10.00", child="500101"), entry("5002", "10.00", child="500101")]
    assert read([*twins, entry("5003", "10.00", child="5")], [order("5001"), order("5002"), order("5003")])[:2] == [
        None,
        None,
    ]
    refused = [entry("5001", "10.00", "false"), entry("5002", "10.00", "false")]
    assert [update.outcome for update in read(refused, [order("5001"), order("5002")])] == [FAILED, FAILED]


def test_a_no_to_the_whole_answer_is_a_no_to_each():
    found = read([], [order("5001"), order("5002")], "false")
    assert [update.outcome for update in found] == [FAILED, FAILED]


@pytest.mark.parametrize("body", [b"{}", b'{"success":"true"}', b'{"success":"perhaps"}'])
def test_an_answer_that_names_nobody_says_nothing_of_anybody(body):
    assert answer_to_two(body) == {}


@pytest.mark.parametrize("body", [b"", b"<html></html>", b'{"mercid":"1002"}', b'{"transactions":{}}'])
def test_a_whole_answer_in_doubt_is_an_accident_of_all(body):
    with pytest.raises(NoAnswer):
        answer_to_two(body)


def answer_to_two(body: bytes) -> Mapping[str, RefundUpdate]:
    with answering(http_answer(200, body)) as (url, _):
        return airpay(url).refund_many([order("5001"), order("5002")])


@pytest.mark.parametrize("number", ["0", "101", "-1", "1.0", "", " 2", "2 ", "\u0662", "ten", "1000000", "01"])
def test_batch_is_a_number_from_1_to_100(number):
    if number == "":
        assert airpay(BATCH=number).bundle == 1
        return
    with pytest.raises(Misconfigured, match=r"BATCH is .* Airpay takes 100 orders in a call, so write 1 to 100"):
        airpay(BATCH=number)


@pytest.mark.parametrize("number", [1, 2, 99, 100])
def test_batch_is_how_many_orders_share_a_call(number):
    assert airpay(BATCH=str(number)).bundle == number


def test_entries_about_others_change_nothing():
    update, missing = read([entry("7", "1.00", "false"), entry("5001", "10.00", child="9")], [order(), order("5002")])
    assert (update.outcome, update.reference, missing) == (PROCESSING, "9", None)


# What verify.php means


def xml(**change: str | None) -> bytes:
    """A refund that is paid, with something changed; None takes a field out."""
    fields = {"TRANSACTIONSTATUS": "200", "MESSAGE": "Success", "APTRANSACTIONID": "500101", "AMOUNT": "10.00"}
    fields = {**fields, "TRANSACTIONTYPE": "340", **change}
    inner = "".join(f"<{name}><![CDATA[{text}]]></{name}>" for name, text in fields.items() if text is not None)
    return f"<RESPONSE><TRANSACTION>{inner}</TRANSACTION></RESPONSE>".encode()


def seen(body: bytes, asked: RefundOrder = KNOWN, **config: str) -> RefundUpdate:
    (update,) = answer_to("look_up", 200, body, asked=asked, **config)
    return update


def test_a_refund_that_is_paid_is_read_in_full():
    update = seen((WIRE / "airpay" / "verify_succeeded.xml").read_bytes())
    assert update == RefundUpdate(
        SUCCEEDED,
        reference="500101",
        amount=Money(1000, "INR"),
        code="200",
        message="Success",
        details={
            "rrn": "412345678901",
            "bankMessage": "Paid & booked",
            "paymentStatus": "SUCCESS",
            "type": "340",
            "time": "15-01-2024 11:30:00",
        },
    )
    assert set(update.details) == set(Airpay.detail_labels)
    assert Airpay.customer_detail in update.details


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("200", SUCCEEDED),
        ("400", FAILED),
        ("405", FAILED),
        ("211", PROCESSING),
        ("450", PROCESSING),
        ("403", PROCESSING),
        ("401", UNCLEAR),
        ("402", UNCLEAR),
        ("502", UNCLEAR),
        ("201", UNCLEAR),
        ("0200", UNCLEAR),
        ("SUCCESS", UNCLEAR),
    ],
)
def test_the_status_number_decides(status, outcome):
    update = seen(xml(TRANSACTIONSTATUS=status))
    assert (update.outcome, update.code, update.amount) == (outcome, status, Money(1000, "INR"))


@pytest.mark.parametrize("kind", ["340", "420", "", None])
def test_a_refund_a_void_and_what_names_no_kind_can_succeed(kind):
    assert seen(xml(TRANSACTIONTYPE=kind)).outcome is SUCCEEDED


@pytest.mark.parametrize("kind", ["310", "320", "330", "350", "360", "450", "340 ", "refund"])
@pytest.mark.parametrize("status", ["200", "400"])
def test_no_other_kind_of_transaction_is_an_end(kind, status):
    expected = {"340 ": SUCCEEDED if status == "200" else FAILED}.get(kind, UNCLEAR)
    assert seen(xml(TRANSACTIONTYPE=kind, TRANSACTIONSTATUS=status)).outcome is expected


def test_the_status_numbers_are_settings_but_no_record_never_is_an_end():
    config = {"STATUS_SUCCEEDED": "222", "STATUS_FAILED": "503,401", "STATUS_PROCESSING": "200"}
    assert seen(xml(TRANSACTIONSTATUS="222"), **config).outcome is SUCCEEDED
    assert seen(xml(TRANSACTIONSTATUS="401"), **config).outcome is FAILED
    assert seen(xml(), **config).outcome is PROCESSING
    with pytest.raises(NoAnswer):
        seen(xml(TRANSACTIONSTATUS="503"), **config)


@pytest.mark.parametrize("amount", ["10.01", "9.99", "10"])
def test_the_amount_is_the_one_they_show(amount):
    assert seen(xml(AMOUNT=amount)).amount == Money.parse(amount, "INR")


@pytest.mark.parametrize("code", ["356", "INR", "", None])
def test_rupees_may_go_unnamed(code):
    assert seen(xml(CURRENCYCODE=code)).outcome is SUCCEEDED


WHOLE = xml().decode()
DTD = '<!DOCTYPE RESPONSE [<!ENTITY paid "200">]>'
NO_WORD = [
    xml(TRANSACTIONSTATUS="503"),
    xml(TRANSACTIONSTATUS="503", APTRANSACTIONID=None, AMOUNT=None),
    xml(TRANSACTIONSTATUS=""),
    xml(TRANSACTIONSTATUS=None),
    xml(TRANSACTIONSTATUS="2" * 101),
    xml(APTRANSACTIONID="5001"),
    xml(APTRANSACTIONID="500102"),
    xml(APTRANSACTIONID="0500101"),
    xml(APTRANSACTIONID=""),
    xml(APTRANSACTIONID=None),
    xml(AMOUNT=None),
    xml(AMOUNT=""),
    xml(AMOUNT="10,00"),
    xml(AMOUNT="1,000.00"),
    xml(AMOUNT="-10.00"),
    xml(AMOUNT="10.005"),
    xml(CURRENCYCODE="840"),
    xml(CURRENCYCODE="USD"),
    DTD.encode() + xml(),
    (DTD + WHOLE.replace("<![CDATA[200]]>", "&paid;")).encode(),
    WHOLE.replace("<![CDATA[200]]>", "&paid;").encode(),
    b'<!DOCTYPE RESPONSE SYSTEM "http://127.0.0.1:9/x.dtd">' + xml(),
    WHOLE.replace("<MESSAGE>", "<AMOUNT>10.00</AMOUNT><MESSAGE>").encode(),
    WHOLE.replace("<![CDATA[10.00]]>", "10<b>.00</b>").encode(),
    WHOLE.replace("</RESPONSE>", "<TRANSACTION/></RESPONSE>").encode(),
    (WHOLE * 2).encode(),
    WHOLE.replace("RESPONSE", "ANSWER").encode(),
    WHOLE.replace("TRANSACTION>", "ORDER>").encode(),
    WHOLE.replace("<RESPONSE>", '<RESPONSE xmlns="urn:x">').encode(),
    f"<X>{WHOLE}</X>".encode(),
    b"<TRANSACTION>" + xml().partition(b"<TRANSACTION>")[2].replace(b"</RESPONSE>", b""),
    b"<RESPONSE/>",
    b"<RESPONSE><TRANSACTION/></RESPONSE>",
    b"<RESPONSE>200</RESPONSE>",
    xml()[:-3],
    WHOLE.encode("utf-16"),
    xml(MESSAGE="\u00e9").decode().encode("latin-1"),
    WHOLE.replace("Success", "\x00").encode(),
    b"<a>" * 40_000 + b"</a>" * 40_000,
    b'{"TRANSACTIONSTATUS":"200","APTRANSACTIONID":"500101","AMOUNT":"10.00"}',
    b"<html><body>OK</body></html>",
    b"",
    b"\xff\xfe",
]


@pytest.mark.parametrize("body", NO_WORD, ids=lambda body: repr(body[:60]))
def test_every_doubt_in_a_look_up_settles_nothing(body):
    with pytest.raises(NoAnswer):
        answer_to("look_up", 200, body)


def test_an_entity_that_opens_a_file_is_never_followed(tmp_path):
    (tmp_path / "amount").write_text("10.00")
    entity = f'<!DOCTYPE RESPONSE [<!ENTITY x SYSTEM "file://{tmp_path}/amount">]>'
    with pytest.raises(NoAnswer):
        answer_to("look_up", 200, (entity + WHOLE.replace("<![CDATA[10.00]]>", "&x;")).encode())


@pytest.mark.parametrize("reference", ["", "5001", "R-1", "500101\n", "0", "\u0665"])
def test_without_a_child_id_there_is_nothing_to_ask_by(reference):
    gateway = airpay()
    with pytest.raises(NoAnswer, match="child id"):
        gateway.look_up(replace(ORDER, reference=reference))
    assert gateway.http.exchanges == []


# What a callback may do


def callback(**change: str | None) -> dict[str, str]:
    """A true callback about a payment (the vector's), with something changed before it is hashed."""
    fields = {"TRANSACTIONID": "ORDER-1", "APTRANSACTIONID": "5001", "AMOUNT": "10.00", "TRANSACTIONSTATUS": "200"}
    fields = {**fields, "MESSAGE": "Success", "CHMOD": "pg", **change}
    found = {name: text for name, text in fields.items() if text is not None}
    signed = ("TRANSACTIONID", "APTRANSACTIONID", "AMOUNT", "TRANSACTIONSTATUS", "MESSAGE")
    words = [*(found.get(name, "") for name in signed), "1001", "demo_user"]
    words += [found.get("CUSTOMERVPA", "")] if found.get("CHMOD") == "upi" else []
    return {**found, "ap_SecureHash": str(zlib.crc32(":".join(words).encode()))}


def delivered(fields: dict[str, str] | list[tuple[str, str]]) -> Delivery:
    return Delivery({}, urlencode(fields).encode())


def test_the_hash_of_the_vector_is_accepted():
    assert callback()["ap_SecureHash"] == "2065666583"
    airpay().verify_webhook(delivered(callback()))


@pytest.mark.parametrize("vpa", ["customer@bank", "", "a:b"])
def test_by_upi_the_customers_address_is_hashed_too(vpa):
    true = callback(CHMOD="upi", CUSTOMERVPA=vpa)
    airpay().verify_webhook(delivered(true))
    with pytest.raises(BadWebhook):
        airpay().verify_webhook(delivered({**true, "CUSTOMERVPA": "other@bank"}))
    with pytest.raises(BadWebhook):
        airpay().verify_webhook(delivered({**true, "CHMOD": "pg"}))
    airpay().verify_webhook(delivered({**callback(CHMOD="pg"), "CUSTOMERVPA": vpa}))


def test_words_in_other_scripts_and_blanks_are_hashed_as_utf_8():
    airpay().verify_webhook(delivered(callback(MESSAGE="भुगतान सफल + & = %", TRANSACTIONID="")))


@pytest.mark.parametrize("field", ["TRANSACTIONID", "APTRANSACTIONID", "AMOUNT", "TRANSACTIONSTATUS", "MESSAGE"])
def test_a_signed_field_cannot_be_changed_or_taken_out(field):
    for fields in ({**callback(), field: "1"}, callback(**{field: None})):
        with pytest.raises(BadWebhook):
            airpay().verify_webhook(delivered(fields))


@pytest.mark.parametrize("config", [{"MERCHANT_ID": "1002"}, {"USERNAME": "another"}])
def test_a_delivery_for_another_merchant_is_refused(config):
    with pytest.raises(BadWebhook):
        airpay(**config).verify_webhook(delivered(callback()))


TRUE = urlencode(callback()).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"a",
        b"a=b",
        b"{}",
        b"[]",
        b"\xff",
        b"\x00" * 99,
        TRUE[: len(TRUE) // 2],
        TRUE[:-1],
        TRUE + b"&AMOUNT=10.00",
        TRUE + b"&ap_SecureHash=2065666583",
        TRUE + b"&x",
        TRUE + b"&x=\xff",
        TRUE + b"&x=%ff",
        TRUE + b"&" + b"&".join(b"x%d=" % n for n in range(100)),
        TRUE.replace(b"2065666583", b""),
        TRUE.replace(b"2065666583", b"02065666583"),
        TRUE.replace(b"2065666583", b"2065666584"),
        TRUE.replace(b"2065666583", b"%D9%A2065666583"),
        TRUE.replace(b"2065666583", b"7b1f5d97"),
        TRUE.replace(b"&", b";"),
    ],
    ids=lambda body: repr(body[-30:]),
)
def test_scribbles_are_refused(body):
    with pytest.raises(BadWebhook):
        airpay().verify_webhook(Delivery({}, body))


def test_as_many_fields_as_they_have_pass():
    airpay().verify_webhook(delivered({**callback(), **{f"x{n}": "" for n in range(93)}}))


@pytest.mark.parametrize(
    ("kind", "nudge"),
    [
        ("340", Nudge(reference="5001")),
        ("350", Nudge(payment_reference="5001", reference="5001", of_dispute=True)),
        ("420", Nudge(reference="5001")),
        ("310", Nudge(payment_reference="5001")),
        ("320", Nudge(payment_reference="5001")),
        ("330", Nudge(payment_reference="5001")),
        ("360", Nudge(payment_reference="5001", reference="5001")),
        ("", Nudge(payment_reference="5001", reference="5001")),
        (None, Nudge(payment_reference="5001", reference="5001")),
    ],
)
def test_a_delivery_is_a_knock_about_a_refund_or_a_payment(kind, nudge):
    assert airpay().read_webhook(delivered(callback(TRANSACTIONTYPE=kind))) == [nudge]


@pytest.mark.parametrize(
    "body", [b"", b"a=b", b"APTRANSACTIONID=", b"APTRANSACTIONID=R-1", b"APTRANSACTIONID=0", b"\xff"]
)
def test_a_delivery_that_names_no_transaction_cannot_be_read(body):
    with pytest.raises(BadWebhook):
        airpay().read_webhook(Delivery({}, body))


# Any bytes


def scribbled(seed: bytes, tries: int = 400) -> Iterator[bytes]:
    dice = random.Random(20240115)
    for _ in range(tries):
        raw = bytearray(seed)
        for _ in range(dice.randint(1, 4)):
            place = dice.randrange(len(raw))
            cut = dice.choice([0, 1, 1, 9])
            raw[place : place + cut] = dice.choice([b"", bytes([dice.randrange(256)]), b'"', b"<", b"]]>", b"0", b"&"])
        yield bytes(raw)


def test_no_bytes_end_in_another_exception_or_in_an_end_that_was_not_said(monkeypatch):
    gateway, outcomes = airpay(), set()
    for verb, seed in (("refund", GOOD), ("refund", recorded("airpay", "refused").strip()), ("look_up", xml())):
        for body in scribbled(seed):
            answered = Response(200, {}, body)
            monkeypatch.setattr(gateway.http, "send", lambda *_, answered=answered, **__: answered)
            try:
                said = getattr(gateway, verb)(KNOWN)
            except NoAnswer:
                continue
            outcomes |= {(verb, one.outcome) for one in (said if verb == "look_up" else [said])}
    assert outcomes >= {("refund", PROCESSING), ("refund", FAILED), ("look_up", SUCCEEDED), ("look_up", UNCLEAR)}
    assert ("refund", SUCCEEDED) not in outcomes
    assert ("look_up", FAILED) not in outcomes


def test_no_bytes_of_a_delivery_end_in_another_exception():
    for body in scribbled(TRUE):
        for verb in (airpay().verify_webhook, airpay().read_webhook):
            try:
                verb(Delivery({}, body))
            except BadWebhook:
                continue


# The simulator


def connect(sandbox, **config: str) -> Airpay:
    return Airpay({**sandbox.credentials("airpay"), **config})


def post(sandbox, body: bytes | None = None, path: str = "/api/refundtxn.php", content_type: str = "application/json"):
    sent = body if body is not None else connect(sandbox).write_entries([order("716000001")])
    return requests.post(sandbox.url("airpay") + path, data=sent, headers={"Content-Type": content_type}, timeout=5)


def changed(sandbox, **change: object) -> bytes:
    asked = {**json.loads(connect(sandbox).write_entries([order("716000001")])), **change}
    return json.dumps(without_none(asked), separators=(",", ":")).encode()


def signed_anew(sandbox, transactions: str) -> bytes:
    """A request with these transactions and a checksum that fits them, whatever they hold."""
    key = sha256("sandbox_airpay~:~sandbox-airpay-password")
    day = datetime.now(module.INDIA).date()
    asked = json.loads(changed(sandbox, checksum=sha256(f"{key}@900100refund{transactions}{day}")))
    asked["transactions"] = "HERE"
    return json.dumps(asked, separators=(",", ":")).replace('"HERE"', transactions).encode()


def test_an_order_is_answered_as_the_page_prints_it(sandbox):
    said = post(sandbox)
    assert (said.status_code, said.headers["content-type"]) == (200, "application/json")
    assert said.json() == {
        "mercid": "900100",
        "mode": "refund",
        "success": "true",
        "message": "",
        "transactions": [
            {
                "airpayid": "716000001",
                "success": "true",
                "amount": "10.00",
                "message": "Refund initiated successfully for transaction id 716000001 ,child id 71600000101"
                " with transaction amount 10.00",
                "refundairpayid": "71600000101",
            }
        ],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"merchant_id": "900101"}, "Invalid merchant id."),
        ({"merchant_id": 900100}, "Invalid merchant id."),
        ({"private_key": "0" * 64}, "Merchant key authentication error."),
        ({"private_key": None}, "Invalid request."),
        ({"checksum": "0" * 64}, "Checksum mismatch."),
        ({"checksum": None}, "Invalid request."),
        ({"mode": "sale"}, "Invalid request."),
        ({"extra": "1"}, "Invalid request."),
        ({"transactions": []}, "Invalid transactions."),
        ({"transactions": "x"}, "Invalid transactions."),
        ({"transactions": [{"amount": "20.00", "processor_id": "716000001"}]}, "Checksum mismatch."),
        ({"transactions": [{"amount": 10.0, "processor_id": "716000001"}]}, "Invalid transactions."),
        ({"transactions": [{"amount": "10.00", "processor_id": 716000001}]}, "Invalid transactions."),
        ({"transactions": [{"amount": "10.00", "airpayid": "716000001"}]}, "Invalid transactions."),
        ({"transactions": [{"processor_id": "716000001", "amount": "10.00"}]}, "Invalid transactions."),
        ({"transactions": [{"amount": "10.00", "processor_id": "1"}] * 101}, "Invalid transactions."),
    ],
    ids=repr,
)
def test_it_refuses_what_is_not_in_order_with_http_200(sandbox, change, message):
    said = post(sandbox, changed(sandbox, **change))
    assert said.status_code == 200
    assert said.json() == {"mercid": "900100", "mode": "refund", "success": "false", "message": message}
    assert sandbox.ledger() == []


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (None, "application/x-www-form-urlencoded", "Invalid content type."),
        (None, "", "Invalid content type."),
        (b"{", "application/json", "Invalid request."),
        (b"[]", "application/json", "Invalid request."),
        (b"\xff", "application/json", "Invalid request."),
        (b"null", "application/json", "Invalid request."),
    ],
)
def test_it_refuses_what_it_cannot_read(sandbox, body, content_type, message):
    assert post(sandbox, body, content_type=content_type).json()["message"] == message


def test_it_refuses_a_text_that_php_would_write_differently(sandbox):
    spaced = '[{"amount": "10.00", "processor_id": "716000001"}]'
    assert post(sandbox, signed_anew(sandbox, spaced)).json()["message"] == "Checksum mismatch."
    assert post(sandbox, signed_anew(sandbox, spaced.replace(" ", ""))).json()["success"] == "true"


def test_it_refuses_yesterdays_checksum(sandbox):
    with time_machine.travel("2026-03-01T18:29:50Z", tick=False):
        late = connect(sandbox).write_entries([order("716000001")])
    with time_machine.travel("2026-03-01T18:30:01Z"):
        assert post(sandbox, late).json()["message"] == "Checksum mismatch."
        assert connect(sandbox).refund(order("716000001")).outcome is PROCESSING


def test_it_refuses_a_get_and_knows_no_other_path(sandbox):
    url = sandbox.url("airpay")
    assert requests.get(url + "/api/refundtxn.php", timeout=5).json()["message"] == "Invalid request method."
    assert requests.get(url + "/order/verify.php", timeout=5).text == (
        "<RESPONSE><ERROR><![CDATA[Invalid request method.]]></ERROR></RESPONSE>"
    )
    assert requests.get(url + "/api/other.php", timeout=5).status_code == 404


@pytest.mark.parametrize("amount", ["10", "10.0", "10.000", "1000000.00", "0.00", "-1.00", "ten"])
def test_an_entry_with_an_odd_amount_is_refused_alone(sandbox, amount):
    said = post(sandbox, signed_anew(sandbox, f'[{{"amount":"{amount}","processor_id":"716000001"}}]')).json()
    assert (said["success"], said["transactions"][0]["success"]) == ("true", "false")
    assert (said["transactions"][0]["message"], said["transactions"][0]["refundairpayid"]) == ("Invalid amount.", "")


def test_each_refusal_of_the_page_can_be_had(sandbox):
    sandbox.payment("716000001", 2000, "INR", gateway="airpay")
    gateway = connect(sandbox)
    assert gateway.refund(order("716000001", 1500)).outcome is PROCESSING
    over = gateway.refund(order("716000001", 600))
    assert (over.outcome, over.payment_reference) == (FAILED, "")
    assert over.message == "Refund amount should be less than or equal to the balanced transaction amount."
    over = gateway.refund(order("716000001", 2100))
    assert (over.outcome, over.message) == (FAILED, "Refund Amount greater than transaction amount.")
    sandbox.tell("refused")
    gone = gateway.refund(order("716000001", 100))
    assert (gone.outcome, gone.message, gone.payment_reference) == (FAILED, "Transaction does not exist.", "716000001")
    assert [line["minor"] for line in sandbox.ledger()] == [1500]
    assert gateway.refund(order("716000001", 500)).reference > "71600000102"


def test_each_refund_of_a_payment_has_a_child_id_of_its_own(sandbox):
    gateway = connect(sandbox)
    children = [gateway.refund(order("716000001")).reference for _ in range(12)]
    assert children == [f"716000001{n:02}" for n in range(1, 13)]
    assert len({line["key"] for line in sandbox.ledger()}) == 12


def test_several_entries_are_each_an_order_of_their_own(sandbox):
    sandbox.payment("716000002", 1200, "INR", gateway="airpay")
    asked = [order("716000001"), order("716000002"), order("716000002", 500), order("716000003", 1001)]
    gateway = connect(sandbox)
    said = post(sandbox, gateway.write_entries(asked))
    entries = said.json()["transactions"]
    assert [one["airpayid"] for one in entries] == ["716000003", "716000002", "716000002", "716000001"], "turned round"
    assert [one["success"] for one in entries[::-1]] == ["true", "true", "false", "false"]
    assert entries[1]["message"] == "Refund amount should be less than or equal to the balanced transaction amount."
    assert [line["minor"] for line in sandbox.ledger()] == [1000, 1000]
    many = [order(str(number)) for number in range(1, 101)]
    assert len(post(sandbox, gateway.write_entries(many)).json()["transactions"]) == 100


def test_a_bundle_may_be_left_out_told_twice_and_told_another_amount(sandbox):
    asked = [order("716000001", 1022), order("716000002", 1023), order("716000003", 1012), order("716000004")]
    asked.append(order("716000005", 1001))
    found = in_order(connect(sandbox, BATCH="5").refund_many(asked), asked)
    assert [update and update.outcome for update in found] == [None, None, PROCESSING, PROCESSING, FAILED]
    assert found[2].amount == Money(1013, "INR")
    assert len(sandbox.requests()) == 1
    assert sorted(line["minor"] for line in sandbox.ledger()) == [1000, 1012, 1022, 1023]


@pytest.mark.parametrize("story", ["left_out", "told_twice"])
def test_an_order_that_went_alone_can_be_left_out_and_told_twice_too(sandbox, story):
    sandbox.tell(story)
    with pytest.raises(NoAnswer, match="no entry about this refund"):
        connect(sandbox).refund(order("716000001"))
    assert len(sandbox.ledger()) == 1


def test_a_story_that_breaks_the_line_breaks_it_for_all_entries(sandbox):
    asked = [order("716000001"), order("716000002", 1002), order("716000003")]
    with pytest.raises(requests.ConnectionError):
        post(sandbox, connect(sandbox).write_entries(asked))
    assert sorted(line["minor"] for line in sandbox.ledger()) == [1000, 1000, 1002]
    sandbox.tell("error_after", payment="716000009")
    assert post(sandbox, connect(sandbox).write_entries([order("716000008"), order("716000009")])).status_code == 500


def test_a_simulated_merchant_can_be_set_up_otherwise(sandbox):
    simulator = sandbox.simulators["airpay"]
    simulator.id_field, simulator.is_wrapped = "airpayid", True
    assert connect(sandbox, ID_FIELD="airpayid", WRAP_IN_ARRAY="on").refund(order("716000001")).outcome is PROCESSING
    for config in ({}, {"ID_FIELD": "airpayid"}, {"WRAP_IN_ARRAY": "on"}):
        assert connect(sandbox, **config).refund(order("716000001")).outcome is FAILED


def verify_form(sandbox, **change: str | None) -> bytes:
    key = sha256("sandbox_airpay~:~sandbox-airpay-password")
    private_key = sha256("sandbox-airpay-secret@sandbox_airpay:|:sandbox-airpay-password")
    form = {"merchant_id": "900100", "merchant_txn_id": "", "processor_id": "71600000101", "private_key": private_key}
    form = {name: text for name, text in {**form, **change}.items() if text is not None}
    hashed = ("merchant_id", "merchant_txn_id", "processor_id", "rrn", "terminal_id", "txn_type")
    day = datetime.now(module.INDIA).date()
    text = "".join(form.get(name, "") for name in hashed)
    return urlencode({"checksum": sha256(f"{key}@{text}{day}"), **form}).encode()


def verified(sandbox, body: bytes, content_type: str = "application/x-www-form-urlencoded") -> str:
    said = post(sandbox, body, "/order/verify.php", content_type)
    assert (said.status_code, said.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    return said.text


def test_verify_knows_refunds_by_child_id_and_payments_as_sales(sandbox):
    sandbox.payment("716000001", 2000, "INR", gateway="airpay")
    connect(sandbox).refund(order("716000001"))
    sandbox.settle()
    paid = verified(sandbox, verify_form(sandbox))
    assert "<TRANSACTIONSTATUS><![CDATA[200]]></TRANSACTIONSTATUS>" in paid
    assert "<TRANSACTIONTYPE><![CDATA[340]]></TRANSACTIONTYPE>" in paid
    assert "<AMOUNT><![CDATA[10.00]]></AMOUNT>" in paid
    assert "<TRANSACTIONTYPE><![CDATA[340]]></TRANSACTIONTYPE>" in verified(sandbox, verify_form(sandbox, rrn="1"))
    sale = verified(sandbox, verify_form(sandbox, processor_id="716000001"))
    assert "<TRANSACTIONTYPE><![CDATA[320]]></TRANSACTIONTYPE>" in sale
    assert "<AMOUNT><![CDATA[20.00]]></AMOUNT>" in sale
    none = verified(sandbox, verify_form(sandbox, processor_id="71600000199"))
    assert "<TRANSACTIONSTATUS><![CDATA[503]]></TRANSACTIONSTATUS>" in none


def test_the_sale_is_never_taken_for_the_refund(sandbox):
    sandbox.payment("716000001", 1000, "INR", gateway="airpay")
    (update,) = connect(sandbox).look_up(RefundOrder("k", "716000005", Money(1000, "INR"), reference="716000001"))
    assert update.outcome is UNCLEAR


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"merchant_id": "900101"}, "Invalid merchant id."),
        ({"private_key": "0" * 64}, "Merchant key authentication error."),
        ({"private_key": None}, "Invalid request."),
        ({"merchant_txn_id": None}, "Invalid request."),
        ({"processor_id": None}, "Invalid request."),
        ({"checksum": "0" * 64}, "Checksum mismatch."),
    ],
    ids=repr,
)
def test_verify_is_as_strict(sandbox, change, message):
    assert verified(sandbox, verify_form(sandbox, **change)) == (
        f"<RESPONSE><ERROR><![CDATA[{message}]]></ERROR></RESPONSE>"
    )


def test_verify_refuses_what_it_cannot_read_and_yesterdays_checksum(sandbox):
    form = verify_form(sandbox)
    assert "Invalid content type." in verified(sandbox, form, "application/json")
    assert "Invalid request." in verified(sandbox, form + b"&processor_id=1")
    assert "Invalid request." in verified(sandbox, b"x")
    with time_machine.travel("2026-03-01T18:29:50Z", tick=False):
        late = verify_form(sandbox)
    with time_machine.travel("2026-03-01T18:30:01Z"):
        assert "Checksum mismatch." in verified(sandbox, late)


STORIES_TOLD = [
    ("success", SUCCEEDED),
    ("reversed", FAILED),
    ("fails_later", FAILED),
    ("unheard_word", UNCLEAR),
    ("two_voices", PROCESSING),
    ("expires", UNCLEAR),
    ("waits", SUCCEEDED),
]


@pytest.mark.parametrize(("story", "end"), STORIES_TOLD)
def test_a_story_ends_as_the_look_up_says(sandbox, story, end):
    sandbox.tell(story)
    gateway, asked = connect(sandbox), order("716000001")
    first = gateway.refund(asked)
    assert (first.outcome, first.reference) == (PROCESSING, "71600000101")
    sandbox.settle()
    (update,) = gateway.look_up(replace(asked, reference=first.reference))
    assert (update.outcome, update.reference, update.amount) == (end, "71600000101", Money(1000, "INR"))
    assert bool(update.details.get("rrn")) == (end is SUCCEEDED)


def test_an_order_that_is_carried_out_late_is_not_known_before(sandbox):
    sandbox.desk.pace = 1000
    with pytest.raises(NoAnswer):
        connect(sandbox).refund(order("716000001", 1015))
    assert "503" in verified(sandbox, verify_form(sandbox))


@pytest.mark.parametrize(("payment", "channel"), [("716000001", "upi"), ("716000002", "pg")])
def test_its_callbacks_are_true_and_forged_ones_are_not(sandbox, inbox, payment, channel):
    sandbox.callback("airpay", inbox.url)
    gateway, asked = connect(sandbox), order(payment)
    child = gateway.refund(asked).reference
    sandbox.settle()
    sandbox.tell("forged_webhook")
    gateway.refund(asked)
    sandbox.settle()
    true, forged = (Delivery(*letter) for letter in inbox.letters)
    assert true.headers["content-type"] == Airpay.webhook_type
    assert parse_qs(true.body.decode())["CHMOD"] == [channel]
    gateway.verify_webhook(true)
    assert gateway.read_webhook(true) == [Nudge(reference=child)]
    with pytest.raises(BadWebhook):
        gateway.verify_webhook(forged)
