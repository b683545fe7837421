"""What a wire cannot carry is refused at the import, the request, the approval and before the send, never after."""

from __future__ import annotations

import pytest

from gateways import registry
from gateways.contract import RefundOrder
from gateways.http import HttpClient
from refunds import services
from refunds.accounts import connect
from refunds.errors import NotRefundable
from refunds.models import Payment, Refund
from refunds.services.intake import PaymentRow, take_in
from tests.builders import ACCOUNTS, again, approved, ask, bob, make_account, make_payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sandbox")]
CALLED = [name for name in ACCOUNTS if not registry.gateway_class(name).can.by_hand]
# A payment reference that is fine, one that is not, and a currency that is not.
LIMITS = {
    "payerly": ("pay-1", "pay.1", ""),
    "paynow": ("ABCD-123-XYZ-0AB", "ABCD-123-XYZ-0ABC", "JPY"),
    "airpay": ("716009215", "7160A9215", "EUR"),
    "pay3": ("9390177131", "93901 77131", "KWD"),
    "examplepay": ("20260824145733210622722242895037", "7" * 51, "JPY"),
}
CURRENCY = {"payerly": "EUR", "paynow": "PLN", "airpay": "INR", "pay3": "BRL", "examplepay": "INR"}


def row(gateway: str, reference: str, currency: str) -> PaymentRow:
    account = make_account(ACCOUNTS[gateway])
    amount = "1200" if currency == "JPY" else "12.00"
    return PaymentRow(account.slug, reference, "o-1", amount, currency, "2026-11-01T12:00:00Z", "", "", "", "", line=2)


def test_every_gateway_has_its_limits_here() -> None:
    assert set(LIMITS) == set(CALLED)


@pytest.mark.parametrize("gateway", CALLED)
def test_the_import_refuses_a_payment_that_could_never_be_refunded(gateway: str) -> None:
    fine, bad, foreign = LIMITS[gateway]
    assert take_in([row(gateway, fine, CURRENCY[gateway])], by=None).n_new == 1
    tally = take_in([row(gateway, bad, CURRENCY[gateway])], by=None)
    assert (tally.n_new, len(tally.bad)) == (0, 1)
    if " " not in bad:  # blanks are refused for every gateway, before it is asked
        assert tally.bad[0].reason.startswith(registry.gateway_class(gateway).label)
    if foreign:
        assert take_in([row(gateway, fine + "7" if gateway == "airpay" else fine, foreign)], by=None).n_new == 0
    assert Payment.objects.count() == 1


@pytest.mark.parametrize("gateway", CALLED)
def test_a_request_is_refused_with_the_same_sentence(gateway: str) -> None:
    """A payment may have come in before the gateway's limits were known."""
    account = make_account(ACCOUNTS[gateway])
    payment = make_payment(reference=LIMITS[gateway][1], currency=CURRENCY[gateway], account=account)
    with pytest.raises(NotRefundable, match=registry.gateway_class(gateway).label):
        ask(payment)
    assert not Refund.objects.exists()
    assert Payment.objects.get().held == 0


@pytest.mark.parametrize("gateway", CALLED)
def test_what_has_become_impossible_is_neither_approved_nor_sent(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    account = make_account(ACCOUNTS[gateway])
    kind = type(connect(account))
    first, second = (
        make_payment(reference=reference, currency=CURRENCY[gateway], account=account)
        for reference in (LIMITS[gateway][0], LIMITS[gateway][0].replace("1", "2"))
    )
    waiting, ready = ask(first), approved(second)
    monkeypatch.setattr(kind, "check", lambda self, order: "Its wire has become narrower.")
    monkeypatch.setattr(HttpClient, "send", lambda *_, **__: pytest.fail("something left the house"))
    with pytest.raises(NotRefundable, match="narrower"):
        services.approve_refund(waiting.pk, bob(), seen=waiting.version)
    services.send_refund(ready.pk)
    assert (again(ready).status, again(ready).sent_at) == ("approved", None)
    assert not ready.attempts.exists()


def test_the_order_that_is_checked_is_the_one_that_would_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[RefundOrder] = []
    account = make_account(ACCOUNTS["paynow"])
    kind = type(connect(account))
    monkeypatch.setattr(kind, "check", lambda self, order: seen.append(order) or "")
    refund = ask(make_payment(reference="ABCD-123-XYZ-0AB", currency="PLN", account=account), 700)
    assert [(one.key, one.amount.minor, one.payment_reference) for one in seen] == [
        (str(refund.key), 700, "ABCD-123-XYZ-0AB")
    ]
