"""The steps that people take: who may, when, and what becomes of the money."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from refunds import services
from refunds.errors import BadInput, NotAllowed, NotRefundable, RefundError, SamePerson, TooMuch, WrongMoment
from refunds.models import Approval, Event, Payment, Refund, RefundReason
from refunds.services.actor import WORKER
from refunds.services.steps import take_step
from tests.builders import again, alice, approved, ask, bob, make_payment, person

pytestmark = pytest.mark.django_db


def sums(payment: Payment) -> tuple[int, int]:
    payment = Payment.objects.get(pk=payment.pk)
    return payment.held, payment.refunded


def test_a_request_holds_its_amount_and_writes_the_first_line() -> None:
    payment = make_payment(captured=5000)
    refund = ask(payment, 1200, internal_note="calls every day")
    assert sums(payment) == (1200, 0)
    line = refund.events.get()
    assert (line.sequence, line.step, line.actor, line.to_status) == (1, "requested", "alice", "requested")


@pytest.mark.promise("I8")
@pytest.mark.parametrize("amount", [0, -1, 5001, 10**18, 2**63, -(2**63)])
def test_an_amount_that_is_not_there_is_refused(amount: int) -> None:
    payment = make_payment(captured=5000)
    with pytest.raises(RefundError):
        ask(payment, amount)
    assert sums(payment) == (0, 0)
    assert not Refund.objects.exists()


@pytest.mark.promise("I8")
@pytest.mark.parametrize("amount", [1, 4999, 5000])
def test_an_amount_up_to_what_is_free_is_taken(amount: int) -> None:
    payment = make_payment(captured=5000)
    ask(payment, amount)
    assert sums(payment) == (amount, 0)


def test_more_than_is_free_says_how_much_is_left() -> None:
    payment = make_payment(captured=5000)
    ask(payment, 4000)
    with pytest.raises(TooMuch, match=r"10\.00 EUR can still be refunded"):
        ask(payment, 1001)


def test_a_form_that_shows_an_old_free_amount_is_refused_even_if_it_would_fit() -> None:
    payment = make_payment(captured=5000)
    reason = RefundReason.objects.first()
    ask(payment, 1000)
    with pytest.raises(WrongMoment, match=r"it is 40\.00 EUR now"):
        services.request_refund(payment.pk, 100, reason, alice(), seen_free=5000)


def test_a_disputed_payment_is_not_refunded() -> None:
    payment = make_payment(disputed_at=timezone.now())
    with pytest.raises(NotRefundable, match="disputed"):
        ask(payment)


def test_a_payment_of_a_switched_off_account_is_not_refunded() -> None:
    payment = make_payment()
    payment.account.is_active = False
    payment.account.save()
    with pytest.raises(NotRefundable, match="switched off"):
        ask(payment)


def test_what_the_wire_cannot_carry_is_refused_at_the_request() -> None:
    with pytest.raises(NotRefundable):
        ask(make_payment(reference="not a payerly id!"))
    assert not Refund.objects.exists()


def test_a_retired_reason_is_refused() -> None:
    reason = RefundReason.objects.create(name="Old", wording="old", is_active=False)
    with pytest.raises(BadInput, match="no longer in use"):
        ask(reason=reason)


def test_the_reason_is_frozen_as_it_was_at_the_request() -> None:
    reason = RefundReason.objects.create(name="Mine", wording="Before")
    reason.words.create(gateway="payerly", word="CF")
    refund = ask(reason=reason)
    reason.wording = "After"
    reason.save()
    reason.words.update(word="XX")
    assert (again(refund).public_note, again(refund).reason_word) == ("Before", "CF")


def test_somebody_else_approves_and_it_comes_due_at_once() -> None:
    refund = approved()
    assert refund.status == "approved"
    assert refund.ask_at <= timezone.now()
    assert Approval.objects.get().requester == alice()


@pytest.mark.parametrize("decide", ["approve_refund", "reject_refund", "return_refund"])
def test_nobody_decides_about_a_refund_of_their_own(decide: str) -> None:
    both = person("eve", "Agents")
    both.groups.add(*bob().groups.all())
    refund = ask(by=both)
    words = [] if decide == "approve_refund" else ["because"]
    with pytest.raises(SamePerson):
        getattr(services, decide)(refund.pk, both, *words, seen=refund.version)
    assert again(refund).status == "requested"


def test_a_superuser_moves_no_money() -> None:
    admin = person("root", is_superuser=True)
    refund = ask()
    with pytest.raises(NotAllowed, match="superuser"):
        services.approve_refund(refund.pk, admin, seen=refund.version)
    with pytest.raises(NotAllowed, match="superuser"):
        ask(refund.payment, 1, by=admin)


def test_the_database_itself_refuses_an_approval_by_the_requester() -> None:
    refund = ask()
    approval = {"refund": refund, "revision": 1, "digest": "x", "approved_at": timezone.now()}
    with pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.create(approver=alice(), requester=alice(), **approval)
    with pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.create(approver=alice(), requester=bob(), **approval)


def test_a_stale_page_approves_nothing() -> None:
    refund = ask()
    services.return_refund(refund.pk, bob(), "Which order?", seen=refund.version)
    services.resubmit_refund(refund.pk, alice(), "Order 7.", seen=refund.version + 1)
    with pytest.raises(WrongMoment, match="has changed since you opened it"):
        services.approve_refund(refund.pk, bob(), seen=refund.version)
    assert again(refund).status == "requested"


def test_a_second_click_approves_nothing_more() -> None:
    refund = approved()
    with pytest.raises(WrongMoment):
        services.approve_refund(refund.pk, bob(), seen=refund.version - 1)
    assert Approval.objects.count() == 1


def test_returned_and_resubmitted_waits_for_a_new_decision() -> None:
    refund = ask()
    services.return_refund(refund.pk, bob(), "Which order?", seen=1)
    assert sums(refund.payment) == (1000, 0)
    services.resubmit_refund(refund.pk, alice(), "Order 7.", seen=2)
    refund = again(refund)
    assert (refund.status, refund.revision) == ("requested", 2)
    assert services.approve_refund(refund.pk, bob(), seen=3).status == "approved"


def test_only_the_requester_resubmits_and_withdraws() -> None:
    other = person("agent-two", "Agents")
    refund = ask()
    with pytest.raises(NotAllowed, match="Only alice"):
        services.withdraw_refund(refund.pk, other, seen=1)
    services.return_refund(refund.pk, bob(), "Which order?", seen=1)
    with pytest.raises(NotAllowed, match="Only alice"):
        services.resubmit_refund(refund.pk, other, "Order 7.", seen=2)


@pytest.mark.parametrize("words", ["", "   "])
def test_a_no_needs_its_reason(words: str) -> None:
    refund = ask()
    for step in (services.reject_refund, services.return_refund):
        with pytest.raises(BadInput):
            step(refund.pk, bob(), words, seen=1)


def test_rejected_and_withdrawn_free_the_amount() -> None:
    payment = make_payment(captured=5000)
    first, second = ask(payment, 1000), ask(payment, 2000)
    services.reject_refund(first.pk, bob(), "No receipt.", seen=1)
    services.withdraw_refund(second.pk, alice(), seen=1)
    assert sums(payment) == (0, 0)


def test_an_approval_taken_back_has_to_be_given_again() -> None:
    refund = approved()
    services.unapprove_refund(refund.pk, bob(), "Wrong one.", seen=refund.version)
    refund = again(refund)
    assert (refund.status, refund.revision, refund.ask_at) == ("requested", 2, None)
    assert services.approve_refund(refund.pk, bob(), seen=refund.version).status == "approved"


def test_every_step_has_its_own_journal_line() -> None:
    refund = approved()
    services.unapprove_refund(refund.pk, bob(), "Wrong one.", seen=2)
    services.withdraw_refund(refund.pk, alice(), seen=3)
    lines = Event.objects.filter(refund=refund).values_list("sequence", "step", "from_status", "to_status", "actor")
    assert list(lines) == [
        (1, "requested", "", "requested", "alice"),
        (2, "approved", "requested", "approved", "bob"),
        (3, "approval taken back", "approved", "requested", "bob"),
        (4, "withdrawn", "requested", "withdrawn", "alice"),
    ]


@pytest.mark.promise("I24")
def test_a_person_who_acted_cannot_be_deleted() -> None:
    refund = ask()
    with pytest.raises(IntegrityError):
        alice().delete()
    assert again(refund).requested_by == alice()


@pytest.mark.promise("I19")
def test_a_stale_copy_takes_no_step_even_where_no_lock_holds_it_back() -> None:
    refund = ask()
    first, stale = again(refund), again(refund)
    take_step(first, "noted", WORKER)
    with pytest.raises(WrongMoment, match="at the same moment"), transaction.atomic():
        take_step(stale, "noted", WORKER)
