"""What people see of approvals: how many are needed, who gave one, what is new, and a total that is typed."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from refunds import services
from refunds.admin import queue
from refunds.models import Refund, Status
from tests.builders import again, alice, allow, ask, bert, bob, make_payment, make_rule, stand_in
from tests.refunds.test_admin_actions import choose, confirm
from tests.refunds.test_refund_screens import at_the_desk, page_of, step_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def text_of(user: Any, url: str) -> str:
    return at_the_desk(user).get(url).content.decode()


def press(user: Any, refund: Refund, step: str) -> str:
    """Take a step on its page; returns what the person is told."""
    answer = at_the_desk(user).post(step_of(refund, step), {"seen": again(refund).version})
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def test_the_first_of_two_approvals_says_that_another_person_is_needed() -> None:
    make_rule("2")
    refund = ask()
    assert "2 more needed of 2, by different people" in text_of(bob(), page_of(refund))
    assert "another person has to approve it as well" in press(bob(), refund, "approve")
    page = text_of(bert(), page_of(refund))
    assert "1 more needed of 2" in page
    assert "rule 1 v1" in page
    assert "is approved" in press(bert(), refund, "approve")
    assert again(refund).status == Status.APPROVED


def test_who_has_approved_already_is_not_asked_again() -> None:
    make_rule("2")
    refund = ask()
    press(bob(), refund, "approve")
    assert list(queue.waiting_for(bob())) == []
    assert list(queue.waiting_for(bert())) == [refund]


def test_an_approval_with_somebody_elses_allowance_says_so() -> None:
    allow(bob(), "approve", 1, 1)
    stand_in(bob(), bert())
    make_rule("2")
    refund = ask()
    press(bob(), refund, "approve")
    assert "bob for bert" in text_of(bert(), page_of(refund))


def test_an_approval_that_no_longer_counts_is_shown_as_such() -> None:
    make_rule("2")
    refund = ask()
    press(bob(), refund, "approve")
    bob().groups.clear()
    assert "no longer counts: bob, on whose word it was approved, may no longer approve" in text_of(
        bert(), page_of(refund)
    )


def test_what_has_changed_since_the_last_look_stands_above_the_decision() -> None:
    refund = ask()
    services.return_refund(refund.pk, bob(), "Which parcel?", seen=refund.version)
    services.resubmit_refund(refund.pk, alice(), "The blue one.", seen=again(refund).version)
    for url in (page_of(refund), step_of(refund, "approve")):
        page = text_of(bob(), url)
        since = page[page.index("Since your last step") :]
        assert "The blue one." in since[:2000]
        assert "by alice" in since[:2000]
        assert "Since your last step" not in text_of(bert(), url)


def test_a_request_that_needs_nobody_says_so() -> None:
    make_rule("0")
    payment = make_payment()
    answer = at_the_desk(alice()).post(
        reverse("admin:refunds_payment_request", args=(payment.pk,)),
        {"amount": "10.00", "reason": "1", "seen_free": payment.free},
        follow=True,
    )
    assert "needs no approval and is sent" in answer.content.decode()
    assert Refund.objects.get().status == Status.APPROVED


def test_a_large_total_is_typed_before_anything_is_approved() -> None:
    payment = make_payment(captured=200000)
    refunds = [ask(payment, 60000), ask(payment, 60000)]
    assert "type the total in EUR: 1200.00" in choose(bob(), "approve_selected", refunds).content.decode()
    for typed in ("", "1200", "600.00"):
        page = confirm(bob(), "approve_selected", refunds, total_EUR=typed).content.decode()
        assert "Nothing was done. Type the total exactly as shown: 1200.00 EUR" in page
        assert {again(refund).status for refund in refunds} == {Status.REQUESTED}
    confirm(bob(), "approve_selected", refunds, total_EUR="1200.00")
    assert {again(refund).status for refund in refunds} == {Status.APPROVED}


def test_a_small_total_and_a_rejection_need_no_typing() -> None:
    payment = make_payment(captured=200000)
    small, large = ask(payment, 99999), ask(payment, 100000)
    assert "type the total" not in choose(bob(), "approve_selected", [small]).content.decode()
    assert "type the total" not in choose(bob(), "reject_selected", [large]).content.decode()
