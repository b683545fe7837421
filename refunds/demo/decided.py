"""What the demo's approver has decided already; worker and sandbox play it in the first minute of `make run`."""

from __future__ import annotations

from django.contrib.auth.models import User

from refunds import services
from refunds.models import Refund

APPROVED = ""
QUESTION, NO = "return", "reject"
# As in ASKED; then what the approver does, and says. How an amount ends chooses its story in the sandbox.
DECIDED: tuple[tuple[tuple[str, str, str, str, str, str, str], str, str], ...] = (
    (("agent", "payerly-eu", "EUR", "31.00", "Goods returned", "T-2012", "Back in stock."), APPROVED, ""),
    (("agent2", "payerly-eu", "EUR", "18.40", "Damaged or wrong item", "T-2015", "Wrong size sent."), APPROVED, ""),
    (("agent", "payerly-eu", "EUR", "22.01", "Charged twice", "T-2016", "The sandbox refuses it."), APPROVED, ""),
    (("agent2", "payerly-eu", "EUR", "45.02", "Not delivered", "T-2019", "Its answer gets lost."), APPROVED, ""),
    (
        ("agent", "payerly-eu", "EUR", "27.04", "Goods returned", "T-2020", "The bank gives it back."),
        APPROVED,
        "",
    ),
    (("agent", "paynow-pl", "PLN", "40.00", "Goods returned", "T-2022", "One of two shirts."), APPROVED, ""),
    (("agent2", "paynow-pl", "PLN", "33.01", "Goodwill", "T-2023", "The sandbox refuses it."), APPROVED, ""),
    (("agent", "airpay-in", "INR", "120.00", "Not delivered", "T-2027", "Lost by the carrier."), APPROVED, ""),
    (("agent2", "pay3-br", "BRL", "20.00", "Cancelled order", "T-2029", "Cancelled in time."), APPROVED, ""),
    (("agent", "examplepay-br", "BRL", "", "Cancelled order", "T-2031", "The whole order."), APPROVED, ""),
    (
        ("agent", "payerly-eu", "EUR", "12.50", "Goodwill", "T-2034", "The customer is upset."),
        QUESTION,
        "What has gone wrong for this customer? The ticket does not say.",
    ),
    (
        ("agent2", "payerly-eu", "EUR", "60.00", "Goodwill", "T-2036", "Asks for a discount."),
        NO,
        "A discount is not a refund. Offer a voucher instead.",
    ),
)


def decide(refund: Refund, verdict: str, words: str) -> None:
    """By the services, as any approver does."""
    approver, seen = User.objects.get(username="approver"), refund.version
    if verdict == QUESTION:
        services.return_refund(refund.pk, approver, words, seen=seen)
    elif verdict == NO:
        services.reject_refund(refund.pk, approver, words, seen=seen)
    else:
        services.approve_refund(refund.pk, approver, seen=seen)
