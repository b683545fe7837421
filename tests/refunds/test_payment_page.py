"""The page of a payment, and the form that asks for a refund of it: what is told before anybody sends it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from refunds import services
from refunds.admin import cockpit
from refunds.models import Account, Payment, Refund, RefundReason
from tests.builders import alice, ask, bob, carol, limit_to, make_account, make_payment
from tests.refunds.test_duplicates import another, asked_days_ago, made_there
from tests.refunds.test_record import standing_in

pytestmark = pytest.mark.django_db


def client_of(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(payment: Payment, user: Any = None) -> str:
    address = reverse("admin:refunds_payment_change", args=(payment.pk,))
    return client_of(user or carol()).get(address).content.decode()


# --- the cockpit ---


def test_the_bar_adds_up_to_what_was_captured() -> None:
    payment = standing_in("succeeded", make_payment(captured=10000)).payment
    ask(payment, 2500)
    payment = Payment.objects.get()
    parts = {part.kind: (part.money.minor, part.start, part.share) for part in cockpit.bar(payment)}
    assert parts == {
        "refunded": (1000, 0, 100),
        "flight": (0, 100, 0),
        "waiting": (2500, 100, 250),
        "free": (6500, 350, 650),
    }


def test_what_goes_beyond_the_captured_amount_is_drawn_and_said() -> None:
    payment = make_payment(captured=5000)
    ask(payment, 5000)
    Payment.objects.filter(pk=payment.pk).update(refunded=3000)
    payment = Payment.objects.get()
    over = cockpit.bar(payment)[-1]
    assert (over.kind, over.money.minor, over.start, over.share) == ("over", 3000, 625, 375)
    assert "more than was captured" in page(payment)
    assert "more than was captured" not in page(another())


def test_each_refund_says_who_asked_when_and_what_is_next() -> None:
    payment = make_payment()
    ask(payment, 700)
    body = page(payment)
    assert "Somebody else has to approve it." in body
    assert "alice" in body
    services.reject_refund(Refund.objects.get().pk, bob(), "No.", seen=1)
    assert "Somebody else has to approve it." not in page(payment)
    assert "It is over." in page(payment)


def test_a_gateway_that_has_left_the_program_hides_no_payment() -> None:
    refund = standing_in("unknown")
    Account.objects.update(gateway="gone")
    assert refund.number in page(refund.payment)


def test_the_journal_tells_of_the_payment_and_of_all_its_refunds() -> None:
    payment = make_payment()
    refund = ask(payment)
    services.return_refund(refund.pk, bob(), "Which of the two parcels?", seen=1)
    story = page(payment).split("Its journal")[1]
    assert "Which of the two parcels?" in story
    assert story.index(">Captured<") < story.index("Returned with a question")


def test_a_long_journal_is_cut_at_its_beginning_and_says_so(monkeypatch: Any) -> None:
    monkeypatch.setattr(cockpit, "MOST_LINES", 2)
    payment = make_payment()
    for amount in (1, 2, 3):
        ask(payment, amount)
    found = cockpit.journal(payment)
    assert [line.event.data["amount"] for line in found["journal"]] == [2, 3]
    assert found["n_older"] == 2
    assert "2 older lines are in the export." in page(payment)


def test_the_customers_other_refunds_of_late_are_told() -> None:
    payment = make_payment()
    other = another(customer_email="ANNA@EXAMPLE.COM", disputed_at=timezone.now())
    made_there(other)
    made_there_long_ago = another(3)
    asked_days_ago(cockpit.CUSTOMER_DAYS + 1, made_there_long_ago)
    another(4)  # nothing was asked of it
    ask(another(5, customer_email="jan@example.com"))
    found = cockpit.customer(payment, carol())
    assert list(found["others"]) == [other]
    assert (other.order in page(payment), made_there_long_ago.order in page(payment)) == (True, False)


def test_nobody_is_told_of_the_customers_refunds_at_other_accounts() -> None:
    payment, hidden = make_payment(), another(account=make_account("paynow-pl"))
    made_there(hidden)
    assert list(cockpit.customer(payment, carol())["others"]) == [hidden]
    limit_to(carol(), payment.account)
    assert list(cockpit.customer(payment, carol())["others"]) == []
    assert hidden.order not in page(payment)


def test_without_an_address_there_is_no_such_customer() -> None:
    made_there(another(customer_email=""))
    assert cockpit.customer(make_payment(customer_email=""), carol()) == {"others": []}


@pytest.mark.parametrize("number", [2, 12])
def test_a_payment_with_many_refunds_costs_no_more_questions(number: int) -> None:
    payment = make_payment(captured=100000)
    for amount in range(number):
        services.approve_refund(ask(payment, 100 + amount).pk, bob(), seen=1)
    client = client_of(alice())
    with CaptureQueriesContext(
        connection,
    ) as asked:
        client.get(reverse("admin:refunds_payment_change", args=(payment.pk,)))
    assert len(asked) <= 40


# --- before the form is sent ---


def form_of(payment: Payment) -> str:
    return reverse("admin:refunds_payment_request", args=(payment.pk,))


def typed(amount: str = "10.00", free: int = 5000, **more: Any) -> dict[str, Any]:
    reason = RefundReason.objects.get(name="Goods returned").pk
    return {"amount": amount, "reason": reason, "ticket": "T-7", "internal_note": "keep me", "seen_free": free, **more}


def is_ticked(body: str) -> bool:
    """As the browser sees it; its classes speak of being checked as well."""
    (box,) = re.findall(r'<input[^>]*name="looked_at"[^>]*>', body)
    return bool(re.search(r" checked[ >]", box))


def shown_in(body: str) -> str:
    return re.search(r'name="shown" value="([^"]*)"', body)[1]  # type: ignore[index]


def test_the_form_always_shows_what_was_asked_of_the_payment_before() -> None:
    payment = make_payment()
    before = ask(payment, 300)
    services.reject_refund(before.pk, bob(), "No.", seen=1)
    body = client_of(alice()).get(form_of(payment)).content.decode()
    assert f">{before.number}</a>" in body
    assert "looked_at" not in body


def test_a_likely_duplicate_comes_back_once_and_goes_through_with_the_tick() -> None:
    before, payment = ask(make_payment()), another()
    client = client_of(alice())
    answer = client.post(form_of(payment), typed())
    body = answer.content.decode()
    assert (answer.status_code, Refund.objects.count()) == (409, 1)
    assert "Nothing is requested yet" in body
    assert f">{before.number}</a>" in body
    assert "keep me" in body
    assert 'value="10.00"' in body
    assert client.post(form_of(payment), typed(shown=shown_in(body))).status_code == 409  # not ticked
    assert client.post(form_of(payment), typed(shown=shown_in(body), looked_at="on")).status_code == 302
    told = Refund.objects.first().events.get().text
    assert told.endswith(f"Not the same as {before.number}, says alice.")


def test_a_tick_counts_only_for_what_was_shown_beside_it() -> None:
    first, other = ask(make_payment()), ask(another(3), 700)
    payment, client = another(), client_of(alice())
    for shown in ("", str(other.pk), "x", f"{first.pk}0"):
        answer = client.post(form_of(payment), typed(shown=shown, looked_at="on"))
        assert (answer.status_code, is_ticked(answer.content.decode())) == (409, False)
    body = client.post(form_of(payment), typed()).content.decode()
    changed = client.post(form_of(payment), typed("7.00", shown=shown_in(body), looked_at="on"))
    assert changed.status_code == 409
    assert f">{other.number}</a>" in changed.content.decode()
    assert Refund.objects.count() == 2


def test_what_looks_like_nothing_else_goes_through_at_once() -> None:
    ask(make_payment(), 999)
    answer = client_of(alice()).post(form_of(another()), typed())
    assert answer.status_code == 302
    assert "Not the same" not in Refund.objects.first().events.get().text


def test_a_stale_form_keeps_the_tick() -> None:
    before, payment = ask(make_payment()), another()
    ask(payment, 200)
    posted = typed(shown=str(before.pk), looked_at="on")
    answer = client_of(alice()).post(form_of(payment), posted)
    assert answer.status_code == 409
    assert "48.00 EUR" in answer.content.decode()
    assert client_of(alice()).post(form_of(payment), {**posted, "seen_free": 4800}).status_code == 302


def test_a_person_limited_to_an_account_is_not_told_of_another_one() -> None:
    payment = make_payment()
    made_there(another(account=make_account("paynow-pl")))
    limit_to(alice(), payment.account)
    assert client_of(alice()).post(form_of(payment), typed()).status_code == 302


def test_the_form_can_be_sent_again_days_after() -> None:
    asked_days_ago(services.DUPLICATE_DAYS + timedelta(hours=1) / timedelta(days=1), make_payment())
    assert client_of(alice()).post(form_of(another()), typed()).status_code == 302
