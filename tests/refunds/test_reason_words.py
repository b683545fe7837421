"""A reason's word for a gateway: kept by staff, refused when the gateway would not know it, frozen at the request."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from refunds import services
from refunds.models import ReasonWord, Refund, RefundReason
from tests.builders import ACCOUNTS, again, ask, bob, make_account, make_payment, person

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sandbox")]


@pytest.fixture
def reason() -> RefundReason:
    return RefundReason.objects.create(name="Changed mind", wording="You sent it back.")


def save(client: Client, reason: RefundReason, gateway: str, word: str) -> int:
    client.force_login(person("gwen", "Gateway admins"))
    form = {"name": reason.name, "wording": reason.wording, "is_active": "on"}
    rows = {"TOTAL_FORMS": 1, "INITIAL_FORMS": 0, "0-gateway": gateway, "0-word": word, "0-reason": reason.pk}
    form |= {f"words-{name}": value for name, value in rows.items()}
    return client.post(f"/admin/refunds/refundreason/{reason.pk}/change/", form).status_code


@pytest.mark.parametrize(
    ("gateway", "word", "is_kept"),
    [
        ("paynow", "RMA", True),
        ("paynow", "BY_AGE", True),
        ("paynow", "REFUND_BEFORE_14", False),
        ("paynow", "rma", False),
        ("payerly", "any-word-of-ours", True),
        ("manual", "RMA", False),
        ("nobody", "RMA", False),
    ],
)
def test_staff_keep_a_word_that_the_gateway_knows(
    client: Client, reason: RefundReason, gateway: str, word: str, is_kept: bool
) -> None:
    assert save(client, reason, gateway, word) == (302 if is_kept else 200)
    assert ReasonWord.objects.filter(gateway=gateway, word=word).exists() == is_kept


def paynow_refund(reason: RefundReason, days_ago: int) -> Refund:
    captured_at = timezone.now() - timedelta(days=days_ago)
    account = make_account(ACCOUNTS["paynow"])
    reference = "ABCD-123-XYZ-0AB"
    payment = make_payment(5000, "PLN", reference, account=account, captured_at=captured_at)
    return ask(payment, 1000, reason=reason)


@pytest.mark.parametrize(("days_ago", "word"), [(3, "REFUND_BEFORE_14"), (30, "REFUND_AFTER_14")])
def test_a_word_by_age_is_decided_at_the_request_and_frozen(
    reason: RefundReason, sandbox: object, days_ago: int, word: str
) -> None:
    reason.words.create(gateway="paynow", word="BY_AGE")
    refund = paynow_refund(reason, days_ago)
    assert refund.reason_word == word
    reason.words.update(word="OTHER")
    services.approve_refund(refund.pk, bob(), seen=refund.version)
    services.send_refund(refund.pk)
    assert again(refund).status == "processing"
    (order,) = [call for call in sandbox.requests() if call["method"] == "POST"]
    assert order["body"] == f'{{"amount":1000,"reason":"{word}"}}'


def test_a_reason_without_a_word_is_left_out(reason: RefundReason, sandbox: object) -> None:
    refund = paynow_refund(reason, 3)
    services.approve_refund(refund.pk, bob(), seen=refund.version)
    services.send_refund(refund.pk)
    assert [call["body"] for call in sandbox.requests() if call["method"] == "POST"] == ['{"amount":1000}']
