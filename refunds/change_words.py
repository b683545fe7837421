"""Rules and changes in plain sentences: what a rule asks of whom, and what a change would make of what there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from gateways.money import Money
from refunds import wording
from refunds.models import Allowance, Change, Rule
from refunds.services.change_kinds import SUMS, wish_of

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

Wish = dict[str, Any]
SUM_WORDS = {
    "sums_payment": gettext_lazy("payment"),
    "sums_customer": gettext_lazy("customer"),
    "sums_requester": gettext_lazy("requester"),
}
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
    where = ", ".join(part for part in named if part) or _("Every refund")
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
        return _("%(low)s to %(high)s") % {"low": _amount(low, currency), "high": _amount(high, currency)}
    if high is not None:
        return _("up to %(amount)s") % {"amount": _amount(high, currency)}
    if low:
        return _("from %(amount)s") % {"amount": _amount(low, currency)}
    return _("any amount in %(currency)s") % {"currency": currency}


def age(wish: Wish) -> str:
    days = wish["from_days"]
    words = ngettext("payments at least %(days)s day old", "payments at least %(days)s days old", days or 0)
    return words % {"days": days} if days else ""


def _sums(wish: Wish) -> str:
    counted = ", ".join(str(SUM_WORDS[name]) for name in SUMS if wish[name])
    return _("Sums of 24 hours: %(names)s") % {"names": counted} if counted else _("Each refund by itself")


def _rule(change: Change, wish: Wish) -> dict[str, str]:
    if not wish:
        return {}
    return {
        _("Account"): wish["account"] or _("all accounts"),
        _("Amount"): band(wish) or _("any amount"),
        _("Counted together"): ", ".join(str(SUM_WORDS[name]) for name in SUMS if wish[name])
        or _("nothing: each by itself"),
        _("Reason"): wish["reason"] or _("any reason"),
        _("Age"): age(wish) or _("payments of any age"),
        _("Asks for"): demand(wish["demand"]),
    }


# --- allowances, delegations, people ---


def allowance_parts(change: Change) -> tuple[str, str]:
    """The act and the currency that a change of an allowance is about."""
    act, currency = change.subject.rsplit(" ", 2)[1:]
    return str(Allowance.Act(act).label), currency


def _allowance(change: Change, wish: Wish) -> dict[str, str]:
    currency = allowance_parts(change)[1]
    if not wish:
        return {}
    return {_("At once"): _amount(wish["largest"], currency), _("On one day"): _amount(wish["per_day"], currency)}


def _delegation(change: Change, wish: Wish) -> dict[str, str]:
    if not wish:
        return {}
    begin, end = (wording.moment(datetime.fromisoformat(wish[name])) for name in ("from", "until"))
    return {_("Stands in"): wish["deputy"], _("For"): str(change.person), _("From"): begin, _("Until"): end}


def _groups(change: Change, wish: Wish) -> dict[str, str]:
    return {_("Groups"): ", ".join(map(_, wish.get("groups", []))) or _("none")}


def _accounts(change: Change, wish: Wish) -> dict[str, str]:
    return {_("Accounts"): ", ".join(wish.get("accounts", [])) or _("all accounts")}


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
        return _("Rule %(number)s") % {"number": change.subject}
    if change.kind == Change.Kind.ALLOWANCE:
        act, currency = allowance_parts(change)
        return _("Allowance of %(person)s for %(act)s in %(currency)s") % {
            "person": change.person,
            "act": act,
            "currency": currency,
        }
    return TITLES[change.kind] % {"person": change.person}


TITLES: dict[str, StrOrPromise] = {
    Change.Kind.DELEGATION: gettext_lazy("Deputy of %(person)s"),
    Change.Kind.GROUPS: gettext_lazy("Groups of %(person)s"),
    Change.Kind.ACCOUNTS: gettext_lazy("Accounts of %(person)s"),
}


def verb(change: Change) -> str:
    """What would happen to it: begins, ends or changes."""
    if not change.before:
        return "new"
    return "change" if change.after else "end"


VERBS = {"new": gettext_lazy("new"), "change": gettext_lazy("change"), "end": gettext_lazy("end")}


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
    return ", ".join(f"{label[0].lower()}{label[1:]} {text}" for label, text in told.items()) or _("none")


def _amount(minor: int, currency: str) -> str:
    return wording.amount(Money(minor, currency))
