"""Allowances: the largest amount and the sum of a day, for each person, act and currency."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.utils import timezone

from gateways.money import Money
from refunds import services
from refunds.errors import NotAllowed, OverLimit, RefundError, SamePerson
from refunds.limits import Act
from refunds.models import Allowance, Approval, Delegation, Payment, Refund, Status
from refunds.services import allowances
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
    make_payment,
    make_rule,
    person,
    stand_in,
)
from tests.house import Sandbox

pytestmark = pytest.mark.django_db


def taken(who: User) -> int:
    return Allowance.objects.get(person=who).taken


def test_an_agent_asks_up_to_the_largest_amount_and_not_one_more() -> None:
    allow(alice(), "request", largest=1000, per_day=5000)
    payment = make_payment()
    ask(payment, 1000)
    with pytest.raises(OverLimit, match=r"10\.01 EUR is more than alice may at once: 10\.00 EUR"):
        ask(payment, 1001)
    assert Payment.objects.get().held == 1000


def test_the_day_ends_an_allowance_and_the_next_day_brings_it_back() -> None:
    allow(alice(), "request", largest=1000, per_day=1500)
    payment = make_payment()
    ask(payment, 1000)
    with pytest.raises(OverLimit, match=r"left of the day for alice: 5\.00 EUR"):
        ask(payment, 501)
    assert Payment.objects.get().held == 1000
    ask(payment, 500)
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        ask(payment, 1000)
        assert taken(alice()) == 1000


def test_what_was_taken_yesterday_leaves_the_whole_day() -> None:
    allow(alice(), "request", largest=1500, per_day=1500)
    ask(make_payment(), 1000)
    Allowance.objects.update(day=timezone.localdate() - timedelta(days=1), per_day=1200)
    assert allowances.taken_today(Allowance.objects.get()) == 0
    with pytest.raises(OverLimit, match=r"13\.00 EUR is more than is left of the day for alice: 12\.00 EUR"):
        ask(make_payment(reference="pay-2"), 1300)
    ask(make_payment(reference="pay-3"), 1200)
    assert allowances.taken_today(Allowance.objects.get()) == 1200


def test_each_person_act_and_currency_has_an_allowance_of_its_own() -> None:
    for who, act, currency in ((alice(), "approve", "EUR"), (bob(), "request", "EUR"), (alice(), "request", "PLN")):
        allow(who, act, largest=1, per_day=1, currency=currency)
    allow(alice(), "request", largest=1000, per_day=1000)
    ask()
    assert sorted(Allowance.objects.values_list("taken", flat=True)) == [0, 0, 0, 1000]


def test_what_is_refused_for_another_reason_takes_nothing() -> None:
    allow(alice(), "request", largest=9000, per_day=9000)
    with pytest.raises(RefundError):
        ask(make_payment(captured=500), 501)
    assert taken(alice()) == 0


def test_who_has_an_allowance_has_none_in_other_currencies() -> None:
    allow(alice(), "request", largest=1000, per_day=1000, currency="PLN")
    with pytest.raises(OverLimit, match="no allowance for requesting refunds in EUR"):
        ask()


def test_where_allowances_are_required_nobody_asks_without(settings: pytest.FixtureRequest) -> None:
    settings.ALLOWANCES_REQUIRED = True  # type: ignore[attr-defined]
    with pytest.raises(OverLimit):
        ask()


def test_an_approver_has_an_allowance_of_another_kind() -> None:
    allow(bob(), "request", largest=1, per_day=1)
    allow(bob(), "approve", largest=1000, per_day=1500)
    payment = make_payment()
    approved(payment, 1000)
    second = ask(payment, 600)
    with pytest.raises(OverLimit, match="left of the day for bob"):
        services.approve_refund(second.pk, bob(), seen=second.version)
    assert (again(second).status, Approval.objects.count()) == (Status.REQUESTED, 1)


@pytest.mark.promise("I28")
def test_a_limit_that_was_lowered_is_asked_again_when_it_is_sent(sandbox: Sandbox) -> None:
    allow(bob(), "approve", largest=1000, per_day=5000)
    refund = approved()
    Allowance.objects.update(largest=999)
    services.send_refund(refund.pk)
    now_is = again(refund)
    assert (now_is.status, now_is.sent_at) == (Status.REQUESTED, None)


def test_a_deputy_uses_the_allowance_of_who_is_away() -> None:
    allow(bob(), "approve", largest=100, per_day=100)
    allow(bert(), "approve", largest=5000, per_day=5000)
    stand_in(bob(), bert())
    refund = approved()
    approval = Approval.objects.get(refund=refund)
    assert (approval.approver, approval.acting_for) == (bob(), bert())
    assert Allowance.objects.get(person=bert()).taken == 1000
    assert Allowance.objects.get(person=bob()).taken == 0


def test_a_deputy_within_the_own_allowance_uses_that() -> None:
    allow(bob(), "approve", largest=1000, per_day=1000)
    stand_in(bob(), bert())
    assert Approval.objects.get(refund=approved()).acting_for is None


@pytest.mark.parametrize("trouble", ["over", "not yet", "ended", "demoted", "elsewhere", "too little"])
def test_a_deputy_is_one_only_while_all_of_it_holds(trouble: str) -> None:
    allow(bob(), "approve", largest=100, per_day=100)
    allow(bert(), "approve", largest=999 if trouble == "too little" else 5000, per_day=5000)
    now, day = timezone.now(), timedelta(days=1)
    span = {
        "over": {"from_at": now - 2 * day, "until": now - day},
        "not yet": {"from_at": now + day, "until": now + 2 * day},
        "ended": {"ended_at": now},
    }.get(trouble, {})
    stand_in(bob(), bert(), **span)
    if trouble == "demoted":
        bert().groups.clear()
    if trouble == "elsewhere":
        limit_to(bert(), make_account("bank"))
    refund = ask()
    with pytest.raises(OverLimit, match="bob may at once"):
        services.approve_refund(refund.pk, bob(), seen=refund.version)


def test_the_next_who_is_away_is_asked_where_the_first_has_too_little() -> None:
    allow(bob(), "approve", largest=100, per_day=100)
    allow(bert(), "approve", largest=100, per_day=5000)
    berta = person("berta", "Approvers")
    allow(berta, "approve", largest=5000, per_day=5000)
    carl = person("carl", "Approvers")
    allow(carl, "approve", largest=5000, per_day=5000)
    for away in (person("a-visitor"), bert(), berta, carl):
        stand_in(bob(), away)
    assert Approval.objects.get(refund=approved()).acting_for == berta
    assert (taken(bob()), taken(bert()), taken(berta), taken(carl)) == (0, 0, 1000, 0)


def test_nobody_stands_in_for_who_has_approved_already() -> None:
    make_rule("2")
    allow(bob(), "approve", largest=100, per_day=100)
    stand_in(bob(), bert())
    refund = ask()
    half = services.approve_refund(refund.pk, bert(), seen=refund.version)
    with pytest.raises(OverLimit, match="bob may at once"):
        services.approve_refund(refund.pk, bob(), seen=half.version)


def test_an_approval_of_an_earlier_revision_is_nobodys_word() -> None:
    refund = approved()
    services.unapprove_refund(refund.pk, bob(), "Wait.", seen=refund.version)
    allow(bert(), "approve", largest=100, per_day=100)
    stand_in(bert(), bob())
    now_is = again(refund)
    services.approve_refund(refund.pk, bert(), seen=now_is.version)
    assert Approval.objects.get(revision=2).acting_for == bob()


@pytest.mark.promise("I27")
def test_nobody_approves_in_the_name_of_who_asked() -> None:
    boss = person("boss", "Agents")
    boss.groups.add(*bob().groups.all())
    allow(bob(), "approve", largest=100, per_day=100)
    stand_in(bob(), boss)
    refund = ask(by=boss)
    with pytest.raises(OverLimit):
        services.approve_refund(refund.pk, bob(), seen=refund.version)


@pytest.mark.promise("I32")
def test_a_deputy_and_who_is_away_are_no_two_people() -> None:
    make_rule("2")
    allow(bob(), "approve", largest=100, per_day=100)
    stand_in(bob(), bert())
    refund = ask()
    half = services.approve_refund(refund.pk, bob(), seen=refund.version)
    with pytest.raises(SamePerson, match="with your allowance already"):
        services.approve_refund(refund.pk, bert(), seen=half.version)
    other = ask(make_payment(reference="pay-2"))
    half = services.approve_refund(other.pk, bert(), seen=other.version)
    with pytest.raises(OverLimit):
        services.approve_refund(other.pk, bob(), seen=half.version)


def test_one_of_the_two_ends_a_delegation_and_nobody_else() -> None:
    delegation = stand_in(bob(), bert())
    with pytest.raises(NotAllowed):
        services.end_delegation(delegation.pk, alice())
    services.end_delegation(delegation.pk, bert())
    assert Delegation.objects.get().ended_at
    with pytest.raises(RefundError, match="ended already"):
        services.end_delegation(delegation.pk, bob())


def test_nothing_is_left_of_an_allowance_that_was_lowered_below_what_is_taken() -> None:
    allow(alice(), "request", largest=1000, per_day=1000)
    ask()
    Allowance.objects.update(per_day=500, largest=500)
    with pytest.raises(OverLimit, match=r"left of the day for alice: 0\.00 EUR"):
        allowances.take(alice(), Act.REQUEST, Money(100, "EUR"))
    assert Refund.objects.count() == 1
