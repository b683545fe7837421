"""The contract's stories about several orders in one call: told by certify.py, where the others stand."""

from __future__ import annotations

from gateways.contract import Outcome, RefundOrder
from gateways.errors import NoAnswer
from gateways.sandbox.bench import ASKED, Bench, applies, must, must_raise

# story → what the answer says of an order that goes by it; None: nothing that can be relied on
TOLD = {
    "success": Outcome.PROCESSING,
    "refused": Outcome.FAILED,
    "left_out": None,
    "told_twice": None,
    "wrong_amount": Outcome.PROCESSING,
    "slow": Outcome.PROCESSING,
}


def each_has_its_own_end(bench: Bench) -> None:
    orders = _orders(bench, list(TOLD))
    found = bench.gateway(BATCH=str(len(orders))).refund_many(orders)
    must(len(bench.sandbox.requests()) == 1, f"It made {len(bench.sandbox.requests())} calls.")
    must(set(found) <= {order.key for order in orders}, "It speaks of an order that was not in the call.")
    for order, (name, outcome) in zip(orders, TOLD.items(), strict=True):
        update = found.get(order.key)
        must((update and update.outcome) is outcome, f"It says {update and update.outcome} after {name}.")
        if update:
            is_same = update.amount in (None, order.amount)
            must(is_same or name == "wrong_amount", "It gives an order the amount of another one.")
            must(not is_same or name != "wrong_amount", "It hides that they speak of another amount.")
            must(update.payment_reference in ("", order.payment_reference), "It gives an order another one's answer.")
    moved = sorted(order.amount.minor for order, name in zip(orders, TOLD, strict=True) if name != "refused")
    must(sorted(bench.moved()) == moved, f"The money that moved is {bench.moved()}, not {moved}.")


def a_lost_answer_is_everybodys(bench: Bench) -> None:
    orders = _orders(bench, ["success", "answer_lost", "refused"])
    with must_raise(NoAnswer, otherwise="The line was cut; it does not say so."):
        bench.gateway(BATCH=str(len(orders))).refund_many(orders)


def _orders(bench: Bench, stories: list[str]) -> list[RefundOrder]:
    applies(bench.kind.can.bundle >= len(stories), "It takes one order in a call.")
    orders = [bench.order(ASKED + 30 + number) for number in range(len(stories))]
    for order, name in zip(orders, stories, strict=True):
        bench.sandbox.tell(name, payment=order.payment_reference)
    return orders
