"""The table of what a webhook is answered with and what it may do, through the one door, for every gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client

from gateways.sandbox import Sandbox
from gateways.sandbox.airpay import FORM
from refunds.models import Delivery
from refunds.services import deliveries
from tests.builders import ACCOUNTS, again, make_account
from tests.faults.letters import SENDERS, inside, letter_of, seal
from tests.faults.test_forgery import ROOT, Desk, sealed_by_anybody
from tests.refunds.test_webhooks import OURS, callback, pem

pytestmark = pytest.mark.django_db
JSON = "application/json"
MOST = 64 * 1024


@dataclass(frozen=True)
class Parcel:
    """What is handed in at the door; `also` goes straight into the WSGI environment."""

    body: bytes
    headers: dict[str, str]
    kind: str
    method: str = "POST"
    door: str = ""
    also: dict[str, str] = field(default_factory=dict)


# Case → what becomes of a true parcel, and the answers that are right. None of these may do anything.
Change = Callable[[Parcel], Parcel]
WRAPPINGS: dict[str, tuple[Change, tuple[int, ...]]] = {
    **{
        f"method {method}": (lambda parcel, method=method: replace(parcel, method=method), (405,))
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
    },
    **{
        f"type {kind!r}": (lambda parcel, kind=kind: replace(parcel, kind=kind), (415,))
        for kind in ("", "text/plain", "text/json", "application/xml", "multipart/form-data; boundary=x", "json", "*/*")
    },
    "the other gateways' type": (lambda parcel: replace(parcel, kind=FORM if parcel.kind == JSON else JSON), (415,)),
    **{
        f"charset {name}": (lambda p, name=name: replace(p, kind=f"{p.kind}; charset={name}"), (415,))
        for name in ("utf-16", "utf-7", "latin-1", "idna", "x", "")
    },
    "too long by a byte": (lambda parcel: replace(parcel, body=parcel.body.ljust(MOST + 1)), (413,)),
    **{
        f"length {told!r}": (lambda parcel, told=told: replace(parcel, also={"CONTENT_LENGTH": told}), (413,))
        for told in (str(MOST + 1), "9" * 30, "-1", "1e3", "0x10", "12 34", "\u0663", "many")
    },
    "chunked, so of no length": (
        lambda parcel: replace(parcel, also={"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}),
        (400, 413),
    ),
    "empty": (lambda parcel: replace(parcel, body=b"", also={"CONTENT_TYPE": parcel.kind}), (400,)),
    "cut by its length": (lambda parcel: replace(parcel, also={"CONTENT_LENGTH": str(len(parcel.body) // 2)}), (401,)),
    "no such account": (lambda parcel: replace(parcel, door="/webhooks/nobody/"), (404,)),
}
DEEP, LONG = b'{"a":' * 17 + b"1" + b"}" * 17, b"1234567890123456789"
# What may stand behind a true seal and is read by nobody: said once as a whole text, and once as one more field.
TEXTS = {
    "not UTF-8": b'{"type":"\xff"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"type":"REFUND"}'.encode("utf-16"),
    "UTF-32": '{"type":"REFUND"}'.encode("utf-32"),
    "a surrogate in UTF-8": b'{"type":"\xed\xa0\x80"}',
    "too deep": DEEP,
    "bottomless": b"[" * 40_000,
    "a list": b"[]",
    "a text": b'"REFUND"',
    "null": b"null",
    "trailing bytes": b"{} {}",
    "cut": b'{"type":',
    "nothing but blanks": b"   ",
    "a form": b"type=REFUND",
}
FIELDS = {
    "doubled": b'"again":1,"again":1',
    "doubled by an escape": b'"again":1,"\\u0061gain":1',
    "NaN": b'"x":NaN',
    "Infinity": b'"x":-Infinity',
    "out of all bounds": b'"x":1e400',
    "nineteen digits": b'"x":' + LONG,
    "thousands of digits": b'"x":' + b"9" * 10_000,
    "NUL": b'"x":"\\u0000"',
    "half a pair": b'"x":"\\ud800"',
    "deep inside": b'"x":' + DEEP,
    "a line break in a text": b'"x":"\n"',
}


def true_parcel(desk: Desk, sandbox: Sandbox) -> Parcel:
    letter = letter_of(desk.gateway, sandbox)
    return sealed(desk, sandbox, inside(desk.gateway, letter), letter.headers["content-type"])


def sealed(desk: Desk, sandbox: Sandbox, said: bytes, kind: str) -> Parcel:
    headers, body = seal(desk.gateway, sandbox, said, ROOT + desk.door)
    return Parcel(body, headers, kind, door=desk.door)


def hand_in(p: Parcel) -> int:
    client = Client(raise_request_exception=False)
    return client.generic(p.method, p.door, p.body, p.kind, headers=p.headers, **p.also).status_code


@pytest.fixture
def desk(gateway: str, sandbox: Sandbox, settings: Any) -> Desk:
    settings.PUBLIC_URL = ROOT
    return Desk(gateway, sandbox)


@pytest.mark.promise("I34", "I40")
@pytest.mark.parametrize("gateway", SENDERS)
def test_what_cannot_be_theirs_by_its_wrapping_is_refused_and_kept_nowhere(
    desk: Desk, sandbox: Sandbox, trials: Callable[[int], None]
) -> None:
    parcel, before = true_parcel(desk, sandbox), desk.seen()
    for case, (change, answers) in WRAPPINGS.items():
        assert hand_in(change(parcel)) in answers, case
        assert desk.seen() == before, case
    assert hand_in(parcel) == 200  # so that it was the wrapping
    trials(len(WRAPPINGS))


@pytest.mark.promise("I40")
@pytest.mark.parametrize("gateway", [name for name in SENDERS if name != "airpay"])
def test_what_reads_in_two_ways_is_not_read_though_its_seal_is_true(
    desk: Desk, sandbox: Sandbox, trials: Callable[[int], None]
) -> None:
    kind = true_parcel(desk, sandbox).kind
    said = inside(desk.gateway, letter_of(desk.gateway, sandbox)).rstrip()
    assert said.endswith(b"}")
    texts = {**TEXTS, **{name: said[:-1] + b"," + more + b"}" for name, more in FIELDS.items()}}
    before = desk.seen()
    for case, text in texts.items():
        assert hand_in(sealed(desk, sandbox, text, kind)) in (400, 401), case
        assert desk.seen()[:7] == before[:7], case
    assert set(Delivery.objects.values_list("result", flat=True)) <= {"unreadable"}
    trials(len(texts))


@pytest.mark.promise("I40")
@pytest.mark.parametrize("gateway", ["airpay"])
@pytest.mark.parametrize(
    "more",
    ["&AMOUNT=1.00", "&x=%ff", "&x=\udcff", "&x", ";x=1", "&x=%ED%A0%80", "".join(f"&x{n}=" for n in range(100))],
    ids=["doubled", "not UTF-8", "raw bytes", "no value", "another sign", "a surrogate", "too many fields"],
)
def test_a_form_that_reads_in_two_ways_is_not_read(more: str, desk: Desk, sandbox: Sandbox) -> None:
    parcel, before = true_parcel(desk, sandbox), desk.seen()
    assert hand_in(replace(parcel, body=parcel.body + more.encode(errors="surrogateescape"))) in (400, 401)
    assert desk.seen() == before


@pytest.mark.promise("I35", "I41")
@pytest.mark.parametrize("gateway", SENDERS)
def test_a_repeat_is_answered_alike_and_does_nothing(desk: Desk, sandbox: Sandbox) -> None:
    parcel = true_parcel(desk, sandbox)
    if desk.gateway == "payerly":  # which is believed, so here it is about our own refund
        ours = {"txnId": desk.refund.reference, "amount": {"value": "12.00", "currency": "EUR"}}
        parcel = sealed(desk, sandbox, callback(desk.refund, **ours), parcel.kind)
    assert hand_in(parcel) == 200
    assert desk.gateway != "payerly" or again(desk.refund).status == "succeeded"
    once = desk.seen(), Delivery.objects.values().get()
    assert [hand_in(parcel) for _ in range(5)] == [200] * 5
    assert (desk.seen(), Delivery.objects.values().get()) == once


STRANGE = {"paymentNo": "no-such", "paymentId": "NOSU-CHP-AYM-ENT", "requestId": "no-such"}


@pytest.mark.promise("I39")
@pytest.mark.parametrize("gateway", SENDERS)
def test_what_nobody_here_knows_is_kept_and_does_nothing(desk: Desk, sandbox: Sandbox) -> None:
    letter, before = letter_of(desk.gateway, sandbox), desk.seen()
    if desk.gateway == "airpay":
        form = dict.fromkeys(("TRANSACTIONID", "MESSAGE", "CHMOD"), "x") | {
            "AMOUNT": "1.00",
            "TRANSACTIONSTATUS": "200",
        }
        text = sealed_by_anybody({**form, "APTRANSACTIONID": "404404"})
    elif desk.gateway == "payerly":
        text = json.dumps({"type": "PAYMENT", "object": STRANGE}).encode()
    else:
        text = json.dumps({**STRANGE, "data": STRANGE}).encode()
    assert hand_in(sealed(desk, sandbox, text, letter.headers["content-type"])) == 200
    assert Delivery.objects.get().result in ("ignored", "unmatched")
    assert desk.seen()[:8] == before[:8]


@pytest.mark.promise("I38")
@pytest.mark.parametrize("gateway", SENDERS)
def test_what_another_account_would_believe_is_refused_here(
    desk: Desk, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same gateway, with keys of its own: URL says A, seal says B."""
    other = {
        "payerly": {},
        "paynow": {"SIGNATURE_KEY": "the-other-accounts-signature-key"},
        "pay3": {"WEBHOOK_SECRET": "the-other-accounts-webhook-secret-of-48-bytes---"},
        "examplepay": {"APP_SECRET": "the-other-accounts-secret"},
        "airpay": {"MERCHANT_ID": "2002"},
    }[desk.gateway]
    slug = f"{desk.gateway}-two"
    monkeypatch.setenv("GATEWAY_ACCOUNTS", f"{ACCOUNTS[desk.gateway]}:{desk.gateway},{slug}:{desk.gateway}")
    for name, value in {**sandbox.credentials(desk.gateway), **other}.items():
        monkeypatch.setenv(f"{slug.upper().replace('-', '_')}_{name}", value)
    make_account(slug, gateway=desk.gateway, webhook_key=pem(OURS) if desk.gateway == "payerly" else "")
    parcel, before = true_parcel(desk, sandbox), desk.seen()
    assert hand_in(replace(parcel, door=f"/webhooks/{slug}/")) == 401
    assert desk.seen() == before
    assert hand_in(parcel) == 200


@pytest.mark.promise("I37")
@pytest.mark.parametrize("gateway", SENDERS)
@pytest.mark.parametrize(("trouble", "status"), [(DatabaseError, 503), (ZeroDivisionError, 500)])
def test_trouble_of_our_own_keeps_nothing_and_brings_it_back(
    trouble: type[Exception], status: int, desk: Desk, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise trouble

    parcel, before = true_parcel(desk, sandbox), desk.seen()
    with monkeypatch.context() as broken:
        broken.setattr(deliveries, "hear_webhook", breaks)
        broken.setattr(deliveries, "hear_knock", breaks)
        assert hand_in(parcel) == status
        assert desk.seen() == before
    assert hand_in(parcel) == 200
    assert Delivery.objects.exists()


@pytest.mark.promise("I34")
@pytest.mark.parametrize("gateway", SENDERS)
def test_without_the_secret_the_door_is_shut_for_now(
    desk: Desk, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel, before = true_parcel(desk, sandbox), desk.seen()
    prefix = desk.account.slug.upper().replace("-", "_")
    for name in ("SIGNATURE_KEY", "WEBHOOK_SECRET", "APP_SECRET", "USERNAME", "TOKEN"):
        monkeypatch.setenv(f"{prefix}_{name}", " ")
    assert hand_in(parcel) == 503
    assert desk.seen() == before
