"""The ground for races: processes with a database connection each, let go from one barrier round after round."""

from __future__ import annotations

import gc
import multiprocessing
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from django.db import connection, connections, transaction

from refunds import policy
from refunds.errors import RefundError
from refunds.history.chain import link
from refunds.models import Approval, Attempt, Declaration, Event, Payment, Refund

FORK = multiprocessing.get_context("fork")
PATIENCE = 120  # seconds; only a hang is ended by it
DONE = "done"


class Round(NamedTuple):
    """What one race is about: a payment, and its refunds."""

    payment: Payment
    refunds: list[Refund]

    def now(self) -> list[str]:
        """Where the refunds of the payment stand."""
        return list(self.payment.refunds.values_list("status", flat=True))


Step = Callable[[Round], object]
Results = list[list[str]]  # round → player → DONE, the name of a refusal, or the error as it stands


class Players:
    """One process for each step, forked at once and kept: from then on a round costs milliseconds.

    `off` are guards that are taken away, in the players alone. Fork before any thread of the test begins.
    """

    def __init__(self, steps: Sequence[Step], off: Sequence[Callable[[], None]] = ()) -> None:
        connections.close_all()  # no connection is shared with a child
        gc.collect()
        gc.freeze()  # or every player's collector copies the whole heap, page by page
        barrier = FORK.Barrier(len(steps))
        self._pipes, self._processes = [], []
        for step in steps:
            ours, theirs = FORK.Pipe()
            process = FORK.Process(target=_play, args=(step, off, barrier, theirs), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Players:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.send([])
        for process in self._processes:
            process.join(PATIENCE)
            process.kill()
        gc.unfreeze()

    def play(self, rounds: Sequence[Round]) -> Results:
        """Every player takes its step in every round, all of them at the same moment."""
        for pipe in self._pipes:
            pipe.send(rounds)
        said = [self._hear(pipe) for pipe in self._pipes]
        return [list(of_a_round) for of_a_round in zip(*said, strict=True)]

    def _hear(self, pipe: Any) -> list[str]:
        assert pipe.poll(PATIENCE), "A player hangs."
        return pipe.recv()


def _play(step: Step, off: Sequence[Callable[[], None]], barrier: Any, pipe: Any) -> None:
    for remove in off:
        remove()
    while rounds := pipe.recv():
        said = []
        for one in rounds:
            barrier.wait(PATIENCE)
            said.append(_take(step, one))
        pipe.send(said)
    connection.close()


def _take(step: Step, one: Round) -> str:
    try:
        step(one)
    except RefundError as refusal:
        return type(refusal).__name__
    except Exception as error:
        return f"error: {error!r}"
    return DONE


# --- Many rounds that begin alike ---


@transaction.atomic
def copies(payment: Payment, numbers: range) -> list[Round]:
    """The payment and all that hangs on it, once for each number: the services came so far once, rows do the rest."""
    payment.refresh_from_db(fields=["held", "refunded", "version"])
    originals = list(payment.refunds.select_related("account").order_by("pk"))
    payments = Payment.objects.bulk_create(
        _copy(payment, public_id=uuid.uuid4(), reference=f"{payment.reference}{number:04}") for number in numbers
    )
    rounds = [Round(one, []) for one in payments]
    _copy_lines(Event.objects.filter(payment=payment, refund=None), [{"payment": one} for one in payments])
    for original in originals:
        refunds = Refund.objects.bulk_create(_copy(original, key=uuid.uuid4(), payment=one) for one in payments)
        for one, refund in zip(rounds, refunds, strict=True):
            one.refunds.append(refund)
        for kind in (Attempt, Declaration):
            rows = list(kind.objects.filter(refund=original))
            kind.objects.bulk_create(_copy(row, refund=refund) for refund in refunds for row in rows)
        approvals = list(original.approvals.all())
        Approval.objects.bulk_create(
            _copy(row, refund=refund, digest=policy.digest(refund)) for refund in refunds for row in approvals
        )
        _copy_lines(original.events.all(), [{"payment": refund.payment, "refund": refund} for refund in refunds])
    return rounds


def _copy_lines(lines: Iterable[Event], owners: Iterable[dict[str, Any]]) -> None:
    """The lines for each owner, in a chain of its own."""
    lines, copied = list(lines), []
    for owner in owners:
        previous = ""
        for line in lines:
            copied.append(_copy(line, **owner))
            previous = copied[-1].digest = link(copied[-1], previous)
    Event.objects.bulk_create(copied)


def _copy(row: Any, **new: Any) -> Any:
    fields = [field for field in row._meta.concrete_fields if not field.primary_key and field.name not in new]
    return type(row)(**{field.attname: getattr(row, field.attname) for field in fields}, **new)
