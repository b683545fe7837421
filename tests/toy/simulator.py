"""The toy's own ledger keeper, as a gateway's author writes it."""

from __future__ import annotations

import hashlib
import json
import secrets

from gateways.sandbox.desk import Order, Reply
from gateways.sandbox.ledger import Refund
from gateways.sandbox.simulator import Request, SimulatedGateway
from gateways.sandbox.stories import STORIES

TOKEN = "sandbox-toy-token-0123456789"
WORDS = {"waiting": "running", "processing": "running", "succeeded": "paid", "failed": "dead", "cancelled": "dead"}


class Simulator(SimulatedGateway):
    base = "/toy"
    currency = "EUR"

    def payment_name(self, number: int) -> str:
        return f"toy-{number}"

    def credentials(self) -> dict[str, str]:
        return {"TOKEN": TOKEN}

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Toy {TOKEN}":
            return reply(401, {"no": "token"})
        if request.method == "POST":
            return self._order(json.loads(request.body), request.body.decode())
        payment = request.path.rsplit("/", 1)[1]
        return reply(200, {"refunds": [shown(one) for one in self.desk.ledger.refunds_of("toy", payment)]})

    def letter(self, refund: Refund, word: str, forged: bool) -> tuple[dict[str, str], bytes]:
        body = json.dumps({"of": refund.payment}).encode()
        mark = hashlib.sha256((b"forged" if forged else TOKEN.encode()) + body).hexdigest()
        return {"Content-Type": "application/json", "X-Toy": mark}, body

    def _order(self, asked: dict, text: str) -> Reply:
        order = Order("toy", asked["id"], asked["of"], asked["cents"], "EUR", "", text)
        return self.take(
            order,
            lambda refund: reply(200, shown(refund)),
            lambda too_much: reply(422, {"no": "too-much" if too_much else "refused"}),
            reference=f"toy{secrets.token_hex(4)}",
            again=lambda known: reply(200, shown(known)),
        )


def shown(refund: Refund) -> dict:
    state = WORDS.get(refund.status, "odd")
    names = {"number": refund.reference, "id": refund.key, "of": refund.payment}
    cents = refund.minor + STORIES[refund.story].shown_too_much
    return {**names, "cents": cents, "state": state, "colour": "red"}


def reply(status: int, value: dict) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})
