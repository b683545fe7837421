"""A worker that sends, taken apart at every commit and every call: each part is the services' own code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from typing import Any

from django.db import IntegrityError

from gateways.contract import Outcome, Repeat
from tests.model import gateways
from tests.model.memory import HERE, RefundRow
from tests.model.rooms import NOW, ROOMS
from tests.model.world import (
    AGES,
    ENDED,
    GONE,
    LOST,
    RUNNING,
    Move,
    Worker,
    World,
    gateway,
    shown,
    word,
)


def of_worker(world: World, pk: int, n: int, worker: Worker) -> Iterator[Move]:
    def move(name: str, kind: str, do: Callable[..., Worker | None], *more: Any) -> Move:
        return f"{name} {pk}", kind, lambda world: _one_worker(world, pk, n, worker, do, *more)

    if worker.pc == "called":
        sent = HERE.refunds[pk - 1].attempt_rows[worker.attempt]
        if worker.answer:
            answer = word(worker.answer, keyed=True)
            yield move("hear the answer to", "good", _hear, answer)
            yield move("answer is lost to", "fault", _hear, LOST)
            unclear = replace(answer, outcome=Outcome.UNCLEAR, code="?")
            yield move("unclear answer to", "fault", _hear, unclear)
        else:
            yield move("no answer to", "fault" if sent.wire == "flying" else "good", _hear, LOST)
    elif worker.pc == "written":
        yield move("send", "good", _leave)
        yield move("cannot reach the gateway for", "fault", _hear, GONE)
    else:
        yield move(f"{worker.pc}, next for", "good", STEPS[worker.pc])
    yield move("worker is lost, of", "fault", lambda *_: None)


def _one_worker(world: World, pk: int, n: int, worker: Worker, do: Callable[..., Worker | None], *more: Any) -> None:
    try:
        after = do(world, pk, worker, *more)
    except IntegrityError:  # raised on: the job ends
        after = None
    others = [one for m, one in enumerate(world.workers[pk]) if m != n]
    world.workers[pk] = (*others, after) if after else tuple(others)


def as_claimed(pk: int, worker: Worker) -> RefundRow:
    """The refund as the worker holds it since its claim."""
    refund = copy(HERE.refunds[pk - 1])
    refund.__dict__.update(fence=worker.fence, lease_until=ENDED if worker.late else RUNNING)
    return refund


def _claim(world: World, pk: int, worker: Worker) -> Worker | None:
    refund = ROOMS["send"].claim(pk, HERE.refunds[pk - 1].version if worker.seen else None, is_probe=False)
    if refund is None:
        return None
    HERE.refunds[pk - 1].lease_until = RUNNING
    return worker._replace(pc="claimed", fence=refund.fence)


def _look_before(world: World, pk: int, worker: Worker) -> Worker:
    return worker._replace(pc="looked", before=picture(world, pk))


def picture(world: World, pk: int) -> tuple[str, ...]:
    """The references that they show just now, where a look-up shows a payment's."""
    order = ROOMS["send"]._order_to_send(copy(HERE.refunds[pk - 1]))
    return tuple(one.reference for one in shown(world, order))


def _write(world: World, pk: int, worker: Worker) -> Worker | None:
    send, refund = ROOMS["send"], as_claimed(pk, worker)
    before = {"references": list(worker.before)} if worker.pc == "looked" else {}
    attempt = send._write_attempt(refund, gateway(), send._order_to_send(refund), before)
    return attempt and worker._replace(pc="written", before=(), attempt=len(HERE.refunds[pk - 1].attempt_rows) - 1)


def _leave(world: World, pk: int, worker: Worker) -> Worker | None:
    """Right before the socket: what is too late does not leave any more."""
    refund, row = as_claimed(pk, worker), HERE.refunds[pk - 1]
    if ROOMS["send"]._latest(refund, gateway()) < NOW:
        return _hear(world, pk, worker, GONE)
    world.broken = world.broken or _why_not_to_leave(row, worker)
    row.attempt_rows[worker.attempt].wire = "flying"
    return worker._replace(pc="called")


def _hear(world: World, pk: int, worker: Worker, said: Any) -> None:
    ROOMS["send"]._call(
        as_claimed(pk, worker), gateway(lambda order: said), HERE.refunds[pk - 1].attempt_rows[worker.attempt]
    )


STEPS: dict[str, Callable[..., Worker | None]] = {"start": _claim, "claimed": _look_before, "looked": _write}


def _why_not_to_leave(row: RefundRow, worker: Worker) -> str:
    """I14, at the very moment when bytes leave."""
    left = [one for n, one in enumerate(row.attempt_rows) if one.wire != "-" and n != worker.attempt]
    match gateways.Current.can.repeat:
        case Repeat.NEVER if left:
            return "I14: sent again where nothing guards against paying twice"
        case Repeat.WITHIN_WINDOW if left and NOW - left[0].started_at >= AGES[2]:
            return "I14: sent again after the key was forgotten"
        case Repeat.AFTER_ABSENCE if any(one.wire == "flying" for one in left):
            return "I14: sent again while the first order could still arrive"
    return ""
