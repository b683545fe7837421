"""What turns out late: it is recorded, the sums follow, and the requester and Finance see that somebody has to look."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from gateways.contract import Outcome, RefundUpdate
from gateways.payerly import Payerly
from gateways.sandbox import Sandbox
from refunds import services
from refunds.history.verify import verify
from refunds.models import Payment, Refund
from refunds.models import Status as S
from refunds.services.actor import Mouth
from tests.builders import again, alice, approved, ask, bob, dora, make_payment, person
from tests.refunds.test_record import standing_in, word
from tests.refunds.test_refund_screens import at_the_desk, page_of

pytestmark = pytest.mark.django_db(transaction=True)
HOME = reverse("admin:index")


@pytest.fixture
def shown(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> list[RefundUpdate]:
    """What the gateway shows from now on to whoever looks."""
    updates: list[RefundUpdate] = []
    monkeypatch.setattr(Payerly, "look_up", lambda self, order: updates)
    return updates


def told(refund: Refund, outcome: Outcome, shown: list[RefundUpdate]) -> Refund:
    """A webhook says so, and the look-up that it books says so, too."""
    services.record_update(refund.pk, word(refund, outcome), Mouth.WEBHOOK)
    assert again(refund).status == refund.status, "a delivery alone moves nothing that is over"
    shown[:] = [word(refund, outcome)]
    services.settle_refund(refund.pk)
    return again(refund)


def number_on_home(user: User, title: str) -> int:
    """How many refunds a pile on this person's first page has."""
    piles = at_the_desk(user).get(HOME).context["piles"]
    return next(pile.number for pile in piles if pile.title == title)


def everybody_is_called(refund: Refund) -> None:
    """The requester on the first page, in the list and on the refund's page; Finance on the desk, too."""
    assert number_on_home(alice(), "Yours, and Finance looks") == 1
    assert number_on_home(dora(), "Finance has to look") == 1
    own = at_the_desk(alice()).get(reverse("admin:refunds_refund_changelist"), {"for_me": "alarm"})
    assert refund.number in own.content.decode()
    desk = at_the_desk(dora()).get(reverse("admin:refunds_refund_unknown")).content.decode()
    assert refund.number in desk
    for user in (alice(), dora()):
        assert "Finance has to look." in at_the_desk(user).get(page_of(refund)).content.decode()


@pytest.mark.promise("I20", "I21")
@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED])
def test_success_then_reversal_frees_the_amount_and_calls_everybody(outcome: Outcome, shown: Any) -> None:
    refund = told(standing_in(S.SUCCEEDED), outcome, shown)
    payment = Payment.objects.get()
    assert (refund.status, payment.refunded, payment.held, payment.free) == ("reversed", 0, 0, 5000)
    everybody_is_called(refund)
    assert verify().findings == []
    retry = services.retry_refund(refund.pk, alice(), seen=refund.version)
    assert Payment.objects.get().held == retry.amount


@pytest.mark.promise("I13", "I20", "I21")
@pytest.mark.parametrize("status", [S.FAILED, S.WITHDRAWN, S.REVERSED])
def test_success_after_the_end_holds_the_amount_again_and_calls_everybody(status: S, shown: Any) -> None:
    refund = told(standing_in(status), Outcome.SUCCEEDED, shown)
    payment = Payment.objects.get()
    assert (refund.status, payment.held, payment.refunded) == ("unknown", 1000, 0)
    everybody_is_called(refund)
    assert verify().findings == []


@pytest.mark.promise("I1", "I2")
def test_an_over_committed_payment_sends_nothing_more(shown: Any, sandbox: Sandbox) -> None:
    failed = standing_in(S.FAILED, make_payment(captured=1500))
    unsent = approved(failed.payment, 1500)
    failed = told(failed, Outcome.SUCCEEDED, shown)
    assert (failed.status, Payment.objects.get().free) == ("unknown", -1000)
    services.send_refund(unsent.pk)
    assert (again(unsent).status, sandbox.requests()) == ("approved", [])
    for user in (alice(), bob()):
        assert "More of this payment is spoken for" in at_the_desk(user).get(page_of(unsent)).content.decode()
    services.withdraw_refund(unsent.pk, alice(), seen=again(unsent).version)
    assert Payment.objects.get().free == 500


def test_a_retry_of_what_was_paid_after_all_is_not_sent(shown: Any, sandbox: Sandbox) -> None:
    failed = standing_in(S.FAILED)
    retry = services.retry_refund(failed.pk, alice(), seen=failed.version)
    retry = services.approve_refund(retry.pk, bob(), seen=retry.version)
    told(failed, Outcome.SUCCEEDED, shown)
    services.send_refund(retry.pk)
    assert (again(retry).status, sandbox.requests()) == ("approved", [])


def test_what_others_asked_for_is_not_on_my_pile(shown: Any) -> None:
    told(standing_in(S.SUCCEEDED), Outcome.FAILED, shown)
    ask(make_payment(reference="pay-2"), by=person("amir", "Agents"))
    assert number_on_home(person("amir", "Agents"), "Yours, and Finance looks") == 0


def test_an_answered_call_is_off_the_piles(shown: Any) -> None:
    refund = told(standing_in(S.SUCCEEDED), Outcome.FAILED, shown)
    services.clear_attention(refund.pk, dora(), "The customer gave us another card.", seen=refund.version)
    assert number_on_home(alice(), "Yours, and Finance looks") == 0
    assert number_on_home(dora(), "Finance has to look") == 0
