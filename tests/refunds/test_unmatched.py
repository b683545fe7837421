"""What a gateway shows and may be anybody's: kept once, matched by a person or a later word, or dismissed."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from gateways.contract import Outcome, RefundUpdate
from gateways.money import Money
from refunds import services
from refunds.errors import BadInput, NotAllowed, WrongMoment
from refunds.models import Account, Payment, Refund, Status, UnmatchedRefund
from refunds.services.unmatched import keep_unmatched, settle_unmatched
from tests.builders import again, alice, bob, carol, dora, make_account, make_payment, person
from tests.refunds.test_record import standing_in

pytestmark = pytest.mark.django_db
S = Status


def seen(account: Account, **words: Any) -> UnmatchedRefund:
    """They show a refund of ten euros that nobody knows."""
    words = {"reference": "txn-9", "payment_reference": "pay-1", "amount": Money(1000, "EUR"), **words}
    return keep_unmatched(account, RefundUpdate(Outcome.SUCCEEDED, **words), "It could be one of ours.")


@pytest.fixture
def lost(quiet: Account) -> Refund:
    """Unknown, at a gateway that is asked by its own reference."""
    return standing_in(S.UNKNOWN, payment=make_payment(account=quiet))


def match(row: UnmatchedRefund, refund: Refund, by: Any = None) -> Refund:
    return again(services.match_unmatched(row.pk, refund.pk, by or dora(), seen=again(refund).version))


def test_it_is_kept_once_however_often_they_show_it() -> None:
    account = make_account()
    assert seen(account) == seen(account)
    assert seen(account, reference="txn-10") != seen(account)
    assert UnmatchedRefund.objects.count() == 2


def test_one_that_was_dismissed_does_not_come_back() -> None:
    row = seen(make_account())
    services.dismiss_unmatched(row.pk, dora(), "A test payment of the shop.")
    assert seen(row.account) == row
    assert not UnmatchedRefund.objects.filter(settled_at=None).exists()


def test_a_nameless_one_is_never_taken_for_another_that_was_dismissed() -> None:
    row = seen(make_account(), reference="")
    services.dismiss_unmatched(row.pk, dora(), "Not ours.")
    assert seen(row.account, reference="") != row


def test_the_likeliest_is_suggested_first(lost: Refund) -> None:
    same_amount = standing_in(S.PROCESSING, payment=make_payment(account=lost.account, reference="pay-2"))
    standing_in(S.UNKNOWN, payment=make_payment(reference="pay-1"))  # of another account
    (only,) = services.suggestions(seen(lost.account))
    assert (only.refund, only.why) == (lost, "same payment, same amount, nobody knows what became of it")
    by_amount = services.suggestions(seen(lost.account, payment_reference=""))
    assert [one.refund for one in by_amount] == [lost, same_amount]


def test_a_refund_that_has_a_reference_is_not_suggested(lost: Refund) -> None:
    Refund.objects.filter(pk=lost.pk).update(reference="txn-1")
    assert services.suggestions(seen(lost.account)) == []


def test_a_match_names_the_reference_and_has_the_gateway_asked(lost: Refund) -> None:
    row = seen(lost.account)
    refund = match(row, lost)
    assert (refund.status, refund.reference, refund.ask_at is not None) == ("unknown", "txn-9", True)
    assert refund.events.last().actor == "dora"
    row.refresh_from_db()
    assert (row.settled_as, row.settled_by) == (refund, dora())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"payment_reference": "pay-2"}, "another account or payment"),
        ({"amount": Money(1001, "EUR")}, "another amount"),
        ({"amount": Money(1000, "USD")}, "another amount"),
        ({"reference": ""}, "no reference"),
    ],
)
def test_what_cannot_be_the_same_is_not_matched(words: dict[str, Any], why: str, lost: Refund) -> None:
    row = seen(lost.account, **words)
    with pytest.raises(BadInput, match=why):
        match(row, lost)
    assert (again(lost).version, UnmatchedRefund.objects.get().settled_at) == (lost.version, None)


def test_a_refund_of_another_account_is_not_matched(lost: Refund) -> None:
    with pytest.raises(BadInput, match="another account"):
        match(seen(make_account()), lost)


def test_a_refund_that_is_not_unknown_or_not_asked_by_reference_is_not_matched(lost: Refund) -> None:
    Refund.objects.filter(pk=lost.pk).update(status="processing")
    with pytest.raises(BadInput, match="only what is unknown"):
        match(seen(lost.account), lost)
    payerlys = standing_in(S.UNKNOWN, payment=make_payment())
    with pytest.raises(BadInput, match="does not show enough to prove"):
        match(seen(payerlys.account), payerlys)


def test_a_stale_page_matches_nothing(lost: Refund) -> None:
    row = seen(lost.account)
    with pytest.raises(WrongMoment, match="has changed"):
        services.match_unmatched(row.pk, lost.pk, dora(), seen=lost.version - 1)
    assert UnmatchedRefund.objects.get().settled_at is None


def test_what_is_settled_is_decided_once(lost: Refund) -> None:
    row = seen(lost.account)
    services.dismiss_unmatched(row.pk, dora(), "Not ours.")
    with pytest.raises(WrongMoment, match="left the list"):
        match(row, lost)
    with pytest.raises(WrongMoment, match="left the list"):
        services.dismiss_unmatched(row.pk, dora(), "Again.")
    assert again(lost).reference == ""


def test_a_dismissal_needs_its_reason() -> None:
    row = seen(make_account())
    with pytest.raises(BadInput, match="none of ours"):
        services.dismiss_unmatched(row.pk, dora(), " ")
    assert UnmatchedRefund.objects.get().settled_at is None


@pytest.mark.parametrize("who", [alice, bob, carol, lambda: person("root", is_superuser=True)])
def test_only_finance_decides(who: Any, lost: Refund) -> None:
    row = seen(lost.account)
    with pytest.raises(NotAllowed):
        match(row, lost, by=who())
    with pytest.raises(NotAllowed):
        services.dismiss_unmatched(row.pk, who(), "Not ours.")
    with pytest.raises(NotAllowed):
        services.name_reference(lost.pk, who(), "txn-9", seen=lost.version)
    assert (again(lost).version, UnmatchedRefund.objects.get().settled_at) == (lost.version, None)


def test_a_later_word_takes_it_off_the_list(lost: Refund) -> None:
    row = seen(lost.account)
    Refund.objects.filter(pk=lost.pk).update(reference="txn-9")
    settle_unmatched(again(lost))
    row.refresh_from_db()
    assert (row.settled_as, row.settled_by) == (lost, None)


def test_a_reference_that_is_found_takes_it_off_the_list(lost: Refund) -> None:
    row = seen(lost.account)
    services.name_reference(lost.pk, dora(), " txn-9 ", seen=lost.version)
    row.refresh_from_db()
    assert row.settled_as == lost


@pytest.mark.parametrize("typed", ["", " ", "x" * 101, "a\nb", "a\0b", "tränsaction"])
def test_a_reference_that_cannot_be_is_refused(typed: str, lost: Refund) -> None:
    with pytest.raises(BadInput, match="as the gateway shows it"):
        services.name_reference(lost.pk, dora(), typed, seen=lost.version)


def test_a_reference_belongs_to_one_refund(lost: Refund) -> None:
    other = standing_in(S.SUCCEEDED, payment=make_payment(account=lost.account, reference="pay-2"), reference="txn-9")
    with pytest.raises(WrongMoment, match="belongs to another refund"):
        services.name_reference(lost.pk, dora(), other.reference, seen=lost.version)
    assert again(lost).reference == ""


def test_nothing_that_was_shown_is_ever_deleted() -> None:
    seen(make_account())
    with pytest.raises(IntegrityError), transaction.atomic():
        UnmatchedRefund.objects.all().delete()


def test_a_match_moves_no_money(lost: Refund) -> None:
    match(seen(lost.account), lost)
    assert (Payment.objects.get().held, Payment.objects.get().refunded) == (1000, 0)


def test_our_own_names_are_no_reference_of_theirs(lost: Refund) -> None:
    for name in (str(lost.key), lost.number, lost.payment.reference):
        with pytest.raises(BadInput, match="our own name"):
            services.name_reference(lost.pk, dora(), name, seen=lost.version)
    assert again(lost).reference == ""
