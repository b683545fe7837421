"""What has to hold in every state: the promises, asked of our tables and of the gateway's ledger."""

from __future__ import annotations

from copy import copy

from refunds.models import Refund, Status
from refunds.services.claim import obstacle
from tests.model import gateways
from tests.model.memory import HERE, RefundRow
from tests.model.world import LIVE, REFUNDS, State, World

S = Status
# Written out here once more, so that a change of the product's own tables is seen.
HOLDS = {S.REQUESTED, S.RETURNED, S.APPROVED, S.SENDING, S.UNKNOWN, S.PROCESSING}
OUT_THERE = {S.SENDING, S.UNKNOWN, S.PROCESSING}
WITHOUT_MONEY = {S.FAILED, S.WITHDRAWN, S.REVERSED}
EDGES = {(one.source, one.target) for one in Refund._meta.get_field("status").get_all_transitions(Refund)}


def flaw(world: World, before: State, move: str) -> str:
    """The first broken promise, or ""."""
    for row, was in zip(HERE.refunds, before[REFUNDS], strict=False):
        if broken := _of_refund(world, row, was[0][0], was[5], move):
            return f"{broken} (refund {row.pk})"
    return _of_payment(world)


def _of_refund(world: World, row: RefundRow, was: str, marks: frozenset[str], move: str) -> str:
    ledger = world.ledger[row.pk]
    n_live = sum(entry.state in LIVE for entry in ledger)
    if n_live > 1 or sum(entry.state in ("succeeded", "returned") for entry in ledger) > 1:
        return "I3: paid twice"
    if was != row.status and (was, row.status) not in EDGES:
        return f"I19: {was} → {row.status} is no transition"
    if was == S.SUCCEEDED != row.status and not (row.status == S.REVERSED and move.startswith(("turn", "look-up"))):
        return "I20: succeeded has left not by a confirmed reversal"
    if was in WITHOUT_MONEY and was != row.status and (row.status != S.UNKNOWN or not row.needs_attention):
        return "I20: an end was left without a call"
    if "revived" in world.marks[row.pk]:
        return ""
    if row.status in WITHOUT_MONEY and n_live:
        return f"I4: {row.status}, and yet money moves"
    if row.status in (S.REQUESTED, S.APPROVED) and n_live:
        return f"I4: {row.status} again, and yet money moves"
    if row.status == S.SUCCEEDED and not any(entry.state in ("succeeded", "returned") for entry in ledger):
        return "" if "declared succeeded" in marks | world.marks[row.pk] else "I5: succeeded, and nothing was paid"
    if move.startswith("no answer") and row.status in WITHOUT_MONEY and was == S.SENDING:
        return "I13: no answer was taken for a failure"
    return ""


def _of_payment(world: World) -> str:
    payment, rows = HERE.payment, HERE.refunds
    held = sum(row.amount for row in rows if row.status in HOLDS)
    refunded = sum(row.amount for row in rows if row.status == S.SUCCEEDED)
    if (payment.held, payment.refunded) != (held, refunded):
        return "I21: the sums are not what the statuses say"
    if any("revived" in marks for marks in world.marks.values()):
        return ""
    if held + refunded > payment.captured:
        return "I1: more is spoken for than was captured"
    there = sum(entry.state in LIVE for ledger in world.ledger.values() for entry in ledger)
    if there > payment.captured:
        return "I2: more was paid back than was captured"
    if any(row.retry_of and there > 1 for row in rows):
        return "I3: a refund and its retry were both paid"
    if not gateways.Current.can.several and sum(row.status in OUT_THERE for row in rows) > 1:
        return "I12: two at once where the gateway takes one"
    return ""


def rests(world: World) -> bool:
    """Every refund is at its end, or waits for a person who has been called or whose turn it is anyway."""
    is_called = any(row.needs_attention or "cleared" in world.marks[row.pk] for row in HERE.refunds)
    return all(_rests(row, is_called) or "cleared" in world.marks[row.pk] for row in HERE.refunds)


def _rests(row: RefundRow, is_called: bool) -> bool:
    if row.needs_attention or row.status in (S.REQUESTED, S.RETURNED):
        return True
    if row.status == S.APPROVED:  # its page says why it waits; what it waits for is over, or has called somebody
        was_paid_after_all = row.retry_of and row.retry_of.status == S.SUCCEEDED
        return bool(obstacle(copy(row))) and (is_called or bool(was_paid_after_all))
    return row.status not in HOLDS and not row.to_confirm
