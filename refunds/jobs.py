"""The jobs, on Django's Tasks API. Each is a ticket for one moment; a lost, doubled or late one harms nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from django_tasks import task
from django_tasks_db import DatabaseBackend

from refunds import correlation

# The services book these jobs, so a job meets the services only when it runs.


@task()
def turn(refund_id: int, booked_for: str, has_slot: bool = False) -> None:
    from refunds import services

    with correlation.act():
        services.take_turn(refund_id, datetime.fromisoformat(booked_for), has_slot=has_slot)


@task()
def payment_turn(payment_id: int, booked_for: str, has_slot: bool = False) -> None:
    from refunds import services

    with correlation.act():
        services.take_payment_turn(payment_id, datetime.fromisoformat(booked_for), has_slot=has_slot)


@task()
def batch_turn(batch_id: int, booked_for: str) -> None:
    from refunds import services

    with correlation.act():
        services.take_batch_turn(batch_id, datetime.fromisoformat(booked_for))


@task()
def key_fetch(account_id: int) -> None:
    from refunds import keys

    with correlation.act():
        keys.fetch_webhook_key(account_id)


@task()
def verification(asked_by: int) -> None:
    from refunds import history

    with correlation.act():
        history.verify_and_keep(asked_by)


@task()
def tell(person_id: int | None) -> None:
    from refunds import services

    with correlation.act():
        services.tell(person_id)


def enqueue(job: Any, at: datetime, *arguments: Any, priority: int = 0, **named: Any) -> None:
    """Have a job done at that moment (UTC), as far as the backend can.

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
    job.using(**wishes).enqueue(*arguments, **named)


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
