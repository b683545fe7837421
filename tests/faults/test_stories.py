"""Every story that the sandbox can play, on every gateway, at once, in one house: where each ends, and how often money
moved. A refund is of its whole payment, since one gateway can tell of no other without a reference."""

from __future__ import annotations

import pytest

from gateways.sandbox.stories import STORIES
from refunds.models import Payment, Refund
from refunds.models.refund import HOLDING
from tests.builders import ACCOUNTS, again, approved, make_payment
from tests.house import House, until, until_status

End = tuple[str, int, bool | None]
# story → (the status it comes to rest in, movements of money, whether a person is called; None: by and by)
ENDS: dict[str, End] = {
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
    "left_out": ("succeeded", 1, False),
    "told_twice": ("succeeded", 1, False),
}
# What only knocks is believed in nothing: a webhook that says more than the look-up changes nothing.
# Where polling was slower than the bank, nobody ever saw the success, and it has simply failed.
KNOCKS: dict[str, End] = {"two_voices": ("processing", 1, None), "reversed": ("reversed or failed", 1, None)}
# Never sent again: what did not arrive stays unknown until people have looked.
NOT_REPEATED: dict[str, End] = dict.fromkeys(("request_lost", "error_page", "busy", "redirect"), ("unknown", 0, None))
# And without a reference, they cannot even be asked.
NOT_ASKED: dict[str, End] = {
    **NOT_REPEATED,
    **dict.fromkeys(("answer_lost", "error_after", "drip", "late", "left_out", "told_twice"), ("unknown", 1, True)),
}
OTHERWISE: dict[str, dict[str, End]] = {
    "payerly": {},
    "paynow": {**KNOCKS, "wrong_amount": ("succeeded", 1, False)},  # no amount is on their wire
    "pay3": {**KNOCKS, **NOT_REPEATED},
    # The payment's status bears no amount, so the call for a person stays while the refund goes on.
    "examplepay": {**KNOCKS, **NOT_REPEATED, "wrong_amount": ("succeeded", 1, True)},
    "airpay": {**KNOCKS, **NOT_ASKED, "expires": ("processing", 0, True)},  # a cancelled child: a person looks
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("gateway", [name for name in ACCOUNTS if name in OTHERWISE])
def test_every_story_comes_to_its_end_and_money_moves_at_most_once(gateway: str, house: House) -> None:
    house.sandbox.desk.pace = 0.1  # so that polling alone sees a success before the bank takes it back
    house.open_doors()
    ends = {**ENDS, **OTHERWISE[gateway]}
    refunds: dict[str, Refund] = {}
    for number, story in STORIES.items():
        payment = house.sold(gateway, captured=1000 + number, number=number)
        refunds[story.name] = approved(payment, 1000 + number)
    assert set(refunds) == set(ends), "a new story needs its line in this table"
    for name, (status, _, _) in ends.items():
        until(lambda name=name, status=status: again(refunds[name]).status in status.split(" or "), seconds=60)
    for name, (status, moved, calls) in ends.items():
        if calls:
            until(lambda name=name: again(refunds[name]).needs_attention, seconds=30)
        refund = again(refunds[name])
        assert refund.status in status.split(" or "), name
        assert calls is None or bool(refund.needs_attention) == calls, (name, refund.needs_attention)
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
