"""The demo: who is in it, what it takes in, and that it stays out of a real house."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from gateways.money import Money
from gateways.sandbox.stories import ORDINARY, number_by_amount
from refunds import demo, policy
from refunds.models import Account, Event, Payment, Refund
from refunds.services.intake import PaymentRow, read_rows
from tests.builders import make_account, make_payment

pytestmark = pytest.mark.django_db


def load() -> str:
    out = StringIO()
    call_command("load_demo", stdout=out)
    return out.getvalue()


@pytest.fixture
def debug(settings: Any) -> None:
    settings.DEBUG = True


@pytest.fixture
def sample() -> list[PaymentRow]:
    with demo.SAMPLE.open("rb") as file:
        return list(read_rows(file))


def test_the_demo_stays_out_of_a_real_house() -> None:
    make_account()
    with pytest.raises(CommandError, match="DEBUG=on only"):
        load()
    assert not User.objects.exists()
    assert not Payment.objects.exists()


@pytest.mark.usefixtures("debug")
def test_the_demo_takes_in_what_its_accounts_allow_and_says_so() -> None:
    make_account()
    assert "508 payments in the sample: 150 taken in, 358 wait for accounts that are not configured\n" in load()
    found = Counter(Payment.objects.values_list("account__slug", "currency"))
    assert found == {("payerly-eu", "EUR"): 80, ("payerly-eu", "JPY"): 40, ("payerly-eu", "KWD"): 30}


@pytest.mark.usefixtures("debug")
def test_a_second_loading_says_so_and_leaves_everything_alone() -> None:
    make_account()
    load()
    User.objects.filter(username="agent").update(password="changed", is_active=False)
    before = (Payment.objects.count(), Refund.objects.count(), Event.objects.count())
    assert load() == "The demo is loaded already: nothing was changed.\n"
    assert (Payment.objects.count(), Refund.objects.count(), Event.objects.count()) == before
    assert User.objects.get(username="agent").password == "changed"


@pytest.mark.usefixtures("debug")
def test_a_demo_account_gets_its_rights_from_its_group_alone(client: Any) -> None:
    load()
    groups = {user.username: [group.name for group in user.groups.all()] for user in User.objects.all()}
    assert groups == {name: [group] if group else [] for name, group in demo.PEOPLE.items()}
    for user in User.objects.all():
        assert user.is_staff
        assert user.check_password("demo")
        assert user.is_superuser == (user.username == "admin")
        assert not user.user_permissions.exists()
    rights = {
        right: {user.username for user in User.objects.all() if policy.may(user, right)}
        for right in (policy.REQUEST, policy.APPROVE, policy.IMPORT)
    }
    assert rights == {
        policy.REQUEST: {"agent", "agent2"},
        policy.APPROVE: {"approver", "approver2"},
        policy.IMPORT: {"finance", "finance2"},
    }


@pytest.mark.usefixtures("debug")
def test_the_approvers_line_is_not_empty_at_the_first_start() -> None:
    make_account()
    assert "7 refunds wait for approval" in load()
    waiting = Refund.objects.filter(status="requested").select_related("requested_by", "payment")
    assert {refund.requested_by.username for refund in waiting} == {"agent", "agent2"}
    assert {refund.payment.currency for refund in waiting} == {"EUR", "JPY", "KWD"}
    assert len({refund.reason_id for refund in waiting}) >= 5
    assert len({refund.payment_id for refund in waiting}) == 7
    assert not any(refund.payment.disputed_at for refund in waiting)


@pytest.mark.usefixtures("debug")
def test_some_are_decided_so_that_the_worker_has_something_to_do() -> None:
    """By the services and on this very day: no line of the journal is invented."""
    make_account()
    assert "7 refunds wait for approval, 7 more are decided" in load()
    decided = Refund.objects.exclude(status="requested")
    assert Counter(decided.values_list("status", flat=True)) == {"approved": 5, "returned": 1, "rejected": 1}
    assert not decided.filter(requested_by__username="approver").exists()
    assert {event.actor for event in Event.objects.filter(refund__in=decided, sequence=2)} == {"approver"}
    assert Event.objects.filter(refund__isnull=False, at__lt=timezone.now() - timedelta(minutes=5)).count() == 0
    assert Refund.objects.filter(sent_at__isnull=False).count() == 0


@pytest.mark.usefixtures("debug")
def test_invented_payments_never_come_near_a_live_account() -> None:
    live = make_account(mode=Account.Mode.LIVE)
    make_payment(account=live)
    assert "0 taken in, 508 wait" in load()
    assert Payment.objects.count() == 1
    assert not Refund.objects.exists()


@pytest.mark.usefixtures("debug")
@pytest.mark.parametrize("year", [2025, 2028])
@pytest.mark.parametrize("hour", range(24))
def test_the_sample_is_fresh_on_any_day_and_at_any_hour(year: int, hour: int, sample: list[PaymentRow]) -> None:
    now = timezone.now().replace(year=year, month=3, day=15, hour=hour)
    moments = [datetime.fromisoformat(row.captured_at) for row in demo._up_to_date(sample, now)]
    assert timedelta(0) <= now - max(moments) < timedelta(days=1)
    assert now - min(moments) < timedelta(days=91)


def test_the_sample_has_payments_on_all_gateways(sample: list[PaymentRow]) -> None:
    assert len(sample) == len({(row.account, row.payment_reference) for row in sample}) == 508
    assert {(row.account, row.currency) for row in sample} == {
        ("paynow-pl", "PLN"),
        ("paynow-pl", "EUR"),
        ("paynow-pl", "USD"),
        ("payerly-eu", "JPY"),
        ("payerly-eu", "KWD"),
        ("payerly-eu", "EUR"),
        ("airpay-in", "INR"),
        ("examplepay-br", "INR"),
        ("examplepay-br", "BRL"),
        ("pay3-br", "BRL"),
        ("pay3-br", "AED"),
        ("bank-transfer", "EUR"),
        ("bank-transfer", "PLN"),
    }


def test_every_amount_of_the_sample_is_on_its_grid_and_plays_no_story_when_refunded_whole(
    sample: list[PaymentRow],
) -> None:
    for row in sample:
        assert number_by_amount(Money.parse(row.amount, row.currency).minor) == ORDINARY, row


def test_nobody_in_the_sample_can_be_written_to(sample: list[PaymentRow]) -> None:
    assert {row.customer_email.rpartition("@")[2].removeprefix("mail.").removeprefix("post.") for row in sample} == {
        "example.com",
        "example.org",
    }
