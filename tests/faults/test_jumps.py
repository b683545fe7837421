"""A clock that jumps a day either way, or back, between any two things that a worker does: nothing goes out twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from refunds import history, services
from refunds.models import Refund
from refunds.services.due import lease
from tests.builders import again
from tests.faults import rest
from tests.faults.killer import Life
from tests.faults.scene import Scene
from tests.faults.table import ORDERS

pytestmark = pytest.mark.django_db(transaction=True)
LIVES = 40  # of each gateway
TURNS = 4
STORIES = ("ordinary", "refused", "answer lost", "request lost", "acted, then 500")
JUMPS = tuple(timedelta(hours=hours) for hours in (24, -24, -1, -0.01, 21))
ODDS = 0.15  # of a jump before each thing
CAME_TOO_LATE = "It could have come home"  # a key or a window has run out by the clock, so a person is called
NO_LIFE = Life([], was_killed=False)
Trials = Callable[[int], None]


@pytest.mark.promise("I54", "I2", "I3", "I14", "I15", "I21")
@pytest.mark.parametrize("gateway", ORDERS)
def test_jumps_at_every_turn_of_a_life(gateway: str, scene: Scene, trials: Trials, settings: Any) -> None:
    settings.APPROVAL_DAYS = 10_000  # one that has run out goes back to people, which is right, and ends the life
    dice, n_jumps = random.Random(f"jumps {gateway}"), 0

    def jumpy(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal n_jumps
        if dice.random() < ODDS:
            scene.clock.ahead += dice.choice((*JUMPS, lease(), -lease()))
            n_jumps += 1
        return execute(sql, params, many, context)

    for number in range(LIVES):
        refund = scene.approved(STORIES[number % len(STORIES)])
        with connection.execute_wrapper(jumpy):
            for _ in range(TURNS):
                services.sweep()
                scene.queue.work_off()
        come_to_rest(scene, refund)
    assert history.verify().findings == []
    assert n_jumps > LIVES
    trials(LIVES)


def come_to_rest(scene: Scene, refund: Refund) -> None:
    """In calm times; a window that was jumped over may have left it to people."""
    scene.work(refund)
    scene.door.settle()
    flaws = [flaw for flaw in rest.at_rest(refund, scene.door) if not flaw.startswith(CAME_TOO_LATE)]
    scene.demand(flaws, refund, NO_LIFE)
    refund = again(refund)
    assert refund.status in rest.HOME or refund.needs_attention, refund.status
    moments = list(refund.events.order_by("sequence").values_list("sequence", flat=True))
    assert moments == list(range(1, refund.version + 1))
    Refund.objects.filter(pk=refund.pk).update(ask_at=None)
    scene.queue.clear()
