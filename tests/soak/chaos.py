"""What goes wrong in a soak: the weather on the lines to and from the gateways, and deeds at random moments."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit

from django.db import connection

from gateways.sandbox.stories import STORIES
from tests.faults.proxy import Proxy
from tests.faults.table import FAULTS, ORDERS
from tests.gateways.conftest import http_answer, read_request
from tests.soak.history import FAIL, OK, History, Operation

CALM, STORM = 0.1, 0.45  # how many of the questions to a gateway break; of the orders, twice as many
PATIENCE = 30  # seconds for the desk to answer a webhook


@dataclass
class Weather(Proxy):
    """The line to one gateway: orders and look-ups alike break at random, carried out or not."""

    history: History = None  # type: ignore[assignment]
    chance: Random = field(default_factory=Random)
    odds: float = CALM

    def behave(self, line: socket.socket) -> None:
        request = read_request(line)
        method, path, _ = request.split(b"\r\n", 1)[0].decode().split(" ", 2)
        wanted, mark = ORDERS[self.gateway]
        is_order = method == wanted and mark in path
        if self.chance.random() >= self.odds * (2 if is_order else 1):
            with suppress(http.client.HTTPException):  # cut off there, so cut off here
                line.sendall(self._passed_on(method, path, request))
            return
        fault, acts = self.chance.choice(FAULTS), self.chance.random() < 0.5
        note(
            self.history,
            f"{'order' if is_order else 'question'}: {fault.name}, {'' if acts else 'not '}carried out",
            path,
        )
        if acts:
            with suppress(http.client.HTTPException, OSError):
                self._passed_on(method, path, request)
        fault.behave(line)


@dataclass
class Post:
    """The line from the gateways: webhooks come late, twice, or their answer is lost so that they come again."""

    desk: str
    history: History
    chance: Random
    odds: float = 0.5

    def behave(self, line: socket.socket) -> None:
        request = read_request(line)
        head, _, body = request.partition(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        headers = dict(text.split(": ", 1) for text in head.decode("latin-1").split("\r\n")[1:])
        fate = self.chance.random() if self.chance.random() < self.odds else 1.0
        if fate < 0.4:
            note(self.history, "webhook: late", path)
            time.sleep(self.chance.uniform(0.1, 2))
        status = self.deliver(path, body, headers)
        if 0.4 <= fate < 0.7:
            note(self.history, "webhook: twice", path)
            status = self.deliver(path, body, headers)
        if 0.7 <= fate < 0.85:
            note(self.history, "webhook: answer lost", path)
            return
        line.sendall(http_answer(status, b""))

    def deliver(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        start, to = time.time(), http.client.HTTPConnection(urlsplit(self.desk).netloc, timeout=PATIENCE)
        with closing(to):
            to.request("POST", path, body, headers)
            answer = to.getresponse()
            answer.read()
        told = {"status": answer.status, "act": answer.getheader("X-Request-ID", ""), "path": path}
        ended = OK if answer.status < 300 else FAIL
        self.history.add(Operation("gateway", "webhook", start, time.time(), ended, **told))
        return answer.status


def note(history: History, what: str, about: str = "") -> None:
    now = time.time()
    history.add(Operation("chaos", what, now, now, OK, path=about))


@dataclass
class Chaos:
    """Does one thing after the other until it is stopped. `kill(number, seconds)` ends a worker that is as old as
    that and starts another."""

    history: History
    chance: Random
    weather: list[Weather]
    control: Callable[[str, dict[str, object]], None]
    keys: Callable[[], list[tuple[str, str]]]
    kill: Callable[[int, float], bool]
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        deeds = [self.kill_a_worker, self.tell_a_story, self.knock_again, self.forge, self.storm]
        weights = [3, 10, 6, 6, 4]
        if connection.vendor == "postgresql":
            deeds, weights = [*deeds, self.cut_a_connection], [*weights, 4]
        try:
            while not self.stopped.wait(self.chance.uniform(0.1, 0.8)):
                self.chance.choices(deeds, weights)[0]()
        finally:
            connection.close()

    def kill_a_worker(self) -> None:
        """As a power cut would; mostly one that has come to work."""
        number = self.chance.randrange(2)
        if self.kill(number, self.chance.choice([0, 6, 9, 12, 15])):
            note(self.history, "worker killed", str(number))

    def tell_a_story(self) -> None:
        gateway, story = self.chance.choice(self.weather).gateway, self.chance.choice(list(STORIES.values())).name
        note(self.history, f"story: {story}", gateway)
        self.control("tell", {"gateway": gateway, "story": story})

    def knock_again(self) -> None:
        self._webhook("webhook: once more", {})

    def forge(self) -> None:
        self._webhook("webhook: forged", {"forged": True, "word": self.chance.choice(["succeeded", "failed"])})

    def _webhook(self, what: str, how: dict[str, object]) -> None:
        if keys := self.keys():
            gateway, key = self.chance.choice(keys)
            note(self.history, what, f"{gateway} {key}")
            self.control("webhook", {"gateway": gateway, "key": key, **how})

    def storm(self) -> None:
        one = self.chance.choice(self.weather)
        note(self.history, "storm", one.gateway)
        one.odds = STORM
        self.stopped.wait(self.chance.uniform(0.5, 2))
        one.odds = CALM

    def cut_a_connection(self) -> None:
        """A backend of a worker in mid-work, or one of the web server."""
        whose = self.chance.choice(["soak-worker", "soak-worker", "soak-web"])
        start = time.time()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
                " AND datname = current_database() ORDER BY state = 'idle', random() LIMIT 1",
                [whose],
            )
            n_cut = cursor.rowcount
        if n_cut:
            self.history.add(Operation("chaos", f"connection cut: {whose}", start, time.time(), OK))
