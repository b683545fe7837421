"""What a person may ask for or approve at once, as it stands today."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User

from gateways.money import Money
from refunds.models import Allowance

Act = Allowance.Act


def why_over(person: User, act: Allowance.Act, money: Money) -> str:
    """Why this amount is more than the person may at once, or ""; what was taken today is not asked."""
    rows = {row.currency: row for row in Allowance.objects.filter(person=person, act=act)}
    if money.currency in rows:
        return why_too_large(rows[money.currency], money)
    if rows or settings.ALLOWANCES_REQUIRED:
        return f"{person} has no allowance for {act.label} refunds in {money.currency}."
    return ""


def why_too_large(row: Allowance, money: Money) -> str:
    if money.minor <= row.largest:
        return ""
    largest = Money(row.largest, row.currency)
    return f"{money} {money.currency} is more than {row.person} may at once: {largest} {row.currency} is the most."
