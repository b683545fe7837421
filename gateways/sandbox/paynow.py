"""A gateway that speaks like Paynow v3. What it says to a key with another body, and some statuses, are inventions."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

from gateways.sandbox.desk import Order, Reply
from gateways.sandbox.ledger import Refund, iso
from gateways.sandbox.simulator import Request, SimulatedGateway
from gateways.sandbox.stories import STORIES

API_KEY, SIGNATURE_KEY = "sandbox-paynow-api-key", "sandbox-paynow-signature-key"
WORDS = {"waiting": "NEW", "processing": "PENDING", "succeeded": "SUCCESSFUL", "failed": "FAILED"}
WORDS |= {"cancelled": "CANCELLED", "unheard": "ON_THE_MOON"}
CREATE = re.compile(r"/v3/payments/([a-zA-Z0-9]{4}(?:-[a-zA-Z0-9]{3}){3})/refunds")
STATUS = re.compile(r"/v3/refunds/([a-zA-Z0-9]{4}(?:-[a-zA-Z0-9]{3}){3})/status")
CANCEL = re.compile(r"/v3/refunds/([a-zA-Z0-9]{4}(?:-[a-zA-Z0-9]{3}){3})/cancel")
REASONS = ("RMA", "REFUND_BEFORE_14", "REFUND_AFTER_14", "OTHER")
LARGEST_AMOUNT, LONGEST_KEY = 9_999_999_999, 45
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Refused(Exception):
    """A call that is answered with their error envelope."""

    def __init__(self, status: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.status, self.kind, self.text = status, kind, text


class Simulator(SimulatedGateway):
    base = "/paynow"
    currency = "PLN"

    def payment_name(self, number: int) -> str:
        return f"PAY{number // 100}-B{number // 10 % 10}{number % 10}-C3D-E4F"

    def credentials(self) -> dict[str, str]:
        return {"API_KEY": API_KEY, "SIGNATURE_KEY": SIGNATURE_KEY}

    def answer(self, request: Request) -> Reply:
        try:
            check_headers(request)
            return self._route(request)
        except Refused as no:
            return refusal(no)

    def letter(self, refund: Refund, word: str, forged: bool) -> tuple[dict[str, str], bytes]:
        """They notify of payments only: a refunded one stays confirmed."""
        told = {"paymentId": refund.payment, "externalId": f"order-{refund.payment}", "status": "CONFIRMED"}
        body = json.dumps({**told, "modifiedAt": iso(refund.changed_at)[:19]}).encode()
        key = "somebody-elses-key" if forged else SIGNATURE_KEY
        return {"Content-Type": "application/json", "Signature": hmac_of(key, body)}, body

    def _route(self, request: Request) -> Reply:
        if (found := CREATE.fullmatch(request.path)) and request.method == "POST":
            return self._create(found[1], request)
        if (found := STATUS.fullmatch(request.path)) and request.method == "GET":
            return fine(200, shown(self._known(found[1])))
        if (found := CANCEL.fullmatch(request.path)) and request.method == "POST":
            refund = self._known(found[1])
            if not self.desk.cancel(refund):
                raise Refused(400, "BAD_REQUEST", "Only a refund in status NEW can be cancelled.")
            return fine(200, {"refundId": refund.reference, "status": "CANCELLED"})
        raise Refused(404, "NOT_FOUND", "There is no such resource.")

    def _known(self, reference: str) -> Refund:
        refund = self.desk.ledger.by_reference("paynow", reference)
        if refund is None:
            raise Refused(404, "NOT_FOUND", "There is no such refund.")
        return refund

    def _create(self, payment: str, request: Request) -> Reply:
        key = request.headers["idempotency-key"]
        known = self.desk.ledger.payment("paynow", payment)
        order = read_order(key, payment, known[1] if known else self.currency, request)
        return self.take(
            order,
            lambda refund: fine(201, shown(refund)),
            lambda too_much: refusal(EXCEEDS if too_much else CLOSED),
            reference=fresh_id(),
            again=lambda known: self._again(known, order),
        )

    def _again(self, known: Refund, order: Order) -> Reply:
        """The same key gets the first answer once more, whatever became since; another body under it is refused."""
        if (known.asked, known.payment) != (order.asked, order.payment):
            return refusal(Refused(400, "VALIDATION_ERROR", "This Idempotency-Key stands for another request."))
        self.desk.execute(known)
        return fine(201, shown(replace(known, status=STORIES[known.story].first_word)))


CLOSED = Refused(400, "BAD_REQUEST", "Refunds are disabled for this payment.")
EXCEEDS = Refused(400, "REFUND_AMOUNT_TOO_LARGE", "The amount is more than is left of the payment.")


def check_headers(request: Request) -> None:
    """Key, signature over headers, parameters and body, and what else a strict gateway asks for."""
    headers = request.headers
    if not secrets.compare_digest(headers.get("api-key", "").encode(), API_KEY.encode()):
        raise Refused(401, "UNAUTHORIZED", "The Api-Key is missing or wrong.")
    key = headers.get("idempotency-key", "")
    if not 1 <= len(key) <= LONGEST_KEY:
        raise Refused(400, "VALIDATION_ERROR", f"Idempotency-Key has 1 to {LONGEST_KEY} characters.")
    if not {"application/json", "*/*"} & {part.split(";")[0].strip() for part in headers.get("accept", "").split(",")}:
        raise Refused(400, "VALIDATION_ERROR", "Accept application/json.")
    query = dict(sorted(parse_qs(request.query, keep_blank_values=True).items()))
    signed = (API_KEY, key, query, request.body.decode("utf-8", "replace"))
    parts = (json.dumps(part, separators=(",", ":")) for part in signed)
    text = '{{"headers":{{"Api-Key":{},"Idempotency-Key":{}}},"parameters":{},"body":{}}}'.format(*parts)
    if not secrets.compare_digest(
        headers.get("signature", "").encode(), hmac_of(SIGNATURE_KEY, text.encode()).encode()
    ):
        raise Refused(401, "VERIFICATION_FAILED", "The Signature is missing or wrong.")


def read_order(key: str, payment: str, currency: str, request: Request) -> Order:
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise Refused(400, "VALIDATION_ERROR", "Send application/json.")
    try:
        asked = json.loads(request.body.decode("utf-8"))
    except ValueError:
        raise Refused(400, "VALIDATION_ERROR", "The body is not JSON.") from None
    amount = asked.get("amount") if isinstance(asked, dict) else None
    if type(amount) is not int or not 0 < amount <= LARGEST_AMOUNT:
        raise Refused(400, "VALIDATION_ERROR", "amount is a positive whole number of at most 10 digits.")
    if asked.get("reason") not in (None, *REASONS) or set(asked) - {"amount", "reason"}:
        raise Refused(400, "VALIDATION_ERROR", "reason is none of the known ones, or there is an unknown field.")
    return Order("paynow", key, payment, amount, currency, "", request.body.decode("utf-8"))


def shown(refund: Refund) -> dict[str, Any]:
    """No amount, no payment and no time: that is all they tell."""
    told = {"refundId": refund.reference, "status": WORDS[refund.status]}
    return {**told, "failureReason": "BUYER_ACCOUNT_CLOSED"} if refund.status == "failed" else told


def fresh_id() -> str:
    letters = [secrets.choice(LETTERS) for _ in range(13)]
    return "-".join(("".join(letters[:4]), *("".join(letters[i : i + 3]) for i in (4, 7, 10))))


def hmac_of(key: str, text: bytes) -> str:
    return base64.b64encode(hmac.new(key.encode(), text, hashlib.sha256).digest()).decode()


def fine(status: int, told: dict[str, Any]) -> Reply:
    return Reply(status, json.dumps(told).encode(), {"Content-Type": "application/json"})


def refusal(no: Refused) -> Reply:
    return fine(no.status, {"statusCode": no.status, "errors": [{"errorType": no.kind, "message": no.text}]})
