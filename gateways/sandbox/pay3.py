"""A gateway that speaks like Pay3. The token endpoint, most error codes and a few statuses are inventions."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
import uuid
from typing import Any
from urllib.parse import parse_qsl

from gateways.money import Money, exponent
from gateways.sandbox.desk import Order, Reply
from gateways.sandbox.ledger import Refund
from gateways.sandbox.simulator import Request, SimulatedGateway
from gateways.sandbox.stories import STORIES

CLIENT_ID, API_SECRET = "sandbox-pay3-client", "sandbox-pay3-api-secret"
WEBHOOK_SECRET = "sandbox-pay3-webhook-secret-of-forty-eight-bytes-"
TOKEN_SECRET = secrets.token_bytes(32)  # of this process: older tokens end with it
TOKEN_LIFE = 1800  # seconds
WORDS = {"waiting": "REFUND_CREATED", "processing": "REFUND_INITIATED", "succeeded": "REFUNDED"}
WORDS |= {"failed": "REFUND_FAILED", "cancelled": "REFUND_FAILED", "unheard": "ON_THE_MOON"}
AMOUNT = re.compile(r"(0|[1-9][0-9]{0,14})(\.([0-9]{1,2}))?")


class Refused(Exception):
    """A call that is answered with an error; without a code it is about who asks."""

    def __init__(self, status: int, text: str, code: str = "") -> None:
        super().__init__(text)
        self.status, self.text, self.code = status, text, code


NOBODY = Refused(401, "client verification failed")


class Simulator(SimulatedGateway):
    base = "/pay3"
    currency = "BRL"

    def payment_name(self, number: int) -> str:
        return f"9824649{number:03}"

    def credentials(self) -> dict[str, str]:
        return {"CLIENT_ID": CLIENT_ID, "API_SECRET": API_SECRET, "WEBHOOK_SECRET": WEBHOOK_SECRET}

    def answer(self, request: Request) -> Reply:
        routes = {
            ("POST", "/v1/client/access-token"): self._token,
            ("POST", "/v1/client/fiat-refund"): self._create,
            ("GET", "/v1/client/fiat-refunds"): self._list,
        }
        try:
            if (request.method, request.path) not in routes:
                raise Refused(404, "There is no such resource.", "404")
            return routes[request.method, request.path](request)
        except Refused as no:
            return refusal(no)

    def letter(self, refund: Refund, word: str, forged: bool) -> tuple[dict[str, str], bytes]:
        """They tell of orders, and nothing of refunds: an order that is refunded stays completed."""
        order = {"orderType": "CHECKOUT", "orderId": f"order-{refund.payment}", "orderStatus": "COMPLETED"}
        claims = {"requestId": refund.payment, "data": order, "type": "pay3-sdk-transaction-status"}
        key = b"somebody-elses-secret" if forged else WEBHOOK_SECRET.encode()
        body = json.dumps({"payload": token_of(claims, key, "HS384")}).encode()
        return {"Content-Type": "application/json"}, body

    def _token(self, request: Request) -> Reply:
        asked = read_json(request)
        if asked != {"clientId": CLIENT_ID, "secret": API_SECRET}:
            raise NOBODY
        now = int(time.time())
        claims = {"sub": CLIENT_ID, "iat": now, "exp": now + TOKEN_LIFE}
        return fine({"accessToken": token_of(claims, TOKEN_SECRET, "HS256")})

    def _create(self, request: Request) -> Reply:
        check_token(request)
        asked = read_json(request)
        if set(asked) != {"fiatAmount", "requestId", "clientId"} or not all(type(v) is str for v in asked.values()):
            raise Refused(400, "fiatAmount, requestId and clientId are texts, and nothing else is taken.", "400")
        if asked["clientId"] != CLIENT_ID:
            raise Refused(400, "The client could not be verified.", "400")
        text = f"fiatAmount={asked['fiatAmount']}&requestId={asked['requestId']}"
        if not secrets.compare_digest(request.headers.get("signature", "").encode(), mark_of(text).encode()):
            raise Refused(401, "The signature does not fit.", "4010")
        payment, number = asked["requestId"], str(uuid.uuid4())
        known = self.desk.ledger.payment("pay3", payment)
        currency = known[1] if known else self.currency
        order = Order("pay3", number, payment, read_amount(asked["fiatAmount"], currency), currency, "", text)
        return self.take(
            order,
            lambda refund: fine({**shown(refund), "status": first_word(refund)}),
            lambda too_much: refusal(EXCEEDS if too_much else CLOSED),
            reference=number,
        )

    def _list(self, request: Request) -> Reply:
        check_token(request)
        asked = dict(parse_qsl(request.query))
        if asked.get("clientId") != CLIENT_ID or not asked.get("requestId"):
            raise NOBODY
        return fine({"data": [shown(refund) for refund in self.desk.ledger.refunds_of("pay3", asked["requestId"])]})


CLOSED = Refused(400, "The order cannot be refunded.", "9006")
EXCEEDS = Refused(400, "The amount is more than is left of the order.", "9007")


def check_token(request: Request) -> None:
    """Ours, and not at its end yet."""
    parts = request.headers.get("access-token", "").split(".")
    if len(parts) != 3 or token_mark(".".join(parts[:2]), TOKEN_SECRET, "sha256") != parts[2]:
        raise NOBODY
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
    if claims["exp"] < time.time():
        raise NOBODY


def read_json(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise Refused(415, "Send application/json.", "415")
    try:
        asked = json.loads(request.body.decode("utf-8"))
    except ValueError:
        raise Refused(400, "The body is not JSON.", "400") from None
    if not isinstance(asked, dict):
        raise Refused(400, "The body is not an object.", "400")
    return asked


def read_amount(text: str, currency: str) -> int:
    """Minor units of the order's currency, which the text does not name."""
    found, places = AMOUNT.fullmatch(text), exponent(currency)
    decimals = (found[3] or "").ljust(places, "0") if found else ""
    minor = int(found[1] + decimals) if found and len(decimals) == places else 0
    if minor <= 0:
        raise Refused(400, "fiatAmount is above zero, with at most two decimals.", "400")
    return minor


def shown(refund: Refund) -> dict[str, str]:
    amount = Money(refund.minor + STORIES[refund.story].shown_too_much, refund.currency)
    told = {"requestId": refund.payment, "refundId": refund.reference, "fiatAmount": str(amount)}
    return {**told, "status": WORDS[refund.status]}


def first_word(refund: Refund) -> str:
    """What creating answers: that it is created, whatever comes next."""
    return WORDS["waiting"] if refund.status == "processing" else WORDS[refund.status]


def mark_of(text: str) -> str:
    return base64.b64encode(hmac.new(API_SECRET.encode(), text.encode(), hashlib.sha256).digest()).decode()


def token_of(claims: dict[str, Any], key: bytes, algorithm: str) -> str:
    head, body = (bare(json.dumps(part, separators=(",", ":")).encode()) for part in ({"alg": algorithm}, claims))
    return f"{head}.{body}.{token_mark(f'{head}.{body}', key, algorithm.replace('HS', 'sha'))}"


def token_mark(text: str, key: bytes, digest: str) -> str:
    return bare(hmac.new(key, text.encode(), digest).digest())


def bare(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def fine(told: dict[str, Any]) -> Reply:
    return Reply(200, json.dumps(told).encode(), {"Content-Type": "application/json"})


def refusal(no: Refused) -> Reply:
    told = {"code": no.code, "message": no.text} if no.code else no.text
    return Reply(no.status, json.dumps({"error": told}).encode(), {"Content-Type": "application/json"})
