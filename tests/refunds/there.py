"""A gateway in the same process for the life machine: what the real class declares, with a ledger of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateways.contract import Gateway, LookUp, Outcome, RefundOrder, RefundUpdate, Repeat
from gateways.errors import NoAnswer, NotSent
from gateways.money import Money
from tests.model.gateways import Scripted, model_of

LIVE = ("processing", "succeeded")
LOST, GONE = NoAnswer("The answer was lost."), NotSent("Nobody was there.")


class PowerCut(BaseException):
    """The worker is gone, at once."""


@dataclass
class Entry:
    """One refund in their ledger; `key` is ours, "" for one made in their own screens."""

    key: str
    payment: str
    amount: Money
    reference: str
    state: str
    at: datetime
    was: list[str] = field(default_factory=list)


# What becomes of one order: is it carried out, and what do we get to hear?
FATES: dict[str, tuple[str, Any]] = {
    "processing": ("processing", None),
    "succeeded": ("succeeded", None),
    "refused": ("", RefundUpdate(Outcome.FAILED, code="refused")),
    "unclear": ("processing", RefundUpdate(Outcome.UNCLEAR, code="odd")),
    "not sent": ("", GONE),
    "request lost": ("", LOST),
    "answer lost": ("processing", LOST),
    "paid, answer lost": ("succeeded", LOST),
    "power cut before": ("", PowerCut()),
    "power cut after": ("processing", PowerCut()),
}


@dataclass
class There:
    """Their whole world; `fate` is that of the next order, `now` their clock."""

    now: Callable[[], datetime]
    kind: type[Gateway]
    entries: list[Entry] = field(default_factory=list)
    fate: str = "processing"
    looks_fail: bool = False
    n_orders: int = 0

    def before(self, order: RefundOrder) -> Mapping[str, object]:
        shown = [one.reference for one in self.entries if one.payment == order.payment_reference]
        return {"references": shown} if self.kind.can.look_up is LookUp.BY_PAYMENT else {}

    def refund(self, order: RefundOrder) -> RefundUpdate:
        becomes, said = FATES[self.fate]
        self.n_orders += 1
        known = self.of(order.key)
        if known and self.kind.can.repeat is Repeat.WITHIN_WINDOW:
            said = said if isinstance(said, BaseException) else word(known[-1])
        elif becomes:
            self.entries.append(self.entry(order.key, order.payment_reference, order.amount, becomes))
        if isinstance(said, BaseException):
            raise said
        return said or word(self.of(order.key)[-1])

    def look_up(self, order: RefundOrder) -> list[RefundUpdate]:
        if self.looks_fail:
            raise LOST
        shown = [one for one in self.entries if one.payment == order.payment_reference]
        if self.kind.can.look_up is LookUp.BY_REFERENCE:
            shown = [one for one in shown if one.reference == order.reference]
        return [word(one, keyed=self.kind.can.look_up is LookUp.BY_KEY) for one in shown]

    def cancel(self, order: RefundOrder) -> RefundUpdate:
        (one,) = [one for one in self.entries if one.reference == order.reference]
        if one.state == "processing":
            self.becomes(one, "cancelled")
        return word(one)

    def entry(self, key: str, payment: str, amount: Money, state: str) -> Entry:
        return Entry(key, payment, amount, f"theirs-{len(self.entries)}", state, self.now())

    def becomes(self, one: Entry, state: str) -> None:
        one.was.append(one.state)
        one.state, one.at = state, self.now()

    def of(self, key: str) -> list[Entry]:
        return [one for one in self.entries if one.key == key]


def word(one: Entry, *, keyed: bool = True, amount: Money | None = None) -> RefundUpdate:
    told = Outcome.FAILED if one.state == "returned" else Outcome(one.state)
    names = {"reference": one.reference, "key": one.key if keyed else "", "payment_reference": one.payment}
    return RefundUpdate(told, **names, amount=amount or one.amount, code=one.state, occurred_at=one.at)


class Spoken(Scripted):
    """The connector's place; nothing is translated."""

    there: There

    def before(self, order: RefundOrder) -> Any:
        return self.there.before(order)

    def refund(self, order: RefundOrder) -> RefundUpdate:
        return self.there.refund(order)

    def look_up(self, order: RefundOrder) -> list[RefundUpdate]:
        return self.there.look_up(order)

    def cancel(self, order: RefundOrder) -> RefundUpdate:
        return self.there.cancel(order)


def connector_of(name: str) -> type[Gateway]:
    """The place of a real gateway's connector, with its capabilities."""
    return type(name, (Spoken, model_of(name)), {})
