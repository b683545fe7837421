"""Sandbox or live: said on every page, row and message that speaks of a refund."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from refunds.admin.steps import STEPS
from refunds.models import Refund, RefundReason
from tests.builders import again, alice, approved, ask, bob, make_account, make_payment, person
from tests.refunds.test_refund_screens import at_the_desk

pytestmark = pytest.mark.django_db

MODES = ("sandbox", "live")
LISTS = ("refund", "payment", "account")


def badge(mode: str) -> str:
    return f'<span class="desk-mode {mode}">{mode}</span>'


def ours(mode: str) -> Refund:
    """Requested by Alice, on an account of this mode."""
    account = make_account(mode=mode)
    return ask(make_payment(account=account, captured=9000))


@pytest.mark.parametrize("mode", MODES)
def test_every_list_shows_it_in_every_row(mode: str) -> None:
    ours(mode)
    person("root", is_superuser=True)
    desk = at_the_desk(person("root"))
    for name in LISTS:
        body = desk.get(reverse(f"admin:refunds_{name}_changelist")).content.decode()
        assert badge(mode) in body, name


@pytest.mark.parametrize("mode", MODES)
def test_the_pages_of_a_refund_and_of_its_payment_show_it(mode: str) -> None:
    refund = ours(mode)
    for user in (alice(), bob()):
        pages = [
            reverse("admin:index"),
            reverse("admin:refunds_refund_change", args=(refund.pk,)),
            reverse("admin:refunds_payment_change", args=(refund.payment_id,)),
        ]
        for page in pages:
            assert badge(mode) in at_the_desk(user).get(page).content.decode(), page
    form = reverse("admin:refunds_payment_request", args=(refund.payment_id,))
    assert badge(mode) in at_the_desk(alice()).get(form).content.decode()
    assert badge(mode) in at_the_desk(alice()).post(form, {"amount": "x"}).content.decode()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STEPS)
def test_every_step_page_shows_it(mode: str, name: str) -> None:
    refund = ours(mode)
    everybody = person("maria")
    everybody.groups.set([*alice().groups.all(), *bob().groups.all(), *person("fin", "Finance").groups.all()])
    answer = at_the_desk(everybody).get(reverse("admin:refunds_refund_step", args=(refund.pk, name)))
    assert answer.status_code == 200
    assert badge(mode) in answer.content.decode()


@pytest.mark.parametrize("mode", MODES)
def test_the_pages_before_many_steps_show_it_in_every_row(mode: str) -> None:
    refund = ours(mode)
    picked = {"action": "approve_selected", "_selected_action": [refund.pk]}
    body = at_the_desk(bob()).post(reverse("admin:refunds_refund_changelist"), picked).content.decode()
    assert badge(mode) in body
    picked = {"action": "request_what_is_free", "_selected_action": [refund.payment_id]}
    body = at_the_desk(alice()).post(reverse("admin:refunds_payment_changelist"), picked).content.decode()
    assert badge(mode) in body


def said(answer: object) -> str:
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


@pytest.mark.parametrize("mode", MODES)
def test_every_message_about_a_refund_names_it(mode: str) -> None:
    refund = ours(mode)
    step = reverse("admin:refunds_refund_step", args=(refund.pk, "approve"))
    assert said(at_the_desk(bob()).post(step, {"seen": refund.version})) == (
        f"{refund} of 10.00\xa0EUR is approved ({mode}). Nothing else waits for your decision."
    )
    typed = {"amount": "1.00", "reason": RefundReason.objects.first().pk, "seen_free": 8000}
    form = reverse("admin:refunds_payment_request", args=(refund.payment_id,))
    assert f"({mode})" in said(at_the_desk(alice()).post(form, typed))


@pytest.mark.parametrize("mode", MODES)
def test_what_was_done_to_many_names_it_for_each(mode: str) -> None:
    refund = ours(mode)
    other = approved(refund.payment)
    picked = {"action": "approve_selected", "_selected_action": [refund.pk, other.pk], "confirmed": "yes"}
    seen = {f"seen_{refund.pk}": refund.version, f"seen_{other.pk}": other.version}
    result = at_the_desk(bob()).post(reverse("admin:refunds_refund_changelist"), {**picked, **seen}, follow=True)
    for one in (refund, other):
        assert f"{one}</a> {badge(mode)}" in result.content.decode()
    free = {"action": "request_what_is_free", "_selected_action": [refund.payment_id], "confirmed": "yes"}
    free |= {f"seen_{refund.payment_id}": 7000, "reason": RefundReason.objects.first().pk}
    told = said(at_the_desk(alice()).post(reverse("admin:refunds_payment_changelist"), free))
    assert f"({mode})" in told


@pytest.mark.parametrize("mode", MODES)
def test_what_two_people_declare_names_it(mode: str) -> None:
    refund = ours(mode)
    fin = person("fin", "Finance")
    Refund.objects.filter(pk=refund.pk).update(status="processing", version=2)
    desk = at_the_desk(fin)
    page = reverse("admin:refunds_refund_declare", args=(refund.pk,))
    assert badge(mode) in desk.get(page).content.decode()
    typed = {"outcome": "succeeded", "note": "Seen in their screens.", "ticket": "T-1", "seen": 2}
    assert f"{refund} ({mode})" in said(desk.post(page, typed))
    confirm = reverse("admin:refunds_refund_confirm", args=(refund.pk,))
    second = at_the_desk(person("fay", "Finance"))
    assert badge(mode) in second.get(confirm).content.decode()
    assert f"{refund} ({mode})" in said(second.post(confirm, {"seen": again(refund).version}))
