"""A door on this machine: it keeps every letter that is put through it and answers all of them alike."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Letter(NamedTuple):
    """One call as it came, header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Door:
    """`with Door() as door:` listens on a free loopback port; `status` and `answer` are what everybody gets."""

    def __init__(self, status: int = 200, answer: bytes = b"") -> None:
        self.status, self.answer = status, answer
        self.letters: list[Letter] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"door": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Door:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    door: Door

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): text for name, text in self.headers.items()}
        self.door.letters.append(Letter(self.command, self.path, headers, body))
        self.send_response(self.door.status)
        self.send_header("Content-Length", str(len(self.door.answer)))
        self.end_headers()
        self.wfile.write(self.door.answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _serve

    def log_message(self, *_: object) -> None:
        """The letters say it better."""
