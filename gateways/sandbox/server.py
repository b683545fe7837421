"""The sandbox as one HTTP server: routes, control endpoints, and the same controls for tests in Python."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateways.sandbox.desk import Desk, Reply
from gateways.sandbox.ledger import iso, now_ms
from gateways.sandbox.page import page
from gateways.sandbox.simulator import Request, simulators
from gateways.sandbox.stories import WORDS, number_of

HOST = "127.0.0.1"
LARGEST_BODY = 1_048_576
KEPT_REQUESTS = 5_000
SECRET_HEADERS = ("authorization", "cookie", "access-token", "api-key", "x-api-key")
JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html; charset=utf-8"}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is nothing to report."""


class Sandbox:
    """All simulated gateways on one loopback port: `with Sandbox(pace=0.05) as sandbox:`.

    `pace` stretches every wait of the stories; `state` is a folder that outlives a restart. Port 0 takes a free one.
    """

    def __init__(self, port: int = 0, state: Path | None = None, pace: float = 1.0) -> None:
        self._server = Server((HOST, port), type("Handler", (Handler,), {"sandbox": self}))
        self.desk = Desk(Path(state) if state else None, pace)
        self.simulators = simulators(self.desk)
        self.desk.letters = {name: simulator.letter for name, simulator in self.simulators.items()}
        self._requests: deque[dict[str, object]] = deque(maxlen=KEPT_REQUESTS)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.desk.start()
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.desk.stop()

    @property
    def root(self) -> str:
        return f"http://{HOST}:{self._server.server_address[1]}"

    def url(self, gateway: str) -> str:
        """The base URL of a gateway, as a connector's URL setting takes it."""
        return self.root + self.simulators[gateway].base

    def credentials(self, gateway: str) -> dict[str, str]:
        """The settings with which a connector gets in."""
        return {"URL": self.url(gateway), **self.simulators[gateway].credentials()}

    def ledger(self) -> list[dict[str, Any]]:
        """Every movement of money: gateway, key, payment, minor, currency, at, kind (refund or reversal)."""
        return self.desk.ledger.movements()

    def requests(self) -> list[dict[str, Any]]:
        """Every call to a gateway, in the order in which they came."""
        return list(self._requests)

    def tell(self, story: str | int, *, key: str = "", payment: str = "", gateway: str = "") -> None:
        """The next order that fits plays this story, whatever its amount."""
        self.desk.ledger.insert("told", story=number_of(story), gateway=gateway, key=key, payment=payment)

    def payment(self, payment: str, minor: int, currency: str, *, gateway: str = "payerly") -> None:
        """Register a payment: from now on its refunds cannot exceed it."""
        self.desk.ledger.insert("payment", gateway=gateway, payment=payment, minor=minor, currency=currency)

    def callback(self, gateway: str, url: str) -> None:
        """Where a gateway's webhooks go when its orders name no address: what a shop registers in its panel."""
        if gateway not in self.simulators:
            raise ValueError("There is no such gateway.")
        self.desk.ledger.insert("callback", gateway=gateway, url=url)

    def payments(self, payments: list[dict[str, Any]]) -> None:
        """Register many at once: objects with the arguments of `payment`."""
        with self.desk.ledger.atomic():
            for one in payments:
                self.payment(**one)

    def learn(self, known: dict[str, Any]) -> None:
        """{"payments": [...], "callbacks": {gateway: url}}, as the controls of these names take them."""
        self.payments(known.get("payments", []))
        for gateway, url in known.get("callbacks", {}).items():
            if gateway in self.simulators:
                self.callback(gateway, url)

    def webhook(self, key: str, *, word: str = "", forged: bool = False, gateway: str = "payerly") -> None:
        """Send one more webhook about a refund, with another word or a forged signature if wanted."""
        refund = self.desk.ledger.refund(gateway, key)
        if refund is None or word not in ("", *WORDS):
            raise ValueError("There is no such refund, or no such word.")
        self.desk.webhook(refund, word, forged)

    def settle(self, seconds: int = 10) -> None:
        """Wait until every story is told to its end. Raises TimeoutError when that takes longer."""
        ends = time.monotonic() + seconds
        while self.desk.ledger.waiting():
            if time.monotonic() > ends:
                raise TimeoutError("There are still steps to come.")
            time.sleep(0.01)

    def answer(self, request: Request) -> Reply:
        """A reply from the gateway whose base the path begins with, else from the sandbox itself."""
        for name, simulator in self.simulators.items():
            if request.path.startswith(simulator.base + "/"):
                path = request.path[len(simulator.base) :]
                return self._noted(name, request, simulator.answer, path)
        if request.path.startswith("/moved/"):
            return self._noted("moved", request, lambda _: Reply(404), request.path)
        return self._own(request)

    def _noted(self, gateway: str, request: Request, ask: Callable[[Request], Reply], path: str) -> Reply:
        at = iso(now_ms())
        reply = ask(replace(request, path=path))
        masked = {name: "•••" if name in SECRET_HEADERS else text for name, text in request.headers.items()}
        self._requests.append(
            {
                "gateway": gateway,
                "method": request.method,
                "path": request.path,
                "query": request.query,
                "headers": masked,
                "body": request.body.decode("utf-8", "replace"),
                "at": at,
                "status": reply.status,
            }
        )
        return reply

    def _own(self, request: Request) -> Reply:
        shown: dict[str, Callable[[], Reply]] = {
            "/": lambda: Reply(200, page(self).encode(), HTML),
            "/ledger": lambda: as_json(self.ledger()),
            "/requests": lambda: as_json(self.requests()),
            "/health": lambda: as_json({"status": "ok"}),
        }
        controls: dict[str, Callable[..., None]] = {
            "/control/tell": self.tell,
            "/control/payment": self.payment,
            "/control/payments": self.payments,
            "/control/callback": self.callback,
            "/control/webhook": self.webhook,
        }
        if request.method == "GET" and request.path in shown:
            return shown[request.path]()
        if request.method == "POST" and request.path in controls:
            return controlled(controls[request.path], request.body)
        return as_json({"error": "There is nothing here."}, 404)


def controlled(control: Callable[..., None], body: bytes) -> Reply:
    """Call a control with the JSON object in the body as its arguments."""
    try:
        control(**json.loads(body))
    except (TypeError, ValueError) as error:
        return as_json({"error": str(error)}, 400)
    return as_json({"status": "ok"})


def as_json(value: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value, indent=1, ensure_ascii=False).encode(), JSON)


class Handler(BaseHTTPRequestHandler):
    """Bytes in, bytes out."""

    sandbox: Sandbox
    protocol_version = "HTTP/1.1"
    server_version = "refund-desk-sandbox"
    sys_version = ""
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > LARGEST_BODY or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            return self._write(as_json({"error": "Send a Content-Length of at most 1 MB."}, 411))
        body = self.rfile.read(int(length))
        if len(body) < int(length):  # whoever asked died in mid-sentence: that is no request
            self.close_connection = True
            return None
        headers = {name.lower(): text for name, text in self.headers.items()}
        address = urlsplit(self.path)
        url = f"http://{headers.get('host', '')}{self.path}"
        request = Request(self.command, address.path, headers, body, address.query, url)
        return self._write(self.sandbox.answer(request))

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _serve

    def _write(self, reply: Reply) -> None:
        if reply.hangs_up:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, text in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, text)
        self.end_headers()
        if not reply.drip:
            self.wfile.write(reply.body)
            return
        for byte in reply.body:
            self.wfile.write(bytes([byte]))
            if not self.sandbox.desk.sleep(reply.drip):
                return

    def log_message(self, *_: object) -> None:
        """The list of requests says it better."""
