"""A refund that a person transfers: asked, approved, made, declared by one, confirmed by another."""

from __future__ import annotations

import pytest

from gateways.manual import Manual
from refunds import services, wording
from refunds.errors import BadInput, SamePerson
from refunds.models import Payment, Refund
from tests.builders import ACCOUNTS, again, approved, make_account, make_payment, person
from tests.refunds.test_send import long_ago

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def transfer(monkeypatch: pytest.MonkeyPatch) -> Refund:
    """Approved, and handed over to whoever makes transfers."""
    slug = ACCOUNTS["manual"]
    monkeypatch.setenv("GATEWAY_ACCOUNTS", f"{slug}:manual")
    refund = approved(make_payment(account=make_account(slug)), 1000)
    services.send_refund(refund.pk)
    return again(refund)


def test_it_waits_for_a_person_and_nobody_is_asked(transfer: Refund) -> None:
    assert (transfer.status, transfer.ask_at, transfer.needs_attention) == ("processing", None, "")
    assert Payment.objects.get().held == 1000


def test_one_whose_worker_was_lost_calls_a_person(transfer: Refund, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: Manual, order: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Manual, "refund", killed)
    refund = approved(transfer.payment, 1001)
    with pytest.raises(KeyboardInterrupt):
        services.send_refund(refund.pk)
    services.settle_refund(long_ago(refund).pk)
    assert (again(refund).status, bool(again(refund).needs_attention)) == ("unknown", True)


def test_two_people_end_it(transfer: Refund) -> None:
    first, second = person("fin1", "Finance"), person("fin2", "Finance")
    services.propose_outcome(
        transfer.pk,
        first,
        "succeeded",
        "Paid today.",
        seen=transfer.version,
        ticket="T-1",
        reference="SEPA-77",
    )
    with pytest.raises(SamePerson):
        services.confirm_outcome(transfer.pk, first, seen=again(transfer).version)
    services.confirm_outcome(transfer.pk, second, seen=again(transfer).version)
    ended = again(transfer)
    assert (ended.status, ended.reference) == ("succeeded", "SEPA-77")
    assert (Payment.objects.get().held, Payment.objects.get().refunded) == (0, 1000)


def test_a_transfer_that_was_made_has_a_reference(transfer: Refund) -> None:
    finance = person("fin1", "Finance")
    with pytest.raises(BadInput, match="reference of the transfer"):
        services.propose_outcome(transfer.pk, finance, "succeeded", "Paid.", seen=transfer.version, ticket="T-1")


def test_one_that_could_not_be_made_frees_the_amount_at_once(transfer: Refund) -> None:
    first, second = person("fin1", "Finance"), person("fin2", "Finance")
    services.propose_outcome(transfer.pk, first, "failed", "IBAN is wrong.", seen=transfer.version, ticket="T-1")
    services.confirm_outcome(transfer.pk, second, seen=again(transfer).version)
    assert again(transfer).status == "failed"
    assert Payment.objects.get().held == 0


def test_nothing_is_said_of_a_gateway_that_is_none(transfer: Refund) -> None:
    assert "making the transfer" in wording.customer_sentence(transfer)
    assert "A person makes this transfer" in wording.next_step(transfer)
    assert "a person makes this transfer" in wording.press_again(transfer)
    said = wording.customer_sentence(transfer) + wording.next_step(transfer) + wording.press_again(transfer)
    assert "Manual" not in said
    assert "payment provider" not in said
