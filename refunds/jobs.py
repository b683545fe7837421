"""The jobs, on Django's Tasks API. Each is a ticket for one moment; a lost, doubled or late one harms nothing.

Each is an act of its own and carries its origin, the act from which it follows, in its arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from django.utils import timezone
from django_tasks import task
from django_tasks_db import DatabaseBackend

from refunds import correlation
from refunds.models.refund import number_of

# The services book these jobs, so a job meets the services only when it runs.


def job(function: Callable[..., None]) -> Any:
    """A task that is one act."""

    @wraps(function)
    def run(*arguments: Any, origin: str = "", **named: Any) -> None:
        with correlation.act(origin), correlation.span(f"job {function.__name__}"):
            function(*arguments, **named)

    return task()(run)


@job
def turn(refund_id: int, booked_for: str, has_slot: bool = False) -> None:
    from refunds import services

    with correlation.about(refund=number_of(refund_id)):
        services.take_turn(refund_id, datetime.fromisoformat(booked_for), has_slot=has_slot)


@job
def payment_turn(payment_id: int, booked_for: str, has_slot: bool = False) -> None:
    from refunds import services

    services.take_payment_turn(payment_id, datetime.fromisoformat(booked_for), has_slot=has_slot)


@job
def batch_turn(batch_id: int, booked_for: str) -> None:
    from refunds import services

    services.take_batch_turn(batch_id, datetime.fromisoformat(booked_for))


@job
def key_fetch(account_id: int) -> None:
    from refunds import keys

    keys.fetch_webhook_key(account_id)


@job
def verification(asked_by: int) -> None:
    from refunds import history

    history.verify_and_keep(asked_by)


@job
def tell(person_id: int | None) -> None:
    from refunds import services

    services.tell(person_id)


def enqueue(job: Any, at: datetime, *arguments: Any, priority: int = 0, **named: Any) -> None:
    """Have a job done at that moment (UTC), as far as the backend can; it is told the act from which it follows.

    What it cannot put off is left to the sweep, which finds it when it is due; without priorities it is first come,
    first served.
    """
    backend, wishes = job.get_backend(), dict[str, Any]()
    is_due = at <= timezone.now()
    if not is_due and not backend.supports_defer:
        return
    # The database's line is sorted by the moment, and a job without one stands at its end.
    if not is_due or isinstance(backend, DatabaseBackend):
        wishes["run_after"] = at
    if backend.supports_priority:
        wishes["priority"] = priority
    job.using(**wishes).enqueue(*arguments, **named, origin=correlation.origin())


def wake(refund_id: int, booked_for: datetime, *, at_once: bool = False, has_slot: bool = False) -> None:
    """Have a refund's turn taken at the moment (UTC) that its row is booked for, or at once with that ticket.

    `has_slot`: the moment is a slot of its own among the account's calls.
    """
    when = timezone.now() if at_once else booked_for
    enqueue(turn, when, refund_id, booked_for.isoformat(), has_slot=has_slot)


def wake_payment(payment_id: int, booked_for: datetime, *, at_once: bool = False, has_slot: bool = False) -> None:
    """The same for a payment's turn."""
    when = timezone.now() if at_once else booked_for
    enqueue(payment_turn, when, payment_id, booked_for.isoformat(), has_slot=has_slot)


def wake_batch(batch_id: int, booked_for: datetime, *, at_once: bool = False) -> None:
    """After everything else: what is to be sent does not wait for a long file."""
    when = timezone.now() if at_once else booked_for
    enqueue(batch_turn, when, batch_id, booked_for.isoformat(), priority=-10)


def wake_key_fetch(account_id: int) -> None:
    """Before everything else: without the key no webhook of the account is let in."""
    enqueue(key_fetch, timezone.now(), account_id, priority=10)


def wake_tell(person_id: int | None) -> None:
    """Have this person, or without one the house's channel, told what is due; after whatever moves money."""
    enqueue(tell, timezone.now(), person_id, priority=-10)


def wake_verification(asked_by: int) -> None:
    """Have the whole history looked at for this person, at once."""
    enqueue(verification, timezone.now(), asked_by)
