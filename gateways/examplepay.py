"""ExamplePay pg/v2 (doc.examplepay.com): signed JSON both ways, and one refund status for all refunds of a payment."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

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
    Webhooks,
)
from gateways.errors import BadWebhook, Misconfigured, NoAnswer, NotSent
from gateways.money import Money, exponent
from gateways.signing import V2Sha256
from gateways.strictjson import Object, parse

HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
THEIR_ID = re.compile(r"\A[!-~]{1,50}\Z", re.ASCII)
LISTS = ("STATUS_NONE", "STATUS_PARTIAL", "REFUSAL_CODES", "REFUND_NOT_FOUND_CODES")
PATH = r"(/[A-Za-z0-9._~-]+)*"
SETTINGS = {
    "URL": (rf"https?://[a-z0-9.:\[\]-]+{PATH}/?", "is signed as it stands: write it in small letters"),
    "APP_ID": (r"[!-+\--<>-~]+", "has no blanks, commas and equals signs"),
    "APP_SECRET": (r"[^\x00-\x1f\x7f]{8,}", "is one line of at least 8 characters"),
    "RESPONSE_SIGNATURE": ("record|require", "is record or require"),
    "REFUND_QUERY_PATH": (PATH, "reads like /pg/v2/refund/query"),
}
compact = json.JSONEncoder(separators=(",", ":")).encode
critical = partial(Assumption, is_critical=True)
DETAILS = {  # what they tell beside the essentials: our words for it, and where it stands
    "refundStatus": ("Their word (refundStatus)", "data", "refundStatus"),
    "status": ("Their word (status)", "data", "status"),
    "responseSignature": ("Signature of their answer", "responseSignature"),
}


class ExamplePay(Gateway):
    name = "examplepay"
    label = "ExamplePay"
    needs = ("URL", "APP_ID", "APP_SECRET")
    takes = {
        "CALLBACK_URL": "",
        "RESPONSE_SIGNATURE": "record",
        "REFUND_QUERY_PATH": "",
        "REFUND_NOT_FOUND_CODES": "",
        "REFUSAL_CODES": "",
        "STATUS_SUCCEEDED": "REFUNDED",
        "STATUS_PARTIAL": "PARTIAL_REFUNDED",
        "STATUS_FAILED": "REFUND_FAILED",
        "STATUS_PROCESSING": "REFUNDING",
        "STATUS_NONE": "NOT_REFUNDED",
        "CLOCK_SKEW_SECONDS": "300",
    }
    secrets = ("APP_SECRET",)
    can = Capabilities(partial=True, look_up=LookUp.BY_PAYMENT, webhooks=Webhooks.KNOCK)
    poll_plan = tuple(timedelta(seconds=pause) for pause in (30, 60, 300, 900, 3600, *[21_600] * 4, 86_400))
    webhook_answer = b'{"code":"OK"}'
    callback_setting = "CALLBACK_URL"
    detail_labels = {name: label for name, (label, *_) in DETAILS.items()}
    payment_named = "paymentNo"
    where_to_look = "Their merchant portal, the payment by its number: compare merchantRefundNo (our key) and amount."
    assumptions = (
        critical("examplepay-words", "The STATUS words mean this; others are no end.", setting="STATUS_SUCCEEDED"),
        critical("examplepay-refusals", "A code of REFUSAL_CODES: not carried out, for good.", setting="REFUSAL_CODES"),
        critical("examplepay-late", "What is not there 15 minutes after sending never comes."),
        critical("examplepay-one-voice", "After our order nothing else, such as their portal, moves refundStatus."),
        Assumption("examplepay-signature", "Requests are signed in seven lines, as here.", shown_by_look_up=True),
        Assumption("examplepay-payment", "payment/query shows amount and refundStatus.", shown_by_look_up=True),
        Assumption("examplepay-answers", "Answers are signed over our URL.", setting="RESPONSE_SIGNATURE"),
        Assumption("examplepay-query", "A refund query takes merchantRefundNo.", setting="REFUND_QUERY_PATH"),
        Assumption("examplepay-callbacks", "Callbacks are signed over their own address.", setting="CALLBACK_URL"),
    )

    def __init__(self, config: Mapping[str, str]) -> None:
        super().__init__(config)
        for key, (pattern, rule) in SETTINGS.items():
            if not re.fullmatch(pattern, self.config[key]):
                raise Misconfigured(f"{key} {rule}.")
        self._outcomes = reading.outcome_table(self.config)
        self._none, self._parts, self._refusals, self._absences = ({*reading.words_of(self.config[x])} for x in LISTS)
        if "OK" in self._refusals | self._absences or (self._none | self._parts) & {*self._outcomes}:
            raise Misconfigured("OK is no refusal, and a word of STATUS_NONE or STATUS_PARTIAL means nothing else.")
        self._skew = reading.seconds_at(self.config, "CLOCK_SKEW_SECONDS")
        self._signature = V2Sha256(self.config["APP_ID"], self.config["APP_SECRET"])

    def check(self, order: RefundOrder) -> str:
        if exponent(order.amount.currency) != 2 or not 0 < order.amount.minor < 10**17:
            return "ExamplePay refunds amounts from 0.01 to 999999999999999.99, in currencies with two decimals."
        fits = THEIR_ID.match(order.key) and THEIR_ID.match(order.payment_reference)
        return "" if fits else "ExamplePay takes refund and payment numbers of 1 to 50 plain characters without blanks."

    def before(self, order: RefundOrder) -> Mapping[str, object]:
        word, paid, _ = self._payment(order.payment_reference)
        if paid is None or paid.currency != order.amount.currency:  # an order names none, so theirs would be paid
            raise NotSent(f"ExamplePay did not take this payment in {order.amount.currency}.")
        return {"refund_status": word, "amount": str(paid)}

    def body(self, order: RefundOrder) -> bytes:
        line = "".join(filter(str.isprintable, " ".join(order.note.split())))
        note = line.encode("utf-16-le")[:160].decode("utf-16-le", "ignore").strip()  # 80, as Java counts
        asked = {"merchantRefundNo": order.key, "paymentNo": order.payment_reference, "amount": str(order.amount)}
        return compact({**asked, "description": note or "Refund"}).encode("ascii")

    def refund(self, order: RefundOrder) -> RefundUpdate:
        told = self._ask("/pg/v2/refund/create", self.body(order), self._refusals)
        with reading.unreadable_is(NoAnswer, "ExamplePay's answer"):
            if told["code"] == "OK":
                return refund_in(told, Outcome.PROCESSING)
            code, message = reading.name_at(told, "code"), reading.text_at(told, "errorMessage")
            return RefundUpdate(Outcome.FAILED, code=code, message=message, details=reading.details_at(told, DETAILS))

    def look_up(self, order: RefundOrder) -> list[RefundUpdate]:
        if not (order.key and self.config["REFUND_QUERY_PATH"]):
            word, _, details = self._payment(order.payment_reference)
            return self._since_before(order, word, details)
        body = compact({"merchantRefundNo": order.key}).encode()
        told = self._ask(self.config["REFUND_QUERY_PATH"], body, self._absences)
        with reading.unreadable_is(NoAnswer, "ExamplePay's word on the refund"):
            if told["code"] != "OK":
                return []
            word = reading.name_at(told, "data", "refundStatus", needed=False) or reading.name_at(
                told, "data", "status"
            )
            return [refund_in(told, self._outcomes.get(word, Outcome.UNCLEAR), word)]

    def verify_webhook(self, delivery: Delivery) -> None:
        if not (url := self.config["CALLBACK_URL"]):
            raise Misconfigured("CALLBACK_URL is missing: it is part of what ExamplePay signs.")
        with reading.unreadable_is(BadWebhook, "ExamplePay's delivery"):
            parse(delivery.body)  # anybody can carry a plain SHA-256 on, but not in JSON
        signed_at = self._signature.verify(delivery.headers.get("authorization", ""), "POST", url, delivery.body)
        if abs(datetime.now(UTC) - signed_at) > self._skew:
            raise BadWebhook("It was signed too long ago, or in the future.")

    def read_webhook(self, delivery: Delivery) -> list[RefundUpdate | Nudge]:
        with reading.unreadable_is(BadWebhook, "ExamplePay's delivery"):
            told = parse(delivery.body)
            numbers = [reading.name_at(told, "data", name, needed=False) for name in ("paymentNo", "refundNo")]
        return [Nudge(*numbers)] if any(numbers) else []

    def _ask(self, path: str, body: bytes, refusals: Collection[str] = ()) -> Object:
        """Their answer to a POST, if it is an OK or has one of these codes. Raises NotSent or NoAnswer."""
        url = self.http.base_url + path
        headers = {**HEADERS, "Authorization": self._signature.header("POST", url, body)}
        answer = self.http.send("POST", path, headers=headers, body=body)
        told = reading.json_of(answer, self.label, (200, 400, 404, 422))  # a listed "no" may come with any of these
        verdict = self._signature.verdict(answer.headers.get("authorization", ""), "POST", url, answer.body)
        if verdict != "verified" and self.config["RESPONSE_SIGNATURE"] == "require":
            raise NoAnswer(f"Signature of ExamplePay's answer: {verdict}. So nothing in it counts.")
        with reading.unreadable_is(NoAnswer, "ExamplePay's answer"):
            code, refund = reading.name_at(told, "code"), reading.text_at(told, "data", "refundNo")
        if (code, answer.status) != ("OK", 200) and (code not in refusals or refund):
            raise NoAnswer(f"ExamplePay answered {code} (HTTP status {answer.status}), which settles nothing.")
        return {**told, "responseSignature": verdict}

    def _payment(self, number: str) -> tuple[str, Money | None, Mapping[str, str]]:
        told = self._ask("/pg/v2/payment/query", compact({"paymentNo": number}).encode())
        with reading.unreadable_is(NoAnswer, "ExamplePay's word on the payment"):
            if reading.name_at(told, "data", "paymentNo") != number:
                raise ValueError("It is about another one.")
            word, paid = reading.name_at(told, "data", "refundStatus"), reading.amount_at(told, "data", called="amount")
            return word, paid, reading.details_at(told, DETAILS)

    def _since_before(self, order: RefundOrder, word: str, details: Mapping[str, str]) -> list[RefundUpdate]:
        """What the payment's word says of this order; without a reference, only of one for the whole payment."""
        was, is_whole = str(order.before.get("refund_status", "")), order.before.get("amount") == str(order.amount)
        says, is_part = self._outcomes.get(word, Outcome.UNCLEAR), word in self._parts
        # What was refunded or under way before our order could be what has moved the word since.
        is_alone = was in self._none or (is_whole and self._outcomes.get(was) is Outcome.FAILED)
        update = partial(RefundUpdate, reference=order.reference, details=details)
        anybodys = update(Outcome.UNCLEAR, message=f"“{word}” speaks of the whole payment, not of this refund.")
        lines = (  # the first that fits; our key stands where it can be about nothing but this order
            (word == was or word in self._none, update(Outcome.PROCESSING)),
            (says is Outcome.UNCLEAR and not is_part, update(Outcome.UNCLEAR, code=word)),
            (not is_alone, anybodys),
            (is_part, update(Outcome.PROCESSING if is_whole else Outcome.SUCCEEDED, key=order.key)),
            (is_whole or says is not Outcome.SUCCEEDED, update(says, key=order.key)),
            (True, anybodys),
        )
        found = next(update for fits, update in lines if fits)
        return [found] if was and (order.reference or (is_whole and found.key)) else []


def refund_in(told: Object, outcome: Outcome, word: str = "") -> RefundUpdate:
    """The refund in their answer, with every number as it stands there; a word that is unclear is its code."""
    reference, key, payment = (reading.name_at(told, "data", x) for x in ("refundNo", "merchantRefundNo", "paymentNo"))
    code, amount = word if outcome is Outcome.UNCLEAR else "", reading.amount_at(told, "data", called="amount")
    return RefundUpdate(outcome, reference, key, payment, amount, code, details=reading.details_at(told, DETAILS))
