"""The demo: people, sample payments, refunds that wait for approval and some that are decided. Only with DEBUG on."""

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
from refunds.demo.decided import DECIDED, decide
from refunds.models import Account, Change, Payment, Refund, RefundReason
from refunds.services.intake import BadRow, PaymentRow, read_rows, take_in

SAMPLE = Path(__file__).with_name("payments.csv")
PASSWORD = "demo"
PEOPLE = {
    "agent": "Agents",
    "agent2": "Agents",
    "approver": "Approvers",
    "approver2": "Approvers",
    "finance": "Finance",
    "finance2": "Finance",
    "auditor": "Auditors",
    "gatekeeper": "Gateway admins",
    "gatekeeper2": "Gateway admins",
    "people": "User admins",
    "people2": "User admins",
    "admin": "",
}
# What two gateway admins have agreed on; the refunds below still need one approval each. Minor units.
RULE: dict[str, Any] = {
    "account": "",
    "currency": "",
    "from_amount": 0,
    "to_amount": None,
    "from_days": None,
    "reason": "",
    "sums_payment": True,
    "sums_customer": True,
    "sums_requester": False,
}
RULES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"demand": "2", "currency": "EUR", "from_amount": 100_000}, "Nobody pays back a thousand euros alone."),
    ({"demand": "2", "currency": "PLN", "from_amount": 400_000}, "The same in Polish money."),
    ({"demand": "block", "from_days": 365}, "After a year the shop does not refund any more."),
)
# Who asks, of which account and currency, for how much ("" is all of it), why, for which ticket, and what colleagues
# should know. How an amount ends chooses its story in the sandbox.
ASKED = (
    ("agent", "payerly-eu", "EUR", "10.00", "Goods returned", "T-2041", "The parcel is back, the seal unbroken."),
    ("agent", "payerly-eu", "EUR", "", "Cancelled order", "T-2044", "Cancelled before it was packed."),
    ("agent2", "payerly-eu", "EUR", "24.90", "Damaged or wrong item", "T-2047", "Photos are in the ticket."),
    ("agent2", "payerly-eu", "JPY", "", "Not delivered", "T-2052", "The carrier confirms the loss."),
    ("agent", "payerly-eu", "KWD", "2.500", "Goodwill", "T-2053", "A week late, third time this year."),
    ("agent2", "payerly-eu", "EUR", "15.02", "Charged twice", "T-2056", "Its answer gets lost: ends in 02."),
    ("agent", "payerly-eu", "EUR", "12.01", "Goods returned", "T-2058", "The sandbox refuses it: ends in 01."),
    ("agent", "paynow-pl", "PLN", "25.00", "Goods returned", "T-2060", "Size M instead of L."),
    (
        "agent2",
        "paynow-pl",
        "PLN",
        "18.20",
        "Cancelled order",
        "T-2061",
        "Waits at Paynow, can be cancelled: ends in 20.",
    ),
    ("agent", "airpay-in", "INR", "150.00", "Not delivered", "T-2063", "Returned to the warehouse."),
    ("agent2", "airpay-in", "INR", "90.02", "Goodwill", "T-2064", "Its answer gets lost, and Airpay keeps no key."),
    ("agent", "pay3-br", "BRL", "30.00", "Damaged or wrong item", "T-2066", "The screen is scratched."),
    ("agent2", "examplepay-br", "BRL", "", "Cancelled order", "T-2068", "The whole order, before it was packed."),
    ("agent", "bank-transfer", "EUR", "40.00", "Goodwill", "T-2070", "By bank transfer; IBAN is in the ticket."),
)


@transaction.atomic
def load() -> list[str]:
    """All of it at once, and only once; tells what was done."""
    if User.objects.filter(username__in=PEOPLE).exists():
        return ["The demo is loaded already: nothing was changed."]
    _add_people()
    return [*_take_in_sample(), _agree_on_rules(), _ask_for_refunds()]


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
        told = {"password": secret, "email": f"{name}@demo.example"}
        user = User.objects.create(username=name, is_staff=True, is_superuser=not group, **told)
        if group:
            user.groups.add(Group.objects.get(name=group))


def _take_in_sample() -> list[str]:
    with SAMPLE.open("rb") as file:
        rows = _up_to_date(list(read_rows(file)), timezone.now())
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


def _agree_on_rules() -> str:
    """Two people each time, as in any house; an allowance still waits for the second one."""
    first, second = (User.objects.get(username=name) for name in ("gatekeeper", "gatekeeper2"))
    for wish, why in RULES:
        change = services.propose_change(Change.Kind.RULE, str(services.next_number()), {**RULE, **wish}, first, why)
        services.confirm_change(change.pk, second)
    agent, most = User.objects.get(username="agent2"), {"largest": 30_000, "per_day": 100_000}
    subject = services.allowance_subject(agent, "request", "EUR")
    services.propose_change(
        Change.Kind.ALLOWANCE, subject, most, first, "Still in the first weeks of the job.", person=agent
    )
    return f"{len(RULES)} rules, and an allowance that waits for {second}"


def _ask_for_refunds() -> str:
    """What waits is of the newest payments; what was decided is not left for the approver."""
    asked: set[int] = set()
    n_waiting = sum(_ask(*row, asked=asked) is not None for row in ASKED)
    n_decided = 0
    for row, verdict, words in DECIDED:
        if refund := _ask(*row, asked=asked):
            decide(refund, verdict, words)
            n_decided += 1
    return f"{n_waiting} refunds wait for approval, {n_decided} more are decided"


def _ask(
    name: str, account: str, currency: str, typed: str, reason: str, ticket: str, note: str, *, asked: set[int]
) -> Refund | None:
    """Of the newest payment that nobody has asked a refund of; None where there is none."""
    amount = Money.parse(typed, currency).minor if typed else 1
    payment = _newest(account, currency, amount, asked)
    if payment is None:
        return None
    asked.add(payment.pk)
    return services.request_refund(
        payment.pk,
        amount if typed else payment.free,
        RefundReason.objects.get(name=reason),
        User.objects.get(username=name),
        seen_free=payment.free,
        ticket=ticket,
        internal_note=note,
    )


def _newest(account: str, currency: str, at_least: int, but: set[int]) -> Payment | None:
    """The newest payment that such a refund can be asked of."""
    rows = Payment.objects.filter(account__slug=account, account__in=_playgrounds(), currency=currency)
    free = (
        rows.filter(disputed_at=None)
        .annotate(free_now=F("captured") - F("refunded") - F("held"))
        .filter(free_now__gte=at_least)
    )
    return free.exclude(pk__in=but).order_by("-captured_at").first()
