"""The hold: what is approved is not sent before its time, by nobody, and can be taken back by one click until then."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from refunds import checks, services, wording
from refunds.errors import NotAllowed, NotRefundable, WrongMoment
from refunds.models import Account, Attempt, Refund
from refunds.services import breaker, due
from refunds.services.turns import take_turn
from tests.builders import again, alice, approved, ask, bert, bob, make_payment, make_rule
from tests.house import House, until, until_status
from tests.people.desk import log_in, step, words
from tests.refunds.test_admin_actions import choose

HOLD = 90
NOON = "2026-11-20T12:00:00Z"


@pytest.fixture
def clock(settings: Any) -> Any:
    settings.APPROVAL_HOLD_SECONDS = HOLD
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


def wake_everything(refund: Refund) -> None:
    """All that could have it sent: its ticket, an early one, what waited behind, the sweep, a breaker that closes."""
    take_turn(refund.pk, again(refund).ask_at)
    due.ask_again(again(refund), timezone.now(), count=False)
    take_turn(refund.pk, again(refund).ask_at)
    due.wake_those_behind(ask(refund.payment, 1))
    take_turn(refund.pk, again(refund).ask_at)
    Refund.objects.filter(pk=refund.pk).update(ask_at=timezone.now())
    due.sweep()
    take_turn(refund.pk, again(refund).ask_at)
    breaker.wake(refund.account, timezone.now() + timedelta(hours=1))
    take_turn(refund.pk, again(refund).ask_at)
    services.send_refund(refund.pk)


@pytest.mark.django_db
def test_nothing_sends_it_before_its_time_and_it_is_due_exactly_then(clock: Any) -> None:
    refund = approved()
    ends = timezone.now() + timedelta(seconds=HOLD)
    assert refund.ask_at == ends
    for _ in range(3):
        wake_everything(refund)
        assert (again(refund).status, Attempt.objects.count()) == ("approved", 0)
        assert again(refund).ask_at == ends
        with pytest.raises(NotRefundable, match=r"held until 12:01:30"):
            services.send_now(refund.pk, bob(), seen=again(refund).version)
        clock.shift(29)
    assert wording.next_step(again(refund)) == "It is sent at 12:01:30 unless its approval is taken back."
    clock.shift(3)
    assert wording.next_step(again(refund)) == "A worker sends it as soon as one is free."
    take_turn(refund.pk, again(refund).ask_at)
    assert Attempt.objects.count() == 1  # the gateway of this test is not there; it was asked all the same


@pytest.mark.django_db
def test_a_refund_that_a_rule_lets_through_is_held_too(clock: Any) -> None:
    make_rule("0")
    refund = ask()
    assert (refund.status, refund.ask_at) == ("approved", timezone.now() + timedelta(seconds=HOLD))
    wake_everything(refund)
    assert again(refund).status == "approved"


@pytest.mark.django_db
def test_two_approvals_are_held_from_the_second_one_on(clock: Any) -> None:
    make_rule("2")
    refund = ask()
    services.approve_refund(refund.pk, bob(), seen=1)
    assert services.held_until(again(refund)) is None
    clock.shift(60)
    second = services.approve_refund(refund.pk, bert(), seen=2)
    assert services.held_until(second) == timezone.now() + timedelta(seconds=HOLD)


@pytest.mark.django_db
def test_during_the_hold_it_is_taken_back_without_a_word_and_afterwards_not(clock: Any) -> None:
    refund = approved()
    with pytest.raises(NotAllowed):
        services.unapprove_refund(refund.pk, alice(), "", seen=refund.version)
    undone = services.unapprove_refund(refund.pk, bert(), "", seen=refund.version)
    assert (undone.status, undone.approved_at, undone.ask_at, undone.revision) == ("requested", None, None, 2)
    assert undone.events.last().text == "Taken back while it was held."
    anew = services.approve_refund(refund.pk, bob(), seen=undone.version)
    clock.shift(HOLD)
    with pytest.raises(Exception, match="Say why"):
        services.unapprove_refund(refund.pk, bob(), "  ", seen=anew.version)


@pytest.mark.django_db
def test_what_is_undone_is_not_sent_by_the_ticket_that_was_booked(clock: Any) -> None:
    refund = approved()
    ticket = refund.ask_at
    services.unapprove_refund(refund.pk, bob(), "", seen=refund.version)
    clock.shift(HOLD + 1)
    take_turn(refund.pk, ticket)
    services.send_refund(refund.pk)
    assert (again(refund).status, Attempt.objects.count()) == ("requested", 0)


@pytest.mark.django_db
def test_a_clock_that_was_set_back_holds_nothing_for_days(clock: Any) -> None:
    refund = approved()
    clock.shift(-3 * 24 * 3600)
    assert services.held_until(again(refund)) is None


@pytest.mark.django_db
def test_without_a_hold_nothing_is_held() -> None:
    refund = approved()
    assert services.held_until(refund) is None
    assert refund.ask_at == refund.approved_at
    client = log_in(bob())
    text = words(client.get(reverse("admin:refunds_refund_change", args=(refund.pk,))))
    assert "Undo" not in text
    assert "Take the approval back…" in text


@pytest.mark.once
@pytest.mark.parametrize(("seconds", "is_fine"), [(-1, False), (0, True), (86_400, True), (86_401, False)])
def test_a_hold_that_makes_no_sense_is_refused_at_the_start(seconds: int, is_fine: bool, settings: Any) -> None:
    settings.APPROVAL_HOLD_SECONDS = seconds
    assert [error.id for error in checks.check_decisions()] == ([] if is_fine else ["refunds.E032"])


# --- The pages ---


@pytest.mark.django_db
@pytest.mark.once
def test_pages_and_messages_say_when_it_is_sent_and_undo_takes_it_back(clock: Any) -> None:
    payment = make_payment(9000)
    refund, other = ask(payment, 1000), ask(payment, 2000)
    client = log_in(bob())
    after = client.post(step(refund, "approve"), {"seen": 1}, follow=True)
    assert f"{refund} of 10.00\xa0EUR is approved, and is sent at 12:01:30 unless it is taken back (sandbox)." in words(
        after
    )
    assert after.redirect_chain[-1][0] == reverse("admin:refunds_refund_change", args=(other.pk,))
    for text in (words(after), words(client.get("/admin/refunds/refund/?for_me=decide"))):
        assert f'action="{step(refund, "unapprove")}"' in text  # also from where the person has gone on to
    page = words(client.get(reverse("admin:refunds_refund_change", args=(refund.pk,))))
    assert "It is sent at 12:01:30 unless its approval is taken back." in page
    assert "Undo the approval" in page
    assert "Send now" not in page  # it would be refused
    assert "Take the approval back…" not in page
    undo = client.post(step(refund, "unapprove"), {"seen": again(refund).version}, follow=True)
    assert "waits for a decision again" in words(undo)
    assert again(refund).status == "requested"
    assert "Undo" not in words(client.get("/admin/refunds/refund/?for_me=decide"))
    assert "Undo" not in words(log_in(alice()).get(reverse("admin:refunds_refund_change", args=(refund.pk,))))


def confirm(client: Client, refunds: list[Refund], **fields: Any) -> Any:
    seen = {f"seen_{refund.pk}": refund.version for refund in refunds}
    picked = {"action": "approve_selected", "_selected_action": [refund.pk for refund in refunds], "confirmed": "yes"}
    return client.post("/admin/refunds/refund/?for_me=decide", {**picked, **seen, **fields})


@pytest.mark.django_db
@pytest.mark.once
def test_the_result_names_each_row_can_be_read_again_and_undone_at_once(clock: Any) -> None:
    payment = make_payment(9000)
    refunds = [ask(payment, 1000), ask(payment, 2000), ask(payment, 3000)]
    stale = ask(payment, 500)
    services.withdraw_refund(stale.pk, alice(), seen=1)
    client = log_in(bob())
    result = confirm(client, [*refunds, stale])["Location"]
    assert re.fullmatch(r"/admin/refunds/refund/result/[\w-]{16}/", result)
    for _ in range(2):
        text = words(client.get(result))
        assert "3 done" in text
        assert "1 refused" in text
        assert text.count("is sent at 12:01:30 unless it is taken back") == 3
        assert "has changed since you opened it" in text
        assert "Undo all 3 approvals" in text
        assert [again(refund).version for refund in refunds] == [2, 2, 2]
    services.unapprove_refund(refunds[0].pk, bert(), "", seen=2)
    services.approve_refund(refunds[0].pk, bert(), seen=3)  # that is Bert's approval now, and not undone here
    assert "Undo all 2 approvals" in words(client.get(result))
    assert client.post(result)["Location"] == result
    assert [again(refund).status for refund in refunds] == ["approved", "requested", "requested"]
    text = words(client.get(result))
    assert text.count("was taken back and waits for a decision again") == 2
    assert "Undo" not in text
    assert refunds[1].events.last().actor_user == bob()
    # It is this session's own: nobody else finds it there.
    assert log_in(bert()).get(result).status_code == 404
    assert log_in(bert()).post(result).status_code == 404


@pytest.mark.django_db
@pytest.mark.once
def test_what_can_no_longer_be_undone_is_left_and_the_last_five_results_are_kept(clock: Any) -> None:
    payment = make_payment(9000)
    refunds = [ask(payment, 1000 + number) for number in range(6)]
    client = log_in(bob())
    results = [confirm(client, [refund])["Location"] for refund in refunds]
    assert [client.get(result).status_code for result in results] == [404, *[200] * 5]
    clock.shift(HOLD + 1)
    client.post(results[-1])
    assert again(refunds[-1]).status == "approved"
    assert "Undo" not in words(client.get(results[-1]))


@pytest.mark.django_db
@pytest.mark.once
def test_the_first_page_of_a_bulk_action_is_unchanged_by_the_hold(clock: Any) -> None:
    refund = ask()
    assert "What happens" in words(choose(bob(), "approve_selected", [refund]))
    with pytest.raises(WrongMoment):
        services.unapprove_refund(refund.pk, bob(), "", seen=refund.version + 1)


# --- With a worker ---


@pytest.mark.django_db(transaction=True)
def test_a_worker_sends_it_only_when_the_hold_is_over(house: House, settings: Any) -> None:
    settings.APPROVAL_HOLD_SECONDS = hold = 3
    house.environment["APPROVAL_HOLD_SECONDS"] = str(hold)
    payment = make_payment(9000)
    kept, undone = ask(payment, 1000), ask(payment, 2000)
    house.start_worker()
    until(lambda: Account.objects.get(slug="payerly-eu").webhook_key)
    began = time.monotonic()
    for refund in (kept, undone):
        services.approve_refund(refund.pk, bob(), seen=1)
    Refund.objects.filter(pk=kept.pk).update(ask_at=timezone.now())  # whoever wakes it too early
    services.unapprove_refund(undone.pk, bob(), "", seen=2)
    until(lambda: Attempt.objects.filter(refund=kept).exists(), 30)
    assert time.monotonic() - began >= hold
    until_status(kept, "succeeded")
    first = kept.attempts.order_by("pk").first().started_at
    assert first - again(kept).approved_at >= timedelta(seconds=hold)
    assert (again(undone).status, house.asked(undone, "PUT")) == ("requested", [])
