"""Disputes: marked and closed by Finance with a note, told by a file or a knock; nothing is sent while one stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gateways.sandbox import Sandbox
from refunds import services
from refunds.errors import BadInput, NotAllowed, NotRefundable, WrongMoment
from refunds.history.verify import verify
from refunds.models import Delivery, Event, Payment, Refund
from refunds.services.disputes import mark_from_file
from refunds.services.intake import FROM_A_FILE
from tests.builders import again, alice, approved, ask, bob, carol, dora, make_account, make_payment, person
from tests.gateways.test_airpay import callback, delivered
from tests.refunds.test_record import standing_in
from tests.refunds.test_refund_screens import at_the_desk, page_of, step_of

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def mark(payment: Payment, note: str = "The bank wrote to us.", case: str = "CB-77", **fields: Any) -> Payment:
    now_is = Payment.objects.get(pk=payment.pk)
    return services.mark_disputed(now_is.pk, dora(), note, case, **{"seen": now_is.version, **fields})


def close(payment: Payment, note: str = "The bank gave in.") -> Payment:
    return services.close_dispute(payment.pk, dora(), note, seen=Payment.objects.get(pk=payment.pk).version)


def dispute_url(payment: Payment, name: str = "dispute") -> str:
    return reverse("admin:refunds_payment_dispute", args=(payment.pk, name))


def page_of_payment(user: Any, payment: Payment) -> str:
    return at_the_desk(user).get(reverse("admin:refunds_payment_change", args=(payment.pk,))).content.decode()


@pytest.mark.promise("I21", "I24")
def test_a_dispute_is_marked_and_closed_in_the_journal() -> None:
    payment = make_payment()
    payment = mark(payment)
    assert (bool(payment.disputed_at), payment.dispute_case, payment.version) == (True, "CB-77", 2)
    payment = close(payment)
    assert (payment.disputed_at, payment.dispute_case, payment.version) == (None, "", 3)
    lines = Event.objects.filter(payment=payment, sequence__gt=1)
    assert [(line.step, line.text, line.actor, line.data) for line in lines] == [
        ("disputed", "The bank wrote to us.", "dora", {"case": "CB-77"}),
        ("dispute closed", "The bank gave in.", "dora", {"case": "CB-77"}),
    ]
    assert verify().findings == []


def test_while_it_stands_nothing_is_requested_approved_or_sent(sandbox: Sandbox) -> None:
    payment = make_payment()
    waiting, sure = ask(payment), approved(payment)
    mark(payment)
    with pytest.raises(NotRefundable, match="disputed"):
        ask(payment)
    with pytest.raises(NotRefundable, match="disputed"):
        services.approve_refund(waiting.pk, bob(), seen=waiting.version)
    services.send_refund(sure.pk)
    assert (again(sure).status, sandbox.requests()) == ("approved", [])


def test_closing_wakes_what_was_approved(sandbox: Sandbox, django_capture_on_commit_callbacks: Any) -> None:
    refund, later = approved(), timezone.now() + HOUR
    mark(refund.payment)
    Refund.objects.filter(pk=refund.pk).update(ask_at=later)
    with django_capture_on_commit_callbacks() as woken:
        close(refund.payment)
    assert again(refund).ask_at < later
    assert len(woken) == 2, "the log line, and the worker's ticket"


@pytest.mark.parametrize("note", ["", " \n", "x" * 2001, "a\0b"])
def test_a_note_is_needed(note: str) -> None:
    payment = make_payment()
    with pytest.raises(BadInput):
        mark(payment, note)
    mark(payment)
    with pytest.raises(BadInput):
        close(payment, note)
    assert Payment.objects.get().disputed_at


@pytest.mark.parametrize("case", ["x" * 101, "a\nb", "a\0b"])
def test_a_case_number_is_one_short_line(case: str) -> None:
    with pytest.raises(BadInput, match="case number"):
        mark(make_payment(), case=case)


def test_a_stale_page_or_a_second_click_changes_nothing() -> None:
    payment = make_payment()
    mark(payment)
    with pytest.raises(WrongMoment, match="has changed"):
        mark(payment, seen=1)
    with pytest.raises(WrongMoment, match="already"):
        mark(payment)
    close(payment)
    with pytest.raises(WrongMoment, match="any more"):
        close(payment)
    assert Event.objects.filter(payment=payment, refund=None).count() == 3


@pytest.mark.parametrize("who", [alice, bob, carol, lambda: person("gina", "Gateway admins")])
def test_only_finance_decides_about_disputes(who: Any) -> None:
    payment = make_payment()
    with pytest.raises(NotAllowed):
        services.mark_disputed(payment.pk, who(), "note", seen=payment.version)
    with pytest.raises(NotAllowed):
        services.close_dispute(payment.pk, who(), "note", seen=payment.version)
    client = at_the_desk(who())
    for name in ("dispute", "close"):
        assert client.get(dispute_url(payment, name)).status_code == 403
        assert client.post(dispute_url(payment, name), {"text": "x", "seen": payment.version}).status_code == 403
    assert Payment.objects.get().disputed_at is None


def test_get_asks_and_post_does() -> None:
    payment, finance = make_payment(), at_the_desk(dora())
    assert "Mark as disputed…" in page_of_payment(dora(), payment)
    assert "Mark as disputed…" not in page_of_payment(alice(), payment)
    assert 'name="case"' in finance.get(dispute_url(payment)).content.decode()
    assert Payment.objects.get().disputed_at is None
    finance.post(dispute_url(payment), {"text": "By e-mail.", "case": " CB-77 ", "seen": 1})
    assert Payment.objects.get().dispute_case == "CB-77"
    shown = page_of_payment(alice(), payment)
    assert "CB-77" in shown
    assert "Request a refund" not in shown
    assert "Dispute closed…" in page_of_payment(dora(), payment)
    finance.post(dispute_url(payment, "close"), {"text": "Won.", "seen": 2})
    assert Payment.objects.get().disputed_at is None
    assert finance.get(dispute_url(payment, "other")).status_code == 404


def test_a_refused_page_keeps_what_was_typed() -> None:
    payment = make_payment()
    typed = {"text": "By e-mail.", "case": "CB-77", "seen": 9}
    answer = at_the_desk(dora()).post(dispute_url(payment), typed)
    assert answer.status_code == 409
    for kept in ("By e-mail.", "CB-77", "has changed"):
        assert kept in answer.content.decode()


def test_the_case_is_shown_before_anybody_approves() -> None:
    refund = ask()
    mark(refund.payment)
    desk = at_the_desk(bob())
    for url in (page_of(refund), step_of(refund, "approve")):
        assert "case CB-77" in desk.get(url).content.decode()


# --- Airpay's word of a chargeback: forgeable, so it only knocks ---


def knocked(kind: str, number: str) -> Delivery:
    body = delivered(callback(TRANSACTIONTYPE=kind, APTRANSACTIONID=number)).body
    answer = Client().generic("POST", "/webhooks/airpay-in/", body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200
    return Delivery.objects.get()


@pytest.fixture
def airpay_as_in_the_tests(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRPAY_IN_MERCHANT_ID", "1001")
    monkeypatch.setenv("AIRPAY_IN_USERNAME", "demo_user")


@pytest.mark.promise("I34")
@pytest.mark.parametrize("named", ["payment", "refund"])
def test_a_told_chargeback_marks_nothing_asks_and_calls_for_a_look(named: str, airpay_as_in_the_tests: None) -> None:
    payment = make_payment(currency="INR", reference="716000001", account=make_account("airpay-in"))
    refund = standing_in("processing", payment, reference="71600000101")
    before = Payment.objects.values().get()
    delivery = knocked("350", payment.reference if named == "payment" else refund.reference)
    assert Payment.objects.values().get() == before, "it is forgeable"
    assert again(refund).status == "processing"
    assert again(refund).ask_at <= timezone.now()
    assert "disputes" in delivery.why
    assert (delivery.result, delivery.refund) == ("knock", refund)


def test_a_chargeback_of_what_was_never_refunded_is_seen_too(airpay_as_in_the_tests: None) -> None:
    make_payment(currency="INR", reference="716000001", account=make_account("airpay-in"))
    delivery = knocked("350", "716000001")
    assert (delivery.result, "716000001" in delivery.why) == ("knock", True)
    shown = at_the_desk(dora()).get(reverse("admin:refunds_delivery_changelist")).content.decode()
    assert "disputes a payment" in shown


def test_other_knocks_speak_of_no_dispute(airpay_as_in_the_tests: None) -> None:
    make_account("airpay-in")
    delivery = knocked("340", "716000001")
    assert (delivery.result, "dispute" in delivery.why) == ("ignored", False)


def test_an_old_file_does_not_reopen_what_finance_has_closed() -> None:
    payment = make_payment()
    services.mark_disputed(payment.pk, dora(), "Their letter.", seen=payment.version)
    payment.refresh_from_db(fields=["version"])
    services.close_dispute(payment.pk, dora(), "Won.", seen=payment.version)
    assert not mark_from_file(payment.account_id, payment.reference, FROM_A_FILE, "From a file.")
    assert Payment.objects.get(pk=payment.pk).disputed_at is None
