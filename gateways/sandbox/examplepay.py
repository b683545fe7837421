"""A gateway that speaks like ExamplePay pg/v2. Its codes, its words for refunds and its refund query are inventions."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
from dataclasses import replace

from gateways.sandbox.desk import Desk, Order, Reply
from gateways.sandbox.ledger import Refund, now_ms
from gateways.sandbox.simulator import Request, SimulatedGateway
from gateways.sandbox.stories import STORIES

APP_ID = "5ab0c1d2e3f4051627384950a1b2c3d4"
SECRET = "sandbox-examplepay-secret-0123456789"
SKEW_MS = 5 * 60 * 1000
UNREGISTERED = 99_999_999_999  # minor units of a payment that nobody registered
REJECTED, EXCEEDED = "Refund.Common.Rejected", "Refund.Common.AmountExceeded"
WORDS = dict.fromkeys(("waiting", "processing"), "REFUNDING") | dict.fromkeys(("failed", "cancelled"), "REFUND_FAILED")
WORDS |= {"succeeded": "REFUNDED", "unheard": "ON_THE_MOON"}
AMOUNT = re.compile(r"[0-9]{1,15}\.[0-9]{2}")
PARTS = ("appId", "sign", "timestamp", "nonce")
# Name, longest text and whether it has to be there, as their pages' tables say.
CREATE = (("merchantRefundNo", 50, True), ("paymentNo", 50, True), ("amount", 18, True), ("description", 80, True))
PAYMENT = (("paymentNo", 32, False), ("merchantTradeNo", 50, False))
REFUND = (("merchantRefundNo", 50, False), ("refundNo", 50, False))


class Refused(Exception):
    """A call that is answered with a code."""

    def __init__(self, code: str, text: str, status: int = 200) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status


class Simulator(SimulatedGateway):
    base = "/examplepay"
    currency = "BRL"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._nonces: set[str] = set()
        self._noting, self._taking = threading.Lock(), threading.Lock()

    def payment_name(self, number: int) -> str:
        return f"20240423220624300800001097{number:06}"

    def credentials(self) -> dict[str, str]:
        return {"APP_ID": APP_ID, "APP_SECRET": SECRET, "REFUSAL_CODES": f"{REJECTED},{EXCEEDED}"}

    def answer(self, request: Request) -> Reply:
        try:
            self._let_in(request)
            reply = self._route(request)
        except Refused as no:
            reply = told(no.code, no.text, None, no.status)
        return signed(reply, request)

    def letter(self, refund: Refund, word: str, forged: bool) -> tuple[dict[str, str], bytes]:
        body = as_json({"code": "OK", "errorMessage": None, "data": {**shown(refund), "refundStatus": WORDS[word]}})
        secret = "somebody-else's" if forged else SECRET
        header = credentials_over("POST", self.desk.ledger.callback("examplepay"), body, secret)
        return {"Content-Type": "application/json", "Authorization": header}, body

    def _let_in(self, request: Request) -> None:
        """As strict as they could be: form, app, signature, clock, and a nonce that was never seen."""
        kind, _, rest = request.headers.get("authorization", "").partition(" ")
        pairs = [part.partition("=")[::2] for part in rest.split(",")]
        given = dict(pairs)
        if kind != "V2_SHA256" or [name for name, _ in pairs] != list(PARTS):
            raise Refused(
                "Common.Sign.Missing", "Authorization reads V2_SHA256 appId=…,sign=…,timestamp=…,nonce=…", 401
            )
        if given["appId"] != APP_ID:
            raise Refused("Common.App.Unknown", "There is no such app.", 401)
        if not re.fullmatch("[0-9]{13}", given["timestamp"]) or not re.fullmatch("[0-9A-Fa-f]{32}", given["nonce"]):
            raise Refused("Common.Sign.Malformed", "13 digits of milliseconds, and 32 hexadecimal ones.", 401)
        right = sign(request.method, request.url, given["timestamp"], given["nonce"], request.body, SECRET)
        if not hmac.compare_digest(right.encode(), given["sign"].encode()):
            raise Refused("Common.Sign.Invalid", "The signature does not fit.", 401)
        if abs(now_ms() - int(given["timestamp"])) > SKEW_MS:
            raise Refused("Common.Timestamp.Expired", "The timestamp is more than five minutes off.", 401)
        with self._noting:
            if given["nonce"].lower() in self._nonces:
                raise Refused("Common.Nonce.Repeated", "A nonce serves once.", 401)
            self._nonces.add(given["nonce"].lower())

    def _route(self, request: Request) -> Reply:
        for name in ("content-type", "accept"):
            if request.headers.get(name, "").split(";")[0].strip().lower() != "application/json":
                raise Refused("Common.Header.Invalid", f"{name} only supports application/json.", 415)
        routes = {
            "/pg/v2/refund/create": (CREATE, self._create),
            "/pg/v2/payment/query": (PAYMENT, self._payment),
            "/pg/v2/refund/query": (REFUND, self._refund),
        }
        if request.path not in routes or request.query:
            raise Refused("Common.Path.Unknown", "There is no such resource.", 404)
        if request.method != "POST":
            raise Refused("Common.Method.Unsupported", "POST only.", 405)
        fields, served = routes[request.path]
        return served(read(request.body, fields), request.body.decode())

    def _create(self, asked: dict[str, str], text: str) -> Reply:
        if not AMOUNT.fullmatch(asked["amount"]) or not int(asked["amount"].replace(".", "")):
            raise Refused("Common.Param.Invalid", "amount: 1 to 15 digits, a point and two decimals, above zero.")
        _, currency = self._captured(asked["paymentNo"])
        number, minor = asked["merchantRefundNo"], int(asked["amount"].replace(".", ""))
        with self._taking:
            # Uniqueness is only recommended: the same number again is another refund, and pays again.
            is_taken = self.desk.ledger.refund("examplepay", number) is not None
            key = f"{number}#{secrets.token_hex(4)}" if is_taken else number
            return self.take(
                Order("examplepay", key, asked["paymentNo"], minor, currency, "", text),
                lambda refund: told("OK", None, shown(refund)),
                lambda too_much: told(*((EXCEEDED, "More than is left.") if too_much else (REJECTED, "Rejected."))),
                reference=f"{now_ms()}{secrets.randbelow(10**19):019}",
            )

    def _payment(self, asked: dict[str, str], _: str) -> Reply:
        payment = asked.get("paymentNo") or asked["merchantTradeNo"].removeprefix("trade-")
        captured, currency = self._captured(payment)
        data = {
            "paymentNo": payment,
            "merchantTradeNo": f"trade-{payment}",
            "amount": major(captured),
            "currency": currency,
            "status": "PAID",
            "refundStatus": self._word(payment, captured),
            "rrn": str(int(hashlib.sha256(payment.encode()).hexdigest(), 16))[:12],
        }
        return told("OK", None, data)

    def _refund(self, asked: dict[str, str], _: str) -> Reply:
        """Not on any page of theirs."""
        ledger = self.desk.ledger
        number, reference = asked.get("merchantRefundNo", ""), asked.get("refundNo", "")
        found = ledger.refund("examplepay", number) or ledger.by_reference("examplepay", reference)
        if found is None or not found.is_executed:
            raise Refused("Refund.Common.NotFound", "There is no such refund.")
        return told("OK", None, {**shown(found), "status": WORDS[found.status]})

    def _captured(self, payment: str) -> tuple[int, str]:
        return self.desk.ledger.payment("examplepay", payment) or (UNREGISTERED, self.currency)

    def _word(self, payment: str, captured: int) -> str:
        """One word for all refunds of a payment."""
        refunds = self.desk.ledger.refunds_of("examplepay", payment)
        words = {refund.status for refund in refunds}
        paid = sum(refund.minor for refund in refunds if refund.status == "succeeded")
        lines = (
            ("unheard" in words, WORDS["unheard"]),
            (words & {"waiting", "processing"}, WORDS["processing"]),
            (paid >= captured, WORDS["succeeded"]),
            (paid, "PARTIAL_REFUNDED"),
            (words, WORDS["failed"]),
            (True, "NOT_REFUNDED"),
        )
        return next(word for fits, word in lines if fits)


def read(body: bytes, fields: tuple[tuple[str, int, bool], ...]) -> dict[str, str]:
    """The texts in a body; refuses every other type, what is too long, and what has to be there and is not."""
    try:
        asked = json.loads(body.decode("utf-8"))
    except ValueError:
        raise Refused("Common.Body.Invalid", "The body is not JSON.") from None
    if not isinstance(asked, dict):
        raise Refused("Common.Body.Invalid", "The body is not an object.")
    for name, longest, is_needed in fields:
        given = asked.get(name)
        if given is None and not is_needed:
            continue
        if type(given) is not str or not 0 < len(given) <= longest:
            raise Refused("Common.Param.Invalid", f"{name} is a text of 1 to {longest} characters.")
    if not any(asked.get(name) for name, *_ in fields):
        raise Refused("Common.Param.Invalid", "It names nothing.")
    return {name: asked[name] for name, *_ in fields if asked.get(name)}


def shown(refund: Refund) -> dict[str, str]:
    """A refund in their data block."""
    return {
        "refundNo": refund.reference,
        "paymentNo": refund.payment,
        "merchantRefundNo": json.loads(refund.asked)["merchantRefundNo"],
        "amount": major(refund.minor + STORIES[refund.story].shown_too_much),
        "currency": refund.currency,
    }


def major(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


def sign(method: str, url: str, timestamp: str, nonce: str, body: bytes, secret: str) -> str:
    digest = hashlib.sha256()
    for part in (APP_ID, secret, method, url, timestamp, nonce):
        digest.update(part.encode("utf-8"))
        digest.update(b"\n")
    digest.update(body)
    digest.update(b"\n")
    return digest.hexdigest()


def credentials_over(method: str, url: str, body: bytes, secret: str = SECRET) -> str:
    """Their own Authorization header, of this moment."""
    timestamp, nonce = str(now_ms()), secrets.token_hex(16).upper()
    mark = sign(method, url, timestamp, nonce, body, secret)
    return f"V2_SHA256 appId={APP_ID},sign={mark},timestamp={timestamp},nonce={nonce}"


def signed(reply: Reply, request: Request) -> Reply:
    """With the header that their own answers carry; what a proxy in between would say has none."""
    if reply.hangs_up or reply.status >= 500 or reply.headers.get("Content-Type") != "application/json":
        return reply
    header = credentials_over(request.method, request.url, reply.body)
    return replace(reply, headers={**reply.headers, "Authorization": header})


def told(code: str, message: str | None, data: dict[str, str] | None = None, status: int = 200) -> Reply:
    body = as_json({"code": code, "errorMessage": message, "data": data})
    return Reply(status, body, {"Content-Type": "application/json"})


def as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8")
