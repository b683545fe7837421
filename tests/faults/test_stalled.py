"""A worker that stalls past its lease and wakes: it neither sends nor decides, whoever has gone on meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection
from django.db.models import F

from gateways import registry
from gateways.contract import Repeat
from refunds import services
from refunds.models import Refund
from refunds.services.due import lease
from refunds.services.send import end_lease
from tests.builders import again
from tests.faults.killer import ANSWERED, CALL, WRITTEN
from tests.faults.scene import Scene
from tests.faults.sleeper import Asleep, SeenStep, Sleeper, Stops, never
from tests.faults.table import ORDERS, is_order

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),  # see Scene.killer
]
STORIES = ("ordinary", "refused")
GOOD_NEWS = {"processing", "succeeded"}  # what a late answer may still tell: that money moves
CLAIM = 'UPDATE "refunds_refund" SET'
EDGES = (CALL, WRITTEN, ANSWERED)
NOT_AT_ALL = timedelta()
Trials = Callable[[int], None]


def sleeper(scene: Scene) -> Sleeper:
    return Sleeper(scene.clock, scene.door)


def send(refund: Refund) -> Callable[[], None]:
    return partial(services.send_refund, refund.pk)


def undisturbed(scene: Scene, story: str) -> list[SeenStep]:
    """The steps of a send that does not stall."""
    for _ in range(2):  # the second has everything in memory, as all the others will
        refund = scene.approved(story)
        asleep = sleeper(scene).doze(send(refund), never)
        scene.bring_home(refund, asleep.wake())
    return asleep.steps


def moments(steps: list[SeenStep], *, every: bool, story: str = STORIES[0]) -> list[int]:
    """Where to stall, from the claim on; if not at every step, then where the world differs from the moment before.

    Up to the answer all stories are one, so only the first is told from its beginning.
    """
    names = [step.name.split(":")[0] for step in steps]
    begins = names.index(CLAIM) if story == STORIES[0] else len(names) - names[::-1].index(WRITTEN) - 1
    numbers = range(begins + 1, len(steps) + 1)
    return [n for n in numbers if every or names[n - 1] in (*EDGES, "COMMIT") or steps[n - 2].lasts]


def at(moment: int) -> Stops:
    return lambda number, name: number == moment


def order_begins(gateway: str, number: int, name: str) -> bool:
    kind, _, call = name.partition(": ")
    return kind == CALL and is_order(gateway, *call.split(" ", 1))


def pass_lease(scene: Scene, dice: random.Random) -> None:
    scene.clock.ahead += lease() * dice.uniform(1.01, 3)


def decided_since(seen: Refund) -> set[str]:
    """The statuses that it has been moved to."""
    lines = seen.events.filter(sequence__gt=seen.version).exclude(to_status=F("from_status"))
    return set(lines.values_list("to_status", flat=True))


def stall_alone(scene: Scene, story: str, *, every: bool, set_back: timedelta = NOT_AT_ALL) -> int:
    """Meanwhile the others bring the refund home, or cannot, where the sleeper has its rows in hand.

    Before it wakes the clock may be set back: then its lease looks good, and only the fence can tell.
    """
    dice, steps = random.Random(f"{scene.gateway} {story}"), undisturbed(scene, story)
    stops = moments(steps, every=every, story=story)
    for moment in stops:
        refund = scene.approved(story)
        asleep = sleeper(scene).doze(send(refund), at(moment))
        assert not asleep.is_over
        is_free, where = asleep.steps[-1].is_free, f"{scene.gateway}, {story}: stalled at {moment}, {asleep.steps[-1]}"
        pass_lease(scene, dice)
        if is_free:
            scene.work(refund)
            refund = again(refund)
        scene.clock.ahead -= set_back
        life = asleep.wake()
        assert set_back or scene.first_byte(life) <= moment, f"{where}, it sent after its lease"
        assert not is_free or decided_since(refund) <= GOOD_NEWS, f"{where}, it decided after its lease"
        scene.door.wrong.clear()  # what it had let go the moment before arrives when nobody awaits it any more
        scene.bring_home(refund, life)
    return len(stops)


def stall_in_a_pair(scene: Scene, story: str, *, every: bool) -> int:
    """The first stalls past its lease; the second has taken over and is on its way when the first wakes."""
    dice, steps = random.Random(f"{scene.gateway} {story}"), undisturbed(scene, story)
    n_played = 0
    for moment in moments(steps, every=every, story=story):
        if not steps[moment - 1].is_free:
            continue
        refund = scene.approved(story)
        first = sleeper(scene).doze(send(refund), at(moment))
        pass_lease(scene, dice)
        second = take_over(scene, refund)
        held = again(refund)
        services.settle_refund(refund.pk)  # its claim is good, so nobody else ends it
        life = first.wake()
        if not second.is_over:
            n_played += 1
            where = f"{scene.gateway}, {story}: the first stalled at {moment}, {steps[moment - 1]}"
            assert held.status == "sending"
            assert decided_since(held) <= GOOD_NEWS, f"{where}, and then decided"
            now_is = again(refund)
            assert (now_is.fence, now_is.lease_until) == (held.fence, held.lease_until), where
        second.wake()
        scene.door.wrong.clear()
        scene.bring_home(refund, life)
    return n_played


def take_over(scene: Scene, refund: Refund) -> Asleep:
    """Another worker, stopped as soon as it has claimed what was never sent, or as it is to send an order again."""
    end_lease(refund.pk)
    if again(refund).status == "approved":
        return sleeper(scene).doze(send(refund), AfterFirstCommit())
    return sleeper(scene).doze(partial(scene.work, refund), partial(order_begins, scene.gateway))


class AfterFirstCommit:
    has_come = False

    def __call__(self, number: int, name: str) -> bool:
        was, self.has_come = self.has_come, self.has_come or name == "COMMIT"
        return was


@pytest.mark.promise("I16", "I3", "I2")
@pytest.mark.parametrize("gateway", ORDERS)
def test_who_wakes_after_its_lease_neither_sends_nor_decides(gateway: str, scene: Scene, trials: Trials) -> None:
    trials(sum(stall_alone(scene, story, every=False) for story in STORIES))


@pytest.mark.promise("I16", "I54", "I3", "I2")
@pytest.mark.parametrize("gateway", ["payerly", "paynow", "pay3"])  # one of each way to repeat an order, or not
def test_who_wakes_to_a_clock_set_back_pays_nothing_twice(gateway: str, scene: Scene, trials: Trials) -> None:
    trials(stall_alone(scene, STORIES[0], every=False, set_back=timedelta(days=1)))


@pytest.mark.promise("I16", "I3", "I2")
@pytest.mark.parametrize("gateway", ORDERS)
def test_who_wakes_while_the_next_one_sends_takes_nothing_from_it(gateway: str, scene: Scene, trials: Trials) -> None:
    may_repeat = registry.gateway_class(gateway).can.repeat is not Repeat.NEVER
    stories = (*STORIES, "request lost") if may_repeat else STORIES[:1]
    n_played = [stall_in_a_pair(scene, story, every=False) for story in stories]
    if connection.vendor == "postgresql" and not (may_repeat or any(n_played)):
        pytest.skip("Between a claim and the transaction of its attempt nothing is asked of PostgreSQL.")
    assert all(n_played)
    trials(sum(n_played))


@pytest.mark.faults
@pytest.mark.promise("I16", "I3", "I2")
@pytest.mark.parametrize("gateway", ORDERS)
def test_stalled_at_every_step(gateway: str, scene: Scene, trials: Trials) -> None:
    stories = (*STORIES, "answer lost", "request lost", "acted, then 500")
    trials(sum(stall(scene, story, every=True) for story in stories for stall in (stall_alone, stall_in_a_pair)))
