"""The jobs, on Django's Tasks API. Each is a ticket for one moment; a lost, doubled or late one harms nothing."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django_tasks import task

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


def wake(refund_id: int, booked_for: datetime, *, at_once: bool = False, has_slot: bool = False) -> None:
    """Have a refund's turn taken at the moment (UTC) that its row is booked for, or at once with that ticket.

    `has_slot`: the moment is a slot of its own among the account's calls.
    """
    when = timezone.now() if at_once else booked_for
    turn.using(run_after=when).enqueue(refund_id, booked_for.isoformat(), has_slot=has_slot)


def wake_payment(payment_id: int, booked_for: datetime, *, at_once: bool = False, has_slot: bool = False) -> None:
    """The same for a payment's turn."""
    when = timezone.now() if at_once else booked_for
    payment_turn.using(run_after=when).enqueue(payment_id, booked_for.isoformat(), has_slot=has_slot)


def wake_batch(batch_id: int, booked_for: datetime, *, at_once: bool = False) -> None:
    """After everything else: what is to be sent does not wait for a long file."""
    when = timezone.now() if at_once else booked_for
    batch_turn.using(priority=-10, run_after=when).enqueue(batch_id, booked_for.isoformat())


def wake_key_fetch(account_id: int) -> None:
    """Before everything else: without the key no webhook of the account is let in."""
    key_fetch.using(priority=10, run_after=timezone.now()).enqueue(account_id)


def wake_tell(person_id: int | None) -> None:
    """Have this person, or without one the house's channel, told what is due; after whatever moves money."""
    tell.using(priority=-10, run_after=timezone.now()).enqueue(person_id)
