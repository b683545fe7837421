"""At the same moment, in processes of their own: two are two, a day's allowance is one, and splitting gains nothing.

Each race is played with its guard and then without: one that nobody loses without the guard would show nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from gateways.payerly import Payerly
from refunds import services
from refunds.errors import WrongMoment
from refunds.models import Allowance, Approval, Payment, Refund, RefundReason, Rule
from tests.builders import alice, allow, ask, bert, bob, make_payment, make_rule, person
from tests.faults import books
from tests.faults.race import DONE, Players, Round, Step, copies
from tests.faults.unguarded import no_comparison, no_condition, no_locks, no_ration, no_unique

ROUNDS = int(os.environ.get("RACE_ROUNDS", "200"))
BATCH = 25
PEOPLE: dict[str, User] = {}
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _people() -> None:
    PEOPLE.update({user.username: user for user in (alice(), person("alma", "Agents"), bob(), bert())})


# --- How a batch of rounds begins ---


def waiting(demand: str) -> Callable[[range], list[Round]]:
    """A refund of Alice's that so many people have to approve."""

    def begin(numbers: range) -> list[Round]:
        Rule.objects.filter(ended_at=None).update(ended_at=timezone.now())
        make_rule(demand)
        return copies(ask(make_payment(reference=f"w{numbers.start}-")).payment, numbers)

    return begin


def sold_without_approval(numbers: range) -> list[Round]:
    Rule.objects.filter(ended_at=None).update(ended_at=timezone.now())
    make_rule("0")
    return copies(make_payment(reference=f"n{numbers.start}-"), numbers)


def three_for_an_allowance_of_two(numbers: range) -> list[Round]:
    """Refunds of three payments, and an approver of each round whose day ends with the second."""
    begun = [ask(make_payment(reference=f"a{part}-{numbers.start}-")).payment for part in range(3)]
    rounds = [
        Round(parts[0].payment, [part.refunds[0] for part in parts]) for parts in zip(*_of(begun, numbers), strict=True)
    ]
    for one in rounds:
        allow(person(approver_of(one), "Approvers"), "approve", largest=1000, per_day=2500)
    return rounds


def approver_of(one: Round) -> str:
    return f"day-of-{one.refunds[0].pk}"


def one_customer_in_two_halves(numbers: range) -> list[Round]:
    """Two payments of a customer of each round; from 15.00 on, two people have to agree."""
    Rule.objects.filter(ended_at=None).update(ended_at=timezone.now())
    make_rule("2", currency="EUR", from_amount=1500, sums_payment=False, sums_requester=False)
    rounds = []
    begun = [make_payment(reference=f"s{part}-{numbers.start}-") for part in range(2)]
    for number, (first, second) in zip(numbers, zip(*_of(begun, numbers), strict=True), strict=True):
        pks = [first.payment.pk, second.payment.pk]
        Payment.objects.filter(pk__in=pks).update(customer_email=f"c{number}@example.com")
        rounds.append(Round(first.payment, [Refund(payment=second.payment)]))
    return rounds


def _of(begun: list[Payment], numbers: range) -> list[list[Round]]:
    return [copies(payment, numbers) for payment in begun]


# --- Who does what ---


def approves(name: str) -> Step:
    """A person who looks again as long as it says that something has changed meanwhile."""

    def step(one: Round) -> None:
        for _ in range(20):
            now_is = Refund.objects.get(pk=one.refunds[0].pk)
            try:
                services.approve_refund(now_is.pk, PEOPLE[name], seen=now_is.version)
            except WrongMoment as refusal:
                if "look again" not in str(refusal):
                    raise
            else:
                return

    return step


def approves_number(number: int) -> Step:
    def step(one: Round) -> None:
        by = User.objects.get(username=approver_of(one))
        services.approve_refund(one.refunds[number].pk, by, seen=one.refunds[number].version)

    return step


def asks_of(second: bool, name: str) -> Step:
    def step(one: Round) -> None:
        payment = one.refunds[0].payment if second else one.payment
        reason = RefundReason.objects.get(name="Goods returned")
        services.request_refund(payment.pk, 1000, reason, PEOPLE[name], seen_free=5000)

    return step


# --- What has gone wrong in a round ---


def of_n_people(needed: int) -> Callable[[Round, list[str]], str]:
    def wrong(one: Round, said: list[str]) -> str:
        refund = one.payment.refunds.get()
        given = list(refund.approvals.filter(revision=refund.revision).values_list("approver", flat=True))
        good = refund.status == "approved" and len(given) == len({*given}) == needed
        return "" if good else f"{refund.status} with {given} after {said}"

    return wrong


def once_and_by_nobody(one: Round, said: list[str]) -> str:
    found = [(refund.status, refund.approvals.count()) for refund in one.payment.refunds.all()]
    return "" if found == [("approved", 0)] and said.count(DONE) == 1 else f"{found} after {said}"


def over_the_allowance(one: Round, said: list[str]) -> str:
    row = Allowance.objects.get(person__username=approver_of(one))
    n_given = Approval.objects.filter(approver=row.person).count()
    return "" if (row.taken, n_given, said.count(DONE)) == (2000, 2, 2) else f"{row.taken}, {n_given} after {said}"


def judged_alone(one: Round, said: list[str]) -> str:
    both = Refund.objects.filter(payment__in=[one.payment, one.refunds[0].payment])
    needed = sorted(both.values_list("approvals_needed", flat=True))
    return "" if needed == [1, 2] else f"{needed} after {said}"


@dataclass(frozen=True)
class Race:
    begins: Callable[[range], list[Round]]
    steps: Sequence[Step]
    wrong: Callable[[Round, list[str]], str]
    off: Sequence[Callable[[], None]]
    rounds: int = ROUNDS


STEP = (no_locks, no_comparison, no_unique)
RACES = {
    "nobody is needed, a double click": Race(
        sold_without_approval, [asks_of(False, "alice")] * 2, once_and_by_nobody, (no_locks, no_condition)
    ),
    "one is needed, a double click": Race(waiting("1"), [approves("bob")] * 2, of_n_people(1), STEP),
    "one is needed, two click twice": Race(waiting("1"), [approves("bob"), approves("bert")] * 2, of_n_people(1), STEP),
    "two are needed, both click twice": Race(
        waiting("2"), [approves("bob"), approves("bert")] * 2, of_n_people(2), STEP
    ),
    "three for an allowance of two": Race(
        three_for_an_allowance_of_two,
        [approves_number(number) for number in range(3)],
        over_the_allowance,
        (no_locks, no_ration),
    ),
    "one customer in two halves": Race(
        one_customer_in_two_halves, [asks_of(False, "alice"), asks_of(True, "alma")], judged_alone, (no_locks,)
    ),
}


def wrongs(race: Race, off: Sequence[Callable[[], None]] = ()) -> Iterator[str]:
    """All that goes wrong, errors that nobody foresaw included."""
    with Players(race.steps, off) as players:
        for first in range(0, race.rounds, BATCH):
            rounds = race.begins(range(first, min(first + BATCH, race.rounds)))
            said = players.play(rounds)
            yield from (word for words in said for word in words if word.startswith("error"))
            yield from books.faults([one.payment.pk for one in rounds])
            yield from filter(None, (race.wrong(one, words) for one, words in zip(rounds, said, strict=True)))


@pytest.fixture(autouse=True)
def _nobody_sends(monkeypatch: pytest.MonkeyPatch, settings: pytest.FixtureRequest) -> None:
    """Steps are taken and jobs are written down; no worker carries them out."""
    settings.TASKS = {"default": {"BACKEND": "django_tasks.backends.dummy.DummyBackend"}}  # type: ignore[attr-defined]
    monkeypatch.setattr(Payerly, "look_up", lambda *_: [])


@pytest.mark.promise("I32", "I29")
@pytest.mark.parametrize("name", RACES)
def test_at_the_same_moment_it_comes_to_the_same(name: str, trials: Callable[[int], None]) -> None:
    trials(RACES[name].rounds)
    assert list(wrongs(RACES[name])) == []


@pytest.mark.parametrize("name", RACES)
def test_without_its_guard_it_goes_wrong(name: str) -> None:
    assert any(wrongs(replace(RACES[name], rounds=ROUNDS), RACES[name].off))
