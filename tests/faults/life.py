"""One refund's life as its gateway tells it: messages that can be played in any order.

Connectors, simulators and the door for webhooks are the real ones; only the sockets between them are missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import transaction
from django.test import RequestFactory
from django.utils import timezone

from gateways.errors import NoAnswer
from gateways.http import HttpClient, Response
from gateways.sandbox import Sandbox
from gateways.sandbox.simulator import Request
from refunds import services, webhooks
from refunds.models import Account, Attempt, Delivery, Payment, Refund, UnmatchedRefund
from refunds.services import send
from refunds.services.orders import gateway_for
from tests.builders import ACCOUNTS, again, approved, make_account, make_payment
from tests.faults import books
from tests.house import point_at

MOST_TURNS = 20  # until it is quiet
WORDS = ("", "processing", "succeeded", "failed")  # in the order in which a gateway comes to them
Letter = tuple[dict[str, str], bytes]
# Where it stands and whether a person is called; then all that may not depend on the order in which things came.
End = tuple[tuple[str, bool], tuple[tuple[str, Any], ...]]
Ends = dict[End, tuple[int, tuple[str, ...]]]  # what orders come to, with their number and an example


class Died(BaseException):
    """The worker is gone, in the middle of a call; nothing catches this."""


class Clock:
    """What the desk takes for now: `ahead` of the real time."""

    def __init__(self) -> None:
        self._real, self.ahead = timezone.now, timedelta(hours=1)  # so that all their moments are past

    def now(self) -> datetime:
        return self._real() + self.ahead

    def reach(self, moment: datetime) -> None:
        self.ahead += max(moment - self.now(), timedelta())


class Life:
    """A refund of a whole payment whose order has just reached its gateway; nobody has heard of it since."""

    def __init__(self, gateway: str, amount: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gateway, self.clock, self.sandbox = gateway, Clock(), Sandbox()  # that never starts: no sockets
        self.answer: Response | None = None
        self.is_heard: bool | None = None
        self.meanwhile: Message | None = None
        self.ends: dict[str, Ends] = {}
        point_at(self.sandbox, monkeypatch)
        monkeypatch.setattr(HttpClient, "send", lambda http, *call, **more: self._sent(http, *call, **more))
        monkeypatch.setattr(timezone, "now", self.clock.now)
        self.simulator = self.sandbox.simulators[gateway]
        self.refund = approved(self._payment(amount), amount)
        with pytest.raises(Died):
            services.send_refund(self.refund.pk)
        self.refund, self.attempt = again(self.refund), Attempt.objects.get()
        [self.theirs] = self._ledger()
        self.letters = {word: self.letter(word) for word in WORDS[1:]}

    def _payment(self, amount: int) -> Payment:
        account = make_account(ACCOUNTS[self.gateway])
        Account.objects.update(webhook_key=gateway_for(account).webhook_key())
        payment = make_payment(amount, self.simulator.currency, self.simulator.payment_name(1), account=account)
        self.sandbox.payment(payment.reference, amount, payment.currency, gateway=self.gateway)
        self.sandbox.callback(self.gateway, f"https://refunds.example/webhooks/{account.slug}/")
        return payment

    def _ledger(self) -> list[Any]:
        return self.sandbox.desk.ledger.refunds_of(self.gateway, self.simulator.payment_name(1))

    def _sent(
        self, http: HttpClient, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None
    ) -> Response:
        """The simulator's reply to a call; the order is carried out, and its answer kept back."""
        url = urlsplit(http.base_url + path)
        named = {name.lower(): text for name, text in headers.items()}
        request = Request(method, url.path, named, body or b"", url.query, url.geturl())
        if self.is_heard is not None:
            is_heard, self.is_heard = self.is_heard, None
            if is_heard:
                return self.answer
            raise NoAnswer("The line was cut.")
        reply = self.sandbox.answer(request)
        answer = Response(reply.status, {name.lower(): text for name, text in reply.headers.items()}, reply.body)
        if self.answer is None and self._ledger():
            self.answer = answer
            raise Died
        if self.meanwhile:
            message, self.meanwhile = self.meanwhile, None
            message.play(self)
        return answer

    # --- What they say ---

    def stands(self, word: str) -> None:
        """From now on they show this word."""
        theirs = self._as_of(word)
        now_is = "UPDATE refund SET status = ?, changed_at = ? WHERE key = ?"
        self.sandbox.desk.ledger.rows(now_is, theirs.status, theirs.changed_at, theirs.key)

    def _as_of(self, word: str) -> Any:
        return replace(self.theirs, status=word, changed_at=self.theirs.created_at + WORDS.index(word) * 600_000)

    def letter(self, word: str, **of_another: str) -> Letter:
        """The webhook with this word, as it would come over the wire; `of_another` refund it may speak instead."""
        return self.simulator.letter(replace(self._as_of(word), **of_another), word, False)

    def deliver(self, letter: Letter) -> int:
        """The HTTP status with which our door answers."""
        headers, body = dict(letter[0]), letter[1]
        request = RequestFactory().generic("POST", "/", body, headers.pop("Content-Type"), headers=headers)
        return webhooks.receive(request, ACCOUNTS[self.gateway]).status_code

    # --- Until it is quiet ---

    def rest(self, truth: str) -> None:
        """Whatever is due is done when it is due, while they always show the same."""
        self.stands(truth)
        for _ in range(MOST_TURNS):
            refund = again(self.refund)
            if refund.ask_at is None:
                return
            self.clock.reach(refund.ask_at)
            services.take_turn(refund.pk, refund.ask_at)
        raise AssertionError(f"It does not come to rest: {refund.status}, {refund.needs_attention}")

    def state(self) -> tuple[Any, ...]:
        """All that the future depends on but the time of day."""
        refund = Refund.objects.filter(pk=self.refund.pk).values().get()
        payment = Payment.objects.filter(pk=self.refund.payment_id).values().get()
        times = ("ask_at", "lease_until", "final_at", "sent_at")
        rows = [{**row, **{name: row.get(name) is None for name in times}} for row in (refund, payment)]
        attempts = self.refund.attempts.values_list("kind", "outcome", "fence")
        heard = self.refund.events.exclude(heard="").values_list("heard", flat=True).order_by("heard")
        deliveries = Delivery.objects.values_list("digest", "result").order_by("digest")
        return (str(rows), *attempts, *heard, *deliveries, UnmatchedRefund.objects.count())

    def end(self) -> End:
        """How it stands, to be compared with the end of another order."""
        refund = again(self.refund)
        sent = refund.attempts.filter(kind="send")
        all_else = {
            "sums": (refund.payment.held, refund.payment.refunded, refund.payment.status),
            "reference": refund.reference,
            "to confirm": refund.to_confirm,
            "carried out there": len(self._ledger()),
            "paid there": len(self.sandbox.ledger()),
            "sent": (sent.count(), sent.filter(outcome="open").count()),
            "deliveries": Delivery.objects.count(),
            "refunds": Refund.objects.count(),
            "wrong": tuple(books.faults([refund.payment_id])),
        }
        return (refund.status, bool(refund.needs_attention)), tuple(all_else.items())


# --- The messages ---


@dataclass(frozen=True)
class Message:
    """`word` is what a look-up `shows`, else what is said; `then` is what the gateway has come to after it."""

    name: str
    play: Callable[[Life], None]
    word: str = ""
    then: str = ""
    shows: bool = False


def _hear_the_answer(life: Life, is_heard: bool) -> None:
    life.is_heard = is_heard
    send._call(life.refund, gateway_for(life.refund.account), life.attempt)


def _die(life: Life) -> None:
    life.clock.reach(life.refund.lease_until)
    send.end_lease(life.refund.pk)


ANSWER = Message("answer", lambda life: _hear_the_answer(life, True))
NO_ANSWER = Message("no answer", lambda life: _hear_the_answer(life, False))
CRASH = Message("the worker dies, and its claim runs out", _die)


def says(word: str) -> Message:
    """The webhook with this word comes in."""

    def come(life: Life) -> None:
        assert life.deliver(life.letters[word]) == 200

    return Message(f"webhook: {word}", come, word, word)


def shows(word: str, meanwhile: Message | None = None) -> Message:
    """We look and see this word; `meanwhile` comes in before what we saw is heard."""

    def look(life: Life) -> None:
        life.stands(word)
        life.meanwhile = meanwhile
        services.settle_refund(life.refund.pk)
        life.meanwhile = None

    name = f"look-up: {word}" + (f" ({meanwhile.name} meanwhile)" if meanwhile else "")
    return Message(name, look, word, meanwhile.then if meanwhile else word, shows=True)


def ends_of(life: Life, truth: str, messages: Sequence[Message], *, lag: bool, latest: int = 0) -> Ends:
    """Play the messages in every order, each from the beginning, until all is quiet; equal ones are not told apart.

    Orders that have led to the same state go on alike, so what follows is played once, unless EVERY_ORDER is set.
    Only where look-ups `lag` can one show less than was told before.
    """
    state = (latest, sorted(message.name for message in messages), life.state())
    if (known := life.ends.get(str(state))) and not os.environ.get("EVERY_ORDER"):
        return known
    ends: Ends = {}
    if not messages:
        with rolled_back(life):
            life.rest(truth)
            ends[life.end()] = (1, ())
    for n, message in enumerate(messages):
        if message in messages[:n] or (message.shows and not lag and WORDS.index(message.word) < latest):
            continue
        left = [*messages[:n], *messages[n + 1 :]]
        with rolled_back(life):
            message.play(life)
            then = ends_of(life, truth, left, lag=lag, latest=max(latest, WORDS.index(message.then)))
        for end, (n_orders, order) in then.items():
            n_known, example = ends.get(end, (0, (message.name, *order)))
            ends[end] = (n_known + n_orders, example)
    life.ends[str(state)] = ends
    return ends


@contextmanager
def rolled_back(life: Life) -> Iterator[None]:
    """What is done in here has not been done after it."""
    ahead, beginning = life.clock.ahead, transaction.savepoint()
    yield
    transaction.savepoint_rollback(beginning)
    life.clock.ahead = ahead
