"""What a judge of the soak is: it looks at all that was left for one kind of wrong, and tells it in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.soak.found import Found

SLACK = 1.0  # seconds between two clocks of one machine, rounding included


@dataclass(frozen=True)
class Judgement:
    """How many things were looked at, and what was wrong with them."""

    trials: int
    findings: tuple[str, ...]


def checker(look: Callable[[Found], Iterator[str | int]]) -> Callable[[Found], Judgement]:
    """A generator of findings, which yields a number for that many things it has looked at."""

    def judge(found: Found) -> Judgement:
        told = list(look(found))
        return Judgement(
            sum(one for one in told if isinstance(one, int)), tuple(one for one in told if isinstance(one, str))
        )

    judge.__name__, judge.__doc__ = look.__name__, look.__doc__
    return judge
