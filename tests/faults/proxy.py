"""A proxy in front of the sandbox that plays a fault on orders and passes everything else through."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.faults.table import ORDERS, Fault
from tests.gateways.conftest import http_answer, listener, read_request


@dataclass
class Proxy:
    """`fault` is played on every order while it is set; `acts` lets the gateway carry the order out first."""

    gateway: str
    upstream: str
    url: str = ""
    fault: Fault | None = None
    acts: bool = False
    n_orders: int = 0

    def behave(self, line: socket.socket) -> None:
        request = read_request(line)
        method, path, _ = request.split(b"\r\n", 1)[0].decode().split(" ", 2)
        wanted, mark = ORDERS[self.gateway]
        is_order = method == wanted and mark in path.split("?")[0] and "/cancel" not in path
        self.n_orders += is_order
        if not (is_order and self.fault):
            line.sendall(self._passed_on(method, path, request))
            return
        if self.acts:
            self._passed_on(method, path, request)
        self.fault.behave(line)

    def _passed_on(self, method: str, path: str, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        headers = dict(line.decode("latin-1").split(": ", 1) for line in head.split(b"\r\n")[1:])
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=5)
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        kept = [f"{name}: {text}" for name, text in answer.getheaders() if name.lower() != "content-length"]
        return http_answer(answer.status, answer.read(), *kept)


@contextmanager
def proxy(gateway: str, upstream: str) -> Iterator[Proxy]:
    """In front of one gateway's base URL; the proxy's own URL has the same path."""
    found = Proxy(gateway, upstream)
    with listener(found.behave) as root:
        found.url = root + urlsplit(upstream).path
        yield found
