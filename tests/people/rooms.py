"""The ground of the matrix: people of each role, refunds in each status, and what the database holds."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from gateways.contract import Outcome, RefundUpdate
from gateways.money import Money
from refunds import services
from refunds.models import Batch, Change, Payment, Refund, RefundReason, Status, UnmatchedRefund, Verification
from refunds.services.actor import WORKER
from refunds.services.steps import locked, take_step
from refunds.services.unmatched import keep_unmatched
from tests.builders import (
    ACCOUNTS,
    LONG_AGO,
    again,
    allow,
    make_account,
    make_delivery,
    make_payment,
    make_rule,
    person,
    stand_in,
)
from tests.people.matrix import NO_GROUP, NO_STAFF, STRANGER, SUPERUSER
from tests.refunds.test_record import THE_WAY_THERE

# Neither says anything about money or rights, and a mere visit writes them.
NOT_COMPARED = {"django_session", "usersessions_usersession", "site_cache", "django_migrations"}
READS = re.compile(
    r"\s*(SELECT|SAVEPOINT|RELEASE|ROLLBACK|PRAGMA|WITH RECURSIVE (?!.*\b(INSERT|UPDATE|DELETE)\b))\b",
    re.IGNORECASE | re.DOTALL,
)
WRITES = re.compile(r'\s*(?:INSERT(?: OR IGNORE)? INTO|UPDATE|DELETE FROM)\s+"?(\w+)', re.IGNORECASE)
AT = {"payerly": ("EUR", "pay-{}"), "paynow": ("PLN", "ABCD-123-XYZ-{:03}"), "airpay": ("INR", "{}16000")}


def one_of(role: str) -> User | None:
    """A person who has this role and no other; nobody for a stranger."""
    if role == STRANGER:
        return None
    if role == SUPERUSER:
        return person("root", is_superuser=True)
    if role == NO_STAFF:
        return person("guest", "Agents", is_staff=False)
    return person(f"one-of-{role}".lower().replace(" ", "-"), "" if role == NO_GROUP else role)


def in_groups(name: str, *groups: str, **fields: Any) -> User:
    """From now on this person is in these groups and in no others."""
    user = person(name, **fields)
    user.groups.set(Group.objects.filter(name__in=groups))
    return User.objects.get(pk=user.pk)


def as_role(user: User, role: str) -> None:
    """From the next click on, this person has this role and no other."""
    user.groups.set(Group.objects.filter(name=role))
    User.objects.filter(pk=user.pk).update(is_superuser=role == SUPERUSER, is_staff=role != NO_STAFF)


def browser_of(user: User | None) -> Client:
    client = Client(raise_request_exception=False)
    if user:
        client.force_login(user)
    return client


def contents(*tables: str) -> dict[str, str]:
    """A digest of each of these tables, or of all, as they are now."""
    found = {}
    with connection.cursor() as cursor:
        for table in tables or connection.introspection.table_names(cursor):
            if table not in NOT_COMPARED:
                cursor.execute(f'SELECT * FROM "{table}"')
                rows = sorted(repr(row) for row in cursor.fetchall())
                found[table] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return found


def effect(act: Callable[[], Any]) -> tuple[Any, bool]:
    """What this returns, and whether it changes any row; it is taken back. Only tables written to are compared."""
    written: set[str] = set()

    def watch(execute: Any, sql: str, *more: Any) -> Any:
        if not READS.match(sql):
            found = WRITES.match(sql)
            assert found, f"Does this write? {sql}"
            written.add(found[1])
        return execute(sql, *more)

    with taken_back():
        with connection.execute_wrapper(watch):
            answer = act()
        written -= NOT_COMPARED
        after = contents(*written) if written else {}
    return answer, bool(written) and contents(*written) != after


@contextmanager
def taken_back() -> Iterator[None]:
    """What happens in here leaves no trace in the database."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


# --- Refunds in each status ---


def paid(gateway: str = "payerly", **fields: Any) -> Payment:
    """A payment at this gateway, under a reference that the gateway could have given."""
    number, (currency, pattern) = Payment.objects.count() + 1, AT[gateway]
    return make_payment(5000, currency, pattern.format(number), account=make_account(ACCOUNTS[gateway]), **fields)


def asked_by(user: User, payment: Payment | None = None, amount: int = 1000, **words: str) -> Refund:
    """Requested by this person, who was an agent at that time."""
    kept = list(user.groups.all())
    user.groups.set(Group.objects.filter(name="Agents"))
    was_superuser, user.is_superuser = user.is_superuser, False
    try:
        asker = User.objects.get(pk=user.pk)
        asker.is_superuser = False
        payment = payment or paid()
        payment.refresh_from_db(fields=["held", "refunded"])
        reason = RefundReason.objects.get(name="Goods returned")
        return services.request_refund(payment.pk, amount, reason, asker, seen_free=payment.free, **words)
    finally:
        user.is_superuser = was_superuser
        user.groups.set(kept)


def standing(status: Status, by: User, **more: Any) -> Refund:
    """A refund of this person's that has come so far, by the word of somebody whom no test is about."""
    refund = asked_by(by, **more)
    decider = in_groups("a-decider", "Approvers")
    if status == Status.REQUESTED:
        return again(refund)
    if status in (Status.RETURNED, Status.REJECTED):
        decide = services.return_refund if status == Status.RETURNED else services.reject_refund
        return again(decide(refund.pk, decider, "Which parcel?", seen=refund.version))
    services.approve_refund(refund.pk, decider, seen=refund.version)
    for move in THE_WAY_THERE.get(status, ()):
        _moved(refund, move.__name__)
    return again(refund)


@transaction.atomic
def _moved(refund: Refund, move: str) -> None:
    now_is, now = locked(refund.pk), timezone.now()
    told = {"reference": f"txn-{refund.pk}"} if move in ("accept", "succeed") else {}
    times = {"lease_until": now + timedelta(minutes=5), "sent_at": now, "fence": 1, "ask_at": None}
    take_step(now_is, "test", WORKER, move=getattr(now_is, move), **times, **told)


# --- What the addresses of the URLconf name ---


def a_colleague() -> User:
    return in_groups("a-colleague", "Agents")


def a_refund() -> Refund:
    return standing(Status.REQUESTED, a_colleague())


def a_proposal() -> Refund:
    """Unknown, with a person's word and a file about it."""
    return propose(standing(Status.UNKNOWN, a_colleague()))


def propose(refund: Refund) -> Refund:
    file, finance = SimpleUploadedFile("statement.txt", b"It is there."), in_groups("a-proposer", "Finance")
    services.propose_outcome(refund.pk, finance, "succeeded", "Seen.", seen=refund.version, ticket="T-1", evidence=file)
    return again(refund)


def a_lost_one() -> tuple[UnmatchedRefund, Refund]:
    """A gateway shows what may be a refund of ours."""
    refund = standing(Status.UNKNOWN, a_colleague(), payment=paid("airpay"))
    told = {"payment_reference": refund.payment.reference, "amount": Money(1000, "INR")}
    update = RefundUpdate(Outcome.SUCCEEDED, reference="txn-9", **told)
    return keep_unmatched(refund.account, update, "It could be one of ours."), refund


def a_change() -> Change:
    """Two user admins decide about a person's groups; this is the word of the first."""
    wish = {"groups": ["Approvers"]}
    by, about = person("ute", "User admins"), in_groups("a-colleague", "Agents")
    return services.propose_change("groups", about.username, wish, by, "Because.", person=about)


def a_batch() -> Batch:
    """A colleague's, confirmed and not worked off yet."""
    colleague, payment = a_colleague(), paid()
    row = f"{payment.account},{payment.reference},10.00,EUR,Goodwill"
    file = f"account,payment_reference,amount,currency,reason\n{row}".encode()
    return services.open_batch(services.dry_run(file, "refunds.csv", colleague), colleague)


def a_verification() -> Verification:
    return Verification.objects.create(at=LONG_AGO, finished_at=LONG_AGO)


THINGS: dict[str, Callable[[], Any]] = {
    "account": make_account,
    "batch": a_batch,
    "delivery": lambda: make_delivery(make_account()),
    "verification": a_verification,
    "refund": a_refund,
    "payment": lambda: make_payment(),
    "rule": lambda: make_rule("1"),
    "allowance": lambda: allow(person("bob", "Approvers"), "approve", 1000, 5000),
    "delegation": lambda: stand_in(person("bert", "Approvers"), person("bob", "Approvers")),
    "change": a_change,
    "user": lambda: in_groups("a-colleague", "Agents"),
    "group": lambda: Group.objects.get(name="Agents"),
    "refundreason": lambda: RefundReason.objects.get(name="Goods returned"),
    "unmatchedrefund": lambda: a_lost_one()[0],
}
