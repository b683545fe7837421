"""The cap on an account's calls per second: each turn takes a slot, and comes back for one that is further away."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from django.utils import timezone

from refunds import accounts
from refunds.models import Account, Payment, Refund, Status
from refunds.services.claim import obstacle
from refunds.services.orders import gateway_for

SHORT = timedelta(seconds=1)  # so long a turn waits itself
FURTHEST = timedelta(hours=1)
LATE = timedelta(seconds=2)  # a slot that was booked and then missed by more is lost


def slot_for(row: Refund | Payment, booked: datetime | None) -> datetime | None:
    """None when the turn may go on now; else the moment of its slot, which is its own when it comes back then.

    `booked` is the slot that this turn was given earlier.
    """
    between = accounts.between_calls(row.account.slug)
    if between is None or (isinstance(row, Refund) and row.status == Status.APPROVED and obstacle(row)):
        return None
    now, length = timezone.now(), between * _n_calls(row)
    if _may_share_a_call(row):
        slot = _slot_of_the_next_bundle(row.account_id, length)
    else:
        slot = booked if booked and booked > now - LATE else take_slot(row.account_id, length)
    if slot > now + SHORT:
        return slot
    time.sleep(max(slot - now, timedelta()).total_seconds())
    return None


def take_slot(account_id: int, length: timedelta) -> datetime:
    """The next free moment, taken by one conditional UPDATE; who was overtaken looks again."""
    row = Account.objects.filter(pk=account_id)
    while True:
        taken, now = row.values_list("next_call_at", flat=True).get(), timezone.now()
        slot = _free_from(taken, now)
        if row.filter(next_call_at=taken).update(next_call_at=slot + length) == 1:
            return slot


def _may_share_a_call(row: Refund | Payment) -> bool:
    return isinstance(row, Refund) and row.status == Status.APPROVED and gateway_for(row.account).bundle > 1


def _slot_of_the_next_bundle(account_id: int, length: timedelta) -> datetime:
    """One slot for all whose orders may share a call: whoever comes first, once it is there, uses it up."""
    row = Account.objects.filter(pk=account_id)
    while True:
        booked, taken = row.values_list("next_bundle_at", "next_call_at").get()
        now = timezone.now()
        if booked and now + SHORT < booked < now + FURTHEST:
            return booked
        if booked and now - LATE < booked <= now + SHORT:
            slot, after = booked, taken
        else:
            slot = _free_from(taken, now)
            after = slot + length
        changes = {"next_call_at": after, "next_bundle_at": slot if slot > now + SHORT else None}
        if row.filter(next_bundle_at=booked, next_call_at=taken).update(**changes) == 1:
            return slot


def _free_from(taken: datetime | None, now: datetime) -> datetime:
    """Slots of the next hour at most: any later one was given out by a clock that has been set back."""
    return max(now, taken) if taken and taken < now + FURTHEST else now


def _n_calls(row: Refund | Payment) -> int:
    """An order is two calls where they are asked before what they show."""
    if isinstance(row, Payment) or row.status != Status.APPROVED:
        return 1
    return 2 if gateway_for(row.account).looks_before else 1
