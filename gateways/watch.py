"""The socket under one HTTP call: a clock that cuts it off and a mark for its first byte. No HTTP is read here."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from gateways import egress
from gateways.errors import NotSent


class Watch:
    """One call's total time, and whether its first byte could have left."""

    def __init__(self, deadline: timedelta, not_after: datetime | None) -> None:
        self.deadline = deadline
        self.not_after = not_after
        self.is_begun = False
        self._is_cut = False
        self._ends = time.monotonic() + deadline.total_seconds()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(self.remaining(), self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Watch:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def remaining(self) -> float:
        """Seconds left, never quite zero: a socket takes zero for "do not wait"."""
        return max(self._ends - time.monotonic(), 0.001)

    @property
    def is_over(self) -> bool:
        return self._is_cut or time.monotonic() >= self._ends

    def begin(self, sock: socket.socket) -> None:
        """The moment before the first byte. Raises NotSent when it is too late for it."""
        if self.is_begun:
            return
        if self.not_after is not None and datetime.now(UTC) >= self.not_after:
            raise NotSent("Nothing was sent: the time in which this order was allowed to leave is over.")
        if self.is_over:
            raise NotSent("Nothing was sent: connecting took all the time there was.")
        self._socket = sock
        sock.settimeout(self.remaining())
        self.is_begun = True

    def _cut(self) -> None:
        # A socket's own timeout starts again with every byte; a dripping server would never end.
        self._is_cut = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class WatchedConnection:
    """Mixed into urllib3's connection classes: asks the watch before the first byte."""

    watch: Watch
    host: str
    port: int
    sock: Any

    def _new_conn(self) -> socket.socket:
        """Connects to the very address that was checked; the name is for TLS and the Host header alone."""
        try:
            places = egress.addresses(self.host, self.port)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        sock = self._connect(places)
        sock.settimeout(self.watch.remaining())  # the TLS handshake gets what connecting left over
        return sock

    def _connect(self, places: list[tuple[int, tuple[str, int]]]) -> socket.socket:
        """To the first of them that answers, in the time that is left."""
        trouble: OSError | None = None
        for family, place in places:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(self.watch.remaining())
                sock.connect(place)
                return sock
            except OSError as error:
                sock.close()
                trouble = error
        if isinstance(trouble, TimeoutError):
            raise ConnectTimeoutError(self, "connecting took too long") from trouble
        raise NewConnectionError(self, "no connection") from trouble  # type: ignore[arg-type]

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        self.watch.begin(self.sock)
        super().send(data)  # type: ignore[misc]


class WatchedAdapter(HTTPAdapter):
    """The adapter of requests for one call under one watch."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        parents = (WatchedConnection, pool.ConnectionCls)
        pool.ConnectionCls = type("Watched" + pool.ConnectionCls.__name__, parents, {"watch": self.watch})
        return pool
