"""A proxy in front of the sandbox that plays a fault or a toxic on orders and passes everything else through."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.faults.table import Fault, Toxic, is_order
from tests.gateways.conftest import http_answer, listener, read_request


@dataclass
class Proxy:
    """`fault` is played on every order while it is set; `acts` lets the gateway carry the order out first.

    `toxic` is played on every order and on what the gateway itself answers to it.
    """

    gateway: str
    upstream: str
    url: str = ""
    fault: Fault | None = None
    acts: bool = False
    toxic: Toxic | None = None
    n_orders: int = 0

    def behave(self, line: socket.socket) -> None:
        method, path, _ = first_line(line).split(" ", 2)
        ordered = is_order(self.gateway, method, path)
        self.n_orders += ordered
        if ordered and self.toxic and self.toxic.of_order:
            self.toxic.play(line, b"")
            return
        request = read_request(line)
        if ordered and self.toxic:
            self.toxic.play(line, self._passed_on(method, path, request))
        elif ordered and self.fault:
            if self.acts:
                self._passed_on(method, path, request)
            self.fault.behave(line)
        else:
            line.sendall(self._passed_on(method, path, request))

    def _passed_on(self, method: str, path: str, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        headers = dict(line.decode("latin-1").split(": ", 1) for line in head.split(b"\r\n")[1:])
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=5)
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        kept = [f"{name}: {text}" for name, text in answer.getheaders() if name.lower() != "content-length"]
        return http_answer(answer.status, answer.read(), *kept)


def first_line(line: socket.socket) -> str:
    """Of a request that stays unread."""
    while b"\r\n" not in (seen := line.recv(65_536, socket.MSG_PEEK)):
        if not seen:
            raise ConnectionError("Whoever called is gone.")
    return seen.split(b"\r\n", 1)[0].decode()


@contextmanager
def proxy(gateway: str, upstream: str) -> Iterator[Proxy]:
    """In front of one gateway's base URL; the proxy's own URL has the same path."""
    found = Proxy(gateway, upstream)
    with listener(found.behave) as root:
        found.url = root + urlsplit(upstream).path
        yield found
