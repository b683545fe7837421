"""So many callers at once, each on a connection that stays open, and how long every answer took."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Letter = tuple[str, dict[str, str], bytes]  # path, headers, body


@dataclass
class Load:
    """`seconds` from the first call to the last answer; `took` seconds of each call, in no order."""

    seconds: float = 0.0
    took: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.took) / self.seconds


def post_all(port: int, letters: Iterable[Letter], callers: int) -> Load:
    """Post them all; raises RuntimeError for any answer but 200."""
    load, waiting, lock, wrong = Load(), iter(letters), threading.Lock(), list[str]()

    def call() -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while (letter := _next(waiting, lock)) and not wrong:
            path, headers, body = letter
            began = time.perf_counter()
            line.request("POST", path, body, headers)
            answer = line.getresponse()
            answer.read()
            load.took.append(time.perf_counter() - began)
            if answer.status != 200:
                wrong.append(f"{path} answered {answer.status}")

    threads = [threading.Thread(target=call) for _ in range(callers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load.seconds = time.perf_counter() - began
    if wrong:
        raise RuntimeError(wrong[0])
    return load


def _next(waiting: Iterator[Letter], lock: threading.Lock) -> Letter | None:
    with lock:
        return next(waiting, None)
