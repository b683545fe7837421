"""The door for webhooks: who is let in, what is kept, and what a delivery may do."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.db import DatabaseError
from django.http import HttpResponse
from django.test import Client

from gateways.contract import Webhooks
from gateways.errors import BadWebhook
from gateways.payerly import Payerly
from refunds import services
from refunds.models import Account, Delivery, Event, Payment, Refund, UnmatchedRefund
from refunds.services import deliveries
from tests.builders import again, make_account, make_delivery, make_payment
from tests.refunds.test_record import standing_in

pytestmark = pytest.mark.django_db

DOOR = "/webhooks/payerly-eu/"
OURS, STRANGERS = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))


def pem(key: rsa.RSAPrivateKey) -> str:
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, public).decode()


def signed(body: bytes, key: rsa.RSAPrivateKey = OURS) -> str:
    return base64.b64encode(key.sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()


def callback(refund: Refund | None = None, status: str = "SUCCESS", **fields: Any) -> bytes:
    told = {
        "refundId": str(refund.key) if refund else "00000000-0000-4000-8000-000000000000",
        "paymentId": refund.payment.reference if refund else "pay-1",
        "txnId": "txn-1",
        "amount": {"value": "10.00", "currency": "EUR"},
        "status": {"value": status, "changedAt": "2026-11-20T12:00:00Z", "description": ""},
        **fields,
    }
    return json.dumps({"type": "REFUND", "object": told}).encode()


def deliver(body: bytes, url: str = DOOR, content_type: str = "application/json", **headers: str) -> HttpResponse:
    headers.setdefault("Signature", signed(body))
    client = Client(raise_request_exception=False)
    return client.generic("POST", url, body, content_type=content_type, headers=headers)


@pytest.fixture(autouse=True)
def _pinned() -> None:
    make_account(webhook_key=pem(OURS))


def untouched(refund: Refund) -> bool:
    return again(refund).version == refund.version and not Delivery.objects.exists()


def test_a_signed_success_is_applied_at_once_and_booked_to_be_confirmed() -> None:
    refund = standing_in("processing")
    assert deliver(callback(refund)).status_code == 200
    refund = again(refund)
    assert (refund.status, refund.to_confirm, refund.ask_at is not None) == ("succeeded", "succeeded", True)
    assert Delivery.objects.get().result == "applied"


FORGERIES = {
    "no signature": {"Signature": ""},
    "not base64": {"Signature": "%%%"},
    "not ASCII": {"Signature": "ż"},
    "a stranger's key": None,
    "two signatures": {"Signature": "AAAA, BBBB"},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_delivery_changes_nothing(forgery: str) -> None:
    refund = standing_in("processing")
    body = callback(refund)
    headers = FORGERIES[forgery] or {"Signature": signed(body, STRANGERS)}
    assert deliver(body, **headers).status_code == 401
    assert untouched(refund)


def test_a_signature_of_other_bytes_is_refused() -> None:
    refund = standing_in("processing")
    body = callback(refund)
    assert deliver(body + b" ", Signature=signed(body)).status_code == 401
    assert untouched(refund)


def test_a_failed_verification_books_one_key_fetch_and_no_more() -> None:
    for _ in range(5):
        deliver(b"{}", Signature="AAAA")
    asked_at = Account.objects.get().webhook_key_asked_at
    deliver(b"{}", Signature="AAAA")
    assert asked_at is not None
    assert Account.objects.get().webhook_key_asked_at == asked_at


def test_without_a_pinned_key_the_door_is_closed_for_now() -> None:
    Account.objects.update(webhook_key="")
    refund = standing_in("processing")
    assert deliver(callback(refund)).status_code == 503
    assert untouched(refund)
    assert Account.objects.get().webhook_key_asked_at is not None


UNREADABLE = [b"not json", b"[]", b"\xff\xfe{}", b'{"type":"REFUND"}', b'{"a":1,"a":2}', b"[" * 2000, b'{"x":NaN}']


@pytest.mark.parametrize("body", UNREADABLE)
def test_a_verified_delivery_that_cannot_be_read_is_kept_with_the_reason(body: bytes) -> None:
    assert deliver(body).status_code == 400
    delivery = Delivery.objects.get()
    assert (delivery.result, bool(delivery.why)) == ("unreadable", True)


def test_the_same_delivery_again_is_answered_alike_and_does_nothing() -> None:
    refund = standing_in("processing")
    body = callback(refund)
    answers = [deliver(body).status_code for _ in range(5)]
    assert answers == [200] * 5
    assert Delivery.objects.count() == 1
    assert Event.objects.filter(refund=refund, step="succeeded").count() == 1


def test_another_amount_moves_nothing_and_calls_a_person() -> None:
    refund = standing_in("processing")
    body = callback(refund, amount={"value": "99.00", "currency": "EUR"})
    assert deliver(body).status_code == 200
    assert (again(refund).status, bool(again(refund).needs_attention)) == ("processing", True)


FLIPPED: dict[str, dict[str, Any]] = {
    "payment": {"paymentId": "pay-2"},
    "amount": {"amount": {"value": "10.01", "currency": "EUR"}},
    "less": {"amount": {"value": "1.00", "currency": "EUR"}},
    "currency": {"amount": {"value": "10.00", "currency": "USD"}},
    "reference": {"txnId": "txn-of-another"},
}


@pytest.mark.promise("I38")
@pytest.mark.parametrize("status", ["SUCCESS", "DECLINED", "PROCESSING"])
@pytest.mark.parametrize("field", FLIPPED)
def test_what_does_not_fit_moves_nothing_and_calls_a_person_once(field: str, status: str) -> None:
    refund = standing_in("processing", reference="txn-1")
    before = again(refund)
    for _ in range(3):
        assert deliver(callback(refund, status=status, **FLIPPED[field])).status_code == 200
    now = again(refund)
    assert (now.status, now.reference, Payment.objects.get().held) == (before.status, "txn-1", 1000)
    assert now.needs_attention
    assert now.events.filter(step="does not match").count() == 1


@pytest.mark.promise("I38")
def test_a_key_that_is_not_ours_is_no_refund_of_ours() -> None:
    refund = standing_in("processing")
    assert deliver(callback(refund, refundId="11111111-0000-4000-8000-000000000000")).status_code == 200
    assert again(refund).version == refund.version
    assert Delivery.objects.get().result == "unmatched"


@pytest.mark.promise("I39")
@pytest.mark.parametrize("status", ["SUCCESS", "DECLINED", "PROCESSING", "ON_THE_MOON"])
def test_a_delivery_creates_no_refund_and_is_matched_later(status: str) -> None:
    payment = make_payment(reference="pay-1")
    stranger = callback(None, status=status, refundId="11111111-0000-4000-8000-000000000000", txnId="txn-7")
    assert deliver(stranger).status_code == 200
    assert not Refund.objects.exists()
    assert Payment.objects.get().free == payment.captured
    unmatched = UnmatchedRefund.objects.get()
    assert (unmatched.reference, unmatched.settled_at) == ("txn-7", None)
    ours = standing_in("processing", payment=payment, reference="txn-7")
    services.unmatched.settle_unmatched(ours)
    unmatched.refresh_from_db()
    assert unmatched.settled_as == ours


@pytest.mark.promise("I38")
def test_a_refund_of_another_account_is_not_touched() -> None:
    refund = standing_in("processing")
    other = Account.objects.create(slug="payerly-two", gateway="payerly", webhook_key=pem(OURS))
    Refund.objects.filter(pk=refund.pk).update(account=refund.account)
    assert services.hear_webhook(make_delivery(other), _update(refund))[0] == "unmatched"
    assert again(refund).status == "processing"


def _update(refund: Refund) -> Any:
    from gateways.contract import Outcome
    from tests.refunds.test_record import word

    return word(refund, Outcome.SUCCEEDED)


def test_an_unknown_refund_of_a_known_payment_books_a_look_up_of_the_payment() -> None:
    make_payment(reference="pay-1")
    assert deliver(callback(None)).status_code == 200
    assert Payment.objects.get().ask_at is not None
    assert Delivery.objects.get().result == "unmatched"
    assert not Refund.objects.exists()


def test_an_unknown_payment_is_kept_for_people_to_see() -> None:
    assert deliver(callback(None, paymentId="pay-404")).status_code == 200
    assert Delivery.objects.get().result == "unmatched"


def test_a_word_about_a_payment_only_puts_the_question_in_line() -> None:
    refund = standing_in("processing")
    far = again(refund).requested_at.replace(year=2030)
    Refund.objects.filter(pk=refund.pk).update(ask_at=far)
    body = json.dumps({"type": "PAYMENT", "object": {"paymentId": refund.payment.reference}}).encode()
    assert deliver(body).status_code == 200
    assert again(refund).ask_at < far
    assert (again(refund).status, again(refund).version) == ("processing", refund.version)


@pytest.mark.promise("I37")
def test_a_crash_in_the_middle_keeps_nothing_so_that_they_send_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    refund = standing_in("processing")

    def crash(*args: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(deliveries, "hear_webhook", crash)
        assert deliver(callback(refund)).status_code == 500
    assert untouched(refund)
    assert deliver(callback(refund)).status_code == 200
    assert again(refund).status == "succeeded"


@pytest.mark.promise("I37")
def test_a_database_that_is_away_asks_them_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(deliveries, "hear_webhook", away)
    assert deliver(callback(standing_in("processing"))).status_code == 503


def test_a_late_failure_by_webhook_waits_for_our_own_look_up() -> None:
    refund = standing_in("succeeded")
    assert deliver(callback(refund, status="DECLINED")).status_code == 200
    refund = again(refund)
    assert (refund.status, refund.to_confirm) == ("succeeded", "failed")


def test_a_delivery_that_could_not_be_read_is_answered_alike_until_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    refund = standing_in("processing")
    body = callback(refund)

    def unreadable(*args: object) -> None:
        raise BadWebhook("a word of theirs that we cannot read yet")

    with monkeypatch.context() as patched:
        patched.setattr(Payerly, "read_webhook", unreadable)
        assert [deliver(body).status_code for _ in range(2)] == [400, 400]
    assert deliver(body).status_code == 200
    assert again(refund).status == "succeeded"
    assert Delivery.objects.count() == 1


@pytest.mark.parametrize("content_type", ["application/json; a*=bogus'en'%41", "application/json; charset=utf-8\0"])
def test_a_content_type_that_cannot_be_read_is_the_strangers_fault(content_type: str) -> None:
    from refunds_site.wsgi import application

    answers: list[str] = []
    environ = {**Client()._base_environ(PATH_INFO=DOOR, REQUEST_METHOD="POST"), "CONTENT_TYPE": content_type}
    b"".join(application(environ, lambda status, headers, *_: answers.append(status)))
    assert answers[0][0] == "4"


def test_a_knock_that_sounds_the_same_again_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Payerly, "can", replace(Payerly.can, webhooks=Webhooks.KNOCK))
    refund = standing_in("processing", ask_at=None)
    for _ in range(2):
        Refund.objects.filter(pk=refund.pk).update(ask_at=None)
        assert deliver(callback(refund)).status_code == 200
        assert again(refund).ask_at is not None
    assert Delivery.objects.count() == 1
    assert again(refund).status == "processing"
