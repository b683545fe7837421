"""What a person may ask for or approve at once, as it stands today."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from gateways.money import Money
from refunds.models import Allowance

Act = Allowance.Act


def why_over(person: User, act: Allowance.Act, money: Money) -> str:
    """Why this amount is more than the person may at once, or ""; what was taken today is not asked."""
    rows = {row.currency: row for row in Allowance.objects.filter(person=person, act=act)}
    if money.currency in rows:
        return why_too_large(rows[money.currency], money)
    if rows or settings.ALLOWANCES_REQUIRED:
        return _("%(person)s has no allowance for %(label)s refunds in %(currency)s.") % {
            "person": person,
            "label": act.label,
            "currency": money.currency,
        }
    return ""


def why_too_large(row: Allowance, money: Money) -> str:
    if money.minor <= row.largest:
        return ""
    largest = Money(row.largest, row.currency)
    return _(
        "%(money)s %(currency)s is more than %(person)s may at once: %(largest)s %(row_currency)s is the most."
    ) % {
        "money": money,
        "currency": money.currency,
        "person": row.person,
        "largest": largest,
        "row_currency": row.currency,
    }
