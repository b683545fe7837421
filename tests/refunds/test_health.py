"""How accounts do: calls of the last hour and day, what is open longest, what is late. Counted by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from refunds import health
from refunds.health import Calls, Health
from refunds.models import Account, Delivery, Payment, Refund
from refunds.reports.lengths import Length
from tests.builders import ask, make_account, make_payment
from tests.refunds.past import call, past

pytestmark = pytest.mark.django_db

SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))


def ago(past_time: timedelta) -> datetime:
    return timezone.now() - past_time


def one(account: Account | None = None, since: timedelta = HOUR, **fields: Any) -> Refund:
    return past("processing", ago(since), account, sent_at=ago(since), **fields)


def calls(refund: Refund, when: timedelta, outcomes: str = "answered", took: timedelta = SECOND) -> None:
    """One call for each of the outcomes."""
    for outcome in outcomes.split():
        began = ago(when)
        call(refund, began, None if outcome == "open" else began + took, outcome)


def of(account: str = "payerly-eu") -> Health:
    return next(found for found in health.of_accounts(Account.objects.all()) if found.account.slug == account)


# --- calls ---


def test_an_accident_is_a_failed_call_and_a_refusal_is_an_answer() -> None:
    calls(one(), 5 * MINUTE, "answered refused no_answer not_sent open")
    found = of().hour
    assert (found.number, found.failed, found.answers) == (4, 2, Length(2, SECOND, SECOND))


def test_the_hour_and_the_day_end_where_they_end() -> None:
    refund = one()
    for when in (59 * MINUTE, 61 * MINUTE, 23 * HOUR, 25 * HOUR):
        calls(refund, when, "no_answer")
    assert (of().hour, of().day) == (Calls(1, 1), Calls(3, 3))


def test_the_95th_percentile_is_of_answers_only() -> None:
    """Twenty answers in 1 to 20 seconds, and a timeout of a minute that was no answer."""
    refund = one()
    for seconds in range(1, 21):
        calls(refund, 10 * MINUTE, took=seconds * SECOND)
    calls(refund, 10 * MINUTE, "no_answer", took=MINUTE)
    answers = of().hour.answers
    assert answers
    assert (answers.number, answers.p95) == (20, 19 * SECOND)


def test_each_account_has_its_own_calls() -> None:
    calls(one(), MINUTE, "answered answered no_answer")
    calls(one(make_account("paynow-pl"), currency="PLN"), MINUTE, "no_answer", took=5 * SECOND)
    make_account("pay3-br")
    assert [(of(name).hour.number, of(name).hour.failed) for name in ("payerly-eu", "paynow-pl", "pay3-br")] == [
        (3, 1),
        (1, 1),
        (0, 0),
    ]


# --- where an account stands ---


@pytest.mark.parametrize(
    ("answered", "failed", "words"),
    [
        (0, 0, "Quiet"),
        (20, 0, "Working"),
        (96, 4, "Working"),
        (95, 5, "Some calls fail"),
        (51, 49, "Some calls fail"),
        (50, 50, "Most calls fail"),
        (0, 1, "Most calls fail"),
    ],
)
@pytest.mark.once
def test_an_account_stands_as_its_last_hour_was(answered: int, failed: int, words: str) -> None:
    found = Health(Account(), Calls(answered + failed, failed), Calls(500, 400), None, None, None)
    assert str(found.standing.words) == words


@pytest.mark.once
def test_a_pause_goes_before_the_breaker_and_the_breaker_before_the_calls() -> None:
    stopped, good = Account(breaker_until=timezone.now()), Calls(10, 0)
    assert str(Health(stopped, good, good, None, None, None).standing.words) == "No answer"
    stopped.paused_because = "Audit."
    assert str(Health(stopped, good, good, None, None, None).standing.words) == "Paused"


def test_those_in_trouble_come_first() -> None:
    make_account("airpay-in")
    calls(one(make_account("paynow-pl"), currency="PLN"), MINUTE, "no_answer")
    make_account("pay3-br", paused_because="Audit.")
    found = [found.account.slug for found in health.of_accounts(Account.objects.all())]
    assert found == ["pay3-br", "paynow-pl", "airpay-in"]


def test_what_is_not_asked_for_is_not_counted_in() -> None:
    mine = one()
    calls(mine, MINUTE)
    calls(one(make_account("paynow-pl"), since=9 * DAY, currency="PLN"), MINUTE, "no_answer")
    (found,) = health.of_accounts(Account.objects.filter(slug="payerly-eu"))
    assert (found.account, found.hour.number, found.hour.failed, found.oldest) == (mine.account, 1, 0, mine)


# --- what is open, and the last webhook ---


def test_the_oldest_open_refund_is_the_one_that_was_sent_or_approved_first() -> None:
    past("succeeded", ago(9 * DAY), sent_at=ago(9 * DAY), final_at=ago(8 * DAY))
    past("requested", ago(8 * DAY))
    one(since=2 * DAY)
    oldest = past("approved", ago(7 * DAY), approved_at=ago(3 * DAY))
    one(make_account("paynow-pl"), since=6 * DAY, currency="PLN")
    found = of()
    assert (found.oldest, found.since) == (oldest, oldest.approved_at)


def test_nothing_open_and_no_webhook_is_said_as_none() -> None:
    make_account()
    found = of()
    assert (found.oldest, found.since, found.last_webhook) == (None, None, None)


def test_the_last_webhook_is_the_newest_of_the_account() -> None:
    newest = ago(HOUR)
    for place, (slug, at) in enumerate([("payerly-eu", newest), ("payerly-eu", ago(DAY)), ("pay3-br", ago(MINUTE))]):
        Delivery.objects.create(account=make_account(slug), received_at=at, digest=str(place), body="{}")
    assert of().last_webhook == newest


def test_the_number_of_queries_is_the_same_for_any_number_of_accounts_and_calls() -> None:
    def n_queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            health.of_accounts(Account.objects.all())
        return len(asked)

    calls(one(), MINUTE, "answered no_answer")
    before = n_queries()
    for number in range(12):
        calls(one(make_account(f"other-{number}")), MINUTE, "answered answered no_answer")
    assert n_queries() == before


# --- late ---


@pytest.mark.parametrize(
    ("status", "out", "due", "is_late"),
    [
        ("processing", 4.9, None, False),
        ("processing", 5.1, None, True),
        ("unknown", 5.1, None, True),
        ("sending", 5.1, None, True),
        ("approved", 5.1, None, False),
        ("succeeded", 50, None, False),
        ("requested", 50, None, False),
        ("processing", 1, -0.9, False),
        ("processing", 1, -1.1, True),
        ("approved", 1, -1.1, True),
        ("processing", 1, 1, False),
        ("failed", 1, -30, False),  # over: only its confirmation is due
    ],
)
def test_overdue_is_long_at_the_gateway_or_due_and_asked_by_nobody(
    status: str, out: float, due: float | None, is_late: bool
) -> None:
    """`out` in days since it was sent, `due` in hours from now."""
    ask_at = None if due is None else timezone.now() + due * HOUR
    refund = past(status, ago(60 * DAY), sent_at=ago(out * DAY), ask_at=ask_at)
    assert list(health.overdue(Refund.objects.all())) == [refund] * is_late


def test_a_refund_that_lost_its_moment_of_sending_is_late_by_its_request(settings: Any) -> None:
    """After a restored backup an approved refund is unknown, and nobody knows when it was sent."""
    settings.SETTLE_WITHIN_DAYS = 2
    late = past("unknown", ago(3 * DAY))
    past("unknown", ago(DAY))
    assert list(health.overdue(Refund.objects.all())) == [late]


def test_the_one_that_is_out_longest_comes_first() -> None:
    second, first = one(since=6 * DAY), one(since=9 * DAY)
    assert list(health.overdue(Refund.objects.all())) == [first, second]


def test_over_committed_is_more_than_was_captured_and_not_all_of_it() -> None:
    ask(make_payment(1000, reference="all"), 1000)
    over = make_payment(1000, reference="over")
    Payment.objects.filter(pk=over.pk).update(refunded=600, held=401)
    assert list(health.over_committed(Payment.objects.all())) == [over]
