"""Read this first: one refund goes the whole way, told once from end to end over real sockets."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from refunds.models import Payment, Refund, RefundReason
from tests.builders import alice, bob, make_payment
from tests.house import House, until, until_status


@pytest.mark.django_db(transaction=True)
def test_a_refund_walks_from_the_agent_over_the_approver_and_payerly_home(house: House) -> None:
    house.environment["POLL_PACE"] = "1"  # the webhook shall be faster than our own look-up
    # Payerly's public key is fetched and pinned by the worker, before anybody asks for anything.
    payment = make_payment(captured=5000, currency="EUR", reference="pay-1")
    house.open_doors()

    # Alice, an agent, finds the payment and asks for 10.00 of it.
    agent = Client()
    agent.force_login(alice())
    found = agent.get(reverse("admin:refunds_payment_changelist"), {"q": "anna@example.com"})
    assert "pay-1" in found.content.decode()
    asked = {
        "amount": "10.00",
        "reason": RefundReason.objects.get(name="Goods returned").pk,
        "internal_note": "canary-that-stays-inside",
        "seen_free": payment.free,
    }
    agent.post(reverse("admin:refunds_payment_request", args=(payment.pk,)), asked)
    refund = Refund.objects.get()
    assert refund.status == "requested"

    # She cannot approve it herself.
    approve = reverse("admin:refunds_refund_step", args=(refund.pk, "approve"))
    assert agent.post(approve, {"seen": refund.version}).status_code == 403

    # Bob, an approver, picks it in the list, sees what he approves, and confirms.
    approver = Client()
    approver.force_login(bob())
    refunds = reverse("admin:refunds_refund_changelist")
    picked = {"action": "approve_selected", "_selected_action": [refund.pk]}
    shown = approver.post(refunds, picked)
    assert "10.00\xa0EUR" in shown.content.decode()
    approver.post(refunds, {**picked, "confirmed": "yes", f"seen_{refund.pk}": refund.version})

    # A worker sends it; Payerly's signed webhook brings it home; our own look-up confirms.
    refund = until_status(refund, "succeeded")
    until(lambda: refund.events.filter(step="confirmed").exists())
    assert refund.deliveries.get().result == "applied"

    # Money moved once, exactly as asked, and nothing from inside the house left with it.
    (movement,) = house.sandbox.ledger()
    assert (movement["key"], movement["minor"], movement["currency"]) == (str(refund.key), 1000, "EUR")
    assert "canary" not in str(house.sandbox.requests())
    payment = Payment.objects.get()
    assert (payment.held, payment.refunded, payment.status) == (0, 1000, "partially_refunded")

    # The journal names every step and person.
    lines = [(line.step, line.actor) for line in refund.events.all()]
    assert lines == [
        ("requested", "alice"),
        ("approved", "bob"),
        ("sending", "worker"),
        ("processing", "Payerly"),
        ("succeeded", "Payerly"),
        ("confirmed", "Payerly"),
    ]
