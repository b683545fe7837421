"""When a refund is due: `ask_at` is the truth, a job is only a ticket for one moment of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from gateways.registry import gateway_class
from refunds import jobs
from refunds.models import Account, Batch, Payment, Refund, Status
from refunds.services.knocks import forget_old_knocks

SWEEP_LIMIT = 500
KEY_PAUSE = timedelta(minutes=10)
NO_PLAN = timedelta(minutes=1)  # between tries to send, where a gateway has no plan of its own


def pause(refund: Refund, asks: int) -> timedelta:
    """How long to wait before ask number `asks` (0 is the first), by the gateway's plan, give or take a tenth."""
    plan = gateway_class(refund.account.gateway).poll_plan or (NO_PLAN,)
    return plan[min(asks, len(plan) - 1)] * settings.POLL_PACE * random.uniform(0.9, 1.1)


def first_ask(refund: Refund) -> datetime | None:
    """None where nobody can be asked."""
    return timezone.now() + pause(refund, 0) if gateway_class(refund.account.gateway).poll_plan else None


def wake_at(refund: Refund, ask_at: datetime) -> None:
    """Put a job in line once this transaction is committed. Only a wake-up: the row's `ask_at` is the truth.

    None for the end of a claim: who holds it books what comes next, and a lost worker's is found by the sweep.
    """
    if refund.status == Status.SENDING:
        return
    transaction.on_commit(lambda: jobs.wake(refund.pk, ask_at), robust=True)


def take_ticket(row: Any, booked_for: datetime) -> bool:
    """Whether this job may go on: the row still says the moment it was booked for, and nobody else may now."""
    return row.filter(ask_at=booked_for).update(ask_at=timezone.now() + lease()) == 1


def ask_again(refund: Refund, at: datetime, *, count: bool = True) -> None:
    """Book the next ask of a refund that has not changed meanwhile; a changed one has booked its own."""
    with transaction.atomic():
        unchanged = Refund.objects.filter(pk=refund.pk, version=refund.version)
        if unchanged.update(ask_at=at, asks=F("asks") + (1 if count else 0)):
            wake_at(refund, at)


def wake_those_behind(refund: Refund) -> None:
    """Approved refunds of the same payment have waited for what became of this one: they are tried at once."""
    now = timezone.now()
    for other in Refund.objects.filter(payment=refund.payment_id, status=Status.APPROVED, ask_at__gt=now):
        ask_again(other, now, count=False)


def sweep() -> int:
    """Put what is due in line again, whoever lost it. Returns how many; safe from any number of workers."""
    now = timezone.now()
    wakes: tuple[tuple[Any, Callable[[int, datetime], None]], ...] = (
        (Refund.objects, partial(jobs.wake, at_once=True)),
        (Payment.objects, partial(jobs.wake_payment, at_once=True)),
        (Batch.objects, partial(jobs.wake_batch, at_once=True)),
    )
    n_found = 0
    for rows, wake in wakes:
        for pk, ask_at in _due(rows, now):
            n_found += _hand_out(rows.filter(pk=pk, ask_at=ask_at), partial(wake, pk))
    for account in Account.objects.filter(is_active=True, webhook_key=""):
        book_key_fetch(account)
    forget_old_knocks()
    return n_found


def _due(rows: Any, now: datetime) -> Iterable[tuple[int, datetime]]:
    return list(rows.filter(ask_at__lte=now).order_by("ask_at").values_list("pk", "ask_at")[:SWEEP_LIMIT])


def _hand_out(row: Any, wake: Callable[[datetime], None]) -> int:
    """Move the row on by a conditional UPDATE and give out a ticket for the new moment, to be used at once."""
    moved_to = timezone.now() + lease()
    with transaction.atomic():
        if row.update(ask_at=moved_to) != 1:
            return 0
        transaction.on_commit(lambda: wake(moved_to), robust=True)
    return 1


def book_key_fetch(account: Account) -> bool:
    """Have the account's webhook key fetched, where the gateway has one to fetch, at most once in ten minutes."""
    if not gateway_class(account.gateway).webhook_key_setting:
        return False
    rested = Q(webhook_key_asked_at=None) | Q(webhook_key_asked_at__lt=timezone.now() - KEY_PAUSE)
    with transaction.atomic():
        if Account.objects.filter(rested, pk=account.pk).update(webhook_key_asked_at=timezone.now()) != 1:
            return False
        transaction.on_commit(lambda: jobs.wake_key_fetch(account.pk), robust=True)
    return True


def lease() -> timedelta:
    """How long a claim or a ticket is good for: at least three times what one call can take, database waits included.

    What a lost worker held comes back after it.
    """
    return timedelta(seconds=settings.LEASE_SECONDS)
