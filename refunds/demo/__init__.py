"""The demo: people, sample payments and a few refunds that wait for approval. Only where DEBUG is on."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from gateways.money import Money
from refunds import accounts, services
from refunds.models import Account, Payment, RefundReason
from refunds.services.intake import BadRow, PaymentRow, read_rows, take_in

SAMPLE = Path(__file__).with_name("payments.csv")
PASSWORD = "demo"
PEOPLE = {
    "agent": "Agents",
    "agent2": "Agents",
    "approver": "Approvers",
    "approver2": "Approvers",
    "finance": "Finance",
    "auditor": "Auditors",
    "admin": "",
}
# Who asks, for how much ("" is all of it), why, for which ticket, and what colleagues should know.
ASKED = (
    ("agent", "EUR", "10.00", "Goods returned", "T-2041", "The parcel is back, the seal unbroken."),
    ("agent", "EUR", "", "Cancelled order", "T-2044", "Cancelled before it was packed."),
    ("agent2", "EUR", "24.90", "Damaged or wrong item", "T-2047", "Photos are in the ticket. Blue instead of green."),
    ("agent2", "JPY", "", "Not delivered", "T-2052", "The carrier confirms the loss."),
    ("agent", "KWD", "2.500", "Goodwill", "T-2053", "A week late, third time this year."),
    ("agent2", "EUR", "15.02", "Charged twice", "T-2056", "The sandbox loses its answer to amounts that end in 02."),
    ("agent", "EUR", "12.01", "Goods returned", "T-2058", "The sandbox refuses amounts that end in 01."),
)


@transaction.atomic
def load() -> list[str]:
    """All of it at once, and only once; tells what was done."""
    if User.objects.filter(username__in=PEOPLE).exists():
        return ["The demo is loaded already: nothing was changed."]
    _add_people()
    return [*_take_in_sample(), _ask_for_refunds()]


def known_to_the_sandbox() -> dict[str, Any]:
    """What simulated gateways know of the demo: its payments, and the addresses registered for webhooks."""
    rows = Payment.objects.filter(account__in=_playgrounds()).select_related("account")
    return {
        "payments": [
            {"gateway": p.account.gateway, "payment": p.reference, "minor": p.captured, "currency": p.currency}
            for p in rows
        ],
        "callbacks": {account.gateway: accounts.callback_url(account) for account in _playgrounds()},
    }


def _add_people() -> None:
    secret = make_password(PASSWORD)
    for name, group in PEOPLE.items():
        user = User.objects.create(username=name, password=secret, is_staff=True, is_superuser=not group)
        if group:
            user.groups.add(Group.objects.get(name=group))


def _take_in_sample() -> list[str]:
    with SAMPLE.open("rb") as file:
        rows = _up_to_date(read_rows(file), timezone.now())
    open_accounts = set(_playgrounds().values_list("slug", flat=True))
    ready = [row for row in rows if isinstance(row, BadRow) or row.account in open_accounts]
    tally = take_in(ready, by=None)
    return [
        f"{len(rows)} payments in the sample: {tally.n_new} taken in, "
        f"{len(rows) - len(ready)} wait for accounts that are not configured",
        *(f"line {bad.line}: {bad.reason}" for bad in tally.bad),
    ]


def _playgrounds() -> QuerySet[Account]:
    """Accounts that may hold invented payments."""
    return Account.objects.filter(is_active=True, mode=Account.Mode.SANDBOX)


def _up_to_date(rows: list[PaymentRow | BadRow], now: datetime) -> list[PaymentRow | BadRow]:
    """The sample moved by whole days, so that its newest payment is less than a day old whenever it is loaded."""
    moments = {row.line: datetime.fromisoformat(row.captured_at) for row in rows if isinstance(row, PaymentRow)}
    shift = timedelta(days=(now - max(moments.values())).days)
    return [
        replace(row, captured_at=(moments[row.line] + shift).isoformat()) if isinstance(row, PaymentRow) else row
        for row in rows
    ]


def _ask_for_refunds() -> str:
    asked: set[int] = set()
    for name, currency, typed, reason, ticket, note in ASKED:
        amount = Money.parse(typed, currency).minor if typed else 1
        payment = _newest(currency, amount, asked)
        if payment is None:
            continue
        asked.add(payment.pk)
        services.request_refund(
            payment.pk,
            amount if typed else payment.free,
            RefundReason.objects.get(name=reason),
            User.objects.get(username=name),
            seen_free=payment.free,
            ticket=ticket,
            internal_note=note,
        )
    return f"{len(asked)} refunds wait for approval"


def _newest(currency: str, at_least: int, but: set[int]) -> Payment | None:
    """The newest payment that such a refund can be asked of."""
    rows = Payment.objects.filter(account__in=_playgrounds(), currency=currency, disputed_at=None)
    free = rows.annotate(free_now=F("captured") - F("refunded") - F("held")).filter(free_now__gte=at_least)
    return free.exclude(pk__in=but).order_by("-captured_at").first()
