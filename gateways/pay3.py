"""Pay3 (docs.pay3.money): fiat refunds under an access token, found in the order's list before and after."""

from __future__ import annotations

import base64
import hmac
import json
import re
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from urllib.parse import urlencode

import jwt
from jwt.warnings import InsecureKeyLengthWarning

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
from gateways.http import Response
from gateways.money import exponent
from gateways.strictjson import Object, parse
from gateways.tokens import Tokens, fetch_token

HMACS = ("HS256", "HS384", "HS512")
PLAIN_ID = re.compile(r"\A[!-~]{1,100}\Z", re.ASCII)  # no length of a requestId is documented
THREE_PARTS = re.compile(r"\A[\w-]{1,1000}\.[\w-]{1,8000}\.[\w-]{1,200}\Z", re.ASCII)
PLAIN_CODE = re.compile(r"\A[1-9][0-9]{0,9}(\.[0-9]{1,9})?\Z", re.ASCII)  # such as 7001 and 9006.1; 0 and true are none
REFUSED_WITH = (400, 401, 403, 404, 422)
KEYS: Mapping[str, Callable[[str], bytes]] = {"off": str.encode, "on": lambda t: base64.b64decode(t, validate=True)}
DETAILS = {"status": ("Their word for the status", "status"), "errorReason": ("What they object to", "errorReason")}
TOKENS = Tokens()
warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)  # how long a secret is, they decide


class Pay3(Gateway):
    name = "pay3"
    label = "Pay3"
    needs = ("URL", "CLIENT_ID", "API_SECRET", "WEBHOOK_SECRET")
    takes = {
        **{"WEBHOOK_SECRET_PREVIOUS": "", "WEBHOOK_ALGORITHMS": "HS384", "WEBHOOK_SECRET_IS_BASE64": "off"},
        "TOKEN_METHOD": "POST",
        "TOKEN_PATH": "/v1/client/access-token",
        "TOKEN_BODY": '{"clientId":"{client_id}","secret":"{api_secret}"}',
        "TOKEN_FIELD": "accessToken",
        "REFUND_PATH": "/v1/client/fiat-refund",
        "LIST_PATH": "/v1/client/fiat-refunds",
        "STATUS_SUCCEEDED": "REFUNDED,REFUND_COMPLETED",
        "STATUS_FAILED": "REFUND_FAILED",
        "STATUS_PROCESSING": "REFUND_CREATED,REFUND_INITIATED",
    }
    secrets = ("API_SECRET", "WEBHOOK_SECRET", "WEBHOOK_SECRET_PREVIOUS")
    can = Capabilities(True, look_up=LookUp.BY_PAYMENT, webhooks=Webhooks.KNOCK, proves_reference=True)
    poll_plan = tuple(timedelta(seconds=n) for n in (10, 30, 60, 300, 900, *[3600] * 12, *[86_400] * 7))
    detail_labels = {name: label for name, (label, *_) in DETAILS.items()}
    payment_named = "requestId"
    where_to_look = "Pay3's dashboard, the refunds of the order with this request id: compare amount and moment."
    assumptions = (
        Assumption("pay3-statuses", "What STATUS_* say is final, and means so.", True, setting="STATUS_SUCCEEDED"),
        Assumption("pay3-one-new", "The one new entry of equal amount in the list is our order.", is_critical=True),
        Assumption("pay3-refusals", "What they refuse by a code and do not list never comes.", is_critical=True),
        Assumption("pay3-token", "The access token comes as TOKEN_* say.", shown_by_look_up=True, setting="TOKEN_PATH"),
        Assumption("pay3-list", "The list is at LIST_PATH.", shown_by_look_up=True, setting="LIST_PATH"),
        Assumption("pay3-refund-path", "Refunds are created at REFUND_PATH.", setting="REFUND_PATH"),
        Assumption("pay3-webhooks", "WEBHOOK_SECRET signs as plain text.", setting="WEBHOOK_SECRET_IS_BASE64"),
    )

    def __init__(self, config: Mapping[str, str]) -> None:
        super().__init__(config)
        self._outcomes = reading.outcome_table(self.config)
        self._algorithms = reading.words_of(self.config["WEBHOOK_ALGORITHMS"])
        if not self._algorithms or set(self._algorithms) - set(HMACS):
            raise Misconfigured(f"WEBHOOK_ALGORITHMS holds some of {', '.join(HMACS)}, and nothing else.")
        if not (key := KEYS.get(self.config["WEBHOOK_SECRET_IS_BASE64"])):
            raise Misconfigured("WEBHOOK_SECRET_IS_BASE64 is on or off.")
        if not all(self.config[name].startswith("/") for name in ("TOKEN_PATH", "REFUND_PATH", "LIST_PATH")):
            raise Misconfigured("TOKEN_PATH, REFUND_PATH and LIST_PATH begin with a slash.")  # or the host changes
        self._owner = (self.http.base_url, self.config["CLIENT_ID"], self.config["API_SECRET"])
        with reading.unreadable_is(Misconfigured, "WEBHOOK_SECRET"):
            self._webhook_keys = [key(text) for name in self.secrets[1:] if (text := self.config[name]).strip()]

    def check(self, order: RefundOrder) -> str:
        if not PLAIN_ID.match(order.payment_reference):
            return "Pay3 knows a payment by its requestId, 1 to 100 signs without blanks."
        if exponent(order.amount.currency) > 2 or order.amount.minor <= 0:
            return "Pay3 refunds amounts above zero with at most two decimals."
        return ""

    def body(self, order: RefundOrder) -> bytes:
        asked = {"fiatAmount": str(order.amount), "requestId": order.payment_reference}
        return json.dumps({**asked, "clientId": self.config["CLIENT_ID"]}, separators=(",", ":")).encode("ascii")

    def before(self, order: RefundOrder) -> Mapping[str, object]:
        return {"references": [update.reference for update in self.look_up(order)]}

    def refund(self, order: RefundOrder) -> RefundUpdate:
        """Once: after a clear auth failure the token is forgotten, and a look-up comes before everything else."""
        text = f"fiatAmount={order.amount}&requestId={order.payment_reference}"
        mark = hmac.digest(self.config["API_SECRET"].encode(), text.encode(), "sha256")
        headers = {"signature": base64.b64encode(mark).decode(), "Content-Type": "application/json"}
        try:
            headers |= self._access()
        except NoAnswer as accident:
            raise NotSent(f"No access token, so nothing was sent: {accident}", accident.retry_after) from accident
        answer = self.http.send("POST", self.config["REFUND_PATH"], headers=headers, body=self.body(order))
        told = reading.json_of(answer, self.label, (200, *REFUSED_WITH))
        with reading.unreadable_is(NoAnswer, "Pay3's answer"):
            self._forgets_token(answer, told)
            return self._update(told, order) if answer.status == 200 else refusal(told)

    def look_up(self, order: RefundOrder) -> list[RefundUpdate]:
        answer = self._list(order)
        if answer.status == 401 and self._forgets_token(answer, reading.json_of(answer, self.label, (401,))):
            answer = self._list(order)  # a look-up may be repeated, with a fresh token
        told = reading.json_of(answer, self.label)
        with reading.unreadable_is(NoAnswer, "Pay3's list of refunds"):
            items, reason = told.get("data"), told.get("errorReason")
            if not isinstance(items, list) or told.get("error") or (not items and reading.line_of(reason)):
                raise ValueError("There is no list in it, or an error instead of one.")
            updates = [self._update({"errorReason": reason, **one}, order) for one in reading.objects_at(told, "data")]
            if len({update.reference for update in updates}) < len(updates):
                raise ValueError("One refund stands in it twice.")
            return updates

    def verify_webhook(self, delivery: Delivery) -> None:
        with reading.unreadable_is(BadWebhook, "Pay3's delivery"):
            token = token_in(delivery)
        if not any(self._is_signed(token, key) for key in self._webhook_keys):
            raise BadWebhook("It is not signed with our webhook secret.")

    def read_webhook(self, delivery: Delivery) -> list[RefundUpdate | Nudge]:
        """The older, flat form of the claims names no requestId: then there is nothing to ask about."""
        with reading.unreadable_is(BadWebhook, "Pay3's delivery"):
            claims = parse(base64.urlsafe_b64decode(token_in(delivery).split(".")[1] + "=="))
            request = reading.name_at(claims, "requestId", needed=False)
        return [Nudge(payment_reference=request)] if request else []

    def _list(self, order: RefundOrder) -> Response:
        asked = urlencode({"requestId": order.payment_reference, "clientId": self.config["CLIENT_ID"]})
        return self.http.send("GET", f"{self.config['LIST_PATH']}?{asked}", headers=self._access())

    def _is_signed(self, token: str, key: bytes) -> bool:
        try:
            jwt.decode(token, key, algorithms=self._algorithms, options={"verify_aud": False})
        except Exception:  # whatever the library says of a stranger's token: it is not theirs
            return False
        return True

    def _access(self) -> dict[str, str]:
        """The headers that let us in. Raises NotSent or NoAnswer when no token can be had."""
        values = {"client_id": self.config["CLIENT_ID"], "api_secret": self.config["API_SECRET"]}
        self._token = TOKENS.get(self._owner, lambda: fetch_token(self.http, self.config, values))
        self.http.hide(self._token)
        return {"access-token": self._token, "Accept": "application/json"}

    def _forgets_token(self, answer: Response, told: Object) -> bool:
        """Whether a 401 is about the token: a plain text says so, a code makes it a business error."""
        if is_about_it := answer.status == 401 and isinstance(told.get("error"), str):
            TOKENS.forget(self._owner, self._token)
        return is_about_it

    def _update(self, told: Object, order: RefundOrder) -> RefundUpdate:
        """One refund of theirs; the currency is the order's, since it is not on the wire."""
        if told.get("error"):
            raise ValueError("An error stands beside the refund.")
        word, amount = reading.name_at(told, "status"), reading.name_at(told, "fiatAmount")
        return RefundUpdate(
            self._outcomes.get(word, Outcome.UNCLEAR),
            reference=reading.name_at(told, "refundId"),
            payment_reference=reading.name_at(told, "requestId"),
            amount=reading.money_of(amount, order.amount.currency),
            code=word,
            message=reading.text_at(told, "errorReason", "errorDesc"),
            details=reading.details_at(told, DETAILS),
        )


def token_in(delivery: Delivery) -> str:
    """The JWT in a delivery. Raises ValueError when there is none."""
    if not THREE_PARTS.match(token := reading.text_at(parse(delivery.body), "payload")):
        raise ValueError("It holds no JWT.")
    return token


def refusal(told: Object) -> RefundUpdate:
    """Their "no". Raises ValueError for anything but {"error": {"code": …}} without a refund in it."""
    if not PLAIN_CODE.match(code := reading.word_at(told, "error", "code")) or "refundId" in told:
        raise ValueError("It is no business error of theirs.")
    return RefundUpdate(Outcome.FAILED, code=code, message=reading.text_at(told, "error", "message"))
