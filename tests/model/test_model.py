"""The life of a refund through every order of crash, loss, delay, repetition and late failure (T7).

The services' own rules and transitions run here, on tables in memory, so that model and product cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from tests.model import gateways, moves, people, rules
from tests.model.memory import HERE
from tests.model.mutants import MUTANTS, Mutant
from tests.model.rooms import in_memory
from tests.model.search import Explorer, Search

ASIDE = ("un-approve", "withdraw", "answer the call", "knock", "ask to cancel", "webhook")
QUIET = ("worker is lost", "lease", "is lost", "unclear", "slow", "fails", "cannot", "no answer", "old", "knock")


@dataclass(frozen=True)
class Run:
    """One world to go through: so many approved refunds of 1 each, so many units captured, so many faults."""

    gateway: str
    refunds: int = 1
    captured: int = 1
    most: int = 1  # with retries
    faults: int = 1
    without: tuple[str, ...] = ()


RUNS = {
    "payerly": Run("payerly"),
    "paynow": Run("paynow", without=("un-approve", "withdraw", "answer the call")),
    "pay3": Run("pay3", without=("un-approve",)),
    "airpay": Run("airpay", without=("un-approve",)),
    "payerly, retried": Run("payerly", captured=2, most=2, without=(*ASIDE, "slow", "fails")),
    "pay3, retried": Run("pay3", most=2, faults=0),
    "payerly, late truths": Run("payerly", faults=2, without=(*ASIDE[:3], *QUIET)),
    "paynow, late truths": Run("paynow", faults=2, without=(*ASIDE[:3], *QUIET)),
    "pay3, two at once": Run("pay3", 2, 2, 2, 0, ASIDE),
}
LONG_RUNS = {
    "payerly, two faults": Run("payerly", faults=2),
    "pay3, two faults": Run("pay3", faults=2),
    "airpay, two faults": Run("airpay", faults=2),
    "paynow, two faults": Run("paynow", faults=2, without=ASIDE),
    "payerly, retried after a fault": Run("payerly", captured=2, most=2, faults=1),
    "pay3, retried after a fault": Run("pay3", most=2, faults=1, without=ASIDE[:3]),
    "payerly, two at once": Run("payerly", 2, 2, 2, 0),
    "pay3, two at once and a fault": Run("pay3", 2, 2, 2, 1, ASIDE),
    "payerly, three at once": Run("payerly", 3, 3, 3, 0, ASIDE),
}


@pytest.fixture
def memory() -> Iterator[pytest.MonkeyPatch]:
    with in_memory() as patch:
        yield patch
    HERE.dropped = set()


def explorer(run: Run, patch: pytest.MonkeyPatch) -> Explorer:
    patch.setattr(gateways, "Current", gateways.model_of(run.gateway))
    patch.setattr(people, "MOST_REFUNDS", [run.most])
    begin = lambda: moves.fresh(run.refunds, run.captured, faults=run.faults)  # noqa: E731
    return Explorer(begin, rules.flaw, rules.rests, run.without)


def explore(run: Run, patch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], None] | None = None) -> Search:
    search = explorer(run, patch)
    if change:
        change(patch)
    return search.run()


SHOWN = ("I1", "I2", "I3", "I4", "I13", "I14", "I15", "I19", "I20", "I21")
PEOPLE_DECIDE = {
    *(f"requested → {status}" for status in ("withdrawn", "returned", "rejected")),
    *(f"returned → {status}" for status in ("requested", "withdrawn")),
}
BY_COMMAND = {"approved → unknown"}  # after a restored backup
AFTER_A_REFUSAL_WITH_A_REFERENCE = {"unknown → withdrawn"}
ELSEWHERE = PEOPLE_DECIDE | BY_COMMAND | AFTER_A_REFUSAL_WITH_A_REFERENCE


@pytest.mark.promise(*SHOWN)
def test_no_order_of_events_breaks_a_promise(memory: pytest.MonkeyPatch, trials: Callable[[int], None]) -> None:
    walked: set[str] = set()
    for name, run in RUNS.items():
        found = explore(run, memory)
        walked |= found.walked
        trials(found.n_moves)
        print(f"{name}: {found.n_states} states, {found.n_moves} moves")
        assert not found.broken, "\n".join((name, found.broken, *found.way))
    edges = {f"{source} → {target}" for source, target in rules.EDGES}
    assert walked == edges - ELSEWHERE, "the model has to walk every edge that is not only people's"


@pytest.mark.faults
@pytest.mark.promise(*SHOWN)
@pytest.mark.parametrize("name", LONG_RUNS)
def test_no_longer_order_of_events_does(name: str, memory: pytest.MonkeyPatch, trials: Callable[[int], None]) -> None:
    found = explore(LONG_RUNS[name], memory)
    trials(found.n_moves)
    print(f"{name}: {found.n_states} states, {found.n_moves} moves")
    assert not found.broken, "\n".join((found.broken, *found.way))


@pytest.mark.promise(*SHOWN)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_model_finds_each_wrong_way_to_build_it(mutant: Mutant, memory: pytest.MonkeyPatch) -> None:
    run = RUNS[mutant.run]
    found = explore(replace(run, faults=mutant.faults, without=run.without + mutant.without), memory, mutant.change)
    print(f"{mutant.name}: {found.broken} after {len(found.way)} moves")
    assert found.broken, f"{found.n_states} states, and nobody noticed"
