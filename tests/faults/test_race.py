"""Many at the same moment, in processes of their own: one wins, the others are told so, and nothing is counted twice.

Each mode is played with its guard and then without: a race that nothing loses without the guard would show nothing.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.utils import timezone

from gateways.contract import Outcome, RefundOrder, RefundUpdate
from gateways.payerly import Payerly
from gateways.sandbox import Sandbox
from refunds import services, webhooks
from refunds.models import Payment, RefundReason, Status
from tests.builders import ACCOUNTS, alice, approved, ask, bob, dora, erik, make_account, make_payment, person
from tests.faults import books
from tests.faults.race import DONE, Players, Round, Step, copies
from tests.faults.unguarded import no_comparison, no_condition, no_locks, no_slot, no_unique
from tests.house import point_at
from tests.refunds.test_record import standing_in

ROUNDS = int(os.environ.get("RACE_ROUNDS", "500"))
BATCH = 25
AGES = 10**6  # the sandbox carries an order out at once, and goes no further with it
PEOPLE: dict[str, User] = {}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _people() -> None:
    found = (alice(), bob(), person("ben", "Approvers"), dora(), erik())
    PEOPLE.update({user.username: user for user in found})


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Sandbox]:
    """One that is not at work yet: nobody forks beside its threads. Payerly says the same whenever it is asked."""
    sandbox = Sandbox(pace=AGES)
    point_at(sandbox, monkeypatch)
    monkeypatch.setattr(Payerly, "look_up", shown)
    monkeypatch.setattr(Payerly, "verify_webhook", lambda *_: None)
    settings.PUBLIC_URL = ""
    settings.TASKS = {"default": {"BACKEND": "django_tasks.backends.dummy.DummyBackend"}}
    yield sandbox
    sandbox.stop()


# --- How a round begins ---


def sold() -> Payment:
    return make_payment(captured=5000)


def requested() -> Payment:
    return ask(sold()).payment


def ready() -> Payment:
    """At a gateway that keeps no key of ours: what is sent twice is paid twice."""
    return approved(make_payment(5000, "INR", "716000", account=make_account(ACCOUNTS["airpay"]))).payment


def two_ready() -> Payment:
    """At a gateway that takes one refund of a payment at a time."""
    return approved(ready()).payment


def on_its_way(status: Status = Status.PROCESSING) -> Payment:
    """Another refund holds an amount, too: a sum that is moved twice does not fall below nothing."""
    refund = standing_in(status, sold(), sent_at=timezone.now() - timedelta(hours=1))
    return ask(refund.payment, 2000).payment


def failed() -> Payment:
    return standing_in(Status.FAILED, sold()).payment


def proposed() -> Payment:
    payment = on_its_way(Status.UNKNOWN)
    refund = payment.refunds.get(status=Status.UNKNOWN)
    services.propose_outcome(refund.pk, dora(), "succeeded", "Seen there.", seen=refund.version, ticket="T-1")
    return payment


# --- Who does what ---


def asks(one: Round) -> None:
    reason = RefundReason.objects.get(name="Goods returned")
    services.request_refund(one.payment.pk, 3000, reason, PEOPLE["alice"], seen_free=5000)


def by(name: str, service: Callable[..., object], *words: str, **more: str) -> Step:
    """A person takes this step with the first refund, as its page showed it."""
    return lambda one: service(one.refunds[0].pk, PEOPLE[name], *words, seen=one.refunds[0].version, **more)


def sends(number: int = 0) -> Step:
    return lambda one: services.send_refund(one.refunds[number].pk)


def speaks(one: Round) -> None:
    """The webhook, at the door."""
    told = {"refundId": str(one.refunds[0].key), "paymentId": one.payment.reference, "status": {"value": "SUCCESS"}}
    told |= {"amount": {"value": "10.00", "currency": "EUR"}}
    body = json.dumps({"type": "REFUND", "object": told}).encode()
    answer = webhooks.receive(RequestFactory().generic("POST", "/", body, "application/json"), "payerly-eu")
    assert answer.status_code == 200, answer.status_code


def looks(one: Round) -> None:
    services.settle_refund(one.refunds[0].pk)


def shown(_: Payerly, order: RefundOrder) -> list[RefundUpdate]:
    """What a look-up shows: the same as the webhook says."""
    return [RefundUpdate(Outcome.SUCCEEDED, key=order.key, amount=order.amount)]


# --- What it may come to ---

End = tuple[int, tuple[str, ...], int]  # steps taken, where the payment's refunds stand, orders at the gateway


@dataclass(frozen=True)
class Mode:
    """`off` is what has to be taken away before it goes wrong, and `shows` the kind of wrong that is seen then.

    The first guard of all is no_locks: on SQLite a writer's transaction keeps the others out from its first statement
    on (IMMEDIATE), on PostgreSQL it locks the rows of payment and refund. What stands behind it is the same on both.
    """

    begins: Callable[[], Payment]
    steps: Sequence[Step]
    ends: Collection[End]
    off: Sequence[Callable[[], None]]
    shows: str
    rounds: int = ROUNDS


approves, approves_too = (by(name, services.approve_refund) for name in ("bob", "ben"))
takes_back = by("bob", services.unapprove_refund, "A second thought.")
withdraws, retries = by("alice", services.withdraw_refund), by("alice", services.retry_refund)
proposes = by("dora", services.propose_outcome, "succeeded", "Seen there.", ticket="T-1")
drops, confirms = by("dora", services.drop_proposal, "I was wrong."), by("erik", services.confirm_outcome)

ONE_REQUEST: list[End] = [(1, ("requested",), 0)]
ONE_APPROVAL: list[End] = [(1, ("approved",), 0)]
WITHDRAWN: list[End] = [(1, ("withdrawn",), 0)]
CONFIRMED: list[End] = [(1, ("requested", "succeeded"), 0)]
DROPPED: list[End] = [(1, ("requested", "unknown"), 0)]
IN_TIME_OR_NOT: list[End] = [(2, ("requested",), 0), (1, ("processing",), 1)]

# Behind the lock: the condition of the UPDATE that holds the amount.
AMOUNT = (no_locks, no_condition)
# Behind the lock: status and version in the UPDATE of every step.
STEP = (no_locks, no_comparison)
# And behind that: the indexes of one approval by a person, one line for a version, one order for a claim.
INDEX = (*STEP, no_unique)
# Behind the lock: the index of one refund on its way, where a gateway takes one at a time.
SLOT = (no_locks, no_slot)

MODES = {
    "2 ask for too much": Mode(sold, [asks] * 2, ONE_REQUEST, AMOUNT, "over"),
    "4 ask for too much": Mode(sold, [asks] * 4, ONE_REQUEST, AMOUNT, "over", ROUNDS // 4),
    "8 ask for too much": Mode(sold, [asks] * 8, ONE_REQUEST, AMOUNT, "over", ROUNDS // 8),
    "one approves twice": Mode(requested, [approves] * 2, ONE_APPROVAL, INDEX, "end"),
    "two approve": Mode(requested, [approves, approves_too], ONE_APPROVAL, STEP, "approvals"),
    "approval or withdrawal": Mode(requested, [approves, withdraws], ONE_APPROVAL + WITHDRAWN, STEP, "sums"),
    "2 workers send": Mode(ready, [sends()] * 2, [(2, ("processing",), 1)], INDEX, "paid twice"),
    "4 workers send": Mode(ready, [sends()] * 4, [(4, ("processing",), 1)], INDEX, "paid twice", ROUNDS // 4),
    "taking back or sending": Mode(ready, [takes_back, sends()], IN_TIME_OR_NOT, INDEX, "end"),
    "webhook and look-up": Mode(on_its_way, [speaks, looks], [(2, ("requested", "succeeded"), 0)], STEP, "sums"),
    "two retries": Mode(failed, [retries] * 2, [(1, ("failed", "requested"), 0)], AMOUNT, "sums"),
    "two refunds, one slot": Mode(
        two_ready, [sends(0), sends(1)], [(2, ("approved", "processing"), 1)], SLOT, "slot", ROUNDS // 4
    ),
    "two confirm": Mode(proposed, [confirms] * 2, CONFIRMED, STEP, "sums", ROUNDS // 4),
    "confirming or dropping": Mode(
        proposed, [confirms, drops, proposes], CONFIRMED + DROPPED, STEP, "journal", ROUNDS // 4
    ),
}


def wrongs(mode: Mode, sandbox: Sandbox, off: Sequence[Callable[[], None]] = ()) -> Iterator[str]:
    """All that goes wrong, with the kind of wrong in front."""
    with Players(mode.steps, off) as players:
        sandbox.start()
        begun = mode.begins()
        for first in range(0, mode.rounds, BATCH):
            rounds = copies(begun, range(first, min(first + BATCH, mode.rounds)))
            said = players.play(rounds)
            yield from (word for words in said for word in words if word.startswith("error"))
            yield from books.faults([one.payment.pk for one in rounds])
            orders = Counter(str(order["payment"]) for order in sandbox.ledger())
            for one, words in zip(rounds, said, strict=True):
                n_orders, standing = orders[one.payment.reference], sorted(one.now())
                if n_orders > len(standing):
                    yield f"paid twice: {one.payment}, {n_orders} times"
                if (words.count(DONE), tuple(standing), n_orders) not in mode.ends:
                    yield f"end: {standing} and {n_orders} orders after {words}"


@pytest.mark.promise("I1", "I3", "I12", "I20", "I21")
@pytest.mark.parametrize("name", MODES)
def test_nothing_is_counted_or_sent_twice(name: str, sandbox: Sandbox, trials: Callable[[int], None]) -> None:
    trials(MODES[name].rounds)
    assert list(wrongs(MODES[name], sandbox)) == []


@pytest.mark.parametrize("name", MODES)
def test_without_its_guard_it_goes_wrong(name: str, sandbox: Sandbox) -> None:
    mode = replace(MODES[name], rounds=ROUNDS)
    assert any(wrong.startswith(mode.shows) for wrong in wrongs(mode, sandbox, mode.off)), mode.shows
