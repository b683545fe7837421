"""Payerly (developer.payerly.tech): refunds by PUT under our own id, RSA-signed callbacks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import quote

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
from gateways.http import can_be_called_back
from gateways.signing import rsa_public_key, verify_rsa_sha256
from gateways.strictjson import Object, parse

# No length or alphabet of an id is documented; this is what every system carries.
PLAIN_ID = re.compile(r"\A[A-Za-z0-9_-]{1,64}\Z", re.ASCII)
CUSTOM_FIELDS = re.compile(r"\Acf[1-5]=(reason|note)(,cf[1-5]=(reason|note))*\Z")
LONGEST_FIELD = 255
REFUSALS = (400, 404, 422)  # definite only with their own error block in the body
# What they tell beside the essentials: our words for it, and where it stands.
DETAILS = {
    "status": ("Their word for the status", "object", "status", "value"),
    "statusDescription": ("Their note on the status", "object", "status", "description"),
    "txnId": ("Their transaction number", "object", "txnId"),
    "orderId": ("Their order number", "object", "orderId"),
    "rrn": ("The bank's retrieval number (RRN)", "object", "additionalInfo", "rrn"),
    "convAmount": ("Amount after conversion", "object", "convAmount"),
    "createdAt": ("Created there", "object", "createdAt"),
    "changedAt": ("Status changed there", "object", "status", "changedAt"),
    "traceId": ("Trace number for their support", "error", "traceId"),
    "errors": ("What they object to", "error", "details"),
}


class Payerly(Gateway):
    name = "payerly"
    label = "Payerly"
    needs = ("URL", "TOKEN")
    takes = {
        "SIGNKEY_PEM": "",
        "STATUS_SUCCEEDED": "SUCCESS,COMPLETED,REFUNDED",
        "STATUS_FAILED": "DECLINED,FAILED,REJECTED,ERROR,CANCELED,CANCELLED",
        "STATUS_PROCESSING": "CREATED,PENDING,PROCESSING",
        "CUSTOM_FIELDS": "cf1=reason",
        "QUIET_WINDOW_SECONDS": "900",
    }
    secrets = ("TOKEN",)
    hosts = {"sandbox": "https://api.sandbox.payerly.tech/v1", "live": "https://api.payerly.tech/v1"}
    can = Capabilities(
        partial=True, several=True, look_up=LookUp.BY_KEY, repeat=Repeat.AFTER_ABSENCE, webhooks=Webhooks.SPEAK
    )
    poll_plan = tuple(timedelta(seconds=pause) for pause in (3, 10, 30, 60, 300, 900, 3600, 21_600, 86_400))
    webhook_key_setting = "SIGNKEY_PEM"
    detail_labels = {name: label for name, (label, *_) in DETAILS.items()}
    customer_detail = "rrn"
    payment_named = "paymentId"
    where_to_look = "Payerly's screens, the refunds of the payment: compare refundId (our key) and amount."
    assumptions = (
        Assumption(
            "payerly-status-words",
            "The words in STATUS_SUCCEEDED and STATUS_FAILED are ends and mean this; every other word is none.",
            is_critical=True,
            setting="STATUS_SUCCEEDED",
        ),
        Assumption("payerly-second-put", "A second PUT of one id is the same refund.", is_critical=True),
        Assumption(
            "payerly-absence",
            "Their list is whole; what it lacks after the quiet window never arrived. 404 with a code is an empty one.",
            is_critical=True,
            setting="QUIET_WINDOW_SECONDS",
        ),
        Assumption("payerly-refusals", "400, 404 or 422 with an error code is final.", is_critical=True),
        Assumption("payerly-list", "Refunds are listed as items, each with our refundId.", shown_by_look_up=True),
        Assumption("payerly-token", "The token goes out as a Bearer token.", shown_by_look_up=True),
        Assumption("payerly-callbacks", "Callbacks about refunds come signed, and want any 2xx."),
    )

    def __init__(self, config: Mapping[str, str]) -> None:
        super().__init__(config)
        self._outcomes = reading.outcome_table(self.config)
        if not CUSTOM_FIELDS.match(self.config["CUSTOM_FIELDS"]):
            raise Misconfigured("CUSTOM_FIELDS reads like cf1=reason,cf2=note.")
        self._fields = dict(pair.split("=") for pair in self.config["CUSTOM_FIELDS"].split(","))
        self._headers = {"Authorization": f"Bearer {self.config['TOKEN']}", "Accept": "application/json"}
        self.quiet_window = reading.seconds_at(self.config, "QUIET_WINDOW_SECONDS")

    def check(self, order: RefundOrder) -> str:
        if not (PLAIN_ID.match(order.key) and PLAIN_ID.match(order.payment_reference)):
            return "Payerly takes refund and payment ids of 1 to 64 letters, digits, - and _."
        if order.amount.minor <= 0:
            return "Payerly refunds amounts above zero."
        if order.callback_url and not can_be_called_back(order.callback_url):
            return "Payerly calls back by https only."
        if not all(text.isprintable() and len(text) <= LONGEST_FIELD for text in self._custom(order).values()):
            return f"Payerly gets reasons and notes of at most {LONGEST_FIELD} characters, on one line."
        return ""

    def body(self, order: RefundOrder) -> bytes:
        asked: dict[str, object] = {"paymentId": order.payment_reference}
        if order.callback_url:
            asked["callbackUrl"] = order.callback_url
        asked["amount"] = {"value": str(order.amount), "currency": order.amount.currency}
        if custom := self._custom(order):
            asked["customFields"] = custom
        return json.dumps(asked, separators=(",", ":")).encode("ascii")

    def refund(self, order: RefundOrder) -> RefundUpdate:
        headers = self._headers | {"Content-Type": "application/json"}
        answer = self.http.send("PUT", f"/refunds/{quote(order.key, safe='')}", headers=headers, body=self.body(order))
        told = reading.json_of(answer, self.label, (200, *REFUSALS))
        with reading.unreadable_is(NoAnswer, "Payerly's answer"):
            return self._update(told) if answer.status == 200 else refusal(told)

    def look_up(self, order: RefundOrder) -> list[RefundUpdate]:
        path = f"/payments/{quote(order.payment_reference, safe='')}/refunds"
        answer = self.http.send("GET", path, headers=self._headers)
        told = reading.json_of(answer, self.label, (200, 404))
        with reading.unreadable_is(NoAnswer, "Payerly's list of refunds"):
            if answer.status == 404 and refusal(told):  # an absence only in their own error block
                return []
            return self._updates(told)

    def webhook_key(self) -> str:
        told = reading.json_of(self.http.send("GET", "/signkey", headers={"Accept": "application/json"}), self.label)
        with reading.unreadable_is(NoAnswer, "Payerly's key"):
            rsa_public_key(reading.text_at(told, "pem"))
        return reading.text_at(told, "pem")

    def verify_webhook(self, delivery: Delivery) -> None:
        with reading.unreadable_is(Misconfigured, "Payerly's public key (SIGNKEY_PEM)"):
            key = rsa_public_key(self.config["SIGNKEY_PEM"])
        verify_rsa_sha256(key, delivery.headers.get("signature", ""), delivery.body)

    def read_webhook(self, delivery: Delivery) -> list[RefundUpdate | Nudge]:
        with reading.unreadable_is(BadWebhook, "Payerly's delivery"):
            told = parse(delivery.body)
            kind = reading.name_at(told, "type")
            if kind == "REFUND":
                return [self._update(told)]
            return [Nudge(payment_reference=reading.name_at(told, "object", "paymentId"))] if kind == "PAYMENT" else []

    def _custom(self, order: RefundOrder) -> dict[str, str]:
        return {field: text for field, source in self._fields.items() if (text := getattr(order, source))}

    def _updates(self, told: Object) -> list[RefundUpdate]:
        if not isinstance(told.get("items"), list) or error_code(told):
            raise ValueError("The list is missing, or an error stands beside it.")
        updates = [self._update(item) for item in reading.objects_at(told, "items")]
        if len({update.key for update in updates}) < len(updates):
            raise ValueError("One refund stands in it twice.")
        return updates

    def _update(self, told: Object) -> RefundUpdate:
        """One REFUND envelope; without a status, as with an error alone, it says nothing."""
        if reading.text_at(told, "type") != "REFUND":
            raise ValueError("It is not about a refund.")
        code = error_code(told)
        speaker = ("error",) if code else ("object", "status")
        outcome = self._outcomes.get(reading.name_at(told, "object", "status", "value"), Outcome.UNCLEAR)
        if (amount := reading.amount_at(told, "object", "amount")) is None and outcome is Outcome.SUCCEEDED:
            raise ValueError("It says that money moved, but not how much.")
        return RefundUpdate(
            outcome=outcome,
            reference=reading.name_at(told, "object", "txnId", needed=False),
            key=reading.name_at(told, "object", "refundId"),
            payment_reference=reading.name_at(told, "object", "paymentId"),
            amount=amount,
            code=code,
            message=reading.text_at(told, *speaker, "description"),
            occurred_at=reading.moment_of(reading.text_at(told, "object", "status", "changedAt")),
            details=reading.details_at(told, DETAILS),
        )


def refusal(told: Object) -> RefundUpdate:
    """Their "no". Raises ValueError when their error block is not there, or a refund beside it."""
    if not (code := error_code(told)) or reading.object_at(told, "object"):
        raise ValueError("A refusal without their error code, or with a refund in it, is none.")
    message, found = reading.text_at(told, "error", "description"), reading.details_at(told, DETAILS)
    return RefundUpdate(Outcome.FAILED, code=code, message=message, details=found)


def error_code(told: Object) -> str:
    """Their error code as text; 0 is their "no error"."""
    return str(reading.whole_at(told, "error", "code") or "")
