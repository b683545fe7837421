"""What proves the journal of one payment to somebody outside: its chains, and the checkpoints that seal their lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from refunds.history.checkpoints import lines_of, seal_of
from refunds.models import Checkpoint

MOST_LINES_OF_A_SEAL = 5000  # more are verified here, and not handed on


@dataclass(frozen=True)
class Seal:
    """One checkpoint over some of the lines; `lines` (number, digest) are all that it covers, None for too many."""

    checkpoint: Checkpoint
    previous: str
    holds: bool
    lines: list[tuple[int, str]] | None


def seals_over(numbers: Iterable[int]) -> tuple[list[Seal], list[int]]:
    """The checkpoints that cover these lines of the journal, and the lines that are younger than the last one."""
    seals: list[Seal] = []
    younger: list[int] = []
    for number in sorted(numbers):
        if seals and number <= seals[-1].checkpoint.last_event:
            continue
        checkpoint = Checkpoint.objects.filter(last_event__gte=number).order_by("sequence").first()
        if checkpoint is None:
            younger.append(number)
        else:
            seals.append(_seal(checkpoint))
    return seals, younger


def _seal(checkpoint: Checkpoint) -> Seal:
    before = Checkpoint.objects.filter(sequence=checkpoint.sequence - 1).first()
    previous = before.digest if before else ""
    holds = seal_of(previous, lines_of(checkpoint, before)) == checkpoint.digest
    is_short = checkpoint.n_events <= MOST_LINES_OF_A_SEAL
    lines = list(lines_of(checkpoint, before)) if is_short else None
    return Seal(checkpoint, previous, holds, lines)
