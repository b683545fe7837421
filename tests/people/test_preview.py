"""What other rules would have done: against a slow look at every refund by itself, and against what requests met."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from refunds import rules, services
from refunds.models import RefundReason, Rule, Status
from refunds.rules import Demand
from refunds.services import preview as previews
from refunds.services.change_kinds import wish_of
from refunds.services.preview import Asked, Met, compare
from refunds.services.rulings import NOT_COUNTED, WINDOW, facts, rules_in_force
from tests.builders import alice, ask, gina, limit_to, make_account, make_payment, make_rule, person

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SINCE = NOW - timedelta(days=90)
HISTORIES = 80


def some_rule(dice: random.Random, number: int) -> Rule:
    """Any rule that the database would take."""
    currency = dice.choice(("", "EUR", "EUR", "PLN"))
    low = dice.choice((0, 500, 1500)) if currency else 0
    return Rule(
        number=number,
        version=1,
        account_id=dice.choice((None, None, 1, 2)),
        currency=currency,
        from_amount=low,
        to_amount=dice.choice((None, low + 1000)) if currency else None,
        reason_id=dice.choice((None, None, 1, 2)),
        from_days=dice.choice((None, None, 1, 30)),
        demand=dice.choice(Demand.values),
        **{name: dice.random() < 0.7 for name in ("sums_payment", "sums_customer", "sums_requester")},
    )


def some_history(dice: random.Random) -> list[Asked]:
    """Bursts and pauses, some exactly a window long, around the day on which the counting begins."""
    at, history = SINCE - timedelta(hours=30), []
    for pk in range(dice.randint(0, 60)):
        pauses = (timedelta(0), timedelta(minutes=dice.randint(1, 900)), WINDOW, timedelta(days=dice.randint(1, 9)))
        at += dice.choices(pauses, weights=(2, 8, 2, 1))[0]
        payment = dice.randint(1, 9)
        history.append(
            Asked(
                pk=pk,
                at=at,
                account_id=1 + payment % 2,
                payment_id=payment,
                customer=("", "anna@example.com", "ben@example.com")[payment % 3],
                requester_id=dice.randint(1, 2),
                currency="EUR" if payment < 7 else "PLN",
                amount=dice.choice((1, 400, 500, 999, 1500)),
                reason_id=dice.choice((None, 1, 2)),
                captured_at=SINCE - timedelta(days=dice.randint(30, 60)),
                status=dice.choice((Status.SUCCEEDED, Status.REQUESTED, Status.REJECTED, Status.FAILED)),
            )
        )
    return history


def slowly(history: list[Asked], place: int) -> rules.Facts:
    """The facts of one refund, by looking at all that came before it."""
    one = history[place]
    before = [it for it in history[:place] if it.at > one.at - timedelta(hours=24) and it.status not in NOT_COUNTED]

    def total(fits: Callable[[Asked], bool]) -> int:
        return one.amount + sum(it.amount for it in before if it.currency == one.currency and fits(it))

    return rules.Facts(
        account_id=one.account_id,
        currency=one.currency,
        amount=one.amount,
        sum_of_payment=total(lambda it: it.payment_id == one.payment_id),
        sum_of_customer=total(lambda it: it.customer == one.customer) if one.customer else one.amount,
        sum_of_requester=total(lambda it: it.requester_id == one.requester_id),
        reason_id=one.reason_id,
        days=(one.at - one.captured_at).days,
    )


def brute_force(
    history: list[Asked], now: list[Rule], then: list[Rule], accounts: list[int] | None
) -> tuple[int, Counter[Any], int, list[Met]]:
    moves: Counter[Any] = Counter()
    n_asked, same, met = 0, 0, []
    for place, one in enumerate(history):
        if one.at < SINCE or (accounts and one.account_id not in accounts):
            continue
        n_asked += 1
        before, after = (rules.strictest(book, slowly(history, place)) for book in (now, then))
        if rules.demand_of(before) != rules.demand_of(after):
            moves[rules.demand_of(before), rules.demand_of(after)] += 1
            met.append(Met(one.pk, before, after))
        elif getattr(before, "number", None) != getattr(after, "number", None):
            same += 1
    return n_asked, moves, same, met[::-1][: previews.MOST_ROWS]


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_the_windows_say_what_a_slow_look_at_everything_says(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "MOST_ROWS", 5)
    dice = random.Random(seed)
    history = some_history(dice)
    now = [some_rule(dice, number) for number in range(1, dice.randint(1, 5))]
    number = dice.randint(1, len(now) + 1)
    kept = [rule for rule in now if rule.number != number]
    then = kept if dice.random() < 0.2 else [*kept, some_rule(dice, number)]
    accounts = dice.choice((None, [1], [1, 2]))
    found = compare(iter(history), now, then, SINCE, accounts)
    assert (found.n_asked, found.moves, found.same, found.latest) == brute_force(history, now, then, accounts)


def test_the_histories_of_this_test_are_worth_their_name() -> None:
    moved = 0
    for seed in range(HISTORIES):
        dice = random.Random(seed)
        moved += compare(some_history(dice), [], [some_rule(dice, 1)], SINCE).moves.total() > 0
    assert moved > HISTORIES // 3


def test_only_the_day_behind_is_kept_in_memory() -> None:
    window = previews.Window()
    start = some_history(random.Random(1))[0]
    for hour in range(1000):
        one = start._replace(
            pk=hour, at=start.at + timedelta(hours=hour), payment_id=hour, customer=f"{hour}@x", status=Status.REQUESTED
        )
        window.facts(one)
        window.add(one)
    assert len(window.counted) == 24
    assert len(window.sums) == 24 + 24 + 1


# --- against the database ---


def wish(demand: str = "2", **fields: Any) -> dict[str, Any]:
    return {**wish_of(Rule(demand=demand)), **fields}


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(6))
def test_what_the_preview_says_is_what_requests_have_met(seed: int) -> None:
    """The rule was in force while they were asked for; without it every one would have taken one approval."""
    dice = random.Random(seed)
    rule = make_rule(
        "2",
        currency="EUR",
        from_amount=2000,
        from_days=dice.choice((None, 20)),
        sums_payment=dice.random() < 0.7,
        sums_customer=dice.random() < 0.7,
        sums_requester=dice.random() < 0.7,
    )
    customers = ("anna@example.com", "ANNA@example.com", "", "ben@example.com")
    payments = [
        make_payment(captured=10**6, reference=f"p{n}", customer_email=email) for n, email in enumerate(customers)
    ]
    reason = RefundReason.objects.get(name="Goodwill")
    people, refunds = (alice(), person("alma", "Agents")), []
    with time_machine.travel(timezone.now() - timedelta(days=8), tick=False) as clock:
        for _ in range(14):
            clock.shift(timedelta(minutes=dice.choice((1, 300, 1440))))
            payment, by, amount = dice.choice(payments), dice.choice(people), dice.choice((400, 900, 2000))
            told = facts(payment, amount, reason, by, timezone.now())
            refunds.append(ask(payment, amount, by=by, reason=reason))
            assert refunds[-1].approvals_needed == rules.approvals_needed(rules.strictest(rules_in_force(), told))
    asked_of_two = sorted(refund.pk for refund in refunds if refund.approvals_needed == 2)
    found = services.preview_rule(rule.number, {}, gina())
    assert sorted(row.refund.pk for row in found.rows) == asked_of_two
    assert found.moves == ([(Demand.TWO, Demand.ONE, len(asked_of_two))] if asked_of_two else [])
    assert (found.n_asked, found.n_moved) == (14, len(asked_of_two))


@pytest.mark.django_db
def test_a_preview_tells_of_the_own_accounts_only_but_sums_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "payerly-eu:payerly,bank:manual")
    mine, other = make_account(), make_account("bank", gateway="manual")
    ask(make_payment(account=other, reference="pay-2"), 900)
    refund = ask(make_payment(), 900)
    limit_to(gina(), mine)
    found = services.preview_rule(1, wish(currency="EUR", from_amount=1500), gina())
    assert (found.n_asked, [row.refund for row in found.rows]) == (1, [refund])


@pytest.mark.django_db
def test_what_is_older_than_ninety_days_or_made_at_the_gateway_is_not_told() -> None:
    with time_machine.travel(timezone.now() - timedelta(days=91)):
        ask(make_payment(captured_at=timezone.now()), 900)
    found = services.preview_rule(1, wish(), gina())
    assert (found.n_asked, found.n_moved, found.names_nothing) == (0, 0, True)


@pytest.mark.django_db
def test_a_preview_changes_nothing_and_asks_the_same_few_questions_of_many() -> None:
    payment = make_payment(captured=10**6)
    for _ in range(3):
        ask(payment, 100)
    few = count(lambda: services.preview_rule(1, wish(), gina()))
    for _ in range(12):
        ask(payment, 100)
    assert count(lambda: services.preview_rule(1, wish(), gina())) == few
    assert not Rule.objects.exists()


def count(work: Callable[[], object]) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    gina()
    with CaptureQueriesContext(connection) as queries:
        work()
    return len(queries)
