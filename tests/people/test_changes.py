"""Changes of rules, limits and rights: two people, never about oneself, and only while nothing else has changed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from refunds import policy, scope, services
from refunds.errors import BadInput, NotAllowed, SamePerson, WrongMoment
from refunds.models import Allowance, Change, Delegation, Rule
from refunds.services import change_kinds
from tests.builders import (
    alice,
    allow,
    ask,
    bert,
    bob,
    carol,
    dora,
    gina,
    gus,
    make_account,
    make_rule,
    person,
    ute,
    uwe,
)

pytestmark = pytest.mark.django_db

RULE = {
    "account": "",
    "currency": "EUR",
    "from_amount": 50000,
    "to_amount": None,
    "reason": "",
    "from_days": None,
    "demand": "2",
    "sums_payment": True,
    "sums_customer": True,
    "sums_requester": False,
}


def delegation(deputy: User, days: int = 3) -> dict[str, str]:
    now = timezone.now()
    return {"deputy": deputy.username, "from": now.isoformat(), "until": (now + timedelta(days=days)).isoformat()}


def propose(kind: str, **changes: Any) -> Change:
    """One proposal of each kind that is fine."""
    usual: dict[str, Any] = {
        "rule": {"subject": str(change_kinds.next_number()), "after": RULE, "by": gina()},
        "allowance": {
            "subject": "bob approve EUR",
            "after": {"largest": 1000, "per_day": 5000},
            "by": gina(),
            "person": bob(),
        },
        "delegation": {"subject": "bert for bob", "after": delegation(bert()), "by": bob(), "person": bob()},
        "groups": {"subject": "alice", "after": {"groups": ["Approvers"]}, "by": ute(), "person": alice()},
        "accounts": {
            "subject": "alice",
            "after": {"accounts": [make_account().slug]},
            "by": ute(),
            "person": alice(),
        },
    }[kind]
    return services.propose_change(kind, note="Because.", **{**usual, **changes})


KINDS = ("rule", "allowance", "delegation", "groups", "accounts")
CONFIRMS = {"rule": gus, "allowance": gus, "delegation": gus, "groups": uwe, "accounts": uwe}


def stands(kind: str) -> bool:
    """Whether the wish of `propose` has come true."""
    return {
        "rule": lambda: Rule.objects.filter(ended_at=None, from_amount=50000, demand="2").exists(),
        "allowance": lambda: Allowance.objects.filter(person=bob(), largest=1000, per_day=5000).exists(),
        "delegation": lambda: Delegation.objects.filter(person=bob(), deputy=bert()).exists(),
        "groups": lambda: [group.name for group in alice().groups.all()] == ["Approvers"],
        "accounts": lambda: scope.limited_to(alice()) == [make_account().pk],
    }[kind]()


@pytest.mark.promise("I31")
@pytest.mark.parametrize("kind", KINDS)
def test_a_change_takes_effect_when_a_second_person_confirms_it(kind: str) -> None:
    change = propose(kind)
    assert not stands(kind)
    services.confirm_change(change.pk, CONFIRMS[kind]())
    assert stands(kind)
    with pytest.raises(WrongMoment):
        services.confirm_change(change.pk, CONFIRMS[kind]())


@pytest.mark.promise("I31")
@pytest.mark.parametrize("kind", KINDS)
def test_nobody_confirms_their_own_proposal(kind: str) -> None:
    change = propose(kind)
    with pytest.raises(NotAllowed):
        services.confirm_change(change.pk, User.objects.get(pk=change.proposed_by_id))
    assert not stands(kind)


@pytest.mark.promise("I31")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("who", [alice, bob, carol, dora, gus, uwe])
def test_only_those_confirm_whose_office_it_is(kind: str, who: Any) -> None:
    change = propose(kind)
    if who is CONFIRMS[kind]:
        return
    with pytest.raises(NotAllowed):
        services.confirm_change(change.pk, who())
    assert not stands(kind)


@pytest.mark.promise("I31")
def test_nobody_changes_their_own_rights() -> None:
    with pytest.raises(SamePerson):
        propose("groups", subject="ute", person=ute(), after={"groups": ["Auditors"]})
    with pytest.raises(SamePerson):
        propose("allowance", subject="gina approve EUR", person=gina())
    change = propose("groups", subject="uwe", person=uwe(), after={"groups": ["Auditors"]})
    with pytest.raises(SamePerson):
        services.confirm_change(change.pk, uwe())
    with pytest.raises(SamePerson):
        propose("delegation", person=bert())


@pytest.mark.promise("I31")
def test_the_database_itself_wants_two_people() -> None:
    change = propose("groups")
    for by in (change.proposed_by_id, alice().pk, None):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE refunds_change SET confirmed_by_id = %s, confirmed_at = proposed_at WHERE id = %s",
                [by, change.pk],
            )


@pytest.mark.promise("I31")
@pytest.mark.parametrize("kind", KINDS)
def test_a_superuser_neither_proposes_nor_confirms(kind: str) -> None:
    root = person("root", is_superuser=True)
    if kind != "delegation":
        with pytest.raises(NotAllowed, match="superuser"):
            propose(kind, by=root)
    change = propose(kind)
    with pytest.raises(NotAllowed, match="superuser"):
        services.confirm_change(change.pk, root)


def test_what_has_changed_meanwhile_is_proposed_again() -> None:
    change = propose("groups")
    alice().groups.clear()
    with pytest.raises(WrongMoment, match="has changed since"):
        services.confirm_change(change.pk, uwe())
    services.drop_change(change.pk, ute(), "Out of date.")
    assert Change.objects.get().dropped_by == ute()


def test_one_change_of_the_same_waits_at_a_time() -> None:
    first = propose("groups")
    with pytest.raises(WrongMoment, match="waits already"):
        propose("groups", by=uwe())
    services.drop_change(first.pk, uwe(), "No.")
    propose("groups", by=uwe())


def test_a_change_that_changes_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="how it is already"):
        propose("groups", after={"groups": ["Agents"]})


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("rule", {"after": {**RULE, "currency": "", "from_amount": 1}}),
        ("rule", {"after": {**RULE, "currency": "XYZ"}}),
        ("rule", {"after": {**RULE, "to_amount": 49999}}),
        ("rule", {"after": {**RULE, "demand": "3"}}),
        ("rule", {"after": {**RULE, "account": "nowhere"}}),
        ("rule", {"after": {**RULE, "reason": "because"}}),
        ("rule", {"after": {"demand": "0"}}),
        ("allowance", {"after": {"largest": 10, "per_day": 9}}),
        ("allowance", {"after": {"largest": -1, "per_day": 9}}),
        ("allowance", {"subject": "bob spend EUR"}),
        ("allowance", {"subject": "bob approve EURO"}),
        ("delegation", {"after": {"deputy": "nobody", "from": "2026-01-01", "until": "2026-01-02"}}),
        ("groups", {"after": {"groups": ["Kings"]}}),
        ("groups", {"after": {"groups": ["Approvers", "User admins"]}}),
        ("accounts", {"after": {"accounts": ["nowhere"]}}),
    ],
)
def test_a_wish_that_cannot_be_is_refused_with_a_sentence(kind: str, changes: Any) -> None:
    with pytest.raises(BadInput, match=r"\w \w"):
        propose(kind, **changes)
    assert not Change.objects.exists()


def test_only_approvers_stand_in_for_each_other_and_not_for_ever() -> None:
    with pytest.raises(BadInput, match="only approvers"):
        propose("delegation", after=delegation(alice()))
    with pytest.raises(BadInput, match="at most 90 days"):
        propose("delegation", after=delegation(bert(), days=91))
    with pytest.raises(BadInput, match="ends before it begins"):
        propose("delegation", after=delegation(bert(), days=-1))
    with pytest.raises(BadInput, match="for themselves"):
        propose("delegation", after=delegation(bob()))


def test_another_version_of_a_rule_follows_the_one_before() -> None:
    rule = make_rule("1", currency="EUR")
    wish = {**change_kinds.wish_of(rule), "demand": "2"}
    services.confirm_change(propose("rule", subject="1", after=wish).pk, gus())
    old, new = Rule.objects.order_by("version")
    assert old.ended_at
    assert (new.version, new.demand, str(ask().rule)) == (2, "2", "rule 1 v2")
    services.confirm_change(propose("rule", subject="1", after={}).pk, gus())
    assert not Rule.objects.filter(ended_at=None).exists()


def test_an_allowance_that_is_changed_keeps_what_is_taken() -> None:
    allow(bob(), "approve", 10, 10).save()
    Allowance.objects.update(taken=7)
    services.confirm_change(propose("allowance").pk, gus())
    assert Allowance.objects.get().taken == 7
    services.confirm_change(propose("allowance", after={}).pk, gus())
    assert not Allowance.objects.exists()


@pytest.mark.promise("I30")
def test_rights_that_two_people_took_away_are_gone_at_once() -> None:
    refund = ask()
    services.confirm_change(propose("groups", subject="bob", person=bob(), after={"groups": []}).pk, uwe())
    with pytest.raises(NotAllowed):
        services.approve_refund(refund.pk, bob(), seen=refund.version)


def test_the_owner_of_the_machine_names_the_first_people() -> None:
    newcomer = person("nora")
    services.change_at_once(
        "groups", "nora", {"groups": ["User admins"]}, Change.Source.COMMAND, "First.", person=newcomer
    )
    change = Change.objects.get()
    assert policy.may(User.objects.get(username="nora"), policy.PEOPLE)
    assert (change.proposed_by, change.confirmed_by, change.source) == (None, None, "command")
