"""The pages of a refund and of a payment: what they show, what they offer, and that only POST does."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from refunds.models import Payment, Refund, RefundReason
from tests.builders import again, alice, approved, ask, bob, carol, dora, make_payment, person

pytestmark = pytest.mark.django_db


def at_the_desk(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(refund: Refund) -> str:
    return reverse("admin:refunds_refund_change", args=(refund.pk,))


def step_of(refund: Refund, name: str) -> str:
    return reverse("admin:refunds_refund_step", args=(refund.pk, name))


def request_form(payment: object) -> str:
    return reverse("admin:refunds_payment_request", args=(payment.pk,))


def test_the_payment_page_divides_what_was_captured() -> None:
    payment = make_payment(captured=5000)
    ask(payment, 1200)
    body = at_the_desk(alice()).get(reverse("admin:refunds_payment_change", args=(payment.pk,))).content.decode()
    assert "50.00\xa0EUR" in body
    assert "12.00\xa0EUR" in body
    assert "38.00\xa0EUR" in body


def test_an_agent_requests_a_refund_by_the_form() -> None:
    payment = make_payment(captured=5000)
    reason = RefundReason.objects.get(name="Goodwill")
    client = at_the_desk(alice())
    assert 'value="50.00"' in client.get(request_form(payment)).content.decode()
    typed = {"amount": "10.00", "reason": reason.pk, "ticket": "T-1", "internal_note": "hush", "seen_free": 5000}
    client.post(request_form(payment), typed)
    refund = Refund.objects.get()
    assert (refund.amount, refund.reason, refund.ticket, refund.requested_by) == (1000, reason, "T-1", alice())


@pytest.mark.promise("I8")
@pytest.mark.parametrize("typed", ["", " ", "0", "0.00", "-1", "1e3", "1,5", "NaN", "10.001", "٣", "1_0", "50.01"])
def test_an_amount_that_cannot_be_is_refused_and_nothing_typed_is_lost(typed: str) -> None:
    payment = make_payment(captured=5000)
    reason = RefundReason.objects.first()
    posted = {"amount": typed, "reason": reason.pk, "internal_note": "keep me", "seen_free": 5000}
    answer = at_the_desk(alice()).post(request_form(payment), posted)
    assert answer.status_code == 409
    assert "keep me" in answer.content.decode()
    assert not Refund.objects.exists()


@pytest.mark.promise("I8")
@pytest.mark.parametrize(
    ("currency", "typed"),
    [
        *(("JPY", text) for text in ("0", "1.0", "0.5", "49.99", "5001", str(10**18))),
        *(("KWD", text) for text in ("0.000", "0.0005", "1.0000", "5.001", "50.00", str(10**18))),
    ],
)
def test_an_amount_off_the_currencys_grid_or_over_what_is_free_is_refused(currency: str, typed: str) -> None:
    payment = make_payment(captured=5000, currency=currency)
    posted = {"amount": typed, "reason": RefundReason.objects.first().pk, "seen_free": 5000}
    assert at_the_desk(alice()).post(request_form(payment), posted).status_code == 409
    assert (Refund.objects.count(), Payment.objects.get().held) == (0, 0)


@pytest.mark.promise("I8")
@pytest.mark.parametrize(
    ("currency", "typed", "minor"),
    [("JPY", "5000", 5000), ("JPY", "1", 1), ("KWD", "5.000", 5000), ("KWD", "0.001", 1)],
)
def test_the_least_and_all_that_is_free_are_taken(currency: str, typed: str, minor: int) -> None:
    payment = make_payment(captured=5000, currency=currency)
    posted = {"amount": typed, "reason": RefundReason.objects.first().pk, "seen_free": 5000}
    at_the_desk(alice()).post(request_form(payment), posted)
    assert (Refund.objects.get().amount, Payment.objects.get().held) == (minor, minor)


def test_a_stale_request_form_comes_back_with_the_new_figure() -> None:
    payment = make_payment(captured=5000)
    ask(payment, 4500)
    posted = {"amount": "10.00", "reason": RefundReason.objects.first().pk, "seen_free": 5000}
    answer = at_the_desk(alice()).post(request_form(payment), posted)
    assert "5.00 EUR" in answer.content.decode()
    assert 'name="seen_free" value="500"' in answer.content.decode()
    assert Refund.objects.count() == 1


def test_the_requester_is_offered_no_approval_and_cannot_force_one() -> None:
    both = person("eve", "Agents")
    both.groups.add(*bob().groups.all())
    refund = ask(by=both)
    client = at_the_desk(both)
    assert step_of(refund, "approve") not in client.get(page_of(refund)).content.decode()
    answer = client.post(step_of(refund, "approve"), {"seen": refund.version})
    assert "somebody else has to approve it" in answer.content.decode()
    assert again(refund).status == "requested"


def test_approving_opens_the_next_one_with_its_place_in_the_line() -> None:
    payment = make_payment(captured=9000)
    first, second, third = (ask(payment, 1000) for _ in range(3))
    client = at_the_desk(bob())
    assert "1 of 3" in client.get(page_of(first)).content.decode()
    answer = client.post(step_of(second, "approve"), {"seen": second.version})
    assert answer.url == page_of(third)
    assert again(second).status == "approved"


def test_get_only_asks() -> None:
    refund = ask()
    answer = at_the_desk(bob()).get(step_of(refund, "approve"))
    assert answer.status_code == 200
    assert again(refund).status == "requested"
    assert refund.events.count() == 1


def test_a_stale_page_is_refused_and_says_so() -> None:
    refund = ask()
    client = at_the_desk(bob())
    client.post(step_of(refund, "return"), {"seen": 1, "text": "Which order?"})
    answer = client.post(step_of(refund, "reject"), {"seen": 1, "text": "my long reason"})
    assert answer.status_code == 409
    assert "has changed since you opened it" in answer.content.decode()
    assert "my long reason" in answer.content.decode()


def test_a_rejection_without_a_reason_is_refused() -> None:
    refund = ask()
    answer = at_the_desk(bob()).post(step_of(refund, "reject"), {"seen": 1, "text": " "})
    assert "Say why you reject it" in answer.content.decode()
    assert again(refund).status == "requested"


def test_posting_fields_to_a_page_changes_nothing() -> None:
    refund = ask()
    for user in (alice(), bob(), carol(), person("root", is_superuser=True)):
        answer = at_the_desk(user).post(page_of(refund), {"status": "succeeded", "amount": 1, "_save": "1"})
        assert answer.status_code in (403, 405)
    assert (again(refund).status, again(refund).amount) == ("requested", 1000)


@pytest.mark.parametrize("name", ["approve", "reject", "return", "unapprove", "send", "withdraw", "retry", "attend"])
def test_a_person_who_may_only_look_is_turned_away_from_every_step(name: str) -> None:
    refund = ask()
    for method in ("get", "post"):
        answer = getattr(at_the_desk(carol()), method)(step_of(refund, name), {"seen": 1, "text": "x"})
        assert answer.status_code == 403
    assert again(refund).version == 1


def test_nothing_can_be_added_or_deleted_even_by_a_superuser() -> None:
    refund = approved()
    client = at_the_desk(person("root", is_superuser=True))
    for model in ("refund", "payment", "account", "refundreason", "delivery"):
        url = reverse(f"admin:refunds_{model}_delete", args=(refund.pk,))
        assert client.post(url, {"post": "yes"}).status_code == 403
    assert client.get(reverse("admin:refunds_refund_add")).status_code == 403


def test_a_payment_is_found_by_everything_a_customer_can_read_out() -> None:
    payment = make_payment(reference="pay-77", order="order-77", customer_email="jan@example.org")
    make_payment(reference="pay-78", order="order-78", customer_email="eva@example.org")
    refund = ask(payment, ticket="T-900")
    Refund.objects.filter(pk=refund.pk).update(reference="txn-55", identifiers="txn-55 443463654297")
    client = at_the_desk(alice())
    for words in (
        "pay-77",
        "order-77",
        "jan@example.org",
        "txn-55",
        "443463654297",
        "T-900",
        refund.number,
        str(refund.key),
    ):
        body = client.get(reverse("admin:refunds_payment_changelist"), {"q": words}).content.decode()
        assert "pay-77" in body, words
        assert "pay-78" not in body, words
        body = client.get(reverse("admin:refunds_refund_changelist"), {"q": words}).content.decode()
        assert refund.number in body, words


def test_an_internal_note_shows_on_the_page_but_not_in_the_customers_sentence() -> None:
    refund = ask(internal_note="a difficult customer")
    answer = at_the_desk(bob()).get(page_of(refund))
    assert "a difficult customer" in answer.content.decode()
    assert "difficult" not in answer.context["customer_sentence"]


def test_raw_exchanges_are_for_those_who_may_read_them() -> None:
    refund = approved()
    refund.attempts.create(
        kind="look_up",
        fence=0,
        outcome="answered",
        started_at=refund.requested_at,
        finished_at=refund.requested_at,
        exchanges=[{"method": "GET", "url": "http://x/raw-canary", "response_body": "{}"}],
    )
    assert "raw-canary" in at_the_desk(carol()).get(page_of(refund)).content.decode()
    assert "raw-canary" not in at_the_desk(bob()).get(page_of(refund)).content.decode()


@pytest.mark.parametrize("seen", ["", "x", "9" * 5000, "٣", "-1"])
def test_a_version_that_no_page_could_have_shown_is_refused(seen: str) -> None:
    refund = ask()
    answer = at_the_desk(bob()).post(step_of(refund, "approve"), {"seen": seen})
    assert answer.status_code == 409
    assert again(refund).status == "requested"


def test_a_nul_in_a_reason_is_refused_with_a_sentence() -> None:
    refund = ask()
    answer = at_the_desk(bob()).post(step_of(refund, "reject"), {"seen": 1, "text": "no\0thing"})
    assert answer.status_code == 409
    assert "plain text" in answer.content.decode()


def test_a_page_follows_a_refund_that_moves_and_rests_with_one_that_does_not() -> None:
    refund = approved()
    follows = 'http-equiv="refresh"'
    assert follows in at_the_desk(bob()).get(page_of(refund)).content.decode()
    Refund.objects.filter(pk=refund.pk).update(ask_at="2030-01-01T00:00Z")
    assert follows not in at_the_desk(bob()).get(page_of(refund)).content.decode()
    assert follows not in at_the_desk(bob()).get(page_of(ask(refund.payment, 100))).content.decode()


@pytest.mark.parametrize("body", ["[" * 5000, '{"name": "\\ud800"}', "1" * 5000, "NaN", '{"half":'])
def test_no_answer_of_a_gateway_can_break_the_page_of_its_refund(body: str) -> None:
    refund = approved()
    exchange = {"method": "GET", "url": "https://gateway.example/", "status": 200, "response_body": body}
    now = timezone.now()
    about = {"kind": "look_up", "outcome": "answered", "started_at": now, "finished_at": now}
    refund.attempts.create(fence=1, exchanges=[exchange], **about)
    answer = at_the_desk(dora()).get(page_of(refund))
    assert (answer.status_code, body[:9].replace('"', "&quot;") in answer.content.decode()) == (200, True)
