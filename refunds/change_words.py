"""Rules and changes in plain sentences: what a rule asks of whom, and what a change would make of what there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateways.money import Money
from refunds import wording
from refunds.models import Allowance, Change, Rule
from refunds.services.change_kinds import SUMS, wish_of

Wish = dict[str, Any]
SUM_WORDS = {"sums_payment": "payment", "sums_customer": "customer", "sums_requester": "requester"}
NOTHING = "—"


@dataclass(frozen=True)
class Line:
    """One thing of a change, as it is and as it would be."""

    label: str
    before: str
    after: str

    @property
    def differs(self) -> bool:
        return self.before != self.after


# --- rules ---


def sentence(rule: Rule) -> str:
    """shop-eu, from 500.00 EUR: two approvals."""
    return sentence_of(wish_of(rule))


def sentence_of(wish: Wish) -> str:
    named = [wish["account"], band(wish), f"“{wish['reason']}”" if wish["reason"] else "", age(wish)]
    where = ", ".join(part for part in named if part) or "Every refund"
    return f"{where if wish['account'] else where[0].upper() + where[1:]}: {demand(wish['demand'])}"


def sums(rule: Rule) -> str:
    """Which sums of 24 hours its band is compared with, "" where it has no band."""
    return _sums(wish_of(rule)) if has_band(rule) else ""


def has_band(rule: Rule) -> bool:
    return bool(rule.from_amount) or rule.to_amount is not None


def demand(value: str) -> str:
    return str(Rule.Demand(value).label)


def band(wish: Wish) -> str:
    currency, low, high = wish["currency"], wish["from_amount"], wish["to_amount"]
    if not currency:
        return ""
    if high is not None and low:
        return f"{_amount(low, currency)} to {_amount(high, currency)}"
    if high is not None:
        return f"up to {_amount(high, currency)}"
    return f"from {_amount(low, currency)}" if low else f"any amount in {currency}"


def age(wish: Wish) -> str:
    days = wish["from_days"]
    return f"payments at least {days} day{'' if days == 1 else 's'} old" if days else ""


def _sums(wish: Wish) -> str:
    counted = [SUM_WORDS[name] for name in SUMS if wish[name]]
    return f"Sums of 24 hours: {', '.join(counted)}" if counted else "Each refund by itself"


def _rule(change: Change, wish: Wish) -> dict[str, str]:
    if not wish:
        return {}
    return {
        "Account": wish["account"] or "all accounts",
        "Amount": band(wish) or "any amount",
        "Counted together": ", ".join(SUM_WORDS[name] for name in SUMS if wish[name]) or "nothing: each by itself",
        "Reason": wish["reason"] or "any reason",
        "Age": age(wish) or "payments of any age",
        "Asks for": demand(wish["demand"]),
    }


# --- allowances, delegations, people ---


def allowance_parts(change: Change) -> tuple[str, str]:
    """The act and the currency that a change of an allowance is about."""
    _, act, currency = change.subject.rsplit(" ", 2)
    return str(Allowance.Act(act).label), currency


def _allowance(change: Change, wish: Wish) -> dict[str, str]:
    _, currency = allowance_parts(change)
    if not wish:
        return {}
    return {"At once": _amount(wish["largest"], currency), "On one day": _amount(wish["per_day"], currency)}


def _delegation(change: Change, wish: Wish) -> dict[str, str]:
    if not wish:
        return {}
    begin, end = (wording.moment(datetime.fromisoformat(wish[name])) for name in ("from", "until"))
    return {"Stands in": wish["deputy"], "For": str(change.person), "From": begin, "Until": end}


def _groups(change: Change, wish: Wish) -> dict[str, str]:
    return {"Groups": ", ".join(wish.get("groups", [])) or "none"}


def _accounts(change: Change, wish: Wish) -> dict[str, str]:
    return {"Accounts": ", ".join(wish.get("accounts", [])) or "all accounts"}


WORDS: dict[str, Callable[[Change, Wish], dict[str, str]]] = {
    Change.Kind.RULE: _rule,
    Change.Kind.ALLOWANCE: _allowance,
    Change.Kind.DELEGATION: _delegation,
    Change.Kind.GROUPS: _groups,
    Change.Kind.ACCOUNTS: _accounts,
}


def title(change: Change) -> str:
    """What is changed: Rule 4, Groups of alice."""
    if change.kind == Change.Kind.RULE:
        return f"Rule {change.subject}"
    if change.kind == Change.Kind.ALLOWANCE:
        act, currency = allowance_parts(change)
        return f"Allowance of {change.person} for {act} in {currency}"
    if change.kind == Change.Kind.DELEGATION:
        return f"Deputy of {change.person}"
    return f"{change.get_kind_display().capitalize()} of {change.person}"


def verb(change: Change) -> str:
    """What would happen to it: begins, ends or changes."""
    if not change.before:
        return "new"
    return "change" if change.after else "end"


def lines(change: Change) -> list[Line]:
    """Each thing side by side; an end leaves the second side empty, a beginning the first one."""
    before, after = (WORDS[change.kind](change, wish) for wish in (change.before, change.after))
    return [Line(label, before.get(label, NOTHING), after.get(label, NOTHING)) for label in {**before, **after}]


def before_and_after(change: Change) -> tuple[str, str]:
    """Both sides in one line each, for a list."""
    return _short(change, change.before), _short(change, change.after)


def _short(change: Change, wish: Wish) -> str:
    if change.kind == Change.Kind.RULE and wish:
        return sentence_of(wish)
    told = WORDS[change.kind](change, wish)
    if change.kind in (Change.Kind.GROUPS, Change.Kind.ACCOUNTS):
        return next(iter(told.values()))
    return ", ".join(f"{label[0].lower()}{label[1:]} {text}" for label, text in told.items()) or "none"


def _amount(minor: int, currency: str) -> str:
    return wording.amount(Money(minor, currency))
