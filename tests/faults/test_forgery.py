"""The forging battery: what is not theirs changes nothing; what anybody could write is a knock at a bounded rate."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import random
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.test import Client
from django.utils import timezone

from gateways import registry
from gateways.airpay import SIGNED
from gateways.sandbox import Sandbox, airpay, examplepay, pay3, paynow
from gateways.sandbox.door import Letter
from refunds.models import Attempt, Delivery, Event, Payment, Refund, UnmatchedRefund
from tests.builders import ACCOUNTS, again, approved, make_account, make_payment
from tests.faults.letters import SENDERS, inside, letter_of, part, seal, token_of

pytestmark = pytest.mark.django_db
Forgery = tuple[dict[str, str], bytes]
WEAK = ("airpay",)  # its checksum has no key, so that anybody can write it
ROOT = "http://localhost"
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
N_BODIES = 12  # each forgery over so many bodies


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


# --- Forgeries of a text that is meant to be a signature ---

BENT: dict[str, Callable[[str], str]] = {
    "none": lambda text: "",
    "blank": lambda text: " ",
    "truncated": lambda text: text[:-4],
    "longer": lambda text: text + "AAAA",
    "huge": lambda text: "A" * 6000,
    "not ASCII": lambda text: "ż" + text[1:],
    "doubled": lambda text: f"{text}, {text}",
    "turned round": lambda text: text[::-1],
    "other case": lambda text: text.swapcase(),
    "one bit": lambda text: text[:7] + ("A" if text[7] != "A" else "B") + text[8:],
    "not base64": lambda text: "%%%%",
    "null": lambda text: "null",
    "quoted": lambda text: f'"{text}"',
    "url-safe": lambda text: text.replace("+", "-").replace("/", "_") + "=",
    "algorithm before it": lambda text: f"sha256={text}",
    "of another body": lambda text: text,  # the body is changed instead
}


def of_payerly(body: bytes, sandbox: Sandbox) -> Iterator[Forgery]:
    key = sandbox.simulators["payerly"].key
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH)
    for signature in (
        STRANGER.sign(body, padding.PKCS1v15(), hashes.SHA256()),
        key.sign(body, padding.PKCS1v15(), hashes.SHA512()),
        key.sign(body, padding.PKCS1v15(), hashes.SHA1()),
        key.sign(body, pss, hashes.SHA256()),
        key.sign(hashlib.sha256(body).digest(), padding.PKCS1v15(), hashes.SHA256()),
        hashlib.sha256(body).digest(),
        bytes(256),
        b"\x01" * 256,
    ):
        yield {"signature": b64(signature)}, body


def of_paynow(body: bytes, sandbox: Sandbox) -> Iterator[Forgery]:
    right = paynow.SIGNATURE_KEY.encode()
    for digest in (
        hmac.new(b"somebody-elses", body, hashlib.sha256).digest(),
        hmac.new(b"", body, hashlib.sha256).digest(),
        hmac.new(paynow.API_KEY.encode(), body, hashlib.sha256).digest(),
        hmac.new(right, body, hashlib.sha1).digest(),
        hmac.new(right, body, hashlib.sha512).digest(),
        hmac.new(body, right, hashlib.sha256).digest(),
        hashlib.sha256(right + body).digest(),
    ):
        yield {"signature": b64(digest)}, body
    yield {"signature": hmac.new(right, body, hashlib.sha256).hexdigest()}, body


def of_pay3(claims: bytes, sandbox: Sandbox) -> Iterator[Forgery]:
    right = pay3.WEBHOOK_SECRET
    signature = token_of(claims).rsplit(".", 1)[1]
    heads = (
        b'{"alg":"none"}',
        b'{"alg":"None","typ":"JWT"}',
        b'{"alg":"RS256","typ":"JWT"}',
        b'{"alg":"HS384","kid":"/dev/null"}',
        b'{"alg":"HS384","jwk":{"kty":"oct","k":"AA"}}',
        b'{"alg":"HS384","alg":"none"}',
        b'{"typ":"JWT"}',
        b"[]",
    )
    tokens = [
        *(f"{part(head)}.{part(claims)}." for head in heads),
        *(f"{part(head)}.{part(claims)}.{signature}" for head in heads[:3]),
        token_of(claims, secret="somebody-elses"),
        token_of(claims, secret=" "),
        token_of(claims, secret=pay3.API_SECRET),
        token_of(claims, algorithm="HS256"),
        token_of(claims, algorithm="HS512"),
        token_of(claims) + ".",
        token_of(claims) + ".AAAA",
        token_of(claims).replace(".", "..", 1),
        token_of(claims, secret=right).rsplit(".", 1)[0],
    ]
    yield from (({}, json.dumps({"payload": token}).encode()) for token in tokens)


def of_examplepay(body: bytes, sandbox: Sandbox) -> Iterator[Forgery]:
    address = f"{ROOT}/webhooks/{ACCOUNTS['examplepay']}/"
    now, nonce = int(time.time() * 1000), "0" * 32

    def signed(at: object = now, secret: str = "", app: str = examplepay.APP_ID, url: str = address) -> Forgery:
        sign = examplepay.sign("POST", url, str(at), nonce, body, secret or examplepay.SECRET)
        return {"authorization": f"V2_SHA256 appId={app},sign={sign},timestamp={at},nonce={nonce}"}, body

    yield from (signed(at) for at in (now - 301_000, now + 330_000, now // 1000, now * 1000, 0, "", "-1"))
    yield from (signed(secret=secret) for secret in (" ", "somebody-elses", examplepay.APP_ID))
    yield from (signed(app=app) for app in ("", "0" * 32, examplepay.APP_ID.upper()))
    yield from (signed(url=url) for url in ("", "/", f"{ROOT}/webhooks/other/", address + "?a=1"))


def of_airpay(body: bytes, sandbox: Sandbox) -> Iterator[Forgery]:
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    for value in ("", "0", "-1", "4294967296", "x", form["ap_SecureHash"] + "0", form["ap_SecureHash"][::-1] + "1"):
        yield {}, urlencode({**form, "ap_SecureHash": value}).encode()
    yield from (({}, urlencode({**form, name: form[name] + "0"}).encode()) for name in SIGNED)
    yield from (({}, urlencode({key: form[key] for key in form if key != name}).encode()) for name in SIGNED)


FORGERS = {
    "payerly": of_payerly,
    "paynow": of_paynow,
    "pay3": of_pay3,
    "examplepay": of_examplepay,
    "airpay": of_airpay,
}
CARRIER = {"payerly": "signature", "paynow": "signature", "examplepay": "authorization"}


def in_general(gateway: str, sandbox: Sandbox, said: bytes, door: str) -> Iterator[Forgery]:
    """What is tried on every gateway: a bent signature, a changed body, another wrapping."""
    headers, body = seal(gateway, sandbox, said, ROOT + door)
    if carrier := CARRIER.get(gateway):
        for name, bend in BENT.items():
            changed = body + b" " if name == "of another body" else body
            yield {carrier: bend(headers[carrier])}, changed
        yield {}, body
        yield {"x-" + carrier: headers[carrier]}, body
        as_written_by_another = json.dumps(json.loads(body), indent=1).encode()
        yield headers, as_written_by_another
    yield {**headers, "content-encoding": "gzip"}, gzip.compress(body)


def other_words(said: bytes, dice: random.Random) -> bytes:
    """The same letter with another word in it, as a forger would want it."""
    for old, new in ((b"PROCESSING", b"SUCCESS"), (b"COMPLETED", b"REFUNDED"), (b"CONFIRMED", b"REJECTED")):
        said = said.replace(old, new)
    return said.replace(b"1200", str(dice.randrange(1000, 9999)).encode())


class Desk:
    """A refund on its way at one gateway, and its door."""

    def __init__(self, gateway: str, sandbox: Sandbox) -> None:
        self.gateway = gateway
        pem = ""
        if gateway == "payerly":
            pem = registry.build(gateway, sandbox.credentials(gateway)).webhook_key()
        simulator = sandbox.simulators[gateway]
        self.account = make_account(ACCOUNTS[gateway], webhook_key=pem)
        payment = make_payment(5000, simulator.currency, simulator.payment_name(0), account=self.account)
        self.refund = approved(payment, 1200)
        sent = {"status": "processing", "sent_at": timezone.now(), "reference": "71600000001", "ask_at": None}
        Refund.objects.filter(pk=self.refund.pk).update(**sent)
        self.door = f"/webhooks/{self.account.slug}/"
        self.client = Client(raise_request_exception=False)

    def deliver(self, letter: Letter, headers: dict[str, str], body: bytes) -> int:
        kind = letter.headers["content-type"]
        return self.client.generic("POST", self.door, body, content_type=kind, headers=headers).status_code

    def seen(self) -> tuple[Any, ...]:
        refund, payment = again(self.refund), Payment.objects.get(pk=self.refund.payment_id)
        told = (refund.status, refund.version, refund.ask_at, refund.needs_attention, refund.reference)
        kept = (model.objects.count() for model in (Event, Delivery, Refund, UnmatchedRefund))
        return *told, payment.held, payment.refunded, *kept


@pytest.mark.promise("I34")
@pytest.mark.parametrize("gateway", SENDERS)
def test_what_is_forged_changes_nothing(
    gateway: str, sandbox: Sandbox, settings: Any, trials: Callable[[int], None]
) -> None:
    settings.PUBLIC_URL = ROOT
    desk, dice, n_tried = Desk(gateway, sandbox), random.Random(gateway), 0
    letter = letter_of(gateway, sandbox)
    before = desk.seen()
    for number in range(N_BODIES):
        said = other_words(inside(gateway, letter), dice) if number and gateway != "airpay" else inside(gateway, letter)
        for headers, body in (*in_general(gateway, sandbox, said, desk.door), *FORGERS[gateway](said, sandbox)):
            answer = desk.deliver(letter, headers, body)
            assert answer in (400, 401, 413, 415), (answer, headers, body)
            n_tried += 1
    assert desk.seen() == before
    trials(n_tried)


@pytest.mark.promise("I34")
@pytest.mark.parametrize("gateway", [name for name in SENDERS if name not in WEAK])
def test_the_battery_is_about_letters_that_would_be_let_in(gateway: str, sandbox: Sandbox, settings: Any) -> None:
    """The test above can fail: sealed by the gateway itself, the same words pass the door."""
    settings.PUBLIC_URL = ROOT
    desk, letter = Desk(gateway, sandbox), letter_of(gateway, sandbox)
    said = other_words(inside(gateway, letter), random.Random(1))
    headers, body = seal(gateway, sandbox, said, ROOT + desk.door)
    assert desk.deliver(letter, headers, body) == 200


@pytest.mark.promise("I34")
def test_a_checksum_that_anybody_can_write_is_a_knock_and_no_more(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, trials: Callable[[int], None]
) -> None:
    """1,000 well-made forgeries within 15 minutes move nothing and bring at most one look-up in 30 seconds."""
    desk, letter, start = Desk("airpay", sandbox), letter_of("airpay", sandbox), timezone.now()
    form = dict(parse_qsl(letter.body.decode()))
    asks, n_forged = 0, 1000
    version, held = again(desk.refund).version, desk.seen()[5]
    for number in range(n_forged):
        now = start + timedelta(seconds=number * 0.9)
        monkeypatch.setattr(timezone, "now", lambda now=now: now)
        forged = {**form, "TRANSACTIONSTATUS": "200", "AMOUNT": f"{number}.00", "TRANSACTIONTYPE": "320"}
        forged["APTRANSACTIONID"] = desk.refund.payment.reference
        assert desk.deliver(letter, {}, sealed_by_anybody(forged)) == 200
        refund = again(desk.refund)
        assert (refund.status, refund.version) == ("processing", version)
        if refund.ask_at and refund.ask_at <= now:  # a worker asks
            asks += 1
            look = {"kind": "look_up", "fence": 0, "started_at": now, "outcome": "answered", "finished_at": now}
            Attempt.objects.create(refund=refund, **look)
            Refund.objects.filter(pk=refund.pk).update(ask_at=None)
    assert 1 <= asks <= 0.9 * n_forged / 30 + 1
    assert desk.seen()[5] == held
    trials(n_forged)


def sealed_by_anybody(form: dict[str, str]) -> bytes:
    words = [*(form[name] for name in SIGNED), airpay.MERCHANT_ID, airpay.USERNAME]
    words += [form["CUSTOMERVPA"]] if form["CHMOD"] == "upi" else []
    return urlencode({**form, "ap_SecureHash": str(zlib.crc32(":".join(words).encode()))}).encode()
