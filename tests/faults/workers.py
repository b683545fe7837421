"""What the workers do, here and on a clock that can be moved on: until a refund rests or a person is called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter

import pytest
from django.utils import timezone
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult

from gateways.registry import gateway_class
from refunds import jobs, services
from refunds.models import Refund

MOST_SWEEPS = 10
Turn = Callable[[int, datetime], None]


class Clock:
    """The house's time; the gateways and the sandbox keep the real one."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta()
        self._real = timezone.now
        patch.setattr(timezone, "now", self.now)

    def now(self) -> datetime:
        return self._real() + self.ahead

    def reach(self, moment: datetime) -> None:
        self.ahead += max(moment - self.now(), timedelta())


class Queue(ABC):
    """Where tickets wait for a worker."""

    @abstractmethod
    def restart(self) -> None:
        """A new process begins."""

    @abstractmethod
    def clear(self) -> None:
        """Nobody waits for what is left."""

    @abstractmethod
    def has_due(self) -> bool:
        """Whether a ticket may be used now."""

    @abstractmethod
    def work_off(self) -> None:
        """Use every ticket that is due."""


class InDatabase(Queue):
    """The real one, with the library's own worker."""

    def restart(self) -> None:
        """What a dead worker had claimed stays claimed; nobody waits for it."""

    def clear(self) -> None:
        DBTaskResult.objects.all().delete()

    def has_due(self) -> bool:
        return DBTaskResult.objects.ready().exists()

    def work_off(self) -> None:
        Worker(
            queue_names=["default"],
            interval=0,
            batch=True,  # it ends when no job is ready
            backend_name="default",
            startup_delay=False,
            max_tasks=None,
            worker_id="kill",
            excluded_queue_names=[],
        ).run()


class InMemory(Queue):
    """A worse one, which a process takes with it when it dies; half as many statements."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.tickets: list[tuple[datetime, Callable[[], None]]] = []
        patch.setattr(jobs, "wake", partial(self._keep, services.take_turn))
        patch.setattr(jobs, "wake_payment", partial(self._keep, services.take_payment_turn))

    def _keep(self, turn: Turn, pk: int, booked_for: datetime, *, at_once: bool = False) -> None:
        self.tickets.append((timezone.now() if at_once else booked_for, partial(turn, pk, booked_for)))

    def clear(self) -> None:
        self.tickets.clear()

    restart = clear

    def has_due(self) -> bool:
        return any(at <= timezone.now() for at, _ in self.tickets)

    def work_off(self) -> None:
        while self.has_due():
            first = min(self.tickets, key=itemgetter(0))
            self.tickets.remove(first)
            first[1]()


def work(refund_id: int, clock: Clock, queue: Queue) -> None:
    """A worker starts, does what is due, and time goes on; ten sweeps have to be enough."""
    queue.restart()
    services.sweep()
    for _ in range(MOST_SWEEPS):
        queue.work_off()
        if not (moment := next_moment(refund_id)):
            return
        clock.reach(moment)
        if not queue.has_due():
            services.sweep()
    raise AssertionError(f"Not at rest after {MOST_SWEEPS} sweeps.")


def next_moment(refund_id: int) -> datetime | None:
    """When this refund is due; None at rest, or once the plan is over and a person was called."""
    seen = Refund.objects.values_list("ask_at", "asks", "needs_attention", "account__gateway")
    ask_at, asks, call, gateway = seen.get(pk=refund_id)
    return None if call and asks > len(gateway_class(gateway).poll_plan) else ask_at
