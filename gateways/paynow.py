"""Paynow v3 by mBank (docs.paynow.pl): refunds under an idempotency key, polled, and cancelled while they wait."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import quote
from zoneinfo import ZoneInfo

from gateways import reading
from gateways.contract import (
    Assumption,
    Capabilities,
    Delivery,
    Gateway,
    LookUp,
    Nudge,
    Outcome,
    RefundOrder,
    RefundUpdate,
    Repeat,
    Webhooks,
)
from gateways.errors import BadWebhook, Misconfigured, NoAnswer
from gateways.http import Response
from gateways.strictjson import Object, parse

THEIR_ID = re.compile(r"\A[a-zA-Z0-9]{4}(-[a-zA-Z0-9]{3}){3}\Z", re.ASCII)
PLAIN_KEY = re.compile(r"\A[A-Za-z0-9_-]{1,38}\Z", re.ASCII)  # with -cancel it is 45 characters, their limit
LARGEST_AMOUNT = 10**10 - 1
CURRENCIES = ("PLN", "EUR", "USD", "GBP", "CZK")
POLAND = ZoneInfo("Europe/Warsaw")
REASONS = ("RMA", "REFUND_BEFORE_14", "REFUND_AFTER_14", "OTHER")
EARLY = timedelta(days=14)
KEY_LIFE = "A key is kept for KEY_WINDOW_HOURS at least, and pays once."
STATUSES = {
    **dict.fromkeys(("NEW", "PENDING"), Outcome.PROCESSING),
    "SUCCESSFUL": Outcome.SUCCEEDED,
    "FAILED": Outcome.FAILED,
    "CANCELLED": Outcome.CANCELLED,
}
# Their errors that mean "not carried out", in plain words.
REFUSALS = {
    "VALIDATION_ERROR": "They found the request malformed",
    "VERIFICATION_FAILED": "They did not accept our signature",
    "UNAUTHORIZED": "They did not accept our key",
    "NOT_FOUND": "They do not know the payment",
    "BAD_REQUEST": "They do not refund this payment",
    "INSUFFICIENT_BALANCE_FUNDS": "The balance at Paynow is too low",
    "INSUFFICIENT_CARD_BALANCE_FUNDS": "The card balance at Paynow is too low",
    "REFUND_AMOUNT_TOO_LARGE": "The amount is more than can be refunded",
    "REFUND_AMOUNT_TOO_SMALL": "The amount is below the least that can be refunded",
    "REFUND_POSSIBILITY_EXPIRED": "The payment is too old to be refunded",
}
FINE, REFUSED_WITH = (200, 201), (400, 401, 404, 422)
FAILURES = {"CARD_BALANCE_ERROR": "The card balance was too low", "BUYER_ACCOUNT_CLOSED": "The account is closed"}
DETAILS = {"status": ("Their word for the status", "status"), "failureReason": ("Their reason", "failureReason")}
compact = partial(json.dumps, separators=(",", ":"))


class Paynow(Gateway):
    name = "paynow"
    label = "Paynow"
    needs = ("URL", "API_KEY", "SIGNATURE_KEY")
    takes = {"SIGNATURE_KEY_PREVIOUS": "", "KEY_WINDOW_HOURS": "20"}
    secrets = ("API_KEY", "SIGNATURE_KEY", "SIGNATURE_KEY_PREVIOUS")
    hosts = {"sandbox": "https://api.sandbox.paynow.pl", "live": "https://api.paynow.pl"}
    can = Capabilities(True, True, LookUp.BY_REFERENCE, Repeat.WITHIN_WINDOW, cancel=True, webhooks=Webhooks.KNOCK)
    poll_plan = tuple(timedelta(seconds=n) for n in (10, 30, 60, 120, 300, 900, 1800, *[3600] * 24, *[86_400] * 30))
    key_window = timedelta(hours=20)
    reason_words = ("RMA", "OTHER", "BY_AGE")
    detail_labels = {name: label for name, (label, *_) in DETAILS.items()}
    payment_named = "paymentId"
    where_to_look = "Paynow's merchant panel, the refunds of the payment: compare amount, day and status."
    assumptions = (
        Assumption("paynow-key-life", KEY_LIFE, is_critical=True, setting="KEY_WINDOW_HOURS"),
        Assumption("paynow-refusals", "What they refuse by a documented type never comes later.", is_critical=True),
        Assumption("paynow-finals", "SUCCESSFUL, FAILED and CANCELLED stay what they are.", is_critical=True),
        Assumption("paynow-cancel", "A cancel that is answered with an error was not carried out."),
        Assumption("paynow-signature", "Look-ups are signed with an empty body.", shown_by_look_up=True),
        Assumption("paynow-notifications", "Refunds are not notified: polling alone brings them home."),
    )

    def __init__(self, config: Mapping[str, str]) -> None:
        super().__init__(config)
        if not re.match(r"\A[1-9][0-9]{0,2}\Z", hours := self.config["KEY_WINDOW_HOURS"], re.ASCII):
            raise Misconfigured("KEY_WINDOW_HOURS is a whole number of hours, such as 20.")
        self.key_window = timedelta(hours=int(hours))

    def reason_word(self, word: str, captured_at: datetime, asked_at: datetime) -> str:
        if word != "BY_AGE":
            return word
        days = asked_at.astimezone(POLAND).date() - captured_at.astimezone(POLAND).date()
        return "REFUND_BEFORE_14" if days <= EARLY else "REFUND_AFTER_14"

    def check(self, order: RefundOrder) -> str:
        if not THEIR_ID.match(order.payment_reference):
            return "Paynow knows a payment by a paymentId such as ABCD-123-XYZ-0AB."
        if order.amount.currency not in CURRENCIES:
            return f"Paynow refunds {', '.join(CURRENCIES)}."
        if not 0 < order.amount.minor <= LARGEST_AMOUNT:
            return "Paynow refunds amounts above zero, of at most 10 digits."
        if order.reason not in ("", *REASONS):
            return f"Paynow takes one of these reasons: {', '.join(REASONS)}."
        return "" if PLAIN_KEY.match(order.key) else "Paynow takes keys of at most 38 letters, digits, - and _."

    def body(self, order: RefundOrder) -> bytes:
        reason = {"reason": order.reason} if order.reason else {}
        return compact({"amount": order.amount.minor, **reason}).encode("ascii")

    def refund(self, order: RefundOrder) -> RefundUpdate:
        path = f"/v3/payments/{quote(order.payment_reference, safe='')}/refunds"
        told, is_refused = self._ask("POST", path, order.key, self.body(order))
        with reading.unreadable_is(NoAnswer, "Paynow's answer"):
            return refusal(told) if is_refused else update_of(told)

    def look_up(self, order: RefundOrder) -> list[RefundUpdate]:
        """Each look-up has a key of its own, since a key must never serve two calls."""
        if not THEIR_ID.match(order.reference):
            raise NoAnswer("Paynow is asked by its own refundId, and we have none.")
        path = f"/v3/refunds/{order.reference}/status"
        told, is_refused = self._ask("GET", path, str(uuid.uuid4()))
        with reading.unreadable_is(NoAnswer, "Paynow's status"):
            if is_refused and refusal(told).code != "NOT_FOUND":
                raise ValueError("They refused to tell it.")
            updates = [] if is_refused else [update_of(told)]
            if any(update.reference != order.reference for update in updates):
                raise ValueError("It is about another refund.")
            return updates

    def cancel(self, order: RefundOrder) -> RefundUpdate:
        """Whatever they answer, the status is read afterwards: the answer's form is not documented."""
        if not THEIR_ID.match(order.reference):
            raise NoAnswer("Paynow cancels by its own refundId, and we have none.")
        answer = self._send("POST", f"/v3/refunds/{order.reference}/cancel", f"{order.key}-cancel")
        for update in self.look_up(order):
            if update.outcome is not Outcome.PROCESSING or answer.status in (*FINE, *REFUSED_WITH):
                return update
        raise NoAnswer("Paynow did not say what became of the cancel.")

    def verify_webhook(self, delivery: Delivery) -> None:
        given = delivery.headers.get("signature", "").encode("utf-8", "replace")
        keys = filter(None, (self.config["SIGNATURE_KEY"], self.config["SIGNATURE_KEY_PREVIOUS"]))
        if not any(hmac.compare_digest(given, signature(key, delivery.body)) for key in keys):
            raise BadWebhook("It is not signed with our signature key.")

    def read_webhook(self, delivery: Delivery) -> list[RefundUpdate | Nudge]:
        """They notify of payments; whatever they say of one, its refunds are asked about."""
        with reading.unreadable_is(BadWebhook, "Paynow's notification"):
            told = parse(delivery.body)
            reference = reading.name_at(told, "refundId", needed=False)
            payment = reading.name_at(told, "paymentId", needed=not reference)
            return [Nudge(payment_reference=payment, reference=reference)]

    def _ask(self, method: str, path: str, key: str, body: bytes = b"") -> tuple[Object, bool]:
        """Their JSON, and whether it is a refusal."""
        answer = self._send(method, path, key, body)
        return reading.json_of(answer, self.label, (*FINE, *REFUSED_WITH)), answer.status not in FINE

    def _send(self, method: str, path: str, key: str, body: bytes = b"") -> Response:
        named = {"Api-Key": self.config["API_KEY"], "Idempotency-Key": key}
        signed = compact({"headers": named, "parameters": {}, "body": body.decode("ascii")})
        mark = signature(self.config["SIGNATURE_KEY"], signed.encode("ascii")).decode("ascii")
        kind = {"Content-Type": "application/json"} if body else {}
        headers = {**named, "Signature": mark, "Accept": "application/json", **kind}
        return self.http.send(method, path, headers=headers, body=body or None)


def signature(key: str, text: bytes) -> bytes:
    return base64.b64encode(hmac.new(key.encode(), text, hashlib.sha256).digest())


def update_of(told: Object) -> RefundUpdate:
    word, reference = reading.name_at(told, "status"), reading.name_at(told, "refundId")
    if not THEIR_ID.match(reference):
        raise ValueError("refundId is none of theirs.")
    outcome, why = STATUSES.get(word, Outcome.UNCLEAR), reading.text_at(told, "failureReason")
    message = {
        Outcome.FAILED: FAILURES.get(why, "They give no reason"),
        Outcome.CANCELLED: "It was cancelled there, or expired at Paynow.",
    }
    found = reading.details_at(told, DETAILS)
    return RefundUpdate(outcome, reference, code=word, message=message.get(outcome, ""), details=found)


def refusal(told: Object) -> RefundUpdate:
    """Their "no". Raises ValueError for anything but their envelope with documented types."""
    errors = reading.objects_at(told, "errors")
    types = [reading.name_at(error, "errorType") for error in errors]
    if not types or not set(types) <= set(REFUSALS) or "refundId" in told:
        raise ValueError("It is no refusal that they document.")
    said = "; ".join(filter(None, (reading.text_at(error, "message") for error in errors)))
    return RefundUpdate(Outcome.FAILED, code=types[0], message=f"{REFUSALS[types[0]]}. {said}".strip())
