"""Approval rules: which one a refund meets, and how many people it then takes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from refunds import rules, services
from refunds.errors import NotRefundable, SamePerson, WrongMoment
from refunds.models import Event, Payment, Refund, RefundReason, Rule, Status
from refunds.services import rulings
from tests.builders import again, alice, approved, ask, bert, bob, make_account, make_payment, make_rule, person
from tests.house import Sandbox

pytestmark = pytest.mark.django_db


def also_an_approver(user: User) -> User:
    """Agents may be approvers as well; it makes them no second person."""
    user.groups.add(Group.objects.get(name="Approvers"))
    return User.objects.get(pk=user.pk)


def facts(**changes: Any) -> rules.Facts:
    usual = {
        "account_id": 1,
        "currency": "EUR",
        "amount": 1000,
        "sum_of_payment": 1000,
        "sum_of_customer": 1000,
        "sum_of_requester": 1000,
        "reason_id": 1,
        "days": 3,
    }
    return rules.Facts(**{**usual, **changes})


OVER_TEN = {"currency": "EUR", "from_amount": 1001}


@pytest.mark.parametrize(
    ("names", "fits", "misses"),
    [
        ({"account_id": 1}, {}, {"account_id": 2}),
        ({"currency": "EUR"}, {}, {"currency": "PLN"}),
        ({"reason_id": 1}, {}, {"reason_id": 2}),
        ({"reason_id": 1}, {}, {"reason_id": None}),
        ({"from_days": 3}, {}, {"days": 2}),
        (
            {"currency": "EUR", "from_amount": 1000},
            {},
            {"amount": 999, "sum_of_payment": 999, **dict.fromkeys(("sum_of_customer", "sum_of_requester"), 999)},
        ),
        ({"currency": "EUR", "to_amount": 1000}, {}, {"amount": 1001}),
        ({"currency": "EUR", "to_amount": 1000}, {}, {"sum_of_payment": 1001}),
        ({"currency": "EUR", "to_amount": 1000}, {}, {"sum_of_customer": 1001}),
        ({"currency": "EUR", "to_amount": 1000}, {}, {"sum_of_requester": 1001}),
        ({"currency": "EUR", "from_amount": 1001}, {"sum_of_customer": 1001}, {}),
        (
            {"currency": "EUR", "from_amount": 1001, "sums_customer": False},
            {"sum_of_requester": 1001},
            {"sum_of_customer": 1001},
        ),
    ],
)
def test_a_rule_matches_when_all_that_it_names_fits(names: Any, fits: Any, misses: Any) -> None:
    rule = Rule(number=1, version=1, demand="2", **names)
    assert rules.matches(rule, facts(**fits))
    assert not rules.matches(rule, facts(**misses))


def test_the_strictest_rule_counts_and_without_one_it_is_one_approval() -> None:
    book = [Rule(number=n, version=1, demand=demand) for n, demand in enumerate(("1", "0", "2", "block"), 1)]
    assert rules.strictest(book, facts()) is book[3]
    assert rules.strictest(book[:3], facts()) is book[2]
    assert rules.strictest(book[:2], facts()) is book[0]
    assert rules.approvals_needed(rules.strictest(book[1:2], facts())) == 0
    assert rules.approvals_needed(rules.strictest([], facts())) == 1


def test_of_two_rules_that_ask_the_same_the_first_one_is_named() -> None:
    book = [Rule(number=n, version=1, demand="2") for n in (2, 1, 3)]
    assert rules.strictest(book, facts()) is book[1]


def test_a_rule_that_names_no_days_counts_from_the_first_hour() -> None:
    rule = Rule(number=1, version=1, demand="2")
    assert rules.matches(rule, facts(days=0))


def test_never_more_than_two_approvals_are_waited_for() -> None:
    needed = {demand: rules.approvals_needed(Rule(number=1, version=1, demand=demand)) for demand in Rule.Demand}
    assert needed == {"0": 0, "1": 1, "2": 2, "block": 2}


@pytest.mark.promise("I32")
def test_where_two_are_needed_two_different_people_approve() -> None:
    make_rule("2", currency="EUR", from_amount=1000)
    refund = ask()
    assert (refund.approvals_needed, str(refund.rule)) == (2, "rule 1 v1")
    half = services.approve_refund(refund.pk, bob(), seen=refund.version)
    assert half.status == Status.REQUESTED
    with pytest.raises(WrongMoment, match="You have approved"):
        services.approve_refund(refund.pk, bob(), seen=half.version)
    with pytest.raises(SamePerson):
        services.approve_refund(refund.pk, also_an_approver(alice()), seen=half.version)
    with pytest.raises(WrongMoment, match="has changed since"):
        services.approve_refund(refund.pk, bert(), seen=refund.version)
    done = services.approve_refund(refund.pk, bert(), seen=half.version)
    assert again(done).status == Status.APPROVED


@pytest.mark.promise("I32")
def test_the_database_itself_counts_the_approvals() -> None:
    make_rule("2")
    refund = ask()
    services.approve_refund(refund.pk, bob(), seen=refund.version)
    with pytest.raises(IntegrityError, match="Too few people"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE refunds_refund SET status = 'approved' WHERE id = %s", [refund.pk])


@pytest.mark.promise("I32")
def test_a_word_that_no_longer_counts_makes_everybody_look_anew() -> None:
    make_rule("2")
    refund = ask()
    half = services.approve_refund(refund.pk, bob(), seen=refund.version)
    bob().groups.clear()
    next_one = services.approve_refund(refund.pk, bert(), seen=half.version)
    assert (next_one.status, next_one.revision) == (Status.REQUESTED, 2)
    done = services.approve_refund(refund.pk, person("berta", "Approvers"), seen=next_one.version)
    assert done.status == Status.APPROVED


def test_without_any_approval_the_rule_itself_lets_it_through(sandbox: Sandbox) -> None:
    make_rule("0", currency="EUR", to_amount=2000)
    refund = ask()
    assert refund.status == Status.APPROVED
    line = Event.objects.get(refund=refund, step="approved")
    assert (line.actor, line.source, line.actor_user) == ("rule 1 v1", "rule", None)
    services.send_refund(refund.pk)
    assert again(refund).sent_at


@pytest.mark.promise("I28")
def test_where_no_approval_was_needed_the_requester_is_looked_at_again(sandbox: Sandbox) -> None:
    make_rule("0")
    refund = ask()
    alice().groups.clear()
    services.send_refund(refund.pk)
    now_is = again(refund)
    assert (now_is.status, now_is.sent_at, now_is.approvals_needed) == (Status.REQUESTED, None, 1)


def test_a_blocked_refund_is_not_even_asked_for() -> None:
    make_rule("block", from_days=10)
    payment = make_payment()
    with pytest.raises(NotRefundable, match="rule 1 v1 forbids"):
        ask(payment)
    assert (Payment.objects.get().held, Refund.objects.count()) == (0, 0)


@pytest.mark.parametrize("how", ["payment", "customer", "requester"])
def test_splitting_an_amount_meets_the_rule_of_the_sum(how: str) -> None:
    make_rule("2", currency="EUR", from_amount=1500)
    first = make_payment(reference="pay-1", customer_email="anna@example.com")
    other = make_payment(
        reference="pay-2", customer_email="ANNA@example.com" if how == "customer" else "else@example.com"
    )
    by = alice() if how == "requester" else person("alma", "Agents")
    assert ask(first).approvals_needed == 1
    second = ask(first if how == "payment" else other, by=by)
    assert second.approvals_needed == 2


@pytest.mark.parametrize("status", ["rejected", "withdrawn", "failed", "reversed"])
def test_what_ended_without_money_is_not_summed(status: str) -> None:
    refund = ask(make_payment())
    Refund.objects.filter(pk=refund.pk).update(status=status, final_at=timezone.now())
    found = rulings.facts(refund.payment, 300, None, alice(), timezone.now())
    assert (found.sum_of_payment, found.sum_of_customer, found.sum_of_requester) == (300, 300, 300)


@pytest.mark.parametrize(("minutes", "sum_of_both"), [(24 * 60 - 1, 1300), (24 * 60 + 1, 300)])
def test_a_day_later_to_the_minute_the_sums_forget(minutes: int, sum_of_both: int) -> None:
    refund = ask()
    then = refund.requested_at + timedelta(minutes=minutes)
    found = rulings.facts(refund.payment, 300, None, alice(), then)
    assert (found.sum_of_payment, found.sum_of_customer, found.sum_of_requester) == (sum_of_both,) * 3


def test_sums_know_who_and_what_they_are_of() -> None:
    ask(make_payment(reference="pay-1", customer_email="anna@example.com"))
    ask(make_payment(reference="pay-2", customer_email="ANNA@example.com"), 200, by=person("alma", "Agents"))
    ask(make_payment(reference="pay-3", customer_email="anna@example.com", currency="PLN"), 50)
    fourth = make_payment(reference="pay-4", customer_email="Anna@Example.com")
    found = rulings.facts(fourth, 3, None, alice(), timezone.now())
    assert (found.amount, found.sum_of_payment, found.sum_of_customer, found.sum_of_requester) == (3, 3, 1203, 1003)
    assert (found.account_id, found.currency, found.reason_id) == (fourth.account_id, "EUR", None)


def test_customers_without_an_address_are_not_one_customer() -> None:
    ask(make_payment(reference="pay-1", customer_email=""))
    other = make_payment(reference="pay-2", customer_email="")
    assert rulings.facts(other, 300, None, alice(), timezone.now()).sum_of_customer == 300


def test_what_was_made_at_the_gateway_is_in_no_sum() -> None:
    payment = make_payment()
    made_there = {"amount": 1000, "status": "processing", "requested_at": timezone.now(), "reference": "theirs"}
    Refund.objects.create(payment=payment, account=payment.account, source=Refund.Source.GATEWAY, **made_there)
    found = rulings.facts(payment, 300, None, alice(), timezone.now())
    assert (found.sum_of_payment, found.sum_of_customer, found.sum_of_requester) == (300, 300, 300)


def test_a_refund_that_is_looked_at_anew_is_counted_once() -> None:
    refund = ask()
    found = rulings.facts(refund.payment, refund.amount, refund.reason, alice(), timezone.now(), refund.pk)
    assert (found.sum_of_payment, found.sum_of_customer, found.sum_of_requester) == (1000, 1000, 1000)
    assert found.reason_id == refund.reason_id


def test_days_are_counted_from_the_capture() -> None:
    now = timezone.now()
    payment = make_payment(captured_at=now - timedelta(days=3, hours=23))
    assert rulings.facts(payment, 1, None, alice(), now).days == 3


def test_a_rule_that_has_ended_is_not_met() -> None:
    make_rule("block", ended_at=timezone.now())
    assert ask().rule is None
    make_rule("2", currency="PLN")
    assert (ask(make_payment(reference="pay-2")).rule, rulings.rules_in_force().count()) == (None, 1)


def test_a_resubmitted_refund_meets_the_rules_anew_and_always_a_person() -> None:
    refund = ask()
    services.return_refund(refund.pk, bob(), "Which parcel?", seen=refund.version)
    make_rule("2", account=make_account())
    again_asked = services.resubmit_refund(refund.pk, alice(), "The blue one.", seen=again(refund).version)
    assert (again_asked.approvals_needed, str(again_asked.rule)) == (2, "rule 1 v1")
    services.return_refund(refund.pk, bob(), "And?", seen=again_asked.version)
    Rule.objects.update(ended_at=timezone.now())
    make_rule("0")
    once_more = services.resubmit_refund(refund.pk, alice(), "Really.", seen=again(refund).version)
    assert (once_more.approvals_needed, once_more.status) == (1, Status.REQUESTED)


@pytest.mark.parametrize("how", ["reason", "requester"])
def test_a_resubmitted_refund_is_judged_by_its_reason_and_its_requester_too(how: str) -> None:
    refund = ask()
    ask(make_payment(reference="pay-2", customer_email="else@example.com"))
    services.return_refund(refund.pk, bob(), "Which parcel?", seen=refund.version)
    if how == "reason":
        make_rule("2", reason=refund.reason)
    else:
        make_rule("2", currency="EUR", from_amount=2000, sums_payment=False, sums_customer=False)
    assert services.resubmit_refund(refund.pk, alice(), "Blue.", seen=again(refund).version).approvals_needed == 2


def test_a_refund_keeps_the_rule_that_it_met() -> None:
    rule = make_rule("2")
    refund = ask()
    Rule.objects.filter(pk=rule.pk).update(ended_at=timezone.now())
    half = services.approve_refund(refund.pk, bob(), seen=refund.version)
    assert (half.status, half.rule_id) == (Status.REQUESTED, rule.pk)


@pytest.mark.promise("I28")
def test_an_approval_ends_after_seven_days(sandbox: Sandbox) -> None:
    refund = approved()
    with time_machine.travel(timezone.now() + timedelta(days=7, minutes=1)):
        services.send_refund(refund.pk)
    now_is = again(refund)
    assert (now_is.status, now_is.sent_at) == (Status.REQUESTED, None)


def test_a_reason_meets_its_rule() -> None:
    make_rule("2", reason=RefundReason.objects.get(name="Goods returned"))
    assert ask().approvals_needed == 2


def test_a_resubmitted_refund_is_no_second_one_in_the_sums() -> None:
    make_rule("2", currency="EUR", from_amount=1500)
    refund = ask()
    services.return_refund(refund.pk, bob(), "Which parcel?", seen=refund.version)
    anew = services.resubmit_refund(refund.pk, alice(), "The blue one.", seen=again(refund).version)
    assert (anew.approvals_needed, anew.rule) == (1, None)


def test_another_reason_meets_no_rule_of_this_one() -> None:
    make_rule("block", reason=RefundReason.objects.get(name="Goodwill"))
    assert ask().approvals_needed == 1
