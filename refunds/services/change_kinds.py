"""What can be changed by two people: how it stands now, which wishes are possible, and how a confirmed one is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import IntegerField, Max
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.money import exponent
from refunds import people, policy
from refunds.errors import BadInput, in_words
from refunds.models import Account, Allowance, Change, Delegation, RefundReason, Rule, Scope
from refunds.services.persons import set_groups

Wish = dict[str, Any]
LONGEST_DELEGATION = timedelta(days=90)
SUMS = ("sums_payment", "sums_customer", "sums_requester")
PLAIN = ("currency", "from_amount", "to_amount", "from_days", "demand", *SUMS)


@dataclass(frozen=True)
class Kind:
    """`now` tells how the subject stands (empty: not at all), `check` refuses impossible wishes, `do` carries one out.

    A wish that is empty ends the rule, the allowance or the delegation.
    """

    proposes: str
    confirms: str
    now: Callable[[Change], Wish]
    check: Callable[[Change], None]
    do: Callable[[Change], None]


# --- Rules: the subject is the number ---


def next_number() -> int:
    """One that no rule has, and that no change was ever proposed for."""
    asked = Change.objects.filter(kind=Change.Kind.RULE)
    told = asked.aggregate(last=Max(Cast("subject", IntegerField())))["last"] or 0
    return max(told, Rule.objects.aggregate(last=Max("number"))["last"] or 0) + 1


def wish_of(rule: Rule) -> Wish:
    """A version of a rule as a change writes it; amounts in minor units."""
    told = {
        name: getattr(rule, name) for name in ("currency", "from_amount", "to_amount", "from_days", "demand", *SUMS)
    }
    return {**told, "account": rule.account.slug if rule.account else "", "reason": str(rule.reason or "")}


def rule_of(wish: Wish) -> Rule:
    """The version that a wish describes, not saved, without number and times."""
    return Rule(
        account=Account.objects.get(slug=wish["account"]) if wish["account"] else None,
        reason=RefundReason.objects.get(name=wish["reason"]) if wish["reason"] else None,
        **{name: wish[name] for name in PLAIN},
    )


def _rule_in_force(change: Change) -> Rule | None:
    found = Rule.objects.filter(number=int(change.subject), ended_at=None)
    return found.select_related("account", "reason").first()


def _rule_now(change: Change) -> Wish:
    rule = _rule_in_force(change)
    return wish_of(rule) if rule else {}


def _check_rule(change: Change) -> None:
    wish = change.after
    if not wish:
        return
    if set(wish) != {*PLAIN, "account", "reason"} or wish["demand"] not in Rule.Demand.values:
        raise BadInput(_("Say what the rule asks for."))
    if wish["account"] and not Account.objects.filter(slug=wish["account"]).exists():
        raise BadInput(_("There is no account %(account)s.") % {"account": wish["account"]})
    if wish["reason"] and not RefundReason.objects.filter(name=wish["reason"]).exists():
        raise BadInput(_("There is no reason %(reason)s.") % {"reason": wish["reason"]})
    if wish["currency"]:
        _demand_currency(wish["currency"])
    elif wish["from_amount"] or wish["to_amount"] is not None:
        raise BadInput(_("Amounts need a currency."))
    if wish["from_amount"] < 0 or (wish["to_amount"] is not None and wish["to_amount"] < wish["from_amount"]):
        raise BadInput(_("The band ends before it begins."))


def _do_rule(change: Change) -> None:
    now, number = timezone.now(), int(change.subject)
    Rule.objects.filter(number=number, ended_at=None).update(ended_at=now)
    if not change.after:
        return
    last = Rule.objects.filter(number=number).aggregate(last=Max("version"))["last"] or 0
    rule = rule_of(change.after)
    rule.number, rule.version, rule.began_at = number, last + 1, now
    rule.save(force_insert=True)


# --- Allowances: the subject is person, act and currency ---


def allowance_subject(person: User, act: str, currency: str) -> str:
    return f"{person.get_username()} {act} {currency}"


def _allowance(change: Change) -> Any:
    act, currency = change.subject.rsplit(" ", 2)[1:]
    return Allowance.objects.filter(person=change.person, act=act, currency=currency)


def _allowance_now(change: Change) -> Wish:
    row = _allowance(change).first()
    return {"largest": row.largest, "per_day": row.per_day} if row else {}


def _check_allowance(change: Change) -> None:
    act, currency = change.subject.rsplit(" ", 2)[1:]
    if act not in Allowance.Act.values:
        raise BadInput(_("An allowance is for requesting or for approving."))
    _demand_currency(currency)
    wish = change.after
    if wish and not 0 <= wish["largest"] <= wish["per_day"]:
        raise BadInput(_("The largest amount cannot be more than what a day allows."))


def _do_allowance(change: Change) -> None:
    if not change.after:
        _allowance(change).delete()
    elif not _allowance(change).update(**change.after):
        act, currency = change.subject.rsplit(" ", 2)[1:]
        Allowance.objects.create(person=person_of(change), act=act, currency=currency, **change.after)


# --- People: groups and accounts; the subject is the person's name ---


def person_of(change: Change) -> User:
    if change.person is None:
        raise BadInput(_("Say whose rights these are."))
    return change.person


def _groups_now(change: Change) -> Wish:
    return {"groups": sorted(person_of(change).groups.values_list("name", flat=True))}


def _check_groups(change: Change) -> None:
    names = change.after.get("groups", [])
    if unknown := set(names) - set(people.GROUPS):
        raise BadInput(_("There is no group %(names)s.") % {"names": sorted(unknown)[0]})
    if trouble := people.conflict(names):
        raise BadInput(trouble)
    if names and person_of(change).is_superuser:
        raise BadInput(_("A superuser looks after the system and is in no group of the desk."))


def _do_groups(change: Change) -> None:
    set_groups(person_of(change), change.after["groups"])


def _accounts_now(change: Change) -> Wish:
    scopes = Scope.objects.filter(person=change.person).select_related("account")
    return {"accounts": sorted(scope.account.slug for scope in scopes)}


def _check_accounts(change: Change) -> None:
    slugs = set(change.after.get("accounts", []))
    if unknown := slugs - set(Account.objects.filter(slug__in=slugs).values_list("slug", flat=True)):
        raise BadInput(_("There is no account %(account)s.") % {"account": sorted(unknown)[0]})


def _do_accounts(change: Change) -> None:
    Scope.objects.filter(person=change.person).exclude(account__slug__in=change.after["accounts"]).delete()
    for account in Account.objects.filter(slug__in=change.after["accounts"]):
        Scope.objects.get_or_create(person=change.person, account=account)


# --- Delegations: the subject is the deputy's and the person's name ---


def _no_delegation(change: Change) -> Wish:
    return {}


def _check_delegation(change: Change) -> None:
    person, deputy, begin, end = person_of(change), _deputy(change), *_span(change)
    if deputy == person:
        raise BadInput(_("Nobody stands in for themselves."))
    for one in (person, deputy):
        if not policy.may(one, policy.APPROVE):
            raise BadInput(_("%(one)s may not approve refunds; only approvers stand in for each other.") % {"one": one})
    if not begin < end or end <= timezone.now():
        raise BadInput(_("It ends before it begins."))
    if end - begin > LONGEST_DELEGATION:
        raise BadInput(_("It lasts at most %(days)s days.") % {"days": LONGEST_DELEGATION.days})


def _do_delegation(change: Change) -> None:
    begin, end = _span(change)
    Delegation.objects.create(person=person_of(change), deputy=_deputy(change), from_at=begin, until=end)


def _deputy(change: Change) -> User:
    deputy = User.objects.filter(username=change.after.get("deputy", "")).first()
    if deputy is None:
        raise BadInput(_("Say who stands in."))
    return deputy


def _span(change: Change) -> tuple[datetime, datetime]:
    begin, end = (datetime.fromisoformat(change.after[name]) for name in ("from", "until"))
    return begin, end


def _demand_currency(currency: str) -> None:
    try:
        exponent(currency)
    except ValueError as trouble:
        raise BadInput(in_words(trouble)) from None


KINDS: dict[str, Kind] = {
    Change.Kind.RULE: Kind(policy.RULES, policy.RULES, _rule_now, _check_rule, _do_rule),
    Change.Kind.ALLOWANCE: Kind(policy.RULES, policy.RULES, _allowance_now, _check_allowance, _do_allowance),
    Change.Kind.DELEGATION: Kind(policy.APPROVE, policy.RULES, _no_delegation, _check_delegation, _do_delegation),
    Change.Kind.GROUPS: Kind(policy.PEOPLE, policy.PEOPLE, _groups_now, _check_groups, _do_groups),
    Change.Kind.ACCOUNTS: Kind(policy.PEOPLE, policy.PEOPLE, _accounts_now, _check_accounts, _do_accounts),
}
