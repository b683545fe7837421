"""People, payments and refunds for the tests.

Alice asks, Bob and Bert approve, Dora and Erik declare, Carol looks, Gina and Gus make the rules, Ute and Uwe look
after people.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.utils import timezone

from gateways import registry
from refunds import services, vitals
from refunds.models import (
    Account,
    Allowance,
    Delegation,
    Delivery,
    Payment,
    Refund,
    RefundReason,
    Rule,
    Scope,
    WorkerSign,
)
from refunds.services.intake import FROM_A_FILE
from refunds.services.journal import write_line

# One account for each registered gateway: gateway → slug.
SLUGS = {"paynow": "paynow-pl", "airpay": "airpay-in", "pay3": "pay3-br", "examplepay": "examplepay-br"}
ACCOUNTS = {name: SLUGS.get(name, f"{name}-eu") for name in registry.names()}
# The smallest files that are what they are called.
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0IEND\xaeB`\x82"
LONG_AGO = datetime(2026, 11, 1, 12, tzinfo=UTC)


def person(name: str, group: str = "", **fields: Any) -> User:
    """A member of staff in one of the six groups, or in none."""
    user, is_new = User.objects.get_or_create(username=name, defaults={"is_staff": True, **fields})
    if is_new:
        user.set_password("demo")
        user.save()
        if group:
            user.groups.add(Group.objects.get(name=group))
    return user


def alice() -> User:
    return person("alice", "Agents")


def bob() -> User:
    return person("bob", "Approvers")


def carol() -> User:
    return person("carol", "Auditors")


def dora() -> User:
    return person("dora", "Finance")


def erik() -> User:
    return person("erik", "Finance")


def bert() -> User:
    return person("bert", "Approvers")


def gina() -> User:
    return person("gina", "Gateway admins")


def gus() -> User:
    return person("gus", "Gateway admins")


def ute() -> User:
    return person("ute", "User admins")


def uwe() -> User:
    return person("uwe", "User admins")


def make_rule(demand: str, **fields: Any) -> Rule:
    """A rule in force."""
    number = Rule.objects.count() + 1
    return Rule.objects.create(**{"number": number, "version": 1, "demand": demand, "began_at": LONG_AGO, **fields})


def allow(who: User, act: str, largest: int, per_day: int, currency: str = "EUR") -> Allowance:
    """Minor units."""
    return Allowance.objects.create(person=who, act=act, currency=currency, largest=largest, per_day=per_day)


def limit_to(who: User, *accounts: Account) -> None:
    for account in accounts:
        Scope.objects.create(person=who, account=account)


def stand_in(deputy: User, who: User, **fields: Any) -> Delegation:
    """From yesterday until tomorrow."""
    now, day = timezone.now(), timedelta(days=1)
    return Delegation.objects.create(
        **{"person": who, "deputy": deputy, "from_at": now - day, "until": now + day, **fields}
    )


def make_account(slug: str = "payerly-eu", **fields: Any) -> Account:
    """The account of that name; those of ACCOUNTS belong to their gateway, all others to Payerly."""
    gateway = next((gateway for gateway, name in ACCOUNTS.items() if name == slug), "payerly")
    account, _ = Account.objects.get_or_create(slug=slug, defaults={"gateway": gateway, **fields})
    return account


def make_payment(captured: int = 5000, currency: str = "EUR", reference: str = "pay-1", **fields: Any) -> Payment:
    """A captured payment with its journal's first line; `captured` is minor units."""
    payment = Payment.objects.create(
        account=fields.pop("account", None) or make_account(),
        captured=captured,
        currency=currency,
        reference=reference,
        **{
            "order": "order-1",
            "captured_at": LONG_AGO,
            "customer_name": "Anna Nowak",
            "customer_email": "anna@example.com",
            **fields,
        },
    )
    write_line(payment, "taken in", FROM_A_FILE, data={"amount": captured, "currency": currency})
    return payment


def make_delivery(account: Account, body: str = "{}") -> Delivery:
    """A webhook that was let in."""
    digest = hashlib.sha256(body.encode()).hexdigest()
    return Delivery.objects.get_or_create(
        account=account, digest=digest, defaults={"body": body, "received_at": timezone.now()}
    )[0]


def make_sign(name: str = "w-1", **fields: Any) -> WorkerSign:
    """A worker that polled and swept just now; whatever was remembered of the desk's health is forgotten."""
    vitals.READY.last = vitals.DESK.last = None
    now = timezone.now()
    born = {"host": "box", "pid": 7, "threads": 8, "started_at": now, "polled_at": now, "swept_at": now}
    return WorkerSign.objects.update_or_create(name=name, defaults={**born, **fields})[0]


def ask(payment: Payment | None = None, amount: int = 1000, by: User | None = None, **fields: Any) -> Refund:
    """A refund requested by Alice."""
    payment = payment or make_payment()
    payment.refresh_from_db(fields=["held", "refunded"])
    reason = fields.pop("reason", None) or RefundReason.objects.get(name="Goods returned")
    return services.request_refund(payment.pk, amount, reason, by or alice(), seen_free=payment.free, **fields)


def approved(payment: Payment | None = None, amount: int = 1000, **fields: Any) -> Refund:
    """Requested by Alice, approved by Bob, not sent yet."""
    refund = ask(payment, amount, **fields)
    return services.approve_refund(refund.pk, bob(), seen=refund.version)


def again(refund: Refund) -> Refund:
    """The row as it is now."""
    return Refund.objects.select_related("payment", "account", "reason", "requested_by").get(pk=refund.pk)
