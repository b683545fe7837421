"""The history of a soak, as Jepsen keeps one: every operation with its start, its end, its actor and how it ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

OK, FAIL, INFO = "ok", "fail", "info"  # done; not done; may or may not have been done


@dataclass(frozen=True)
class Operation:
    """One thing that somebody did, or tried to. Moments are seconds since 1970.

    `act` is the name that the desk gave the request, which stands in each journal line it wrote. `seen` is the version
    of the refund that the form showed. `made` is the refund that came of it.
    """

    actor: str
    kind: str
    start: float
    end: float
    ended: str
    status: int = 0
    act: str = ""
    path: str = ""
    refund: int = 0
    payment: int = 0
    seen: int = 0
    ticket: str = ""
    made: int = 0
    why: str = ""


class History:
    """A file that any number of processes add lines to."""

    def __init__(self, file: Path) -> None:
        self.file = file
        # Each line goes out by one write to the end of the file, so that no two are ever mixed.
        self._to = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def add(self, operation: Operation) -> None:
        told = {name: value for name, value in asdict(operation).items() if value not in ("", 0)}
        os.write(self._to, (json.dumps(told) + "\n").encode())

    def read(self) -> Iterator[Operation]:
        with self.file.open() as lines:
            yield from (Operation(**json.loads(line)) for line in lines)
