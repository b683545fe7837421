"""Webhooks of the five gateways as their sandboxes really send them, ways to bend them, and ways to seal the result."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from gateways import registry
from gateways.contract import Webhooks
from gateways.sandbox import Sandbox, examplepay, pay3, paynow
from gateways.sandbox.bench import Bench
from gateways.sandbox.door import Door, Letter

SENDERS = [name for name in registry.names() if registry.gateway_class(name).can.webhooks is not Webhooks.NONE]
# What a door sees of Paynow is about payments only, and is believed for a knock.
SENDERS = sorted({*SENDERS, "paynow"})


def letter_of(gateway: str, sandbox: Sandbox) -> Letter:
    """One real delivery about a refund, as it came through a door."""
    with Door() as door:
        bench = Bench(registry.gateway_class(gateway), sandbox, door)
        sandbox.callback(gateway, door.url)
        bench.gateway().refund(bench.order())
        sandbox.settle()
        return door.letters[-1]


def seal(gateway: str, sandbox: Sandbox, body: bytes, url: str = "") -> tuple[dict[str, str], bytes]:
    """Headers and body with which the gateway itself would send these bytes; Pay3 seals what is inside its token."""
    match gateway:
        case "payerly":
            signature = sandbox.simulators["payerly"].key.sign(body, padding.PKCS1v15(), hashes.SHA256())
            return {"signature": base64.b64encode(signature).decode()}, body
        case "paynow":
            return {"signature": paynow.hmac_of(paynow.SIGNATURE_KEY, body)}, body
        case "pay3":
            return {}, b'{"payload":"' + token_of(body).encode() + b'"}'
        case "examplepay":
            return {"authorization": examplepay.credentials_over("POST", url, body, examplepay.SECRET)}, body
    return {}, body  # Airpay's checksum stands in the form itself


def token_of(claims: bytes, *, secret: str = pay3.WEBHOOK_SECRET, algorithm: str = "HS384") -> str:
    """A token with these claims, whatever they are; HS256, HS384, HS512 or none."""
    head = part(b'{"alg":"' + algorithm.encode() + b'","typ":"JWT"}')
    signed = f"{head}.{part(claims)}"
    if algorithm == "none":
        return f"{signed}."
    digest = getattr(hashlib, f"sha{algorithm[-3:]}")
    return f"{signed}.{part(hmac.new(secret.encode(), signed.encode(), digest).digest())}"


def part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def inside(gateway: str, letter: Letter) -> bytes:
    """What a letter says, without what seals it."""
    if gateway != "pay3":
        return letter.body
    claims = letter.body.split(b".")[1]
    return base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4))


# --- Ways to bend a body; each takes the dice and the bytes ---

ODD: tuple[bytes, ...] = (
    *b"null true false 1e400 -0 NaN Infinity 1_000 0x10 [] {} 00 1.5 99999999999999999999999999".split(),
    *(b'"\\u0000"', b'"\\ud800"', b"\xff", b"\x00", b"\xef\xbb\xbf", "\u0663".encode(), "\u202e".encode()),
    *(b"[" * 40, b'{"a":' * 40, b"9" * 5000, b"A" * 4000, b"%00", b"&amount=1", b"<!DOCTYPE x>", b'"__proto__":{}'),
)


def flip(dice: random.Random, body: bytes) -> bytes:
    at = dice.randrange(len(body))
    return body[:at] + bytes([body[at] ^ (1 << dice.randrange(8))]) + body[at + 1 :]


def cut(dice: random.Random, body: bytes) -> bytes:
    return body[: dice.randrange(len(body))]


def drop(dice: random.Random, body: bytes) -> bytes:
    start, end = sorted((dice.randrange(len(body)), dice.randrange(len(body))))
    return body[:start] + body[end:]


def insert(dice: random.Random, body: bytes) -> bytes:
    at = dice.randrange(len(body))
    return body[:at] + dice.choice(ODD) + body[at:]


def replace_value(dice: random.Random, body: bytes) -> bytes:
    """One value, whatever ends it, becomes something odd: what is around it stays well formed most of the time."""
    starts = [at for at, byte in enumerate(body) if byte in b":="]
    at = dice.choice(starts) + 1 if starts else 0
    end = next((i for i in range(at, len(body)) if body[i] in b",}&]"), len(body))
    return body[:at] + dice.choice(ODD) + body[end:]


def double(dice: random.Random, body: bytes) -> bytes:
    """A part twice: doubled names, bodies one after the other."""
    start, end = sorted((dice.randrange(len(body)), dice.randrange(len(body))))
    return body[:end] + body[start:end] + body[end:]


def noise(dice: random.Random, body: bytes) -> bytes:
    return dice.randbytes(dice.randrange(1, 200))


BENDS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    flip,
    cut,
    drop,
    insert,
    replace_value,
    double,
    noise,
    lambda dice, body: insert(dice, replace_value(dice, body)),
    lambda dice, body: replace_value(dice, replace_value(dice, body)),
)


def bend(dice: random.Random, body: bytes) -> bytes:
    return dice.choice(BENDS)(dice, body)
