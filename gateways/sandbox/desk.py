"""Carries orders out as their story goes: books, steps in time, webhooks. It knows no gateway's wire format."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from gateways.sandbox.ledger import MILLISECOND, Ledger, Planned, Refund, now_ms
from gateways.sandbox.post import post
from gateways.sandbox.stories import ORDINARY, STORIES, Answer, Does, number_by_amount

TRIES = 5
FIRST_PAUSE = timedelta(seconds=1)  # between the tries of a webhook; doubles each time
DRIP_PAUSE = timedelta(milliseconds=150)
TICK = timedelta(milliseconds=20)
ERROR_PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(frozen=True)
class Order:
    """One order as a simulator read it; `asked` is its exact text.

    Where the gateway is given no name of ours, `key` is one that the simulator makes up.
    """

    gateway: str
    key: str
    payment: str
    minor: int
    currency: str
    callback_url: str
    asked: str


@dataclass(frozen=True)
class Reply:
    """What goes back over HTTP; `hangs_up` closes the line instead, `drip` is the pause after each byte."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs_up: bool = False
    drip: timedelta = timedelta()


Letter = Callable[[Refund, str, bool], tuple[dict[str, str], bytes]]


class Desk:
    """The one place where the sandbox's money moves."""

    def __init__(self, state: Path | None, pace: float) -> None:
        self.state = state
        self.pace = pace
        self.ledger = Ledger(state)
        self.letters: dict[str, Letter] = {}  # how each gateway writes a webhook
        self._claimed: set[int] = set()
        self._claiming = threading.Lock()
        self._closing = threading.Event()
        self._clock = threading.Thread(target=self._run, name="sandbox clock", daemon=True)
        self._posters = ThreadPoolExecutor(8, "sandbox webhook")

    def start(self) -> None:
        self._clock.start()

    def stop(self) -> None:
        self._closing.set()
        self._clock.join()
        self._posters.shutdown(wait=True, cancel_futures=True)
        self.ledger.close()

    def sleep(self, pause: timedelta) -> bool:
        """Waits in the sandbox's own time; False when it is closing."""
        return not self._closing.wait((pause * self.pace).total_seconds())

    def story_for(self, order: Order, known_by: str) -> int:
        """The story told for it, else the one of its amount; a story for one time only is over after that.

        `known_by` is what a second try has in common with the first: our key, or the payment.
        """
        with self.ledger.atomic():
            told = self.ledger.take_told({"gateway": order.gateway, "key": order.key, "payment": order.payment})
            number = number_by_amount(order.minor) if told is None else told
            played = self.ledger.rows("SELECT story FROM played WHERE gateway = ? AND key = ?", order.gateway, known_by)
            if told is None and STORIES[number].only_once and number in [row["story"] for row in played]:
                number = ORDINARY
            self.ledger.insert("played", gateway=order.gateway, key=known_by, story=number)
        return number

    def room_for(self, order: Order) -> bool:
        """False when the payment is registered and the order would take more than is left of it."""
        known = self.ledger.payment(order.gateway, order.payment)
        if known is None:
            return True
        captured, currency = known
        left = captured - self.ledger.taken(order.gateway, order.payment)
        return currency == order.currency and order.minor <= left

    def open(self, order: Order, number: int, reference: str) -> Refund | None:
        """Write the order down with everything that will come of it; None when its story is never carried out."""
        story, now = STORIES[number], now_ms()
        if story.executes is None:
            return None
        refund = Refund(
            **vars(order),
            story=number,
            status=story.first_word,
            reference=reference,
            is_executed=False,
            created_at=now,
            changed_at=now,
        )
        executes_at = now + self._paced(story.executes)
        with self.ledger.atomic():
            self.ledger.insert("refund", **vars(refund))
            self.ledger.plan(refund, executes_at, Does.EXECUTE)
            for step in story.steps:
                self.ledger.plan(refund, executes_at + self._paced(step.after), step.does, step.word)
            if executes_at == now:
                self.execute(refund)
        return refund

    def execute(self, refund: Refund) -> None:
        """Put it on the books and move the money: once, however often it is called."""
        with self.ledger.atomic():
            if self.ledger.put_on_the_books(refund) and STORIES[refund.story].moves_money:
                self.ledger.move(refund, "refund")

    def reply(self, number: int, refund: Refund | None, ordinary: Reply, elsewhere: str) -> Reply:
        """The ordinary answer, or what the story makes of it."""
        if refund and STORIES[number].webhook_first:
            self._do_all_due(refund)
        return {
            Answer.LOST: Reply(0, hangs_up=True),
            Answer.ERROR: Reply(500, b'{"error":"internal"}', {"Content-Type": "application/json"}),
            Answer.LATE: Reply(504, b"upstream timed out\n", {"Content-Type": "text/plain"}),
            Answer.PAGE: Reply(502, ERROR_PAGE, {"Content-Type": "text/html"}),
            Answer.BUSY: Reply(429, b"slow down\n", {"Content-Type": "text/plain", "Retry-After": "2"}),
            Answer.ELSEWHERE: Reply(307, b"", {"Location": elsewhere}),
            Answer.DRIP: Reply(ordinary.status, ordinary.body, ordinary.headers, drip=DRIP_PAUSE),
        }.get(STORIES[number].answer, ordinary)

    def cancel(self, refund: Refund) -> bool:
        """True when it was still waiting and is cancelled now; it can no longer move money."""
        with self.ledger.atomic():
            now_is = self.ledger.refund(refund.gateway, refund.key)
            if now_is is None or now_is.status != "waiting":
                return False
            self.ledger.set_status(refund, "cancelled")
            self.ledger.drop_steps(refund)
        return True

    def webhook(self, refund: Refund, word: str = "", forged: bool = False) -> None:
        """One more webhook, now."""
        self.ledger.plan(refund, now_ms(), Does.FORGE if forged else Does.WEBHOOK, word)

    def _paced(self, pause: timedelta) -> int:
        return (pause * self.pace) // MILLISECOND

    def _run(self) -> None:
        while not self._closing.wait(TICK.total_seconds()):
            for step in self.ledger.waiting(now_ms()):
                if not self._claim(step):
                    continue
                if step.does in (Does.WEBHOOK, Does.FORGE):
                    self._posters.submit(self._do, step)
                else:
                    self._do(step)

    def _do_all_due(self, refund: Refund) -> None:
        """Here and now, though the clock may be at some of it already."""
        while due := self.ledger.waiting(now_ms(), refund.key):
            for step in filter(self._claim, due):
                self._do(step)
            self._closing.wait(TICK.total_seconds() / 10)

    def _claim(self, step: Planned) -> bool:
        """One thread at a time, and not on the word of a list that is old by now."""
        with self._claiming:
            if step.id in self._claimed or not self.ledger.is_due(step, now_ms()):
                return False
            self._claimed.add(step.id)
        return True

    def _do(self, step: Planned) -> None:
        refund = self.ledger.refund(step.gateway, step.key)
        if refund is None or step.does in (Does.WEBHOOK, Does.FORGE):
            self._post(step, refund)
        else:
            self._book(step, refund)
        self._claimed.discard(step.id)

    def _book(self, step: Planned, refund: Refund) -> None:
        with self.ledger.atomic():
            if not self.ledger.is_due(step, now_ms()):  # a cancel was faster
                return
            if step.does == Does.EXECUTE:
                self.execute(refund)
            elif step.does == Does.STATUS:
                self.ledger.set_status(refund, step.word)
            else:
                self.ledger.move(refund, "refund" if step.does == Does.PAY_OUT else "reversal")
            self.ledger.finish(step)

    def _post(self, step: Planned, refund: Refund | None) -> None:
        url = refund and (refund.callback_url or self.ledger.callback(refund.gateway))
        if refund and url:
            headers, body = self.letters[step.gateway](refund, step.word or refund.status, step.does == Does.FORGE)
            if not post(url, headers, body) and step.tries + 1 < TRIES:
                pause = FIRST_PAUSE * 2**step.tries
                self.ledger.try_later(step, now_ms() + max(self._paced(pause), 1))
                return
        self.ledger.finish(step)
