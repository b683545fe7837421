"""Refunds that a person makes by hand, as a bank transfer or a voucher. Two people then declare what became of it."""

from __future__ import annotations

from datetime import timedelta

from gateways.contract import Capabilities, Gateway, Outcome, RefundOrder, RefundUpdate


class Manual(Gateway):
    name = "manual"
    label = "Manual transfer"
    needs = ()
    can = Capabilities(partial=True, several=True, by_hand=True)
    poll_plan = ()
    quiet_window = timedelta(0)
    where_to_look = "The account that the transfer is made from: compare the payee, the amount and the day."

    def check(self, order: RefundOrder) -> str:
        return "" if order.amount.minor > 0 else "A transfer is of an amount above zero."

    def refund(self, order: RefundOrder) -> RefundUpdate:
        """Nothing goes over a wire: from here on it is on the list of transfers to make."""
        told = "A person makes this transfer."
        return RefundUpdate(Outcome.PROCESSING, key=order.key, amount=order.amount, message=told)
