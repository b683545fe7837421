"""What is approved is exactly what was shown, and each word behind it is asked again."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.utils import timezone

from refunds import policy, services
from refunds.errors import NotAllowed
from refunds.models import Account, Allowance, Payment, Refund
from tests.builders import (
    again,
    alice,
    allow,
    approved,
    ask,
    bert,
    bob,
    limit_to,
    make_account,
    make_rule,
    person,
    stand_in,
)

pytestmark = pytest.mark.django_db

RIGHTS = {
    policy.REQUEST: {"Agents"},
    policy.APPROVE: {"Approvers"},
    policy.DECLARE: {"Finance"},
    policy.SYNC: {"Agents", "Approvers", "Finance"},
    policy.IMPORT: {"Finance"},
    policy.DISPUTE: {"Finance"},
    policy.RAW: {"Finance", "Auditors"},
    policy.ACCOUNTS: {"Gateway admins"},
    policy.VERIFY: {"Auditors"},
    policy.EXPORT: {"Finance", "Auditors"},
    policy.RULES: {"Gateway admins"},
    policy.PEOPLE: {"User admins"},
}


@pytest.mark.parametrize("right", RIGHTS)
def test_each_right_belongs_to_the_groups_that_need_it(right: str) -> None:
    codename = right.removeprefix("refunds.")
    holders = Permission.objects.filter(content_type__app_label="refunds", codename=codename)
    assert set(holders.values_list("group__name", flat=True)) == RIGHTS[right]


def shown(**changes: Any) -> Refund:
    """What an approver judges, with every value known."""
    usual = {
        "key": uuid.UUID(int=7),
        "revision": 1,
        "payment": Payment(reference="pay-1", currency="EUR"),
        "account": Account(slug="payerly-eu"),
        "amount": 1250,
        "reason_id": 3,
        "reason_word": "CF",
        "public_note": "Goods returned",
        "ticket": "T-1",
        "internal_note": "calls every day",
        "rule_id": 5,
        "approvals_needed": 2,
    }
    return Refund(**{**usual, **changes})


@pytest.mark.promise("I28")
@pytest.mark.parametrize(
    "change",
    [
        {"key": uuid.UUID(int=8)},
        {"revision": 2},
        {"payment": Payment(reference="pay-2", currency="EUR")},
        {"payment": Payment(reference="pay-1", currency="PLN")},
        {"account": Account(slug="payerly-pl")},
        {"amount": 1251},
        {"reason_id": 4},
        {"reason_word": "XX"},
        {"public_note": "Goodwill"},
        {"ticket": "T-2"},
        {"internal_note": "never called"},
        {"rule_id": None},
        {"approvals_needed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_an_approver_judges_is_in_the_digest(change: dict[str, Any]) -> None:
    assert policy.digest(shown(**change)) != policy.digest(shown()) == policy.digest(shown())


@pytest.mark.promise("I28")
def test_the_digest_of_what_was_approved_outlives_a_new_version_of_the_desk() -> None:
    """Another way to write it would void every approval that stands; change it only together with `revision`."""
    assert policy.digest(shown()) == "aca4b42e19c912681116ba91c72ab8a0858723a409d2805ab0a75f09c1bd7b69"


def why(refund: Refund) -> str:
    return policy.why_not_approved(Refund.objects.get(pk=refund.pk))


@pytest.mark.promise("I28")
@pytest.mark.parametrize("rule", ["1", "0"])
def test_a_word_counts_for_seven_days_and_not_a_minute_longer(rule: str) -> None:
    make_rule(rule)
    refund = ask() if rule == "0" else approved()
    days = timedelta(days=7)
    with time_machine.travel(again(refund).approved_at + days, tick=False):
        assert why(refund) == ""
    with time_machine.travel(timezone.now() + days + timedelta(minutes=1)):
        assert "7 days" in why(refund)


@pytest.mark.promise("I32")
def test_too_few_approvals_carry_nothing() -> None:
    make_rule("2")
    refund = ask()
    assert why(refund) == "It has too few approvals."
    half = services.approve_refund(refund.pk, bob(), seen=refund.version)
    assert why(refund) == "It has too few approvals."
    services.approve_refund(refund.pk, bert(), seen=half.version)
    assert why(refund) == ""
    Refund.objects.filter(pk=refund.pk).update(revision=2)
    assert why(refund) == "It has too few approvals."


@pytest.mark.promise("I28", "I30")
@pytest.mark.parametrize("who", ["approver", "who is away"])
@pytest.mark.parametrize("trouble", ["demoted", "elsewhere", "less"])
def test_both_whose_word_it_was_are_looked_at_again(who: str, trouble: str) -> None:
    allow(bob(), "approve", largest=100, per_day=100)
    allow(bert(), "approve", largest=5000, per_day=5000)
    stand_in(bob(), bert())
    refund = approved()
    assert why(refund) == ""
    looked_at = bob() if who == "approver" else bert()
    if trouble == "demoted":
        looked_at.groups.clear()
        assert why(refund) == f"{looked_at}, on whose word it was approved, may no longer approve refunds."
    elif trouble == "elsewhere":
        limit_to(looked_at, make_account("bank"))
        assert why(refund).startswith(f"{looked_at}, on whose word it was approved, no longer works with")
    else:
        Allowance.objects.filter(person=looked_at).update(largest=99)
        assert bool(why(refund)) == (who == "who is away"), "the allowance that was used is the one that is asked"


@pytest.mark.promise("I28")
@pytest.mark.parametrize("trouble", ["demoted", "elsewhere", "less"])
def test_where_a_rule_asks_for_nobody_the_requester_is_looked_at(trouble: str) -> None:
    make_rule("0")
    allow(alice(), "request", largest=5000, per_day=5000)
    refund = ask()
    assert why(refund) == ""
    if trouble == "demoted":
        alice().groups.clear()
    elif trouble == "elsewhere":
        limit_to(alice(), make_account("bank"))
    else:
        Allowance.objects.update(largest=999)
    assert "alice" in why(refund)


def test_rights_are_for_people_of_the_desk_only() -> None:
    admin = person("root", is_superuser=True)
    admin.groups.add(*bob().groups.all())
    assert (policy.may(bob(), policy.APPROVE), policy.may(admin, policy.APPROVE)) == (True, False)
    gone = bob()
    gone.is_active = False
    gone.is_superuser = False
    assert not policy.may(gone, policy.APPROVE)
    with pytest.raises(NotAllowed, match=r"A superuser .* cannot do this"):
        policy.demand(admin, policy.APPROVE, "do this")
    with pytest.raises(NotAllowed, match="You may not do this"):
        policy.demand(alice(), policy.APPROVE, "do this")
