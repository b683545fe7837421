"""Which refunds look like one and the same, and who is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from refunds import services
from refunds.models import Payment, Refund, RefundReason
from refunds.services.duplicates import DUPLICATE_DAYS, duplicates_of, duplicates_of_wish, likely_duplicate
from tests.builders import alice, ask, bob, limit_to, make_account, make_payment

pytestmark = pytest.mark.django_db


def another(number: int = 2, **fields: Any) -> Payment:
    """Another payment of the same customer."""
    return make_payment(reference=f"pay-{number}", order=f"order-{number}", **fields)


def asked_days_ago(days: float, payment: Payment) -> Refund:
    then = timezone.now() - timedelta(days=days)
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr(timezone, "now", lambda: then)
        return ask(payment)


def made_there(payment: Payment) -> Refund:
    """In the gateway's own screens, so that nobody here has given a reason."""
    known = {"amount": 1000, "status": "processing", "requested_at": timezone.now(), "reference": "theirs"}
    return Refund.objects.create(payment=payment, account=payment.account, source="gateway", **known)


def likely() -> set[int]:
    return set(Refund.objects.filter(likely_duplicate(bob())).values_list("pk", flat=True))


def test_the_same_customer_amount_and_reason_look_like_one_refund_in_both_directions() -> None:
    first, second = ask(make_payment()), ask(another(customer_email="ANNA@example.com"))
    assert list(duplicates_of(first, bob())) == [second]
    assert list(duplicates_of(second, bob())) == [first]
    assert likely() == {first.pk, second.pk}


@pytest.mark.parametrize(
    ("payment", "asked"),
    [
        ({"customer_email": "jan@example.com"}, {}),
        ({"currency": "PLN"}, {}),
        ({}, {"amount": 1001}),
        ({}, {"reason": "Goodwill"}),
    ],
)
def test_another_customer_currency_amount_or_reason_is_another_refund(payment: Any, asked: Any) -> None:
    first = ask(make_payment())
    if "reason" in asked:
        asked = {"reason": RefundReason.objects.get(name=asked["reason"])}
    second = ask(another(**payment), **asked)
    assert not duplicates_of(first, bob())
    assert not duplicates_of(second, bob())
    assert likely() == set()


@pytest.mark.parametrize(("days", "is_alike"), [(DUPLICATE_DAYS - 0.01, True), (DUPLICATE_DAYS + 0.01, False)])
def test_only_the_last_days_count(days: float, is_alike: bool) -> None:
    first, second = asked_days_ago(days, make_payment()), ask(another())
    assert bool(duplicates_of(second, bob())) is is_alike
    assert bool(duplicates_of_wish(second.payment, 1000, second.reason, bob()).exclude(pk=second.pk)) is is_alike
    assert likely() == ({first.pk, second.pk} if is_alike else set())


def test_a_refund_that_pays_nothing_any_more_is_nobodys_double() -> None:
    first, second = ask(make_payment()), ask(another())
    services.reject_refund(first.pk, bob(), "No.", seen=first.version)
    assert not duplicates_of(second, bob())
    assert second.pk not in likely()


def test_without_an_address_only_the_payment_itself_is_compared() -> None:
    nobody = make_payment(customer_email="")
    first, second, stranger = ask(nobody), ask(nobody), ask(another(customer_email=""))
    assert list(duplicates_of(first, bob())) == [second]
    assert not duplicates_of(stranger, bob())
    assert likely() == {first.pk, second.pk}


def test_one_made_at_the_gateway_names_no_reason_and_is_told_all_the_same() -> None:
    adopted, ours = made_there(make_payment()), ask(another())
    assert list(duplicates_of(ours, bob())) == [adopted]


def test_nobody_is_told_of_accounts_outside_of_their_own() -> None:
    hidden, mine = made_there(another(account=make_account("paynow-pl"))), ask(make_payment())
    wish = (mine.payment, 1000, mine.reason, alice())
    assert set(duplicates_of_wish(*wish)) == {hidden, mine}
    limit_to(alice(), mine.account)
    limit_to(bob(), mine.account)
    assert set(duplicates_of_wish(*wish)) == {mine}
    assert not duplicates_of(mine, bob())
    assert likely() == set()


def test_a_list_can_be_ordered_by_it() -> None:
    first, second, alone = ask(make_payment()), ask(another()), ask(another(3), 777)
    rows = Refund.objects.annotate(is_like_another=likely_duplicate(bob())).order_by("is_like_another", "pk")
    assert [row.pk for row in rows] == [alone.pk, first.pk, second.pk]
