"""The approver's steps in detail: what is kept of each, what is said, and what stops it."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from refunds import policy, services
from refunds.errors import BadInput, NotAllowed, NotRefundable, SamePerson, WrongMoment
from refunds.models import Approval, Payment, Refund, Scope
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
from tests.refunds.test_record import standing_in

pytestmark = pytest.mark.django_db

DECIDE: dict[str, Any] = {
    "approve": lambda refund, seen: services.approve_refund(refund.pk, bob(), seen=seen),
    "reject": lambda refund, seen: services.reject_refund(refund.pk, bob(), " No receipt. ", seen=seen),
    "return": lambda refund, seen: services.return_refund(refund.pk, bob(), " Which? ", seen=seen),
    "take back the approval of": lambda refund, seen: services.unapprove_refund(refund.pk, bob(), " Wait. ", seen=seen),
}
to_do = pytest.mark.parametrize("to_do", DECIDE)


def waiting_for(to_do: str) -> Refund:
    return approved() if to_do.startswith("take back") else ask()


def test_an_approval_keeps_who_when_and_what_was_shown() -> None:
    refund, before = ask(), timezone.now()
    approval = Approval.objects.get(refund=services.approve_refund(refund.pk, bob(), seen=1))
    assert (approval.approver, approval.acting_for, approval.revision) == (bob(), None, 1)
    assert approval.digest == policy.digest(again(refund))
    now_is = again(refund)
    assert before <= approval.approved_at == now_is.approved_at == now_is.ask_at <= timezone.now()
    assert (now_is.status, now_is.asks, now_is.events.last().text) == ("approved", 0, "Approval 1 of 1.")


@pytest.mark.promise("I32")
def test_the_first_of_two_moves_nothing_and_is_written_down() -> None:
    make_rule("2")
    refund = ask()
    half = again(services.approve_refund(refund.pk, bob(), seen=1))
    assert (half.status, half.approved_at, half.ask_at, half.version) == ("requested", None, None, 2)
    line = half.events.last()
    assert (line.step, line.text, line.actor) == ("approved by one", "Approval 1 of 2.", "bob")
    services.approve_refund(refund.pk, bert(), seen=2)
    assert again(refund).events.last().text == "Approval 2 of 2."


def test_a_deputy_is_written_down_with_whose_allowance_it_was() -> None:
    allow(bob(), "approve", largest=100, per_day=100)
    stand_in(bob(), bert())
    assert approved().events.last().text == "With the allowance of bert. Approval 1 of 1."


@pytest.mark.promise("I32")
def test_a_void_word_is_written_down_by_the_desk_itself() -> None:
    make_rule("2")
    refund = ask()
    services.approve_refund(refund.pk, bob(), seen=1)
    bob().groups.clear()
    services.approve_refund(refund.pk, bert(), seen=2)
    line = refund.events.get(step="approval void")
    assert (line.source, line.actor_user) == ("worker", None)
    assert line.text == "bob, on whose word it was approved, may no longer approve refunds."
    assert list(Approval.objects.values_list("revision", flat=True)) == [1, 2]
    assert refund.events.last().text == "Approval 1 of 2."


@to_do
def test_an_old_page_another_account_and_a_lost_right_stop_each_step(to_do: str) -> None:
    refund = waiting_for(to_do)
    with pytest.raises(WrongMoment, match="has changed since"):
        DECIDE[to_do](refund, refund.version - 1)
    limit_to(bob(), make_account("bank"))
    with pytest.raises(NotAllowed, match="do not work with"):
        DECIDE[to_do](refund, refund.version)
    Scope.objects.all().delete()
    bob().groups.clear()
    with pytest.raises(NotAllowed, match=f"You may not {to_do} a refund"):
        DECIDE[to_do](refund, refund.version)


@to_do
@pytest.mark.promise("I27")
def test_who_asked_is_told_that_somebody_else_has_to(to_do: str) -> None:
    refund = waiting_for(to_do)
    alice().groups.set(bob().groups.all())
    step = {
        "approve": lambda: services.approve_refund(refund.pk, alice(), seen=refund.version),
        "reject": lambda: services.reject_refund(refund.pk, alice(), "No.", seen=refund.version),
        "return": lambda: services.return_refund(refund.pk, alice(), "Which?", seen=refund.version),
    }.get(to_do, lambda: services.unapprove_refund(refund.pk, alice(), "Wait.", seen=refund.version))
    with pytest.raises(SamePerson, match=f"somebody else has to {to_do} it"):
        step()


@to_do
@pytest.mark.parametrize("status", ["sending", "unknown", "processing", "succeeded", "failed"])
def test_once_it_is_on_its_way_nothing_is_decided(to_do: str, status: Any) -> None:
    refund = standing_in(status)
    with pytest.raises(WrongMoment, match="nothing to decide"):
        DECIDE[to_do](refund, refund.version)


@to_do
def test_what_was_made_at_the_gateway_is_nobody_s_to_decide(to_do: str) -> None:
    payment = make_payment()
    made_there = {"amount": 1000, "status": "processing", "requested_at": timezone.now(), "reference": "theirs"}
    refund = Refund.objects.create(payment=payment, account=payment.account, source="gateway", **made_there)
    with pytest.raises(NotAllowed, match="made at the gateway"):
        DECIDE[to_do](refund, refund.version)


def test_what_is_approved_is_not_approved_again() -> None:
    refund = approved()
    with pytest.raises(WrongMoment, match="already"):
        services.approve_refund(refund.pk, bert(), seen=refund.version)
    assert Approval.objects.count() == 1


@pytest.mark.parametrize("change", [{"disputed_at": True}, {"account__is_active": False}], ids=["disputed", "off"])
def test_what_is_not_refundable_meanwhile_is_not_approved(change: dict[str, Any]) -> None:
    refund = ask()
    if "disputed_at" in change:
        Payment.objects.update(disputed_at=timezone.now())
    else:
        refund.account.is_active = False
        refund.account.save()
    with pytest.raises(NotRefundable):
        services.approve_refund(refund.pk, bob(), seen=1)
    assert not Approval.objects.exists()


def test_an_approval_taken_back_leaves_nothing_due() -> None:
    make_rule("0")
    refund = again(ask())
    Refund.objects.filter(pk=refund.pk).update(needs_attention="Ask Finance.")
    services.unapprove_refund(refund.pk, bob(), " Wait. ", seen=refund.version)
    now_is = again(refund)
    assert (now_is.status, now_is.revision, now_is.approvals_needed) == ("requested", 2, 1)
    assert (now_is.approved_at, now_is.ask_at, now_is.needs_attention) == (None, None, "Ask Finance.")
    line = now_is.events.last()
    assert (line.step, line.text, line.actor) == ("approval taken back", "Wait.", "bob")


def test_two_are_still_two_after_an_approval_was_taken_back() -> None:
    make_rule("2")
    refund = ask()
    services.approve_refund(refund.pk, bob(), seen=1)
    services.approve_refund(refund.pk, bert(), seen=2)
    services.unapprove_refund(refund.pk, person("berta", "Approvers"), "Wait.", seen=3)
    assert again(refund).approvals_needed == 2


def test_a_rejected_refund_is_over_and_says_why() -> None:
    refund, before = ask(), timezone.now()
    services.reject_refund(refund.pk, bob(), " No receipt. ", seen=1)
    now_is = again(refund)
    assert before <= now_is.final_at <= timezone.now()
    line = now_is.events.last()
    assert (now_is.status, line.step, line.text, line.actor) == ("rejected", "rejected", "No receipt.", "bob")


def test_a_returned_refund_asks_its_question() -> None:
    refund = ask()
    assert services.return_refund(refund.pk, bob(), " Which? ", seen=1) == refund
    line = refund.events.last()
    assert (again(refund).status, line.step, line.text, line.actor) == ("returned", "returned", "Which?", "bob")


@pytest.mark.parametrize(
    ("to_do", "step", "why"),
    [
        ("reject", services.reject_refund, "Say why you reject it"),
        ("return", services.return_refund, "Write the question"),
        ("take back the approval of", services.unapprove_refund, "Say why you take the approval back"),
    ],
)
def test_a_step_without_its_words_says_which_are_missing(to_do: str, step: Any, why: str) -> None:
    refund = waiting_for(to_do)
    with pytest.raises(BadInput, match=why):
        step(refund.pk, bob(), " ", seen=refund.version)
