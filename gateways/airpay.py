"""Airpay v3 (docs.airpay.co.in/v3/refund): refundtxn.php asks, verify.php tells the end, callbacks only knock."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import partial
from urllib.parse import urlencode

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
from gateways.errors import BadWebhook, Misconfigured, NoAnswer
from gateways.money import Money
from gateways.strictjson import Object

INDIA = timezone(timedelta(hours=5, minutes=30))  # Asia/Kolkata keeps no summer time
THEIR_ID = re.compile(r"\A(?!0+\Z)[0-9]{1,40}\Z")  # a refund's has two digits more than its payment's
LONGEST_ID, MOST_MINOR = 20, 99_999_999  # by their page, and by their kit's manual
FORM = "application/x-www-form-urlencoded"
STATUSES = {"STATUS_SUCCEEDED": "200", "STATUS_FAILED": "400,405", "STATUS_PROCESSING": "211,450,403"}
# By TRANSACTIONTYPE: what an id in a callback belongs to, and what a success gives back (a refund, a void, not told).
OF_REFUNDS, OF_PAYMENTS, MONEY_BACK = ("340", "420"), ("310", "320", "330"), ("340", "420", "")
SIGNED = ("TRANSACTIONID", "APTRANSACTIONID", "AMOUNT", "TRANSACTIONSTATUS", "MESSAGE")
# Their yes or no to the request and to the entry, and whether a child id is given; a child of anything else is unclear.
ANSWERS = {
    ("true", "true", True): Outcome.PROCESSING,
    ("true", "false", False): Outcome.FAILED,
    ("false", "false", False): Outcome.FAILED,
}
# What they tell beside the essentials: our words for it, and where it stands.
DETAILS = {
    "rrn": ("The bank's retrieval number (RRN)", "RRN"),
    "bankMessage": ("The bank's words", "BANKRESPONSEMSG"),
    "paymentStatus": ("Their word for the status", "TRANSACTIONPAYMENTSTATUS"),
    "type": ("Their number for the kind of transaction", "TRANSACTIONTYPE"),
    "time": ("Time told there", "TRANSACTIONTIME"),
}
Orders = Sequence[RefundOrder]
compact = partial(json.dumps, separators=(",", ":"))


class Airpay(Gateway):
    name = "airpay"
    label = "Airpay"
    needs = ("URL", "MERCHANT_ID", "USERNAME", "PASSWORD", "SECRET")
    takes = {"ID_FIELD": "processor_id", "WRAP_IN_ARRAY": "off", **STATUSES}
    secrets = ("PASSWORD", "SECRET")
    hosts = {"live": "https://kraken.airpay.co.in/airpay"}
    can = Capabilities(True, False, LookUp.BY_REFERENCE, webhooks=Webhooks.KNOCK, proves_reference=True, bundle=100)
    poll_plan = tuple(timedelta(minutes=pause) for pause in (1, 5, 30, 120, *[360] * 12, 1440))
    webhook_type = FORM
    detail_labels = {name: label for name, (label, _) in DETAILS.items()}
    customer_detail = "rrn"
    payment_named = "APTRANSACTIONID"
    where_to_look = "Airpay's panel or settlement report, refunds of the payment: compare child id, amount and day."
    assumptions = (
        Assumption("airpay-refusals", 'An entry, or a whole answer, of "false" was not carried out.', is_critical=True),
        Assumption("airpay-status", "STATUS_* hold for refunds too.", is_critical=True, setting="STATUS_SUCCEEDED"),
        Assumption("airpay-types", "A 200 of type 420, or of no type, is a refund that is paid.", is_critical=True),
        Assumption("airpay-late", "What their panel lacks 15 minutes after it was sent never comes.", is_critical=True),
        Assumption("airpay-verify", "verify.php knows a refund by its child id, in XML.", shown_by_look_up=True),
        Assumption("airpay-keys", "Keys and the Indian date are hashed as here.", shown_by_look_up=True),
        Assumption("airpay-checksum", "An order's checksum is over the compact JSON text of its transactions."),
        Assumption("airpay-id-field", "An order names its payment as processor_id.", setting="ID_FIELD"),
        Assumption("airpay-array", "An order is an object, not an array of one.", setting="WRAP_IN_ARRAY"),
        Assumption("airpay-limits", "Least amount, oldest payment and same-day parts are theirs to refuse."),
        Assumption("airpay-bundle", "Of orders in a call, each stands alone.", is_critical=True, relied_on_by="BATCH"),
        Assumption("airpay-callbacks", "Refunds may go unannounced; a callback wants any 200."),
    )

    def __init__(self, config: Mapping[str, str]) -> None:
        super().__init__(config)
        self._outcomes = reading.outcome_table(self.config)
        merchant, user, password = (self.config[key] for key in ("MERCHANT_ID", "USERNAME", "PASSWORD"))
        if not THEIR_ID.match(merchant) or len(merchant) > LONGEST_ID:
            raise Misconfigured("MERCHANT_ID is a number of 1 to 20 digits.")
        for key, words in {"ID_FIELD": ("processor_id", "airpayid"), "WRAP_IN_ARRAY": ("on", "off")}.items():
            if self.config[key] not in words:
                raise Misconfigured(f"{key} is {' or '.join(words)}.")
        self._private_key = hashlib.sha256(f"{self.config['SECRET']}@{user}:|:{password}".encode()).hexdigest()
        self._checksum_key = hashlib.sha256(f"{user}~:~{password}".encode()).hexdigest()
        self.http.hide(self._private_key)  # it goes out in the clear with every call

    def check(self, order: RefundOrder) -> str:
        if order.amount.currency != "INR" or not 0 < order.amount.minor <= MOST_MINOR:
            return "Airpay refunds rupees (INR), from 0.01 to 999999.99."
        if not THEIR_ID.match(order.payment_reference) or len(order.payment_reference) > LONGEST_ID:
            return "Airpay knows a payment by its transaction id, a number of 1 to 20 digits."
        return ""

    def refund(self, order: RefundOrder) -> RefundUpdate:
        if update := self.refund_many([order]).get(order.key):
            return update
        raise NoAnswer("Airpay's answer holds no entry about this refund, or none that fits together.")

    def refund_many(self, orders: Orders) -> dict[str, RefundUpdate]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        answer = self.http.send("POST", "/api/refundtxn.php", headers=headers, body=self.write_entries(orders))
        told = reading.json_of(answer, self.label, may_be_wrapped=True)
        with reading.unreadable_is(NoAnswer, "Airpay's answer"):
            return self.read_entries(told, orders)

    def write_entries(self, orders: Orders) -> bytes:
        """The request for these orders, now. Its transactions are the very text that the checksum is over."""
        transactions = [{"amount": str(o.amount), self.config["ID_FIELD"]: o.payment_reference} for o in orders]
        asked = self._signed("refund" + compact(transactions), mode="refund", transactions=transactions)
        return compact([asked] if self.config["WRAP_IN_ARRAY"] == "on" else asked).encode("ascii")

    def read_entries(self, told: Object, orders: Orders) -> dict[str, RefundUpdate]:
        """What an answer says, by the orders' keys. Raises ValueError when it cannot be read as a whole."""
        is_ours = id_at(told, "mercid") in ("", self.config["MERCHANT_ID"])
        if not is_ours or reading.text_at(told, "mode") not in ("", "refund"):
            raise ValueError("It answers another request.")
        said, entries = reading.word_at(told, "success"), reading.objects_at(told, "transactions")
        if said == "false" and not entries:
            no = RefundUpdate(Outcome.FAILED, message=reading.text_at(told, "message"))
            return {order.key: no for order in orders}
        return reading.each_readable(partial(update_of, entries=entries, said=said), {o.key: o for o in orders})

    def look_up(self, order: RefundOrder) -> list[RefundUpdate]:
        child = order.reference
        if not THEIR_ID.match(child) or child == order.payment_reference:
            raise NoAnswer("Airpay is asked by the child id of a refund (refundairpayid), and we have none.")
        form = urlencode(self._signed(child, merchant_txn_id="", processor_id=child)).encode("ascii")
        answer = self.http.send("POST", "/order/verify.php", headers={"Content-Type": FORM}, body=form)
        with reading.unreadable_is(NoAnswer, "Airpay's word on the refund"):
            told = reading.xml_of(reading.body_of(answer, self.label), "RESPONSE", "TRANSACTION")
            return [self._update(told, child)]

    def verify_webhook(self, delivery: Delivery) -> None:
        """Their CRC32 has no key: it keeps out scribbles, not forgers, which is why a callback only knocks."""
        with reading.unreadable_is(BadWebhook, "Airpay's delivery"):
            told = reading.form_of(delivery.body)
            if not {"ap_SecureHash", *SIGNED} <= set(told):
                raise ValueError("A field that is signed is missing.")
        words = [*(told[name] for name in SIGNED), self.config["MERCHANT_ID"], self.config["USERNAME"]]
        words += [told.get("CUSTOMERVPA", "")] if told.get("CHMOD") == "upi" else []
        if told["ap_SecureHash"] != str(zlib.crc32(":".join(map(str, words)).encode())):
            raise BadWebhook("Airpay's delivery and its checksum do not fit.")

    def read_webhook(self, delivery: Delivery) -> list[RefundUpdate | Nudge]:
        with reading.unreadable_is(BadWebhook, "Airpay's delivery"):
            told = reading.form_of(delivery.body)
            if not (number := id_at(told, "APTRANSACTIONID")):
                raise ValueError("It names no transaction.")
        kind = told.get("TRANSACTIONTYPE")
        payment, refund = "" if kind in OF_REFUNDS else number, "" if kind in OF_PAYMENTS else number
        return [Nudge(payment, refund, of_dispute=kind == "350")]

    def _signed(self, text: str, **fields: object) -> Object:
        """The fields, signed. The clock is read here, once per call."""
        merchant, today = self.config["MERCHANT_ID"], datetime.now(INDIA).date()
        checksum = hashlib.sha256(f"{self._checksum_key}@{merchant}{text}{today}".encode()).hexdigest()
        return {"merchant_id": merchant, "private_key": self._private_key, **fields, "checksum": checksum}

    def _update(self, told: Object, child: str) -> RefundUpdate:
        """One transaction of verify.php. Raises ValueError in every doubt."""
        status, kind = reading.name_at(told, "TRANSACTIONSTATUS"), reading.text_at(told, "TRANSACTIONTYPE")
        if status == "503" or told.get("APTRANSACTIONID") != child:
            raise ValueError("They have no record of it (503), or speak of another one; that proves nothing.")
        if told.get("CURRENCYCODE", "") not in ("", "356", "INR"):
            raise ValueError("It is not in rupees.")
        outcome = self._outcomes.get(status, Outcome.UNCLEAR) if kind in MONEY_BACK else Outcome.UNCLEAR
        amount, message = Money.parse(reading.text_at(told, "AMOUNT"), "INR"), reading.text_at(told, "MESSAGE")
        found = reading.details_at(told, DETAILS)
        return RefundUpdate(outcome, child, amount=amount, code=status, message=message, details=found)


def update_of(order: RefundOrder, entries: list[Object], said: str) -> RefundUpdate:
    """The one entry about this order's payment, wherever it stands. Raises ValueError in every doubt."""
    [entry] = [entry for entry in entries if id_at(entry, "airpayid") == order.payment_reference]
    child, amount = id_at(entry, "refundairpayid"), reading.text_at(entry, "amount")
    namesakes = [one for one in entries if child and one.get("refundairpayid") == entry["refundairpayid"]]
    outcome = ANSWERS.get((said, reading.word_at(entry, "success"), bool(child)), Outcome.UNCLEAR if child else None)
    if outcome is None or len(namesakes) > 1 or child == order.payment_reference:  # that would show the sale
        raise ValueError("It does not fit together.")
    money, message = Money.parse(amount, "INR") if amount else None, reading.text_at(entry, "message")
    return RefundUpdate(outcome, child, payment_reference=order.payment_reference, amount=money, message=message)


def id_at(told: Object, name: str) -> str:
    """An id of theirs; missing or empty is "". Raises ValueError for anything but a number, in a text or as one."""
    if (word := reading.word_at(told, name)) and not THEIR_ID.match(word):
        raise ValueError(f"{name} is not an id.")
    return word
