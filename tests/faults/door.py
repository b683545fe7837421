"""Stands at the sandbox's door: notes each order, asks the database about it, and holds back what is to come late."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import connection

from gateways.contract import Gateway
from gateways.registry import gateway_class
from gateways.sandbox import Sandbox
from gateways.sandbox.desk import Reply
from gateways.sandbox.ledger import now_ms
from gateways.sandbox.simulator import Request
from refunds.models import Attempt, Refund
from tests.faults.table import is_order


@dataclass
class Door:
    """`orders` are the whole ones that came for `refund`: path, key and SHA-256 of the body."""

    sandbox: Sandbox
    gateway: str
    refund: Refund | None = None
    is_late: bool = False  # the first order is cut off, and arrives only after the next call
    orders: list[tuple[str, str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    n_served: int = 0

    def __post_init__(self) -> None:
        self._held: list[Request] = []
        self._pass_on = self.sandbox.answer
        self._counting = threading.Lock()
        self.sandbox.answer = self.answer

    def expect(self, refund: Refund, *, is_late: bool = False) -> None:
        self.refund, self.is_late = refund, is_late
        self.orders, self._held = [], []

    def answer(self, request: Request) -> Reply:
        """In the sandbox's thread, with the whole request read."""
        try:
            self.settle()
            if is_order(self.gateway, request.method, request.path):
                self._note(request)
                if self.is_late:
                    self.is_late = False
                    self._held.append(request)
                    return Reply(0, hangs_up=True)
            reply = self._pass_on(request)
            self.let_in()
            return reply
        finally:
            with self._counting:
                self.n_served += 1

    def let_in(self) -> None:
        """What was held back arrives now."""
        while self._held:
            self._pass_on(self._held.pop())

    def settle(self) -> None:
        """Wait for what is due at the gateway by now."""
        soon(lambda: not self.sandbox.desk.ledger.waiting(now_ms()))

    def wait_for(self, n_served: int) -> None:
        """Whoever wrote a request may be dead; it is carried out all the same."""
        soon(lambda: self.n_served >= n_served)

    def _note(self, request: Request) -> None:
        digest = hashlib.sha256(request.body).hexdigest()
        self.orders.append((request.path, request.headers.get("idempotency-key", ""), digest))
        try:
            self.wrong += self._what_is_wrong(digest)
        finally:
            connection.close()

    def _what_is_wrong(self, digest: str) -> list[str]:
        sends = Attempt.objects.filter(refund=self.refund, kind=Attempt.Kind.SEND, outcome=Attempt.Outcome.OPEN)
        kept = sends.filter(refund__status="sending").values_list("body_digest", flat=True)
        if not kept:
            return ["An order arrived without a committed attempt."]
        has_fixed_body = gateway_class(self.gateway).body is not Gateway.body
        return ["Another body arrived than was committed."] if has_fixed_body and digest not in kept else []


def soon(what: Callable[[], bool]) -> None:
    """Like `until`, for what takes a millisecond and is waited for thousands of times."""
    ends = time.monotonic() + 20
    while not what():
        assert time.monotonic() < ends, "The sandbox did not get there."
        time.sleep(0.001)
