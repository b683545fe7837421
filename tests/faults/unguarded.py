"""Guards of the product, each taken away by one function: what it guarded must then go wrong in a test."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from refunds.errors import OverLimit
from refunds.models import Approval, Attempt, Event, Payment, Refund
from refunds.services import allowances, request, steps


def no_locks() -> None:
    """Neither row locks (PostgreSQL) nor a writer's transaction that keeps all others out (SQLite)."""
    transaction.Atomic.__enter__ = lambda self: None
    transaction.Atomic.__exit__ = lambda self, *_: None
    QuerySet.select_for_update = lambda self, *_, **__: self


def no_comparison() -> None:
    """A step is written whatever stands there by now."""

    def write(refund: Refund, was: str, changes: dict[str, Any]) -> None:
        row = Refund.objects.filter(pk=refund.pk)
        row.update(status=refund.status, version=F("version") + 1, **changes)
        refund.version += 1
        for name, value in changes.items():
            setattr(refund, name, value)

    steps._compare_and_set = write
    shift = steps.shift_sums

    def shift_what_is_there_now(payment: Payment, *rest: Any, **more: Any) -> None:
        shift(Payment.objects.select_related("account").get(pk=payment.pk), *rest, **more)

    steps.shift_sums = shift_what_is_there_now


def no_condition() -> None:
    """The free amount is read, compared, and written later."""

    def hold(payment: Payment, amount: int, seen_free: int) -> None:
        if payment.free >= amount:
            Payment.objects.filter(pk=payment.pk).update(held=F("held") + amount)

    request._hold = hold


def no_ration() -> None:
    """What is left of a day's allowance is read, compared, and written later."""

    def take(person: Any, act: Any, money: Any) -> None:
        row = allowances.Allowance.objects.filter(person=person, act=act, currency=money.currency).first()
        if row and allowances.taken_today(row) + money.minor > row.per_day:
            raise OverLimit("That is more than is left of the day.")
        if row:
            row.day, row.taken = timezone.localdate(), allowances.taken_today(row) + money.minor
            row.save(update_fields=["day", "taken"])

    allowances.take = request.take = take


def no_slot() -> None:
    """The index that lets one refund of a payment be at its gateway does not see a claimed one."""
    compare_and_set = steps._compare_and_set

    def write(refund: Refund, was: str, changes: dict[str, Any]) -> None:
        compare_and_set(refund, was, {**changes, "exclusive": False})

    steps._compare_and_set = write


def no_unique() -> None:
    """What a unique index refuses is left out in silence: a line, an approval, an attempt."""
    for model in (Approval, Attempt, Event):
        model.save = lambda row, **_: type(row)._base_manager.bulk_create([row], ignore_conflicts=True)
