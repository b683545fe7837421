"""The first page: each role's part of it, counted by hand, within its scope and with a bounded number of queries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from gateways.money import Money
from refunds import services, wording
from refunds.admin.home.piles import Pile
from refunds.models import Account, Payment, Refund, UnmatchedRefund
from refunds.reports.sums import Sum
from tests.builders import (
    again,
    alice,
    allow,
    ask,
    bert,
    bob,
    carol,
    dora,
    gina,
    limit_to,
    make_account,
    make_delivery,
    make_payment,
    person,
    ute,
)
from tests.refunds.past import call, past
from tests.refunds.test_refund_screens import at_the_desk

pytestmark = pytest.mark.django_db

HOME = reverse("admin:index")
MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("minutes", "hours", "days"))


def ago(past_time: timedelta) -> datetime:
    return timezone.now() - past_time


def text_for(user: User) -> str:
    return at_the_desk(user).get(HOME).content.decode()


def piles_of(user: User) -> dict[str, Pile]:
    return {pile.title: pile for pile in at_the_desk(user).get(HOME).context["piles"]}


def numbers(user: User) -> dict[str, int]:
    return {title: pile.number for title, pile in piles_of(user).items()}


def monies(pile: Pile) -> list[Money]:
    return [one.money for one in pile.sums]


def parts_of(user: User) -> list[str]:
    return [part.title for part in at_the_desk(user).get(HOME).context["parts"]]


def root() -> User:
    return person("root", is_superuser=True)


# --- who sees which part ---


def test_each_role_has_its_own_part() -> None:
    expected = {
        alice: ["Your requests"],
        bob: ["Your decisions"],
        dora: ["Money to look after"],
        carol: ["Money to look after"],
        root: ["Money to look after"],
        gina: ["What gateways say"],
        ute: [],
    }
    assert {who: parts_of(who()) for who in expected} == expected


def test_who_has_several_parts_sees_them_below_each_other() -> None:
    alice().groups.add(Group.objects.get(name="Finance"))
    assert parts_of(alice()) == ["Your requests", "Money to look after"]


def test_an_empty_desk_says_what_to_do() -> None:
    make_account()
    Account.objects.all().update(is_active=False)
    assert "You have not asked for any refund yet." in text_for(alice())
    assert "Nothing waits for your decision." in text_for(bob())
    for user in (alice(), dora(), root()):
        assert "No account is in use." in text_for(user)
    assert "Nothing here waits for you" in text_for(person("nobody"))
    assert set(numbers(dora()).values()) == {0}


# --- an agent ---


def test_an_agent_sees_the_question_that_a_refund_was_returned_with() -> None:
    refund = ask()
    for question in ("Which of the <b>two</b>?", "And which colour?"):
        services.return_refund(refund.pk, bob(), question, seen=again(refund).version)
        if question.startswith("Which"):
            services.resubmit_refund(refund.pk, alice(), "The first.", seen=again(refund).version)
    text = text_for(alice())
    assert "“And which colour?”" in text
    assert "two" not in text
    assert reverse("admin:refunds_refund_step", args=(refund.pk, "resubmit")) in text
    assert "And which colour?" not in text_for(person("amy", "Agents"))
    assert numbers(alice())["Returned to you with a question"] == 1


def test_an_agents_piles_are_of_own_refunds_and_keep_currencies_apart() -> None:
    yen = make_payment(50_000, "JPY", "pay-yen")
    ask(amount=1500)
    ask(yen, 18_600)
    ask(make_payment(reference="pay-hers"), by=person("amy", "Agents"))
    pile = piles_of(alice())["Yours, waiting for approval"]
    assert (pile.number, monies(pile)) == (2, [Money(1500, "EUR"), Money(18_600, "JPY")])


def test_what_is_stuck_says_why() -> None:
    long_out, calm = ago(6 * DAY), ago(HOUR)
    past("processing", long_out, sent_at=long_out, needs_attention="They show two of them.")
    past("unknown", calm, sent_at=calm)
    past("processing", long_out, sent_at=long_out)
    past("processing", calm, sent_at=calm)
    found = numbers(alice())
    assert (found["Yours, and Finance looks"], found["Yours, unknown or overdue"]) == (1, 2)
    text = text_for(alice())
    for why in ("They show two of them.", "Nobody knows yet whether money moved.", "It takes longer than it should."):
        assert text.count(why) == 1, why


def test_done_today_begins_at_the_readers_midnight(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half past eleven at night in UTC: in Warsaw the next day has begun half an hour ago."""
    settings.TIME_ZONE = "Europe/Warsaw"
    now = datetime(2026, 11, 10, 23, 30, tzinfo=UTC)
    monkeypatch.setattr("refunds.admin.home.agent.timezone.localdate", lambda: datetime(2026, 11, 11).date())
    for minutes in (5, 29, 31, 300):
        past("succeeded", now - DAY, final_at=now - minutes * MINUTE)
    past("failed", now - DAY, final_at=now)
    assert numbers(alice())["Yours, succeeded today"] == 2


def test_an_agent_sees_what_is_left_of_the_allowance() -> None:
    allow(alice(), "request", 5_000, 20_000)
    ask(amount=1500)
    text = text_for(alice()).replace("\N{NO-BREAK SPACE}", " ")
    assert "185.00 EUR" in text
    assert "50.00 EUR" in text
    assert "What is left of your allowance" not in text_for(person("amy", "Agents"))


# --- an approver ---


def test_an_approver_sees_how_much_waits_and_what_is_past_the_target(settings: Any) -> None:
    settings.APPROVE_WITHIN_HOURS = 8
    oldest = past("requested", ago(30 * HOUR), amount=700)
    past("requested", ago(8 * HOUR + MINUTE), currency="JPY", amount=300)
    past("requested", ago(8 * HOUR - MINUTE), amount=50)
    past("requested", ago(90 * HOUR), requested_by=bob())
    past("approved", ago(90 * HOUR), approved_at=ago(HOUR))
    found = piles_of(bob())
    waiting, late = found["Waiting for your decision"], found["Waiting longer than 8 hours"]
    assert (waiting.number, monies(waiting)) == (3, [Money(750, "EUR"), Money(300, "JPY")])
    assert (late.number, monies(late)) == (2, [Money(700, "EUR"), Money(300, "JPY")])
    longest = found[f"The longest wait: {oldest}"]
    assert (longest.figure, longest.tone) == ("1\N{NO-BREAK SPACE}day", "alarm")
    assert text_for(bob()).count("past the target") == 2


def test_the_target_is_a_day_where_nothing_else_is_set() -> None:
    past("requested", ago(25 * HOUR))
    past("requested", ago(23 * HOUR))
    assert numbers(bob())["Waiting longer than 24 hours"] == 1


def test_nothing_is_late_while_everything_is_new() -> None:
    refund = ask()
    found = piles_of(bob())
    assert (found["Waiting longer than 24 hours"].number, found[f"The longest wait: {refund}"].tone) == (0, "moving")
    assert "past the target" not in text_for(bob())


# --- finance ---


def test_finance_sees_what_is_unknown_by_gateway_and_currency() -> None:
    paynow = make_account("paynow-pl")
    past("unknown", ago(9 * DAY), amount=100, sent_at=ago(9 * DAY))
    past("unknown", ago(DAY), make_account("payerly-us"), amount=20, sent_at=ago(DAY))
    past("unknown", ago(DAY), amount=3, currency="JPY", sent_at=ago(DAY))
    past("unknown", ago(DAY), paynow, amount=4, currency="PLN", sent_at=ago(DAY))
    past("processing", ago(DAY), paynow, amount=5, currency="PLN", sent_at=ago(DAY))
    lists = at_the_desk(dora()).get(HOME).context["parts"][0].lists
    assert [(one.gateway, one.number, one.sum.money) for one in lists["exposure"]] == [
        ("Payerly", 2, Money(120, "EUR")),
        ("Payerly", 1, Money(3, "JPY")),
        ("Paynow", 1, Money(4, "PLN")),
    ]
    assert lists["exposure"][0].since < ago(8 * DAY)


def test_finance_sees_what_is_overdue_and_why() -> None:
    old = past("processing", ago(8 * DAY), sent_at=ago(8 * DAY))
    forgotten = past("approved", ago(DAY), approved_at=ago(DAY), ask_at=ago(2 * HOUR), currency="KWD", amount=1500)
    past("processing", ago(DAY), sent_at=ago(DAY), ask_at=timezone.now() + HOUR)
    pile = piles_of(dora())["Overdue"]
    assert (pile.number, monies(pile)) == (2, [Money(1000, "EUR"), Money(1500, "KWD")])
    text = text_for(dora())
    assert text.index(str(old)) < text.index(str(forgotten))
    assert text.count("No worker has taken it") == 1
    assert text.count("No final word yet.") == 1


def test_a_list_that_is_cut_says_so() -> None:
    for days in range(6, 13):
        past("processing", ago(days * DAY), sent_at=ago(days * DAY))
    text = text_for(dora())
    assert "These are the 6 of 7 that have been out longest." in text
    assert f">{Refund.objects.earliest('pk')}</a>" not in text.split('id="overdue"')[1].split("</section>")[0]


def test_finance_sees_what_came_back_in_the_last_thirty_days() -> None:
    for days in (0, 29, 31):
        past("reversed", ago(60 * DAY), sent_at=ago(60 * DAY), final_at=ago(days * DAY))
    past("succeeded", ago(DAY), sent_at=ago(DAY), final_at=ago(HOUR))
    pile = piles_of(dora())["Reversed in the last 30 days"]
    assert (pile.number, monies(pile)) == (2, [Money(2000, "EUR")])


def test_finance_sees_payments_of_which_more_went_back_than_was_captured() -> None:
    over = make_payment(1000, "KWD", "over", order="SO-OVER")
    Payment.objects.filter(pk=over.pk).update(refunded=1500)
    make_payment(1000, reference="fine")
    assert numbers(dora())["Payments with more refunded than captured"] == 1
    text = text_for(dora()).replace("\N{NO-BREAK SPACE}", " ")
    assert "SO-OVER" in text
    assert "1.500 KWD" in text


def test_each_pile_leads_to_a_page_that_is_there() -> None:
    past("unknown", ago(9 * DAY), sent_at=ago(9 * DAY))
    ask(make_payment(reference="pay-new"))
    for user in (alice(), bob(), dora(), carol(), gina(), root()):
        client = at_the_desk(user)
        for pile in client.get(HOME).context["piles"]:
            assert client.get(pile.link).status_code == 200, (user, pile)


def test_a_pile_and_the_list_behind_it_agree() -> None:
    """What waits, what is unknown, overdue or due for long, what Finance looks at, and what is over."""
    for out in (ago(9 * DAY), ago(HOUR)):
        for status in ("requested", "returned", "processing", "unknown", "reversed", "failed"):
            sent = {} if status in ("requested", "returned") else {"sent_at": out}
            past(status, out, **sent)
            past(status, out, needs_attention="Look!", **sent)
    past("approved", ago(DAY), approved_at=ago(DAY), ask_at=ago(2 * HOUR))
    found = numbers(alice())
    assert (found["Yours, unknown or overdue"], found["Yours, and Finance looks"]) == (4, 12)
    for user, titles in (
        (alice(), ("Returned to you with a question", "Yours, and Finance looks", "Yours, unknown or overdue")),
        (dora(), ("Overdue", "Finance has to look")),
    ):
        for title in titles:
            pile, client = piles_of(user)[title], at_the_desk(user)
            assert client.get(pile.link).context["cl"].result_count == pile.number, title


def test_an_agents_piles_read_nothing_that_is_long_over() -> None:
    past("succeeded", ago(9 * DAY), final_at=ago(8 * DAY))
    with CaptureQueriesContext(connection) as asked:
        at_the_desk(alice()).get(HOME)
    (tally,) = [query["sql"] for query in asked if "n_returned" in query["sql"]]
    assert '"final_at" >=' in tally.split(" FROM ")[1]


def test_sandbox_money_is_never_added_to_live_money() -> None:
    live, sandbox = make_account("live-eu", mode="live"), make_account()
    for account, amount in ((live, 100), (sandbox, 4000)):
        for status in ("requested", "unknown"):
            past(status, ago(DAY), account, amount=amount, **({"sent_at": ago(DAY)} if status == "unknown" else {}))
        UnmatchedRefund.objects.create(
            account=account,
            currency="EUR",
            amount=amount,
            outcome="succeeded",
            why="x",
            seen_at=ago(DAY),
            source="look_up",
        )
    apart = [Sum(Money(100, "EUR"), "live"), Sum(Money(4000, "EUR"), "sandbox")]
    for user, title in (
        (alice(), "Yours, waiting for approval"),
        (bob(), "Waiting for your decision"),
        (dora(), "Unknown whether money moved"),
        (dora(), "Unmatched refunds"),
    ):
        assert (piles_of(user)[title].number, piles_of(user)[title].sums) == (2, apart), title
    answer = at_the_desk(dora()).get(HOME)
    assert [one.sum for one in answer.context["parts"][0].lists["exposure"]] == apart
    text = answer.content.decode()
    for sum_of in apart:
        badge = f'<span class="desk-mode {sum_of.mode}">{sum_of.mode}</span>'
        for end in ("</span>", "</b>"):
            assert f"{wording.amount(sum_of.money)}{end} {badge}" in text, (sum_of, end)


def test_the_mode_is_not_said_where_there_is_but_one() -> None:
    past("requested", ago(DAY))
    assert "desk-mode" not in text_for(bob()).split('class="desk-piles"')[1].split("</div>")[0]


# --- the accounts ---


def test_the_strip_says_in_words_how_an_account_does() -> None:
    refund = past("processing", ago(3 * HOUR), sent_at=ago(3 * HOUR))
    for outcome in ("answered", "no_answer", "no_answer"):
        call(refund, ago(MINUTE), ago(MINUTE) + timedelta(seconds=1.5), outcome)
    make_account("pay3-br", paused_because="Audit until noon.")
    until = timezone.now() + HOUR
    make_account("airpay-in", breaker_until=until, breaker_because="The line is dead.", accidents=7)
    make_delivery(make_account("pay3-br"))
    text = text_for(bob()).replace("\N{NO-BREAK SPACE}", " ")
    for words in ("Most calls fail", "2 of 3 failed (66.7 %)", "95 of 100 answers within 1.5 s", "Paused"):
        assert words in text, words
    for words in ("Audit until noon.", "No answer", "The line is dead.", "3 hours", str(refund), "none yet"):
        assert words in text, words


def test_a_failure_among_many_is_never_called_none() -> None:
    refund = past("processing", ago(HOUR), sent_at=ago(HOUR))
    for outcome in ["answered"] * 2000 + ["no_answer"]:
        call(refund, ago(MINUTE), ago(MINUTE), outcome)
    assert "1 of 2001 failed (0.1\N{NO-BREAK SPACE}%)" in text_for(bob())


def test_who_may_see_accounts_but_no_refunds_gets_no_number_of_one() -> None:
    refund = past("processing", ago(3 * HOUR), sent_at=ago(3 * HOUR))
    text = text_for(gina())
    assert "3\N{NO-BREAK SPACE}hours" in text
    assert str(refund) not in text
    assert "How the accounts do" not in text_for(ute())


# --- scope and size ---


def test_who_is_limited_to_accounts_meets_nothing_of_the_others() -> None:
    other = make_account("paynow-pl")
    for status in ("requested", "unknown", "reversed", "processing", "returned"):
        moments = {"sent_at": ago(9 * DAY), "final_at": ago(DAY)} if status not in ("requested", "returned") else {}
        past(status, ago(9 * DAY), other, currency="PLN", needs_attention="Look!", **moments)
    Payment.objects.filter(account=other).update(refunded=20_000_000)
    make_delivery(other)
    for who in (alice, bob, dora, carol, gina, root):
        assert "paynow-pl" in text_for(who()), who
        limit_to(who(), make_account())
        text = text_for(who())
        for hidden in ("paynow-pl", "Paynow", "PLN", "Look!"):
            assert hidden not in text, (who, hidden)
        assert {number for title, number in numbers(who()).items() if "longest" not in title} == {0}, who


def everything_for(asker: User, n_accounts: int, n_each: int) -> None:
    for place in range(n_accounts):
        account = make_account(f"account-{place}")
        for number in range(n_each):
            for status in ("requested", "returned", "processing", "unknown", "reversed", "succeeded"):
                by = asker if status == "returned" else alice()
                sent = {} if status in ("requested", "returned") else {"sent_at": ago(9 * DAY), "final_at": ago(HOUR)}
                refund = past(
                    status,
                    ago(10 * DAY),
                    account,
                    needs_attention="Look!" if number % 2 else "",
                    requested_by=by,
                    **sent,
                )
            call(refund, ago(MINUTE), ago(MINUTE), "answered")
            over = make_payment(100, reference=f"over-{place}-{number}", account=account)
            Payment.objects.filter(pk=over.pk).update(refunded=200)


def test_the_first_page_asks_a_bounded_number_of_queries(django_assert_max_num_queries: Any) -> None:
    """Whatever there is, and also for somebody who is in every group."""
    maria = person("maria")
    maria.groups.set(Group.objects.all())
    everything_for(maria, n_accounts=12, n_each=4)
    for user in (alice(), bob(), dora(), carol(), gina(), ute(), root(), maria):
        client = at_the_desk(user)
        client.get(HOME)
        with django_assert_max_num_queries(39):
            answer = client.get(HOME)
        assert len(answer.content) < 200_000
    limit_to(bert(), *Account.objects.all())
    client = at_the_desk(bert())
    with django_assert_max_num_queries(39):
        client.get(HOME)


@pytest.mark.once
def test_neither_the_first_page_nor_the_reports_read_the_whole_history() -> None:
    """SQLite says how it finds the rows: by an index for each of the tables that grow with the years."""
    maria = person("maria")
    maria.groups.set(Group.objects.all())
    everything_for(maria, n_accounts=1, n_each=1)
    client = at_the_desk(maria)
    reports = [
        f"{reverse('admin:refunds_refund_reports')}?by={by}" for by in ("requested", "approved", "sent", "final")
    ]
    for page in (HOME, *reports):
        with CaptureQueriesContext(connection) as asked:
            assert client.get(page).status_code == 200
        for query in asked:
            if query["sql"].startswith("SELECT"):
                with connection.cursor() as cursor:
                    cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                    steps = [row[-1] for row in cursor.fetchall()]
                assert [step for step in steps if reads_all(step)] == [], (page, query["sql"])


def reads_all(step: str) -> bool:
    """Whether SQLite reads a table that grows from its beginning to its end; a partial index holds few rows."""
    grows = ("refund", "payment", "attempt", "event", "delivery")
    few = ("payment_over_committed", "delivery_nobody_can_read")
    return any(step.startswith(f"SCAN refunds_{name}") for name in grows) and not step.endswith(few)
