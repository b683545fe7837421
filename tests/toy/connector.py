"""Toy: one JSON POST, a look-up by our key, callbacks that only knock."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import timedelta

from gateways.contract import (
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
from gateways.errors import BadWebhook, NoAnswer
from gateways.money import Money
from gateways.reading import json_of, name_at, objects_at, text_at, unreadable_is, whole_at
from gateways.strictjson import Object, parse

WORDS = {"running": Outcome.PROCESSING, "paid": Outcome.SUCCEEDED, "dead": Outcome.FAILED}


class Toy(Gateway):
    name = "toy"
    label = "Toy Pay"
    needs = ("URL", "TOKEN")
    secrets = ("TOKEN",)
    can = Capabilities(
        partial=True, several=True, look_up=LookUp.BY_KEY, repeat=Repeat.AFTER_ABSENCE, webhooks=Webhooks.KNOCK
    )
    poll_plan = (timedelta(seconds=2), timedelta(minutes=1))
    detail_labels = {"colour": "Colour of the toy"}
    where_to_look = "The toy box."

    def check(self, order: RefundOrder) -> str:
        return "" if order.amount.currency == "EUR" else "Toy Pay knows euros only."

    def body(self, order: RefundOrder) -> bytes:
        asked = {"id": order.key, "of": order.payment_reference, "cents": order.amount.minor}
        return json.dumps(asked).encode()

    def refund(self, order: RefundOrder) -> RefundUpdate:
        answer = self.http.send("POST", "/refunds", headers=self._headers(), body=self.body(order))
        told = json_of(answer, self.label, (200, 422))
        with unreadable_is(NoAnswer, "Toy Pay's answer"):
            if answer.status == 422:
                return RefundUpdate(Outcome.FAILED, code=name_at(told, "no"))
            return self._update(told)

    def look_up(self, order: RefundOrder) -> list[RefundUpdate]:
        answer = self.http.send("GET", f"/payments/{order.payment_reference}", headers=self._headers())
        with unreadable_is(NoAnswer, "Toy Pay's list"):
            told = json_of(answer, self.label)
            if not isinstance(told.get("refunds"), list):
                raise ValueError("There is no list in it.")
            return [self._update(one) for one in objects_at(told, "refunds")]

    def verify_webhook(self, delivery: Delivery) -> None:
        expected = hashlib.sha256(self.config["TOKEN"].encode() + delivery.body).hexdigest()
        if not secrets.compare_digest(delivery.headers.get("x-toy", "").encode(), expected.encode()):
            raise BadWebhook("It is not signed by Toy Pay.")

    def read_webhook(self, delivery: Delivery) -> list[RefundUpdate | Nudge]:
        with unreadable_is(BadWebhook, "Toy Pay's delivery"):
            return [Nudge(payment_reference=name_at(parse(delivery.body), "of"))]

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Toy {self.config['TOKEN']}", "Content-Type": "application/json"}

    def _update(self, told: Object) -> RefundUpdate:
        return RefundUpdate(
            WORDS.get(name_at(told, "state"), Outcome.UNCLEAR),
            reference=name_at(told, "number"),
            key=name_at(told, "id"),
            payment_reference=name_at(told, "of"),
            amount=Money(whole_at(told, "cents") or 0, "EUR"),
            details={"colour": text_at(told, "colour")},
        )
