""" "Can I press it again?", told from what a gateway can do and what was tried; the button and the service agree."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from gateways.contract import LookUp, Outcome, RefundUpdate, Repeat, Webhooks
from gateways.payerly import Payerly
from refunds import services, wording
from refunds.admin.steps import STEPS
from refunds.errors import WrongMoment
from refunds.models import Account, Attempt, Refund, Status
from refunds.services.actor import Mouth
from refunds.services.find import find
from refunds.services.orders import as_json, order_as_sent, order_of
from tests.builders import again, approved, ask, person
from tests.refunds.test_record import standing_in, word

pytestmark = pytest.mark.django_db


@pytest.fixture
def can(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives our gateway other abilities."""

    def change(**abilities: Any) -> None:
        monkeypatch.setattr(Payerly, "can", replace(Payerly.can, **abilities))

    return change


def unknown(minutes_ago: int = 60, n_sends: int = 1) -> Refund:
    """A refund whose order went out so many minutes ago, so many times, without an answer."""
    refund = standing_in("unknown")
    sent = timezone.now() - timedelta(minutes=minutes_ago)
    for fence in range(n_sends):
        Attempt.objects.create(
            refund=refund, kind="send", fence=fence, outcome="no_answer", started_at=sent, finished_at=sent
        )
    return refund


def offered(refund: Refund) -> bool:
    return STEPS["check"].fits(refund, person("fin", "Finance"))


def test_a_list_by_our_key_makes_it_safe_after_the_quiet_window_only() -> None:
    early = services.again(unknown(minutes_ago=1))
    assert (early.is_safe, early.may_come) == (False, True)
    assert early.not_before > timezone.now()
    assert wording.press_again(Refund.objects.get()).startswith("Not before")


def test_after_the_quiet_window_it_is_safe() -> None:
    verdict = services.again(unknown(minutes_ago=60))
    assert verdict.is_safe
    assert wording.press_again(Refund.objects.get()).startswith("Yes")


def test_not_for_ever_without_a_word() -> None:
    assert not services.again(unknown(n_sends=5)).is_safe
    assert services.again(Refund.objects.get()).not_before is None


def test_never_where_they_keep_no_key_of_ours(can: Any) -> None:
    can(repeat=Repeat.NEVER)
    refund = unknown(minutes_ago=60 * 24 * 30)
    assert not services.again(refund).is_safe
    assert wording.press_again(refund).startswith("No.")
    assert "pay twice" in wording.press_again(refund)


def test_under_their_key_it_is_safe_at_once_and_until_the_window_ends(can: Any, monkeypatch: Any) -> None:
    can(repeat=Repeat.WITHIN_WINDOW, look_up=LookUp.BY_REFERENCE)
    monkeypatch.setattr(Payerly, "key_window", timedelta(hours=20))
    verdict = services.again(unknown(minutes_ago=1))
    assert verdict.is_safe
    assert timedelta(hours=19) < verdict.not_after - timezone.now() < timedelta(hours=20)
    refund = Refund.objects.get()
    refund.attempts.update(started_at=timezone.now() - timedelta(hours=20, seconds=1))
    assert not services.again(refund).is_safe
    assert not offered(refund)
    with pytest.raises(WrongMoment, match="cannot be asked"):
        services.check_refund(refund.pk, person("fin", "Finance"))


@pytest.mark.parametrize("repeat", [Repeat.AFTER_ABSENCE, Repeat.WITHIN_WINDOW])
def test_a_word_of_theirs_ends_every_repeat(can: Any, repeat: Repeat, monkeypatch: Any) -> None:
    monkeypatch.setattr(Payerly, "key_window", timedelta(hours=20))
    can(repeat=repeat)
    refund = unknown()
    services.record_update(refund.pk, word(refund, Outcome.UNCLEAR, reference=""), Mouth.LOOK_UP)
    assert not services.again(again(refund)).is_safe


def test_without_a_reference_there_is_nothing_to_ask_by(can: Any) -> None:
    can(repeat=Repeat.NEVER, look_up=LookUp.BY_REFERENCE)
    refund = unknown()
    assert not services.can_be_settled(refund)
    assert not offered(refund)
    with pytest.raises(WrongMoment, match="Two people declare it"):
        services.check_refund(refund.pk, person("fin", "Finance"))
    Refund.objects.filter(pk=refund.pk).update(reference="theirs-1")
    assert services.can_be_settled(again(refund))
    assert offered(again(refund))


def test_what_only_people_can_tell_calls_them_once_and_is_not_booked_again(can: Any) -> None:
    can(repeat=Repeat.NEVER, look_up=LookUp.BY_REFERENCE)
    refund = unknown()
    services.settle_refund(refund.pk)
    left = again(refund)
    assert "cannot be asked" in left.needs_attention
    assert left.ask_at is None
    services.settle_refund(refund.pk)
    assert again(refund).version == left.version


def test_a_transfer_by_hand_waits_without_an_alarm(can: Any) -> None:
    can(repeat=Repeat.NEVER, look_up=LookUp.NONE, webhooks=Webhooks.NONE, by_hand=True)
    refund = standing_in("processing")
    services.settle_refund(refund.pk)
    assert (again(refund).needs_attention, again(refund).ask_at) == ("", None)
    assert "A person makes this transfer" in wording.next_step(again(refund))


@pytest.mark.parametrize("status", ["requested", "approved", "processing"])
def test_every_refund_that_is_not_final_says_whether_to_press_again(status: str) -> None:
    refund = {"requested": ask, "approved": approved}.get(status, lambda: standing_in(status))()
    assert wording.press_again(again(refund))


@pytest.mark.parametrize("status", ["succeeded", "failed", "reversed"])
def test_a_final_one_says_nothing_of_it(status: str) -> None:
    assert wording.press_again(standing_in(status)) == ""


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.SUCCEEDED, Status.FAILED])
def test_nothing_but_the_unknown_is_ever_repeated(status: Status) -> None:
    assert not services.again(standing_in(status)).is_safe


def test_what_holds_a_repeat_back_is_said_instead_of_yes() -> None:
    refund = unknown()
    Account.objects.update(paused_because="Their maintenance.")
    held = again(refund)
    assert services.again(held).is_safe
    assert wording.press_again(held).startswith("Not now.")
    assert "Their maintenance." in wording.press_again(held)


def test_what_was_there_before_a_send_that_never_left_is_not_compared_with() -> None:
    """Somebody refunds the same amount in the portal between a first try that never left and the second one."""
    refund = unknown(n_sends=0)
    for fence, (outcome, listed) in enumerate((("not_sent", []), ("no_answer", ["portal-1"]))):
        moment = timezone.now()
        Attempt.objects.create(
            refund=refund,
            kind="send",
            fence=fence,
            outcome=outcome,
            order=as_json(order_of(refund)),
            before={"references": listed},
            started_at=moment,
            finished_at=moment,
        )
    assert order_as_sent(refund).before == {"references": ["portal-1"]}
    shown = [RefundUpdate(Outcome.SUCCEEDED, reference="portal-1", amount=refund.money)]
    assert find(shown, refund, order_as_sent(refund).before) is None


@pytest.mark.parametrize("status", ["requested", "approved", "unknown", "processing", "succeeded", "failed"])
def test_the_page_says_it_as_long_as_the_refund_is_not_final(client: Client, status: str) -> None:
    refund = {"requested": ask, "approved": approved, "unknown": unknown}.get(status, lambda: standing_in(status))()
    client.force_login(person("fin", "Finance"))
    page = client.get(f"/admin/refunds/refund/{refund.pk}/change/").content.decode()
    said = wording.press_again(again(refund))
    assert ("Can I press it again?" in page) == bool(said)
    assert escape(said) in page
    assert bool(said) == (status not in ("succeeded", "failed"))
