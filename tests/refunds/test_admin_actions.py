"""Each admin action, with a worker running: what it does is read in the gateway's own request log."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from refunds.models import Payment, Refund, RefundReason
from refunds.services.record import NOT_REACHED
from tests.builders import again, alice, approved, ask, bob, carol, make_payment, person
from tests.house import House, until, until_status

REFUNDS, PAYMENTS = "admin:refunds_refund_changelist", "admin:refunds_payment_changelist"
REFUND_ACTIONS = (
    "approve_selected",
    "send_selected",
    "check_selected",
    "return_selected",
    "reject_selected",
    "withdraw_selected",
)


def choose(user: Any, action: str, rows: list[Any], where: str = REFUNDS, **fields: Any) -> Any:
    """The first POST, as the Action drop-down sends it."""
    client = Client()
    client.force_login(user)
    return client.post(reverse(where), {"action": action, "_selected_action": [row.pk for row in rows], **fields})


def confirm(user: Any, action: str, rows: list[Any], where: str = REFUNDS, **fields: Any) -> Any:
    """The second POST, as the confirmation page sends it."""
    seen = {f"seen_{row.pk}": row.version if where == REFUNDS else row.free for row in rows}
    client = Client()
    client.force_login(user)
    posted = {"action": action, "_selected_action": [row.pk for row in rows], "confirmed": "yes", **seen, **fields}
    return client.post(reverse(where), posted, follow=True)


@pytest.mark.django_db(transaction=True)
def test_approve_and_send_selected_reaches_the_gateway_once_per_refund(house: House) -> None:
    payment = make_payment(captured=9000)
    refunds = [ask(payment, 1000), ask(payment, 2000)]
    house.start_worker()
    assert "30.00\xa0EUR" in choose(bob(), "approve_selected", refunds).content.decode()
    assert house.sandbox.ledger() == []
    answer = confirm(bob(), "approve_selected", refunds)
    assert "2 done" in answer.content.decode()
    for refund in refunds:
        until_status(refund, "succeeded")
        assert [call["status"] for call in house.asked(refund, "PUT")] == [200]


@pytest.mark.django_db(transaction=True)
def test_send_selected_now_tries_a_waiting_refund_at_once(house: House) -> None:
    refund = approved()
    Refund.objects.filter(pk=refund.pk).update(ask_at="2030-01-01T00:00Z", needs_attention=NOT_REACHED)
    house.start_worker()
    confirm(bob(), "send_selected", [refund])
    until_status(refund, "succeeded")
    assert len(house.asked(refund, "PUT")) == 1


@pytest.mark.django_db(transaction=True)
def test_check_selected_asks_the_gateway(house: House) -> None:
    refund = approved()
    house.start_worker()
    until_status(refund, "succeeded")
    until(lambda: again(refund).ask_at is None)
    n_asked = len(house.asked(refund, "GET"))
    confirm(alice(), "check_selected", [again(refund)])
    until(lambda: len(house.asked(refund, "GET")) > n_asked)
    assert len(house.asked(refund, "PUT")) == 1


@pytest.mark.django_db(transaction=True)
def test_request_of_what_is_free_goes_to_the_gateway_only_after_an_approval(house: House) -> None:
    payment = make_payment(captured=9000)
    ask(payment, 4000)
    payment.refresh_from_db(fields=["held"])
    house.start_worker()
    fields = {"reason": RefundReason.objects.first().pk, "ticket": "T-7"}
    assert "50.00\xa0EUR" in choose(alice(), "request_what_is_free", [payment], PAYMENTS).content.decode()
    confirm(alice(), "request_what_is_free", [payment], PAYMENTS, **fields)
    refund = Refund.objects.get(amount=5000)
    assert (refund.status, refund.ticket) == ("requested", "T-7")
    confirm(bob(), "approve_selected", [refund])
    until_status(refund, "succeeded")
    assert len(house.asked(refund, "PUT")) == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("action", "by", "ends"),
    [
        ("return_selected", bob, "returned"),
        ("reject_selected", bob, "rejected"),
        ("withdraw_selected", alice, "withdrawn"),
    ],
)
def test_the_other_steps_work_for_many_too(action: str, by: Any, ends: str) -> None:
    payment = make_payment(captured=9000)
    refunds = [ask(payment, 1000), ask(payment, 2000)]
    confirm(by(), action, refunds, text="Because.")
    assert {again(refund).status for refund in refunds} == {ends}


@pytest.mark.django_db
@pytest.mark.parametrize("action", REFUND_ACTIONS)
def test_the_first_post_of_an_action_only_asks(action: str) -> None:
    user = person("both", "Approvers")
    user.groups.add(*alice().groups.all())
    refund = ask()
    answer = choose(user, action, [refund], text="Because.")
    assert 'name="confirmed"' in answer.content.decode()
    assert (again(refund).version, refund.events.count()) == (1, 1)


@pytest.mark.django_db
@pytest.mark.parametrize("action", REFUND_ACTIONS)
@pytest.mark.parametrize("post", [choose, confirm])
def test_a_person_who_may_only_look_changes_nothing(action: str, post: Any) -> None:
    refund = ask()
    post(carol(), action, [refund], text="Because.")
    assert (again(refund).version, again(refund).ask_at) == (1, None)


@pytest.mark.django_db
def test_a_person_who_may_only_look_requests_nothing() -> None:
    payment = make_payment()
    confirm(carol(), "request_what_is_free", [payment], PAYMENTS, reason=RefundReason.objects.first().pk)
    assert not Refund.objects.exists()


@pytest.mark.django_db
def test_selecting_everything_is_refused() -> None:
    refund = ask()
    answer = confirm(bob(), "approve_selected", [refund], select_across="1")
    assert "Pick the rows one by one" in answer.content.decode()
    assert again(refund).status == "requested"


@pytest.mark.django_db
def test_more_than_fifty_rows_are_refused() -> None:
    payment = make_payment(captured=99000)
    refunds = [ask(payment, 100) for _ in range(51)]
    answer = confirm(bob(), "approve_selected", refunds)
    assert "At most 50" in answer.content.decode()
    assert not Refund.objects.exclude(status="requested").exists()


@pytest.mark.django_db
def test_each_row_is_decided_by_itself_and_says_so() -> None:
    user = person("both", "Agents")
    user.groups.add(*bob().groups.all())
    payment = make_payment(captured=9000)
    own, others, stale = ask(payment, 1000, by=user), ask(payment, 2000), ask(payment, 3000)
    shown = choose(user, "approve_selected", [own, others, stale]).content.decode()
    assert "Skipped" in shown
    assert f"You asked for {own} yourself" in shown
    stale.version += 1
    answer = confirm(user, "approve_selected", [own, others, stale]).content.decode()
    assert "1 done" in answer
    assert "You asked for" in answer
    assert "has changed since you opened it" in answer
    assert [again(refund).status for refund in (own, others, stale)] == ["requested", "approved", "requested"]


@pytest.mark.django_db
def test_rows_that_were_not_on_the_page_are_left_alone() -> None:
    payment = make_payment(captured=9000)
    shown, smuggled = ask(payment, 1000), ask(payment, 2000)
    confirm(bob(), "approve_selected", [shown], _selected_action=[shown.pk, smuggled.pk])
    assert again(smuggled).status == "requested"


@pytest.mark.django_db
def test_a_rejection_of_many_needs_its_reason() -> None:
    refund = ask()
    answer = confirm(bob(), "reject_selected", [refund], text=" ")
    assert "Please write it down" in answer.content.decode()
    assert again(refund).status == "requested"


def test_every_action_declares_a_permission() -> None:
    for model, screen in admin.site._registry.items():
        for name in screen.actions or ():
            action = getattr(screen, name)
            assert action.allowed_permissions, (model, name)


@pytest.mark.django_db
def test_a_disputed_payment_is_shown_as_skipped() -> None:
    payment = make_payment(disputed_at="2026-11-01T00:00Z")
    shown = choose(alice(), "request_what_is_free", [payment], PAYMENTS).content.decode()
    assert "Skipped" in shown
    assert "This payment is disputed" in shown
    assert Payment.objects.get().held == 0
