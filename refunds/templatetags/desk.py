"""Template filters of the desk."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from gateways.money import Money
from refunds import health, wording
from refunds.models import Account, Payment, Refund, Status
from refunds.reports.sums import Sum

register = template.Library()

TONES = {
    Status.REQUESTED: "waiting",
    Status.RETURNED: "waiting",
    Status.APPROVED: "moving",
    Status.SENDING: "moving",
    Status.PROCESSING: "moving",
    Status.UNKNOWN: "alarm",
    Status.SUCCEEDED: "good",
    Status.FAILED: "bad",
    Status.REVERSED: "bad",
    Status.REJECTED: "over",
    Status.WITHDRAWN: "over",
}


@register.filter
def amount(money: Money) -> str:
    return wording.amount(money)


@register.filter
def of_payment(minor: int, payment: Payment) -> str:
    """Minor units of this payment's currency, for people."""
    return wording.amount(payment.money(minor))


@register.filter
def tone(status: str) -> str:
    """The colour family of a status."""
    return TONES[Status(status)]


@register.filter
def status_words(status: str) -> str:
    return str(Status(status).label)


@register.filter
def mode(of: Account | Sum) -> str:
    """Sandbox or live, as a badge that is seen wherever money is spoken of."""
    return format_html('<span class="desk-mode {0}">{0}</span>', of.mode)


@register.filter
def words(name: str) -> str:
    """partially_refunded → partially refunded."""
    return name.replace("_", " ")


TABS = {
    "all": gettext_lazy("All"),
    "asked": gettext_lazy("To be requested"),
    "skipped": gettext_lazy("Skipped"),
    "suspect": gettext_lazy("Likely duplicates"),
    "waiting": gettext_lazy("Waiting"),
    "requested": gettext_lazy("Requested"),
    "refused": gettext_lazy("Refused"),
}


@register.filter
def tab_word(name: str) -> str:
    """What the link to a part of a batch's rows is called."""
    return str(TABS[name])


@register.filter
def unasked(refund: Refund) -> bool:
    """Whether it is due for long, and no worker has taken it."""
    return health.is_unasked(refund)


@register.filter
def utc(moment: datetime | None) -> str:
    """A moment in UTC, for the title of a local time."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else ""
