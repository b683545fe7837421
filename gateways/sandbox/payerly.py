"""A gateway that speaks like Payerly. Error codes, status words and the 409 are inventions: theirs are not known."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateways.sandbox.desk import Desk, Order, Reply
from gateways.sandbox.ledger import Refund, iso
from gateways.sandbox.simulator import Request, SimulatedGateway
from gateways.sandbox.stories import STORIES

TOKEN = "sandbox-payerly-token"
WORDS = {"processing": "PROCESSING", "succeeded": "SUCCESS", "failed": "DECLINED"}
WORDS |= {"waiting": "CREATED", "cancelled": "CANCELLED", "unheard": "ON_THE_MOON"}
DECIMALS = {
    **dict.fromkeys(re.findall("...", "BIFCLPDJFGNFISKJPYKMFKRWPYGRWFUGXUYIVNDVUVXAFXOFXPF"), 0),
    **dict.fromkeys(re.findall("...", "BHDIQDJODKWDLYDOMRTND"), 3),
}
CLOSED = (2001, "The payment cannot be refunded.", "paymentId")
EXCEEDS = (2002, "The refunds of this payment would exceed it.", "amount")
REFUND_PATH = re.compile(r"/refunds/([^/]+)")
LIST_PATH = re.compile(r"/payments/([^/]+)/refunds")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
AT_HOME = ("127.0.0.1", "localhost", "::1")


class Refused(Exception):
    """An order that is answered with an error block."""

    def __init__(self, status: int, code: int, text: str, field: str = "") -> None:
        super().__init__(text)
        self.status, self.code, self.text, self.field = status, code, text, field


class Simulator(SimulatedGateway):
    base = "/payerly/v1"
    currency = "EUR"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.key = private_key(desk.state / "payerly.pem" if desk.state else None)

    def payment_name(self, number: int) -> str:
        return f"payment-{number}"

    def credentials(self) -> dict[str, str]:
        return {"TOKEN": TOKEN}

    def answer(self, request: Request) -> Reply:
        try:
            return self._route(request)
        except Refused as no:
            return error(no)

    def letter(self, refund: Refund, word: str, forged: bool) -> tuple[dict[str, str], bytes]:
        body = as_json({**shown(refund, word), "error": {"code": 0, "description": "No error."}})
        key = fresh_key("forger") if forged else self.key
        signature = key.sign(body, padding.PKCS1v15(), hashes.SHA256())
        return {"Content-Type": "application/json", "Signature": base64.b64encode(signature).decode()}, body

    def _route(self, request: Request) -> Reply:
        if (request.method, request.path) == ("GET", "/signkey"):
            return fine({"pem": public_pem(self.key)})
        given = request.headers.get("authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {TOKEN}".encode()):
            raise Refused(401, 1001, "The bearer token is missing or wrong.", "Authorization")
        path, method = request.path, request.method
        if (found := REFUND_PATH.fullmatch(path)) and method == "PUT":
            return self._put(unquote(found[1]), request)
        if method != "GET":
            raise Refused(405, 4005, "Only GET is served here.")
        if found := LIST_PATH.fullmatch(path):
            refunds = self.desk.ledger.refunds_of("payerly", unquote(found[1]))
            return fine({"items": [shown(refund, refund.status) for refund in refunds]})
        if found := REFUND_PATH.fullmatch(path):
            refund = self.desk.ledger.refund("payerly", unquote(found[1]))
            if refund is None or not refund.is_executed:
                raise Refused(404, 4004, "There is no such refund.")
            return fine(shown(refund, refund.status))
        raise Refused(404, 4000, "There is no such resource.")

    def _put(self, key: str, request: Request) -> Reply:
        order = read_order(key, request)
        return self.take(
            order,
            lambda refund: fine(shown(refund, refund.status)),
            lambda too_much: error(Refused(400, *(EXCEEDS if too_much else CLOSED))),
            reference=f"tx{secrets.token_hex(8)}",
            again=lambda known: self._again(known, order),
        )

    def _again(self, known: Refund, order: Order) -> Reply:
        """The same order once more is the same refund, whatever became of the first answer."""
        if known.asked != order.asked:
            return error(Refused(409, 2009, "This refund id stands for another order.", "refundId"))
        self.desk.execute(known)
        return fine(shown(known, known.status))


def read_order(key: str, request: Request) -> Order:
    """The order in a PUT; refuses whatever a strict gateway would."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Refused(415, 3000, "Send application/json.", "Content-Type")
    try:
        asked = json.loads(request.body.decode("utf-8"))
    except ValueError:
        raise Refused(400, 3001, "The body is not JSON.") from None
    if not isinstance(asked, dict) or not isinstance(asked.get("amount"), dict):
        raise Refused(400, 3002, "An amount is required.", "amount")
    payment, callback = asked.get("paymentId"), asked.get("callbackUrl", "")
    if not NAME.fullmatch(key) or not isinstance(payment, str) or not NAME.fullmatch(payment):
        raise Refused(400, 3003, "An id is missing or malformed.", "paymentId")
    if not isinstance(callback, str) or (callback and not may_call(callback)):
        raise Refused(400, 3004, "Callbacks are https only.", "callbackUrl")
    check_custom_fields(asked.get("customFields", {}))
    minor, currency = read_amount(asked["amount"])
    return Order("payerly", key, payment, minor, currency, callback, request.body.decode("utf-8"))


def read_amount(amount: dict[str, Any]) -> tuple[int, str]:
    value, currency = amount.get("value"), amount.get("currency")
    if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
        raise Refused(422, 3005, "The currency is missing or unknown.", "amount.currency")
    places = DECIMALS.get(currency, 2)
    pattern = rf"[0-9]{{1,15}}\.[0-9]{{{places}}}" if places else "[0-9]{1,15}"
    if not isinstance(value, str) or not re.fullmatch(pattern, value) or not int(value.replace(".", "")):
        raise Refused(422, 3006, f"An amount in {currency} has {places} decimals and is not zero.", "amount.value")
    return int(value.replace(".", "")), currency


def check_custom_fields(fields: object) -> None:
    allowed = {f"cf{number}" for number in range(1, 6)}
    if not isinstance(fields, dict) or not set(fields) <= allowed or not all(type(v) is str for v in fields.values()):
        raise Refused(400, 3007, "customFields holds cf1 to cf5, each a text.", "customFields")


def may_call(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in AT_HOME))


def shown(refund: Refund, word: str) -> dict[str, Any]:
    """A refund in Payerly's envelope."""
    places = DECIMALS.get(refund.currency, 2)
    minor = str(refund.minor + STORIES[refund.story].shown_too_much).rjust(places + 1, "0")
    amount = {"value": f"{minor[:-places]}.{minor[-places:]}" if places else minor, "currency": refund.currency}
    found: dict[str, Any] = {
        "refundId": refund.key,
        "paymentId": refund.payment,
        "txnId": refund.reference,
        "orderId": f"order-{refund.payment}"[:64],
        "createdAt": iso(refund.created_at),
        "amount": amount,
        "convAmount": amount,
        "additionalInfo": {"rrn": retrieval_number(refund.reference)},
        "status": {"changedAt": iso(refund.changed_at), "value": WORDS[word], "description": f"Refund {word}"},
    }
    asked = json.loads(refund.asked)
    found.update({name: asked[name] for name in ("callbackUrl", "customFields") if name in asked})
    return {"type": "REFUND", "object": found}


def retrieval_number(reference: str) -> str:
    return str(int(hashlib.sha256(reference.encode()).hexdigest(), 16))[:12]


def fine(told: dict[str, Any]) -> Reply:
    told = told if "items" in told or "pem" in told else {**told, "error": {"code": 0, "description": "No error."}}
    return Reply(200, as_json(told), {"Content-Type": "application/json"})


def error(no: Refused) -> Reply:
    fields = [{"name": no.field, "type": "body", "value": ""}] if no.field else []
    block = {
        "code": no.code,
        "description": no.text,
        "traceId": secrets.token_hex(8),
        "details": [{"value": f"E{no.code}", "description": no.text, "fields": fields}],
    }
    return Reply(no.status, as_json({"type": "REFUND", "error": block}), {"Content-Type": "application/json"})


def as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8")


def private_key(file: Path | None) -> rsa.RSAPrivateKey:
    """The key in the file; a fresh one, kept there, when there is none yet."""
    if file and file.exists():
        found = serialization.load_pem_private_key(file.read_bytes(), None)
        if isinstance(found, rsa.RSAPrivateKey):
            return found
    if file is None:
        return fresh_key("memory")
    key = fresh_key(str(file))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.touch(0o600)
    file.write_bytes(key.private_bytes(*form))
    return key


@cache
def fresh_key(purpose: str) -> rsa.RSAPrivateKey:
    """One per purpose and process: making them is slow."""
    return rsa.generate_private_key(65537, 2048)


def public_pem(key: rsa.RSAPrivateKey) -> str:
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form).decode("ascii")
