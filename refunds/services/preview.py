"""What other rules would have done to the refunds of the last 90 days, for those who propose and confirm them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.contrib.auth.models import User
from django.db.models import F
from django.db.models.functions import Lower
from django.utils import timezone

from refunds import rules, scope
from refunds.models import Change, Refund, Rule
from refunds.rules import Demand
from refunds.services.change_kinds import KINDS, Wish, rule_of
from refunds.services.rulings import NOT_COUNTED, WINDOW, rules_in_force

DAYS = 90
MOST_ROWS = 50
CHUNK = 2000


class Asked(NamedTuple):
    """What the rules need of one refund that was asked for; `customer` is an address in small letters, or ""."""

    pk: int
    at: datetime
    account_id: int
    payment_id: int
    customer: str
    requester_id: int | None
    currency: str
    amount: int
    reason_id: int | None
    captured_at: datetime
    status: str


class Met(NamedTuple):
    """A refund that would have met something else."""

    pk: int
    before: Rule | None
    after: Rule | None


@dataclass(frozen=True)
class Compared:
    """`moves` counts the refunds by what was and would be asked; `same` those under another rule that asks the same."""

    n_asked: int
    moves: Counter[tuple[Demand, Demand]]
    same: int
    latest: list[Met]


@dataclass(frozen=True)
class Row:
    refund: Refund
    before: Demand
    after: Demand


@dataclass(frozen=True)
class Preview:
    since: datetime
    n_asked: int
    n_moved: int
    moves: list[tuple[Demand, Demand, int]]
    same: int
    rows: list[Row]
    names_nothing: bool


class Window:
    """The sums of the last 24 hours, while refunds pass by in the order in which they were asked for."""

    def __init__(self) -> None:
        self.counted: deque[Asked] = deque()
        self.sums: Counter[tuple[object, ...]] = Counter()

    def facts(self, asked: Asked) -> rules.Facts:
        while self.counted and self.counted[0].at <= asked.at - WINDOW:
            self._forget(self.counted.popleft())
        payment, requester, customer = (asked.amount + self.sums[key] for key in _keys(asked))
        return rules.Facts(
            account_id=asked.account_id,
            currency=asked.currency,
            amount=asked.amount,
            sum_of_payment=payment,
            sum_of_customer=customer if asked.customer else asked.amount,
            sum_of_requester=requester,
            reason_id=asked.reason_id,
            days=(asked.at - asked.captured_at).days,
        )

    def add(self, asked: Asked) -> None:
        if asked.status in NOT_COUNTED:
            return
        self.counted.append(asked)
        for key in _keys(asked):
            self.sums[key] += asked.amount

    def _forget(self, asked: Asked) -> None:
        for key in _keys(asked):
            self.sums[key] -= asked.amount
            if not self.sums[key]:
                del self.sums[key]


def _keys(asked: Asked) -> tuple[tuple[object, ...], ...]:
    return (
        ("payment", asked.payment_id),
        ("requester", asked.requester_id, asked.currency),
        ("customer", asked.customer, asked.currency),
    )


def compare(
    history: Iterable[Asked],
    now: list[Rule],
    then: list[Rule],
    since: datetime,
    accounts: Collection[int] | None = None,
) -> Compared:
    """Pure: the history oldest first, with the day before `since` for its sums; told of these accounts only."""
    touched = [rule for rule in (*now, *then) if rule not in now or rule not in then]
    window, moves, latest = Window(), Counter[tuple[Demand, Demand]](), deque[Met](maxlen=MOST_ROWS)
    n_asked = same = 0
    for asked in history:
        facts = window.facts(asked)
        window.add(asked)
        if asked.at < since or (accounts is not None and asked.account_id not in accounts):
            continue
        n_asked += 1
        if not any(rules.matches(rule, facts) for rule in touched):
            continue
        before, after = rules.strictest(now, facts), rules.strictest(then, facts)
        move = rules.demand_of(before), rules.demand_of(after)
        if move[0] != move[1]:
            moves[move] += 1
            latest.append(Met(asked.pk, before, after))
        elif (before and before.number) != (after and after.number):
            same += 1
    return Compared(n_asked, moves, same, list(reversed(latest)))


def preview_rule(number: int, wish: Wish, by: User) -> Preview:
    """The rules in force against the same with rule `number` as wished, or without it where the wish is empty."""
    KINDS[Change.Kind.RULE].check(Change(kind=Change.Kind.RULE, subject=str(number), after=wish))
    now = list(rules_in_force())
    then = [rule for rule in now if rule.number != number]
    wished = rule_of(wish) if wish else None
    if wished:
        wished.number = number
        then.append(wished)
    since = timezone.now() - timedelta(days=DAYS)
    found = compare(_history(since - WINDOW), now, then, since, scope.limited_to(by))
    refunds = Refund.objects.select_related("payment", "account").in_bulk([met.pk for met in found.latest])
    return Preview(
        since=since,
        n_asked=found.n_asked,
        n_moved=found.moves.total(),
        moves=sorted(((was, would, n) for (was, would), n in found.moves.items()), key=lambda move: -move[2]),
        same=found.same,
        rows=[
            Row(refunds[met.pk], rules.demand_of(met.before), rules.demand_of(met.after))
            for met in found.latest
            if met.pk in refunds
        ],
        names_nothing=wished is not None and names_nothing(wished),
    )


def names_nothing(rule: Rule) -> bool:
    """Whether it matches every refund there is."""
    return not (rule.account_id or rule.currency or rule.reason_id or rule.from_days)


def _history(after: datetime) -> Iterator[Asked]:
    asked = Refund.objects.filter(source=Refund.Source.HOUSE, requested_at__gt=after).order_by("requested_at", "pk")
    rows = asked.annotate(customer=Lower("payment__customer_email"), captured_at=F("payment__captured_at")).values_list(
        "pk",
        "requested_at",
        "account_id",
        "payment_id",
        "customer",
        "requested_by_id",
        "payment__currency",
        "amount",
        "reason_id",
        "captured_at",
        "status",
    )
    return (Asked(*row) for row in rows.iterator(chunk_size=CHUNK))
