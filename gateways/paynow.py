"""Paynow v3 by mBank (docs.paynow.pl): refunds under an idempotency key, polled, and cancelled while they wait."""

from __future__ import annotations

import base64
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
from gateways.errors import BadWebhook, Misconfigured, NoAnswer, NotSent
from gateways.http import Response
from gateways.strictjson import Object, parse

THEIR_ID = re.compile(r"\A[a-zA-Z0-9]{4}(-[a-zA-Z0-9]{3}){3}\Z", re.ASCII)
PLAIN_KEY = re.compile(r"\A[A-Za-z0-9_-]{1,38}\Z", re.ASCII)  # with -cancel it is 45 characters, their limit
CURRENCIES = ("PLN", "EUR", "USD", "GBP", "CZK")
POLAND = ZoneInfo("Europe/Warsaw")
REASONS = ("RMA", "REFUND_BEFORE_14", "REFUND_AFTER_14", "OTHER")
KEY_LIFE = "A key is kept for KEY_WINDOW_HOURS at least, and pays once."
STATUSES = {"SUCCESSFUL": Outcome.SUCCEEDED, "FAILED": Outcome.FAILED, "CANCELLED": Outcome.CANCELLED}
STATUSES |= dict.fromkeys(("NEW", "PENDING"), Outcome.PROCESSING)
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
NO_TO_A_CANCEL = tuple(status for status in range(400, 500) if status not in (408, 425, 429))
FAILURES = {"CARD_BALANCE_ERROR": "The card balance was too low", "BUYER_ACCOUNT_CLOSED": "The account is closed"}
EXPIRED = "It was cancelled there, or expired at Paynow."
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
        return "REFUND_BEFORE_14" if days <= timedelta(days=14) else "REFUND_AFTER_14"

    def check(self, order: RefundOrder) -> str:
        if not THEIR_ID.match(order.payment_reference):
            return "Paynow knows a payment by a paymentId such as ABCD-123-XYZ-0AB."
        if order.amount.currency not in CURRENCIES:
            return f"Paynow refunds {', '.join(CURRENCIES)}."
        if not 0 < order.amount.minor < 10**10:
            return "Paynow refunds amounts above zero, of at most 10 digits."
        if order.reason not in ("", *REASONS):
            return f"Paynow takes one of these reasons: {', '.join(REASONS)}."
        return "" if PLAIN_KEY.match(order.key) else "Paynow takes keys of at most 38 letters, digits, - and _."

    def body(self, order: RefundOrder) -> bytes:
        reason = {"reason": order.reason} if order.reason else {}
        return compact({"amount": order.amount.minor, **reason}).encode("ascii")

    def refund(self, order: RefundOrder) -> RefundUpdate:
        path = f"/v3/payments/{quote(order.payment_reference, safe='')}/refunds"
        return read(self._send("POST", path, order.key, self.body(order)))

    def look_up(self, order: RefundOrder) -> list[RefundUpdate]:
        """Each look-up has a key of its own, since a key must never serve two calls."""
        if not THEIR_ID.match(order.reference):
            raise NoAnswer("Paynow is asked by its own refundId, and we have none.")
        answer = self._send("GET", f"/v3/refunds/{order.reference}/status", str(uuid.uuid4()))
        update = read(answer)
        if (answer.status, update.code, update.reference) == (404, "NOT_FOUND", ""):
            return []
        if update.reference != order.reference:
            raise reading.no_answer_to(answer)("Paynow refused to tell the status, or told that of another refund.")
        return [update]

    def cancel(self, order: RefundOrder) -> RefundUpdate:
        """Whatever they answer, the status is read afterwards: the form of the answer is not documented."""
        if not THEIR_ID.match(order.reference):
            raise NoAnswer("Paynow cancels by its own refundId, and we have none.")
        answer = self._send("POST", f"/v3/refunds/{order.reference}/cancel", f"{order.key}-cancel")
        try:
            [update] = self.look_up(order)
        except (NotSent, ValueError):  # not asked, or not there; but the cancel did go out
            raise NoAnswer("Paynow did not show the refund that was to be cancelled.") from None
        if update.outcome is Outcome.PROCESSING and answer.status not in FINE:
            with reading.unreadable_is(reading.no_answer_to(answer), "Paynow's answer to the cancel"):
                errors_of(reading.json_of(answer, self.label, NO_TO_A_CANCEL))
        return update

    def verify_webhook(self, delivery: Delivery) -> None:
        given = delivery.headers.get("signature", "").encode("utf-8", "replace")
        keys = filter(str.strip, (self.config["SIGNATURE_KEY"], self.config["SIGNATURE_KEY_PREVIOUS"]))
        if not any(hmac.compare_digest(given, signature(key, delivery.body)) for key in keys):
            raise BadWebhook("It is not signed with our signature key.")

    def read_webhook(self, delivery: Delivery) -> list[RefundUpdate | Nudge]:
        """They notify of payments; whatever they say of one, its refunds are asked about."""
        with reading.unreadable_is(BadWebhook, "Paynow's notification"):
            told = parse(delivery.body)
            reference = reading.name_at(told, "refundId", needed=False)
            payment = reading.name_at(told, "paymentId", needed=not reference)
            return [Nudge(payment_reference=payment, reference=reference)]

    def _send(self, method: str, path: str, key: str, body: bytes = b"") -> Response:
        named = {"Api-Key": self.config["API_KEY"], "Idempotency-Key": key}
        signed = compact({"headers": named, "parameters": {}, "body": body.decode("ascii")})
        mark = signature(self.config["SIGNATURE_KEY"], signed.encode("ascii")).decode("ascii")
        kind = {"Content-Type": "application/json"} if body else {}
        headers = {**named, "Signature": mark, "Accept": "application/json", **kind}
        return self.http.send(method, path, headers=headers, body=body or None)


def signature(key: str, text: bytes) -> bytes:
    return base64.b64encode(hmac.digest(key.encode(), text, "sha256"))


def read(answer: Response) -> RefundUpdate:
    """What an answer says of the refund; a refusal is FAILED and has no reference. Raises NoAnswer for all else."""
    told = reading.json_of(answer, Paynow.label, (*FINE, *REFUSED_WITH))
    with reading.unreadable_is(reading.no_answer_to(answer), f"Paynow's answer (HTTP status {answer.status})"):
        return update_of(told) if answer.status in FINE else refusal(told)


def update_of(told: Object) -> RefundUpdate:
    word, reference = reading.name_at(told, "status"), reading.name_at(told, "refundId")
    if not THEIR_ID.match(reference) or told.get("errors"):
        raise ValueError("refundId is none of theirs, or errors stand beside it.")
    outcome, why = STATUSES.get(word, Outcome.UNCLEAR), reading.name_at(told, "failureReason", needed=False)
    code = (outcome is Outcome.FAILED and why) or word
    said = {Outcome.FAILED: FAILURES.get(why, "They give no reason"), Outcome.CANCELLED: EXPIRED}.get(outcome, "")
    return RefundUpdate(outcome, reference, code=code, message=said, details=reading.details_at(told, DETAILS))


def refusal(told: Object) -> RefundUpdate:
    """Their "no". Raises ValueError for anything but their envelope with documented types."""
    types = [*dict(errors := errors_of(told))]
    if not set(types) <= set(REFUSALS) or "refundId" in told:
        raise ValueError("It is no refusal that they document.")
    said = "; ".join(text for _, text in errors if text)
    return RefundUpdate(Outcome.FAILED, code=" ".join(types), message=f"{REFUSALS[types[0]]}. {said}".strip())


def errors_of(told: Object) -> list[tuple[str, str]]:
    """Type and message of each error in their envelope. Raises ValueError where there is none."""
    if errors := reading.objects_at(told, "errors"):
        return [(reading.name_at(error, "errorType"), reading.text_at(error, "message")) for error in errors]
    raise ValueError("It holds no error of theirs.")
