"""What can go wrong between an order and its answer: one table of HTTP's faults and one of TCP's, for all gateways.

Each is played twice, with the order carried out before it and without. What it leaves is the same for every gateway,
since it is decided by what left the house and not by what came back.
"""

from __future__ import annotations

import gzip
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.gateways.conftest import http_answer

DEADLINE = 0.4  # seconds that one call may take where it is the deadline that ends it
PATIENT = 10.0  # elsewhere: a busy machine must not end a call that nothing is wrong with
SLOWER = 1.0
SOON = 0.02
HTML = b"<html><body><h1>Bad gateway</h1></body></html>"


def say(answer: bytes) -> Callable[[socket.socket], None]:
    return lambda line: line.sendall(answer)


def page(status: int, body: bytes = HTML, *headers: str) -> Callable[[socket.socket], None]:
    return say(http_answer(status, body, *headers))


def reset(line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def silence(line: socket.socket) -> None:
    """Not a word, until they hang up."""
    line.recv(1)


def drip(line: socket.socket) -> None:
    for byte in http_answer(200, b"{}" * 40):
        line.sendall(bytes([byte]))
        time.sleep(SLOWER / 40)


def huge(line: socket.socket) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b'"' + b"x" * 600_000)


@dataclass(frozen=True)
class Fault:
    """`behave` gets the open connection once the whole order has been read, and says whatever it likes.

    `waits`: only our own deadline ends the call.
    """

    name: str
    behave: Callable[[socket.socket], None]
    leaves: str = "unknown"
    waits: bool = False


BOMB = gzip.compress(b"0" * 4_000_000)
FAULTS = (
    Fault("closed without a word", lambda line: None),
    Fault("reset", reset),
    Fault("silence", silence, waits=True),
    Fault("drip", drip, waits=True),
    Fault("half a status line", say(b"HTTP/1.")),
    Fault("half a head", say(b"HTTP/1.1 200 OK\r\nContent-Le")),
    Fault("half a body", say(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"half":')),
    Fault("not HTTP", say(b"SSH-2.0-OpenSSH_9.2\r\n")),
    Fault("broken chunk", say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n")),
    Fault("broken gzip", page(200, b"\x1f\x8b\x08nothing", "Content-Encoding: gzip")),
    Fault("gzip bomb", page(200, BOMB, "Content-Encoding: gzip")),
    Fault("huge answer", huge),
    *(Fault(f"HTTP {status} as a page", page(status)) for status in (500, 502, 504, 408, 425, 409)),
    Fault("HTTP 503 with Retry-After", page(503, HTML, "Retry-After: 1")),
    Fault("HTTP 429 with Retry-After", page(429, b"slow down", "Retry-After: 1")),
    *(Fault(f"HTTP {n}", page(n, b"", "Location: /elsewhere")) for n in (301, 302, 303, 307, 308)),
    *(Fault(f"HTTP {status} by a proxy", page(status)) for status in (400, 401, 403, 404, 407, 422)),
    Fault("HTTP 200, empty", page(200, b"")),
    Fault("HTTP 200, a page", page(200)),
    Fault("HTTP 200, an empty object", page(200, b"{}")),
    Fault("HTTP 200, null", page(200, b"null")),
    Fault("HTTP 200, cut JSON", page(200, b'{"status":"SUCCESS","refundId":"')),
    Fault("HTTP 200, not UTF-8", page(200, b'{"status":"\xff"}')),
    Fault("HTTP 200, a doubled name", page(200, b'{"status":"FAILED","status":"SUCCESS"}')),
    Fault("HTTP 200, nested too deep", page(200, b"[" * 5000)),
    Fault("HTTP 201, a bare success", page(201, b'{"status":"SUCCESS","success":"true","code":"OK"}')),
    Fault("HTTP 204", page(204, b"")),
)


@dataclass(frozen=True)
class Toxic:
    """`play` gets the open connection and the gateway's own answer to the order: that it is carried out, or its "no".

    `is_heard`: all of the answer arrives in time, so it counts. `of_order`: played before the order was read whole.
    """

    name: str
    play: Callable[[socket.socket, bytes], None]
    is_heard: bool = False
    of_order: bool = False
    waits: bool = False


def in_slices(line: socket.socket, answer: bytes, size: int = 40) -> None:
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for start in range(0, len(answer), size):
        line.sendall(answer[start : start + size])
        time.sleep(SOON / size)


def dripping(line: socket.socket, answer: bytes) -> None:
    for byte in answer:
        line.sendall(bytes([byte]))
        time.sleep(SLOWER / len(answer))


def late(line: socket.socket, answer: bytes) -> None:
    time.sleep(SOON)
    line.sendall(answer)


def never_closing(line: socket.socket, answer: bytes) -> None:
    line.sendall(answer)
    silence(line)


def without_its_length(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [text for text in head.split(b"\r\n") if not text.lower().startswith(b"content-length")]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def cut_at(share: float, end: Callable[[socket.socket], None] = lambda line: None) -> Callable[..., None]:
    """The first part of the answer, at most all but its last byte; then the line ends."""

    def play(line: socket.socket, answer: bytes) -> None:
        line.sendall(answer[: min(int(len(answer) * share), len(answer) - 1)])
        end(line)

    return play


def reset_after(n_bytes: int) -> Callable[..., None]:
    """So much of the order is read, the rest never."""

    def play(line: socket.socket, _: bytes) -> None:
        line.recv(n_bytes)
        reset(line)

    return play


TOXICS = (
    Toxic("latency", late, is_heard=True),
    Toxic("sliced", in_slices, is_heard=True),
    Toxic("never closed", never_closing, is_heard=True),
    Toxic(
        "never closed, of no told length", lambda line, text: never_closing(line, without_its_length(text)), waits=True
    ),
    Toxic("dripping", dripping, waits=True),
    Toxic("cut in its head", cut_at(0.1)),
    Toxic("cut one byte short", cut_at(1)),
    Toxic("cut, of no told length", lambda line, text: cut_at(0.9)(line, without_its_length(text))),
    Toxic("reset in mid-answer", cut_at(0.8, reset)),
    Toxic("reset for an answer", lambda line, _: reset(line)),
    *(Toxic(f"reset after {n} bytes of the order", reset_after(n), of_order=True) for n in (0, 1, 120)),
)


@contextmanager
def refusing() -> Iterator[int]:
    """A port where nobody listens, and that nobody else can take meanwhile."""
    with socket.socket() as shut:
        shut.bind(("127.0.0.1", 0))
        yield shut.getsockname()[1]


@contextmanager
def never_accepting() -> Iterator[int]:
    """A port whose queue is full: to connect takes for ever."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for line in waiting:
            line.setblocking(False)
            line.connect_ex(full.getsockname())
        yield full.getsockname()[1]
        for line in waiting:
            line.close()


# What cannot be reached: nothing of an order leaves the house.
UNREACHABLE = {"down": refusing, "no room to connect": never_accepting}

# gateway → does a later look-up, or the same order again, bring it home? (carried out, not carried out)
COMES_HOME = {
    "payerly": (True, True),  # found in the list; absent from it, the same order goes again
    "paynow": (True, True),  # the same order under the same key
    "pay3": (True, False),  # found as the one new entry of its list; absent, nobody repeats it
    "examplepay": (True, False),  # the payment's status has moved; unmoved, nobody repeats it
    "airpay": (False, False),  # no key and no reference: only people can tell
}
# Which call is the order: method and the end of its path.
ORDERS = {
    "payerly": ("PUT", "/refunds/"),
    "paynow": ("POST", "/refunds"),
    "pay3": ("POST", "/fiat-refund"),
    "examplepay": ("POST", "/refund/create"),
    "airpay": ("POST", "/refundtxn.php"),
}


def is_order(gateway: str, method: str, path: str) -> bool:
    wanted, mark = ORDERS[gateway]
    return method == wanted and mark in path.split("?")[0] and "/cancel" not in path
