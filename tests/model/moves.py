"""Everything that can happen next: each move is one atomic step of a job, of the gateway, of time or of a person.

`test_truth.py` shows that the parts of a turn together are what `send_refund` and `settle_refund` do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from copy import copy
from typing import Any

from refunds.models import Status
from tests.model import gateways
from tests.model.memory import HERE, PaymentRow, RefundRow
from tests.model.outside import of_time, of_wire
from tests.model.people import of_people
from tests.model.rooms import NOW, ROOMS
from tests.model.sending import of_worker
from tests.model.world import (
    LOST,
    VERSION,
    Look,
    Move,
    Worker,
    World,
    gateway,
    shown,
    word,
)

MOST_JOBS = 2  # of one refund at a time


class Paused(BaseException):
    """A service has come to a call, or to handing over to a send: the rest happens in another move."""


def moves(world: World) -> Iterator[Move]:
    for row in HERE.refunds:
        pk = row.pk
        yield from _of_jobs(world, row)
        for n, worker in enumerate(world.workers[pk]):
            yield from of_worker(world, pk, n, worker)
        yield from of_time(world, row)
        yield from of_wire(world, row)
        yield from of_people(world, row)


def _of_jobs(world: World, row: RefundRow) -> Iterator[Move]:
    pk, look = row.pk, world.looks[row.pk]
    n_jobs = len(world.workers[pk]) + bool(look)
    if row.ask_at is not None and n_jobs < MOST_JOBS:
        # A second job while one holds the ticket: that one is stalled.
        is_busy = bool(look) or any(not worker.late for worker in world.workers[pk])
        yield f"turn {pk}", "fault" if is_busy else "good", lambda world: turn(world, pk)
        if row.status != Status.APPROVED and not look:
            yield f"turn {pk}, slow", "fault", lambda world: turn(world, pk, slow=True)
            yield f"turn {pk}, look-up fails", "fault", lambda world: turn(world, pk, fails=True)
    if look:
        yield f"look-up {pk} comes back", "good", lambda world: look_comes_back(world, pk, look.shown)
        yield f"worker of look-up {pk} is lost", "fault", lambda world: world.looks.update({pk: None})


def start(world: World, pk: int, *, seen: bool | None = None) -> None:
    world.workers[pk] = (*world.workers[pk], Worker(seen=seen))


def turn(world: World, pk: int, *, slow: bool = False, fails: bool = False) -> None:
    """A job's turn: sending begins, or a look-up goes out and comes back, at once or, if `slow`, in another move."""
    settle = ROOMS["settle"]
    if HERE.refunds[pk - 1].status == Status.APPROVED:
        start(world, pk)
        return

    def goes_out(refund: RefundRow, connector: Any) -> None:
        order = ROOMS["orders"].order_as_sent(refund)
        had_arrived = ROOMS["again"].again(refund, connector).is_safe
        kept = (refund.status, refund.reference, refund.to_confirm, had_arrived, shown(world, order))
        world.looks[pk], world.born[pk] = Look(*kept), refund.version
        raise Paused

    parts = {"send_refund": lambda pk, seen=None: _hands_over(world, pk, seen), "cancel_at_gateway": _no_cancel}
    with _instead(settle, _look_up=goes_out, **parts):
        try:
            settle.settle_refund(pk)
        except Paused:
            pass
        except Cancels:
            _cancel(world, pk)
            settle._book_the_next(copy(HERE.refunds[pk - 1]), settle.Looked())
    if (look := world.looks[pk]) and pk in world.born and not slow:
        look_comes_back(world, pk, LOST if fails else look.shown)


def _hands_over(world: World, pk: int, seen: int | None) -> None:
    row = HERE.refunds[pk - 1]
    world.born.setdefault(pk, row.version)
    start(world, pk, seen=seen == row.version)
    raise Paused


class Cancels(BaseException):
    """Settling has come to the cancel."""


def _no_cancel(*_: Any) -> None:
    raise Cancels


def cancelled_there(world: World, pk: int) -> Any:
    """Asked, carried out if it is in time, and read back."""
    ledger = world.ledger[pk]
    world.ledger[pk] = tuple(one._replace(state="cancelled") if one.state == "processing" else one for one in ledger)
    return word(world.ledger[pk][-1]) if ledger else LOST


def _cancel(world: World, pk: int) -> None:
    said = cancelled_there(world, pk)
    ROOMS["cancel"].cancel_at_gateway(copy(HERE.refunds[pk - 1]), gateway(lambda order: said))


def look_comes_back(world: World, pk: int, said: Any) -> None:
    look = world.looks[pk]
    assert look
    world.looks[pk] = None
    then = copy(HERE.refunds[pk - 1])
    then.__dict__.update(status=look.status, reference=look.reference, to_confirm=look.to_confirm)
    then.version = world.born.get(pk, VERSION) - look.stale
    settle, again = ROOMS["settle"], ROOMS["settle"].again
    first = [type("Then", (), {"is_safe": look.had_arrived})]
    verdict = lambda *args: first.pop() if first else again(*args)  # noqa: E731
    with _instead(settle, again=verdict):
        looked = settle._look_up(then, gateway(lambda order: said if said is LOST else [word(one) for one in said]))
    if looked.may_go_again:
        with suppress(Paused):
            _hands_over(world, pk, then.version)
        return
    settle._book_the_next(copy(HERE.refunds[pk - 1]), looked)


class _instead:
    """Other functions in a room while a move is made."""

    def __init__(self, room: Any, **others: Any) -> None:
        self.room, self.others = room, others

    def __enter__(self) -> None:
        self.kept = {name: getattr(self.room, name) for name in self.others}
        self.room.__dict__.update(self.others)

    def __exit__(self, *_: object) -> None:
        self.room.__dict__.update(self.kept)


def fresh(n_refunds: int, captured: int, *, faults: int) -> World:
    """So many approved refunds of 1 each, of one payment; nothing has been sent."""
    HERE.payment, HERE.refunds = PaymentRow(captured=captured, held=n_refunds, status="captured"), []
    world = World(faults)
    for pk in range(1, n_refunds + 1):
        HERE.refunds.append(
            RefundRow(version=VERSION, status=Status.APPROVED, ask_at=NOW, exclusive=not gateways.Current.can.several)
        )
        world.workers[pk], world.looks[pk], world.ledger[pk], world.marks[pk] = (), None, (), frozenset()
    return world
