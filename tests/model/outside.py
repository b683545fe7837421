"""What happens without us: time passes, orders arrive or are lost, the gateway goes on, and speaks."""

from __future__ import annotations

from collections.abc import Iterator

from gateways.contract import Webhooks
from refunds.models import Status
from refunds.models.refund import AT_THE_GATEWAY
from refunds.services.actor import Mouth
from tests.model import gateways
from tests.model.memory import HERE, RefundRow
from tests.model.rooms import NOW, ROOMS
from tests.model.world import (
    AGES,
    ENDED,
    ENDS,
    REFUSED,
    RUNNING,
    Entry,
    Move,
    World,
    keeps_keys,
    said_before,
    word,
)


def of_time(world: World, row: RefundRow) -> Iterator[Move]:
    pk = row.pk
    busy = [one for one in world.workers[pk] if one.fence == row.fence and one.pc != "start"]
    if row.status == Status.SENDING and row.lease_until == RUNNING:
        yield f"lease of {pk} ends", "fault" if busy else "good", lambda world: _end_lease(world, pk)
    on_time = any(not one.late and one.pc != "start" for one in world.workers[pk])
    flying = any(one.wire == "flying" for one in row.attempt_rows)
    if on_time or flying or not row.attempt_rows or row.status in ENDS:
        return
    youngest = min(_ages(row))
    if youngest < 1:
        yield f"quiet window of {pk} ends", "good", lambda world: _grow_old(pk, 1)
    elif youngest < 2 and gateways.Current.key_window:
        yield f"key window of {pk} ends", "good", lambda world: _grow_old(pk, 2)


def _ages(row: RefundRow) -> list[int]:
    times = [time for one in row.attempt_rows for time in (one.started_at, one.finished_at) if time]
    return [AGES.index(NOW - time) for time in times]


def _end_lease(world: World, pk: int) -> None:
    row = HERE.refunds[pk - 1]
    row.lease_until = ENDED
    world.workers[pk] = tuple(
        one._replace(late=True) if one.fence == row.fence and one.pc != "start" else one for one in world.workers[pk]
    )


def _grow_old(pk: int, age: int) -> None:
    for one in HERE.refunds[pk - 1].attempt_rows:
        one.started_at = min(one.started_at, NOW - AGES[age])
        one.finished_at = one.finished_at and min(one.finished_at, NOW - AGES[age])


def of_wire(world: World, row: RefundRow) -> Iterator[Move]:
    pk, can = row.pk, gateways.Current.can
    for n, one in enumerate(row.attempt_rows):
        if one.wire == "flying":
            yield f"order {n} of {pk} arrives", "good", lambda world, n=n: arrive(world, pk, n, acts=True)
            yield f"order {n} of {pk} is refused", "news", lambda world, n=n: arrive(world, pk, n, acts=False)
            yield f"order {n} of {pk} is lost", "fault", lambda world, n=n: _land(world, pk, n, None)
    for n, entry in enumerate(world.ledger[pk]):
        for state, kind in NEXT.get(entry.state, ()):
            yield f"{pk} there: {state}", kind, lambda world, n=n, state=state: _becomes(world, pk, n, state)
        if can.webhooks is Webhooks.SPEAK:
            yield f"webhook: {pk} {entry.state}", "news", lambda world, told=entry: _webhook(world, pk, told)
            for told in said_before(entry):
                yield f"old webhook: {pk} {told.state}", "fault", lambda world, told=told: _webhook(world, pk, told)
    if can.webhooks is Webhooks.KNOCK and row.ask_at is None and row.sent_at and row.status in KNOCKED:
        yield f"knock: {pk}", "news", lambda world: _knock(pk)


NEXT = {
    "processing": (("succeeded", "good"), ("failed", "news")),
    "succeeded": (("returned", "fault"),),
    **dict.fromkeys(("failed", "cancelled", "returned"), (("revived", "late truth"),)),
}
KNOCKED = (*AT_THE_GATEWAY, Status.SUCCEEDED)


def arrive(world: World, pk: int, n: int, *, acts: bool) -> None:
    key = HERE.refunds[pk - 1].attempt_rows[n].order["key"]
    ledger = world.ledger[pk]
    known = next((one for one in ledger if one.key == key), None)
    if known and keeps_keys(gateways.Current) and NOW - HERE.refunds[pk - 1].attempt_rows[0].started_at < AGES[2]:
        _land(world, pk, n, known)
    elif acts:
        entry = Entry(key, f"t{pk}{len(ledger)}")
        world.ledger[pk] = (*ledger, entry)
        _land(world, pk, n, entry)
    else:
        _land(world, pk, n, REFUSED)


def _land(world: World, pk: int, n: int, answer: Entry | None) -> None:
    """The order has come to its end; whoever still waits for it gets the answer."""
    HERE.refunds[pk - 1].attempt_rows[n].wire = "landed"
    waits = lambda one: one.pc == "called" and one.attempt == n  # noqa: E731
    world.workers[pk] = tuple(one._replace(answer=answer) if waits(one) else one for one in world.workers[pk])


def _becomes(world: World, pk: int, n: int, state: str) -> None:
    ledger = list(world.ledger[pk])
    ledger[n] = ledger[n]._replace(state=state)
    world.ledger[pk] = tuple(ledger)
    if state == "revived":
        world.marks[pk] |= {"revived"}


def _webhook(world: World, pk: int, told: Entry) -> None:
    """Found by our key, as `hear_webhook` finds it; old words come again at any time."""
    row = HERE.refunds[pk - 1]
    update = word(told, keyed=True)
    was, is_older = _standing(row), bool(row.said_at and update.occurred_at and update.occurred_at < row.said_at)
    ROOMS["record"].record_update(pk, update, Mouth.WEBHOOK)
    if was[0] in ENDS and row.status != was[0]:
        world.broken = world.broken or f"I20: a delivery alone has moved it out of {was[0]}"
    if is_older and _standing(row) != was:
        world.broken = world.broken or "I20: an older word has changed something"


def _standing(row: RefundRow) -> tuple[str, str, str]:
    return row.status, row.to_confirm, row.needs_attention


def _knock(pk: int) -> None:
    HERE.refunds[pk - 1].ask_at = NOW
