"""A gateway that speaks like Airpay v3. How it refuses a key or a checksum, and verify.php's errors, are inventions."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
from binascii import crc32
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

from gateways.sandbox.desk import Desk, Order, Reply
from gateways.sandbox.ledger import Refund
from gateways.sandbox.simulator import Request, SimulatedGateway
from gateways.sandbox.stories import STORIES

MERCHANT_ID, USERNAME = "900100", "sandbox_airpay"
PASSWORD, SECRET = "sandbox-airpay-password", "sandbox-airpay-secret"
WORDS = {"waiting": "450", "processing": "211", "succeeded": "200", "failed": "400"}
WORDS |= {"cancelled": "402", "unheard": "777"}
MESSAGES = {"200": "Success", "211": "Transaction in process", "400": "Failed", "402": "Cancelled", "450": "Awaiting"}
MOST_ENTRIES = 100
KOLKATA = ZoneInfo("Asia/Kolkata")
ASKED = {"merchant_id", "private_key", "mode", "transactions", "checksum"}
VERIFIED = ("merchant_id", "merchant_txn_id", "processor_id", "rrn", "terminal_id", "txn_type")  # as they are hashed
NEEDED = {"merchant_id", "merchant_txn_id", "processor_id", "private_key", "checksum"}
JSON, FORM, XML = "application/json", "application/x-www-form-urlencoded", "text/xml; charset=utf-8"
UNKNOWN = "Transaction does not exist."
OVER_PAYMENT = "Refund Amount greater than transaction amount."
OVER_BALANCE = "Refund amount should be less than or equal to the balanced transaction amount."
Entries = list[dict[str, str]]
Write = Callable[[Entries], Reply]


class Refused(Exception):
    """A request that is refused as a whole; the text is the message."""


class Simulator(SimulatedGateway):
    base = "/airpay"
    currency = "INR"
    id_field = "processor_id"  # some merchants are set up for airpayid
    is_wrapped = False  # and some for an array around the request

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._children: dict[str, int] = {}
        self._counting = threading.Lock()

    def payment_name(self, number: int) -> str:
        return str(716_000_000 + number)

    def credentials(self) -> dict[str, str]:
        return {"MERCHANT_ID": MERCHANT_ID, "USERNAME": USERNAME, "PASSWORD": PASSWORD, "SECRET": SECRET}

    def answer(self, request: Request) -> Reply:
        try:
            if request.path == "/api/refundtxn.php":
                return self._refund(self._entries(request))
            if request.path == "/order/verify.php":
                return self._verify(read_form(request))
        except Refused as no:
            is_order = request.path == "/api/refundtxn.php"
            return refused(str(no)) if is_order else xml(f"<RESPONSE>{cdata('ERROR', str(no))}</RESPONSE>")
        return Reply(404, b"<html><body>Not Found</body></html>", {"Content-Type": "text/html"})

    def letter(self, refund: Refund, word: str, forged: bool) -> tuple[dict[str, str], bytes]:
        told = {"MERCID": MERCHANT_ID, "MERCHANT_NAME": "Sandbox", **transaction(refund, word)}
        told["ap_SecureHash"] = str(int(told["ap_SecureHash"]) ^ int(forged))
        return {"Content-Type": FORM}, urlencode(told).encode("ascii")

    def _entries(self, request: Request) -> list[dict[str, str]]:
        """The transactions of a request that is in order. Each entry is judged later, on its own."""
        demand(request, JSON)
        try:
            asked = json.loads(request.body.decode("ascii"))
        except ValueError:
            raise Refused("Invalid request.") from None
        if self.is_wrapped:
            asked = asked[0] if isinstance(asked, list) and len(asked) == 1 else None
        if not isinstance(asked, dict) or set(asked) != ASKED or asked["mode"] != "refund":
            raise Refused("Invalid request.")
        authenticate(asked["merchant_id"], asked["private_key"])
        entries = asked["transactions"]
        if not isinstance(entries, list) or not 0 < len(entries) <= MOST_ENTRIES:
            raise Refused("Invalid transactions.")
        if not all(self._is_entry(entry) for entry in entries):
            raise Refused("Invalid transactions.")
        as_php_writes_it = json.dumps(entries, separators=(",", ":")).replace("/", "\\/")
        if as_php_writes_it.encode() not in request.body:
            raise Refused("Checksum mismatch.")
        check_sum(asked["checksum"], f"{MERCHANT_ID}refund{as_php_writes_it}")
        return entries

    def _is_entry(self, entry: object) -> bool:
        """Amount first, then the id, both as texts: numbers would be written differently there."""
        return (
            isinstance(entry, dict)
            and list(entry) == ["amount", self.id_field]
            and all(isinstance(text, str) for text in entry.values())
        )

    def _refund(self, entries: list[dict[str, str]]) -> Reply:
        """One entry goes wholly by its story; of several, a story that breaks the line breaks it for all.

        Several are answered the other way round, so that nobody can rely on places.
        """
        if len(entries) == 1:
            return self._take(entries[0], answered, refused)
        told: Entries = []

        def note(entries: Entries) -> Reply:
            told[:0] = entries
            return Reply(200)

        replies = [self._take(entry, note) for entry in entries]
        broken = [reply for reply in replies if reply.hangs_up or reply.status != 200]
        return broken[0] if broken else replace(answered(told), drip=max(reply.drip for reply in replies))

    def _take(self, asked: dict[str, str], write: Write, refuse: Callable[[str], Reply] | None = None) -> Reply:
        payment, amount = asked[self.id_field], asked["amount"]

        def no(message: str) -> Reply:
            return write([entry_of(payment, "false", amount, message, "")])

        if not re.fullmatch("[0-9]{1,20}", payment):
            return no(UNKNOWN)
        if not re.fullmatch(r"[0-9]{1,6}\.[0-9]{2}", amount) or not int(amount.replace(".", "")):
            return no("Invalid amount.")
        order = Order(
            gateway="airpay",
            key=secrets.token_hex(16),  # the wire carries no name of ours
            payment=payment,
            minor=int(amount.replace(".", "")),
            currency="INR",
            callback_url="",
            asked=json.dumps(asked),
        )

        def refusal(too_much: bool) -> Reply:
            known = self.desk.ledger.payment("airpay", payment)
            if not too_much:
                return no(UNKNOWN)
            if known and order.minor > known[0]:
                return no(OVER_PAYMENT)
            return refuse(OVER_BALANCE) if refuse else no(OVER_BALANCE)

        def yes(refund: Refund) -> Reply:
            return write([accepted(refund)] * STORIES[refund.story].entries)

        return self.take(order, yes, refusal, reference=self._child(payment))

    def _child(self, payment: str) -> str:
        """The payment's id and a counter of two digits, each used once."""
        with self._counting:
            query = "SELECT COUNT(*) FROM refund WHERE gateway = 'airpay' AND payment = ?"
            n_known = int(self.desk.ledger.rows(query, payment)[0][0])
            self._children[payment] = max(self._children.get(payment, 0), n_known) + 1
            return f"{payment}{self._children[payment]:02}"

    def _verify(self, asked: dict[str, str]) -> Reply:
        wanted = asked["processor_id"]
        refund = self.desk.ledger.by_reference("airpay", wanted)
        if refund and refund.is_executed:
            return shown(transaction(refund, refund.status))
        captured = self.desk.ledger.payment("airpay", wanted)
        if captured:
            return shown(fields(wanted, wanted, captured[0], "200", "320"))
        return shown({"TRANSACTIONSTATUS": "503", "MESSAGE": "No record found"})


def demand(request: Request, content_type: str) -> None:
    if request.method != "POST":
        raise Refused("Invalid request method.")
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != content_type:
        raise Refused("Invalid content type.")


def read_form(request: Request) -> dict[str, str]:
    """The fields of a question to verify.php that is in order."""
    demand(request, FORM)
    try:
        found = parse_qs(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise Refused("Invalid request.") from None
    asked = {name: texts[0] for name, texts in found.items()}
    if any(len(texts) > 1 for texts in found.values()) or not set(asked) >= NEEDED:
        raise Refused("Invalid request.")
    authenticate(asked["merchant_id"], asked["private_key"])
    check_sum(asked["checksum"], "".join(asked.get(name, "") for name in VERIFIED))
    return asked


def authenticate(merchant: object, given: object) -> None:
    if merchant != MERCHANT_ID:
        raise Refused("Invalid merchant id.")
    if given != digest(f"{SECRET}@{USERNAME}:|:{PASSWORD}"):
        raise Refused("Merchant key authentication error.")


def check_sum(given: object, text: str) -> None:
    """Their date is India's, and the one of this moment."""
    key, today = digest("~:~".join([USERNAME, PASSWORD])), datetime.now(UTC).astimezone(KOLKATA).strftime("%Y-%m-%d")
    if given != digest("@".join([key, text + today])):
        raise Refused("Checksum mismatch.")


def digest(text: str) -> str:
    return hashlib.new("sha256", text.encode("utf-8")).hexdigest()


def transaction(refund: Refund, word: str) -> dict[str, str]:
    """A refund as verify.php and a callback tell it."""
    minor = refund.minor + STORIES[refund.story].shown_too_much
    return fields(refund.payment, refund.reference, minor, WORDS[word], "340")


def fields(payment: str, number: str, minor: int, status: str, kind: str) -> dict[str, str]:
    """Every second payment was made by UPI, where the customer's address is hashed too."""
    is_upi = int(payment) % 2 == 1
    told = {
        "TRANSACTIONID": f"order-{payment}",
        "APTRANSACTIONID": number,
        "AMOUNT": rupees(minor),
        "TRANSACTIONSTATUS": status,
        "MESSAGE": MESSAGES.get(status, "Unknown"),
    }
    hashed = [*told.values(), MERCHANT_ID, USERNAME, *(["customer@bank"] if is_upi else [])]
    return {
        **told,
        "TRANSACTIONTYPE": kind,
        "TRANSACTIONTIME": datetime.now(KOLKATA).strftime("%d-%m-%Y %H:%M:%S"),
        "CURRENCYCODE": "356",
        "CHMOD": "upi" if is_upi else "pg",
        "CUSTOMERVPA": "customer@bank" if is_upi else "",
        "RRN": str(int(digest(number), 16))[:12] if status == "200" else "",
        "ap_SecureHash": str(crc32(":".join(hashed).encode("utf-8"))),
    }


def accepted(refund: Refund) -> dict[str, str]:
    """The entry that answers an order."""
    amount = rupees(refund.minor + STORIES[refund.story].shown_too_much)
    message = f"Refund initiated successfully for transaction id {refund.payment} ,child id {refund.reference}"
    return entry_of(
        refund.payment, "true", amount, f"{message} with transaction amount {amount}", reference=refund.reference
    )


def entry_of(payment: str, success: str, amount: str, message: str, reference: str) -> dict[str, str]:
    said = {"airpayid": payment, "success": success, "amount": amount}
    return {**said, "message": message, "refundairpayid": reference}


def answered(entries: Entries) -> Reply:
    return as_json({"mercid": MERCHANT_ID, "mode": "refund", "success": "true", "message": "", "transactions": entries})


def refused(message: str) -> Reply:
    return as_json({"mercid": MERCHANT_ID, "mode": "refund", "success": "false", "message": message})


def as_json(value: dict[str, Any]) -> Reply:
    return Reply(200, json.dumps(value).encode("ascii"), {"Content-Type": JSON})


def shown(told: dict[str, str]) -> Reply:
    inner = "".join(cdata(name, text) for name, text in told.items())
    return xml(f"<RESPONSE><TRANSACTION>{inner}</TRANSACTION></RESPONSE>")


def cdata(name: str, text: str) -> str:
    return f"<{name}><![CDATA[{text}]]></{name}>"


def xml(text: str) -> Reply:
    return Reply(200, text.encode("utf-8"), {"Content-Type": XML})


def rupees(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"
