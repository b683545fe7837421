"""Every story that the sandbox can play, at once, in one house: where each ends, and how often money moved."""

from __future__ import annotations

import pytest

from gateways.sandbox.stories import STORIES
from refunds.models import Payment, Refund
from refunds.models.refund import HOLDING
from tests.builders import again, approved, make_payment
from tests.house import House, until, until_status

# story → (the status it comes to rest in, movements of money, whether a person is called)
ENDS = {
    "success": ("succeeded", 1, False),
    "refused": ("failed", 0, False),
    "answer_lost": ("succeeded", 1, False),
    "slow": ("succeeded", 1, False),
    "reversed": ("reversed", 1, True),
    "request_lost": ("succeeded", 1, False),
    "error_after": ("succeeded", 1, False),
    "fails_later": ("failed", 0, False),
    "webhook_first": ("succeeded", 1, False),
    "webhook_thrice": ("succeeded", 1, False),
    "no_webhook": ("succeeded", 1, False),
    "unheard_word": ("processing", 1, True),
    "wrong_amount": ("unknown", 1, True),
    "forged_webhook": ("succeeded", 1, False),
    "drip": ("succeeded", 1, False),
    "late": ("succeeded", 1, False),
    "error_page": ("succeeded", 1, False),
    "busy": ("succeeded", 1, False),
    "redirect": ("succeeded", 1, False),
    "two_voices": ("succeeded", 1, True),
    "waits": ("succeeded", 1, False),
    "expires": ("failed", 0, False),
}


@pytest.mark.django_db(transaction=True)
def test_every_story_comes_to_its_end_and_money_moves_at_most_once(house: House) -> None:
    house.open_doors()
    refunds: dict[str, Refund] = {}
    for number, story in STORIES.items():
        payment = make_payment(captured=9000, reference=f"pay-{number}")
        refunds[story.name] = approved(payment, 1000 + number)
    assert set(refunds) == set(ENDS), "a new story needs its line in this table"
    for name, (status, _, _) in ENDS.items():
        until_status(refunds[name], status, seconds=60)
    for name, (status, moved, calls) in ENDS.items():
        if calls:
            until(lambda name=name: again(refunds[name]).needs_attention, seconds=30)
        refund = again(refunds[name])
        assert (refund.status, bool(refund.needs_attention)) == (status, calls), name
        assert len(house.paid(refund)) == moved, name
        assert_sums(refund)


def assert_sums(refund: Refund) -> None:
    payment = Payment.objects.get(pk=refund.payment_id)
    held = refund.amount if refund.status in HOLDING else 0
    refunded = refund.amount if refund.status == "succeeded" else 0
    assert (payment.held, payment.refunded) == (held, refunded), refund


@pytest.mark.django_db(transaction=True)
def test_a_webhook_that_our_own_look_up_contradicts_calls_a_person(house: House) -> None:
    house.open_doors()
    refund = approved(make_payment(), 1019)
    until_status(refund, "succeeded")
    until(lambda: "look-up says processing" in again(refund).needs_attention)
    lines = list(refund.events.values_list("step", flat=True))
    assert "confirmed" not in lines
