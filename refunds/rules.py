"""Which approval rule a refund meets. Pure: the facts come in, a rule comes out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from refunds.models import Rule

Demand = Rule.Demand
STRICTNESS = {Demand.NONE: 0, Demand.ONE: 1, Demand.TWO: 2, Demand.BLOCK: 3}
USUAL = Demand.ONE  # where no rule matches


@dataclass(frozen=True)
class Facts:
    """What rules ask of a refund. Minor units; each sum is this refund and those of the 24 hours before."""

    account_id: int
    currency: str
    amount: int
    sum_of_payment: int
    sum_of_customer: int
    sum_of_requester: int
    reason_id: int | None
    days: int


def strictest(rules: Iterable[Rule], facts: Facts) -> Rule | None:
    """Of the rules that match, the one that asks most; None where none does, and one approval is needed."""
    matching = (rule for rule in rules if matches(rule, facts))
    return max(matching, key=lambda rule: (STRICTNESS[Demand(rule.demand)], -rule.number), default=None)


def demand_of(rule: Rule | None) -> Rule.Demand:
    return Demand(rule.demand) if rule else USUAL


def approvals_needed(rule: Rule | None) -> int:
    """0, 1 or 2; a refund that is blocked is never asked."""
    return min(STRICTNESS[demand_of(rule)], 2)


def matches(rule: Rule, facts: Facts) -> bool:
    """Whether all that the rule names fits."""
    return (
        rule.account_id in (None, facts.account_id)
        and rule.currency in ("", facts.currency)
        and rule.reason_id in (None, facts.reason_id)
        and facts.days >= (rule.from_days or 0)
        and _in_band(rule, counted(rule, facts))
    )


def counted(rule: Rule, facts: Facts) -> int:
    """The amount that the rule's band is compared with."""
    sums = (
        (rule.sums_payment, facts.sum_of_payment),
        (rule.sums_customer, facts.sum_of_customer),
        (rule.sums_requester, facts.sum_of_requester),
    )
    return max(facts.amount, *(minor if is_counted else 0 for is_counted, minor in sums))


def _in_band(rule: Rule, minor: int) -> bool:
    return rule.from_amount <= minor and (rule.to_amount is None or minor <= rule.to_amount)
