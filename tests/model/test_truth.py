"""The model tells of the product: its parts together are the services' wholes, and its tables do as a database does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateways.contract import Outcome, RefundOrder, RefundUpdate
from refunds import accounts
from refunds.models import Payment, Refund, Status
from refunds.models.refund import HOLDING
from refunds.services.actor import Mouth
from tests.builders import again, approved, ask
from tests.model import gateways, moves, outside
from tests.model.memory import HERE, PaymentRow, RefundRow
from tests.model.rooms import NOW, ROOMS, in_memory
from tests.model.test_model import RUNS, explorer
from tests.model.world import State, World, freeze, shown, thaw, word
from tests.refunds.test_record import THE_WAY_THERE, hear, standing_in
from tests.refunds.test_record import word as told

TOGETHER = ("turn", "start", "claimed", "looked", "send", "order", "hear")  # one turn without an accident


class Whole(gateways.Scripted):
    """The wire for a service that runs in one go: everything arrives, and is answered, at once."""

    world: World

    def before(self, order: RefundOrder) -> Any:
        return {"references": [one.reference for one in shown(self.world, order)]}

    def refund(self, order: RefundOrder) -> RefundUpdate:
        (row,) = HERE.refunds
        n = max(n for n, one in enumerate(row.attempt_rows) if one.kind == "send")
        outside.arrive(self.world, row.pk, n, acts=True)
        return word(self.world.ledger[row.pk][-1], keyed=True)

    def look_up(self, order: RefundOrder) -> list[RefundUpdate]:
        return [word(one) for one in shown(self.world, order)]

    def cancel(self, order: RefundOrder) -> Any:
        return self.says_to(moves.cancelled_there(self.world, 1))

    def says_to(self, said: Any) -> Any:
        if isinstance(said, Exception):
            raise said
        return said


def in_one_go(state: State, patch: pytest.MonkeyPatch) -> State:
    world = thaw(state)
    kind = type("Whole", (Whole, gateways.Current), {"world": world})
    with patch.context() as here:
        here.setattr(accounts, "connect", lambda account: kind({}))
        if HERE.refunds[0].status == Status.APPROVED:
            ROOMS["send"].send_refund(1)
        else:
            ROOMS["settle"].settle_refund(1)
    return freeze(world)


def in_parts(state: State) -> State:
    """The same by the model's moves, taking the first that belongs to the turn until it is over."""
    begun = False
    while True:
        found = [move for move in moves.moves(thaw(state)) if move[1] == "good" and move[0].startswith(TOGETHER)]
        found = [move for move in found if not (begun and move[0].startswith("turn"))]
        if not found:
            return state
        world = thaw(state)
        found[0][2](world)
        state, begun = freeze(world), True


def is_calm(state: State) -> bool:
    """Nothing of it is under way, and it is due."""
    (row,) = thaw(state).workers.keys()
    world, refund = thaw(state), HERE.refunds[row - 1]
    is_out = any(one.wire == "flying" for one in HERE.refunds[0].attempt_rows)
    return refund.ask_at is not None and not (world.workers[row] or world.looks[row] or is_out)


@pytest.mark.parametrize("name", ["payerly", "paynow", "pay3", "airpay"])
def test_the_parts_together_are_the_whole(name: str, trials: Callable[[int], None]) -> None:
    with in_memory() as patch:
        search = explorer(RUNS[name], patch)
        search.run()
        calm = [state for state in list(search.came)[::3] if is_calm(state)]
        for state in calm:
            assert in_parts(state) == in_one_go(state, patch), state
    assert len(calm) > 50
    trials(len(calm))


STANDINGS = (Status.REQUESTED, Status.APPROVED, *THE_WAY_THERE)
Left = tuple[Any, ...]


def left_by(refund: Any, payment: Any) -> Left:
    told = (refund.status, refund.to_confirm, refund.needs_attention, refund.may_not_be_sent, refund.reference)
    return (*told, refund.ask_at is not None, refund.asks, payment.held, payment.refunded, payment.status)


def in_the_database(now: Status, outcome: Outcome, mouth: Mouth) -> Left:
    refund = {Status.REQUESTED: ask, Status.APPROVED: approved}.get(now, lambda: standing_in(now))()
    Refund.objects.filter(pk=refund.pk).update(ask_at=None)
    refund = hear(again(refund), outcome, mouth)
    return left_by(refund, Payment.objects.get())


def in_the_tables(now: Status, outcome: Outcome, mouth: Mouth) -> Left:
    with in_memory() as patch:
        patch.setattr(gateways, "Current", gateways.model_of("payerly"))
        is_paid, is_held = now == Status.SUCCEEDED, now in HOLDING
        sums = {"captured": 5000, "held": 1000 * is_held, "refunded": 1000 * is_paid}
        HERE.payment = PaymentRow(status="partially_refunded" if is_paid else "captured", **sums)
        HERE.refunds = []
        HERE.refunds.append(RefundRow(status=now, amount=1000, fence=1, sent_at=NOW if now in THE_WAY_THERE else None))
        ROOMS["record"].record_update(1, told(HERE.payment.refunds.first(), outcome), mouth)
        return left_by(HERE.refunds[0], HERE.payment)


@pytest.mark.django_db
@pytest.mark.promise("I19")
@pytest.mark.parametrize("mouth", list(Mouth))
@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("now", STANDINGS)
def test_the_tables_do_as_the_database_does(now: Status, outcome: Outcome, mouth: Mouth) -> None:
    by_the_database, by_the_tables = in_the_database(now, outcome, mouth), in_the_tables(now, outcome, mouth)
    names = {"R-000001": "R-1"}
    assert [str(one) for one in by_the_tables] == [str(one) for one in by_the_database], names
