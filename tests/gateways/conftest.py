"""Ground for gateway tests: a sandbox in a hurry, sockets that misbehave on purpose, recorded bodies."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateways.sandbox import Sandbox

WIRE = Path(__file__).parent.parent / "wire"


def recorded(gateway: str, story: str) -> bytes:
    return (WIRE / gateway / f"{story}.json").read_bytes()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(pace=0.02) as running:
        yield running


@contextmanager
def listener(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A raw TCP server: each connection is given to `behave` and closed after it."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(line,), daemon=True).start()

    def talk(line: socket.socket) -> None:
        with line, suppress(OSError):
            behave(line)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.close()


def read_request(line: socket.socket) -> bytes:
    """Headers and body of one request, as bytes."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += received(line)
    head, _, body = text.partition(b"\r\n\r\n")
    length = next((int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0)
    while len(body) < length:
        body += received(line)
    return head + b"\r\n\r\n" + body


def received(line: socket.socket) -> bytes:
    if not (more := line.recv(65_536)):
        raise ConnectionError("Whoever asked is gone.")  # killed in mid-sentence
    return more


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads a request, says these bytes and closes; yields its URL and the requests it saw."""
    seen: list[bytes] = []

    def behave(line: socket.socket) -> None:
        seen.append(read_request(line))
        line.sendall(answer)

    with listener(behave) as url:
        yield url, seen


def http_answer(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class Inbox:
    """What a webhook receiver saw; it answers after `pause` seconds, with the first of `statuses`, then with 200."""

    url: str = ""
    letters: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    pause: float = 0


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    box = Inbox()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            box.letters.append(({name.lower(): text for name, text in self.headers.items()}, body))
            time.sleep(box.pause)
            self.send_response(box.statuses.pop(0) if box.statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    box.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks/shop/"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield box
    server.shutdown()
    server.server_close()
