"""Sending and settling, step by step against the sandbox: what is committed when, and what is never done twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from gateways.contract import Outcome, RefundOrder
from gateways.payerly import Payerly
from gateways.sandbox import Sandbox
from refunds import services
from refunds.models import Account, Attempt, Payment, Refund, RefundReason
from refunds.services.actor import Mouth
from refunds.services.again import MOST_SENDS
from refunds.services.due import take_ticket
from tests.builders import again, alice, approved, ask, bob, make_account, make_payment
from tests.house import until
from tests.refunds.test_record import word

pytestmark = pytest.mark.django_db(transaction=True)


def long_ago(refund: Refund, minutes: int = 60) -> Refund:
    """As if everything about its sending had happened a while ago."""
    past = timezone.now() - timedelta(minutes=minutes)
    Refund.objects.filter(pk=refund.pk, lease_until__isnull=False).update(lease_until=past)
    Attempt.objects.filter(refund=refund).update(started_at=past)
    Attempt.objects.filter(refund=refund, finished_at__isnull=False).update(finished_at=past)
    return again(refund)


def orders(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [call for call in sandbox.requests() if call["method"] == "PUT"]


@pytest.mark.promise("I9")
def test_the_attempt_is_committed_before_the_first_byte_leaves(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = approved()
    seen = []

    def on_the_wire(self: Payerly, order: RefundOrder) -> Any:
        seen.append(list(Attempt.objects.values_list("outcome", "body_digest", "refund__status")))
        return refund_call(self, order)

    refund_call = Payerly.refund
    monkeypatch.setattr(Payerly, "refund", on_the_wire)
    services.send_refund(refund.pk)
    ((outcome, digest, status),) = seen[0]
    assert (outcome, len(digest), status) == ("open", 64, "sending")
    assert not connection.in_atomic_block


def test_the_internal_note_and_the_customer_never_leave_the_house(sandbox: Sandbox) -> None:
    payment = make_payment(customer_name="Canary Customer", customer_email="canary@example.com")
    refund = approved(payment, internal_note="canary note")
    services.send_refund(refund.pk)
    services.settle_refund(refund.pk)
    assert orders(sandbox)
    assert "canary" not in str(sandbox.requests()).lower()
    assert "canary" not in str(list(Attempt.objects.values())).lower()


def test_secrets_are_not_in_what_an_attempt_keeps(sandbox: Sandbox) -> None:
    refund = approved()
    services.send_refund(refund.pk)
    kept = str(list(Attempt.objects.values()))
    assert "/refunds/" in kept
    assert sandbox.credentials("payerly")["TOKEN"] not in kept


def test_an_answer_that_is_lost_leaves_it_unknown_and_held(sandbox: Sandbox) -> None:
    refund = approved()
    sandbox.tell("answer_lost")
    services.send_refund(refund.pk)
    assert again(refund).status == "unknown"
    assert Payment.objects.get().held == 1000
    services.settle_refund(refund.pk)
    assert len(orders(sandbox)) == 1


@pytest.mark.promise("I17")
def test_what_never_left_goes_back_to_approved_and_waits_longer_each_time(sandbox: Sandbox) -> None:
    refund = approved()
    sandbox.stop()
    waits = []
    for _ in range(8):
        Account.objects.update(breaker_until=None)
        services.send_refund(refund.pk)
        waits.append(again(refund).ask_at - timezone.now())
        assert again(refund).status == "approved"
    assert waits[-1] > waits[0] > timedelta(0)
    assert again(refund).needs_attention
    Account.objects.update(breaker_until=None)
    services.send_refund(refund.pk)
    assert Attempt.objects.count() == 8, "after a call for a person it waits for one"


@pytest.mark.promise("I14")
def test_a_clean_absence_is_not_enough_before_the_quiet_window(sandbox: Sandbox, monkeypatch: Any) -> None:
    monkeypatch.setenv("PAYERLY_EU_QUIET_WINDOW_SECONDS", "900")
    refund = approved()
    sandbox.tell("request_lost")
    services.send_refund(refund.pk)
    services.settle_refund(refund.pk)
    assert (again(refund).status, len(orders(sandbox))) == ("unknown", 1)
    long_ago(refund)
    services.settle_refund(refund.pk)
    assert (again(refund).status, len(orders(sandbox))) == ("processing", 2)


@pytest.mark.promise("I14", "I17")
def test_an_order_that_is_never_answered_goes_out_so_often_and_no_more(sandbox: Sandbox) -> None:
    refund = approved()
    sandbox.tell("request_lost")
    services.send_refund(refund.pk)
    for _ in range(2 * MOST_SENDS):
        sandbox.tell("request_lost")
        services.settle_refund(long_ago(refund).pk)
    assert len(orders(sandbox)) == MOST_SENDS
    assert (again(refund).status, Payment.objects.get().held) == ("unknown", 1000)


@pytest.mark.promise("I10")
def test_a_repeat_has_the_same_key_and_the_same_bytes(sandbox: Sandbox) -> None:
    refund = approved()
    sandbox.tell("request_lost")
    services.send_refund(refund.pk)
    RefundReason.objects.update(wording="reworded meanwhile")
    long_ago(refund)
    services.settle_refund(refund.pk)
    first, second = orders(sandbox)
    assert (first["path"], first["body"]) == (second["path"], second["body"])


def test_what_they_have_once_spoken_of_is_never_sent_again(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = approved()
    services.send_refund(refund.pk)
    Refund.objects.filter(pk=refund.pk).update(status="unknown")
    with Sandbox(pace=1 / 30) as forgetful:
        monkeypatch.setenv("PAYERLY_EU_URL", forgetful.url("payerly"))
        services.settle_refund(long_ago(refund).pk)
        assert [call["method"] for call in forgetful.requests()] == ["GET"]
    assert again(refund).status == "unknown"


@pytest.mark.promise("I14")
def test_a_job_that_slept_through_the_first_order_does_not_repeat_it_unasked(sandbox: Sandbox) -> None:
    refund = approved()
    sandbox.tell("answer_lost")
    services.send_refund(refund.pk)
    long_ago(refund)
    services.send_refund(refund.pk)  # its turn had begun while the refund was approved
    assert (again(refund).status, len(orders(sandbox))) == ("unknown", 1)


def test_a_repeat_waits_for_the_same_obstacles_as_a_first_order(sandbox: Sandbox) -> None:
    refund = approved()
    sandbox.tell("request_lost")
    services.send_refund(refund.pk)
    Account.objects.update(paused_because="audit")
    services.settle_refund(long_ago(refund).pk)
    assert (again(refund).status, len(orders(sandbox))) == ("unknown", 1)


def succeeded_by_webhook(sandbox: Sandbox) -> Refund:
    """Sent, and moved by a webhook alone; the look-up is still to come."""
    refund = approved()
    services.send_refund(refund.pk)
    services.record_update(refund.pk, word(refund, Outcome.SUCCEEDED, reference=""), Mouth.WEBHOOK)
    assert again(refund).status == "succeeded"
    return refund


def test_a_webhook_is_unconfirmed_while_the_look_up_fails_and_confirmed_when_it_works(
    sandbox: Sandbox, monkeypatch: Any
) -> None:
    refund = succeeded_by_webhook(sandbox)
    with monkeypatch.context() as away:
        away.setenv("PAYERLY_EU_URL", "http://127.0.0.1:9/payerly/v1")
        for _ in range(3):
            services.settle_refund(refund.pk)
    steps = list(refund.events.values_list("step", flat=True))
    assert steps.count("unconfirmed") == 1
    assert (again(refund).status, again(refund).ask_at is not None) == ("succeeded", True)
    sandbox.settle()
    services.settle_refund(refund.pk)
    assert refund.events.filter(step="confirmed").count() == 1
    assert (again(refund).to_confirm, again(refund).ask_at, again(refund).needs_attention) == ("", None, "")


def test_a_look_up_that_does_not_show_what_the_webhook_said_calls_a_person(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = succeeded_by_webhook(sandbox)
    with Sandbox(pace=1 / 30) as forgetful, monkeypatch.context() as elsewhere:
        elsewhere.setenv("PAYERLY_EU_URL", forgetful.url("payerly"))
        services.settle_refund(refund.pk)
    assert again(refund).status == "succeeded"
    assert "our look-up says nothing" in again(refund).needs_attention
    sandbox.settle()
    services.settle_refund(refund.pk)
    assert refund.events.filter(step="confirmed").count() == 1


def test_a_body_that_would_differ_is_not_sent_again(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = approved()
    sandbox.tell("request_lost")
    services.send_refund(refund.pk)
    long_ago(refund)
    monkeypatch.setattr(Payerly, "body", lambda self, order: b'{"another":"format"}')
    services.settle_refund(refund.pk)
    assert len(orders(sandbox)) == 1
    assert (again(refund).status, "written differently" in again(refund).needs_attention) == ("unknown", True)


def test_a_lost_worker_that_had_written_no_attempt_leaves_it_approved(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = approved()
    with monkeypatch.context() as patched:
        patched.setattr(Payerly, "before", _power_cut)
        with pytest.raises(KeyboardInterrupt):
            services.send_refund(refund.pk)
    assert again(refund).status == "sending"
    services.settle_refund(refund.pk)
    assert again(refund).status == "sending", "its lease has not ended"
    long_ago(refund)
    services.settle_refund(refund.pk)
    assert (again(refund).status, orders(sandbox)) == ("approved", [])
    assert again(refund).ask_at is not None, "it comes due again by itself"


def test_a_lost_worker_that_had_written_an_attempt_leaves_it_unknown(sandbox: Sandbox, monkeypatch: Any) -> None:
    refund = approved()
    with monkeypatch.context() as patched:
        patched.setattr(Payerly, "refund", _power_cut)
        with pytest.raises(KeyboardInterrupt):
            services.send_refund(refund.pk)
    long_ago(refund)
    services.settle_refund(refund.pk)
    assert (again(refund).status, Attempt.objects.first().outcome) == ("unknown", "no_answer")
    long_ago(refund)
    services.settle_refund(refund.pk)
    assert again(refund).status == "processing"
    assert len(orders(sandbox)) == 1, "cleanly absent after the quiet window, so the same order went out"


def _power_cut(*args: object) -> None:
    raise KeyboardInterrupt


def test_two_workers_with_the_same_refund_send_it_once(sandbox: Sandbox) -> None:
    refund = approved()
    services.send_refund(refund.pk)
    services.send_refund(refund.pk)
    assert len(orders(sandbox)) == 1


OBSTACLES = {
    "a pause": lambda refund: Account.objects.update(paused_because="audit"),
    "an account that is gone": lambda refund: Account.objects.update(is_active=False),
    "a dispute": lambda refund: Payment.objects.update(disputed_at=timezone.now()),
    "too much": lambda refund: Payment.objects.update(refunded=99_000),
    "a call for a person": lambda refund: Refund.objects.update(needs_attention="look"),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_an_approved_refund_waits_and_says_why(sandbox: Sandbox, obstacle: str) -> None:
    from refunds.wording import next_step

    refund = approved()
    OBSTACLES[obstacle](refund)
    services.send_refund(refund.pk)
    assert (again(refund).status, orders(sandbox)) == ("approved", [])
    assert next_step(again(refund)).startswith("It waits: ")
    assert again(refund).ask_at > timezone.now()


@pytest.mark.promise("I12")
def test_one_at_a_time_where_the_gateway_takes_no_more(sandbox: Sandbox) -> None:
    payment = make_payment(captured=9000)
    refunds = [approved(payment, 1000), approved(payment, 2000)]
    Refund.objects.update(exclusive=True)
    for refund in refunds:
        services.send_refund(refund.pk)
    assert [again(refund).status for refund in refunds] == ["processing", "approved"]


def test_a_retry_is_sent_only_while_the_first_one_stands_failed(sandbox: Sandbox) -> None:
    failed = approved()
    sandbox.tell("refused")
    services.send_refund(failed.pk)
    failed = again(failed)
    assert failed.status == "failed"
    retry = services.retry_refund(failed.pk, alice(), seen=failed.version)
    assert (retry.key != failed.key, retry.status) == (True, "requested")
    with pytest.raises(services_error(), match="being retried already"):
        services.retry_refund(failed.pk, alice(), seen=failed.version)
    retry = services.approve_refund(retry.pk, bob(), seen=retry.version)
    services.send_refund(retry.pk)
    assert again(retry).status == "approved", "the refusal has not been looked up yet"
    services.settle_refund(failed.pk)
    services.send_refund(retry.pk)
    assert again(retry).status == "processing"


def services_error() -> type[Exception]:
    from refunds.errors import WrongMoment

    return WrongMoment


def test_a_ticket_that_the_row_has_moved_past_does_nothing(sandbox: Sandbox) -> None:
    refund = approved()
    booked = again(refund).ask_at
    assert take_ticket(Refund.objects.filter(pk=refund.pk), booked)
    assert not take_ticket(Refund.objects.filter(pk=refund.pk), booked)
    services.take_turn(refund.pk, booked)
    assert again(refund).status == "approved"
    assert timezone.now() < again(refund).ask_at <= timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)


def test_the_sweep_finds_what_every_job_has_lost_and_hands_it_out_once(sandbox: Sandbox) -> None:
    make_account(webhook_key="pinned already")
    approved()
    assert services.sweep() == 1
    assert services.sweep() == 0


def test_no_final_word_calls_a_person_and_goes_on_asking(sandbox: Sandbox) -> None:
    refund = approved()
    sandbox.tell("slow")
    sandbox.desk.pace = 100
    services.send_refund(refund.pk)
    Refund.objects.filter(pk=refund.pk).update(asks=len(Payerly.poll_plan))
    services.settle_refund(refund.pk)
    refund = again(refund)
    assert (refund.status, bool(refund.needs_attention), refund.ask_at is not None) == ("processing", True, True)


def test_a_refund_made_in_the_gateways_own_screens_is_taken_in(sandbox: Sandbox) -> None:
    payment = make_payment(captured=5000)
    _made_elsewhere(sandbox, payment, 3000)
    services.look_up_payment(payment.pk)
    adopted = Refund.objects.get(source="gateway")
    payment = Payment.objects.get()
    assert (adopted.amount, adopted.status) == (3000, "succeeded")
    assert (payment.refunded, payment.held, payment.status) == (3000, 0, "partially_refunded")
    services.look_up_payment(payment.pk)
    assert Refund.objects.count() == 1


def test_an_adopted_refund_that_is_too_much_is_recorded_and_alarmed(sandbox: Sandbox) -> None:
    payment = make_payment(captured=5000)
    waiting = approved(payment, 4000)
    _made_elsewhere(sandbox, payment, 3000)
    services.look_up_payment(payment.pk)
    assert Refund.objects.get(source="gateway").needs_attention
    services.send_refund(waiting.pk)
    assert again(waiting).status == "approved"


def _made_elsewhere(sandbox: Sandbox, payment: Payment, minor: int) -> None:
    gateway = Payerly(sandbox.credentials("payerly"))
    gateway.refund(RefundOrder("made-in-the-portal", payment.reference, payment.money(minor)))
    until(lambda: gateway.look_up(RefundOrder("", payment.reference, payment.money(1)))[0].outcome == "succeeded")


def test_every_field_of_their_answer_can_be_found(sandbox: Sandbox) -> None:
    refund = approved()
    services.send_refund(refund.pk)
    refund = again(refund)
    assert {"rrn", "orderId", "createdAt", "changedAt"} <= set(refund.details)
    for value in (refund.reference, refund.details["rrn"]):
        assert value in refund.identifiers
    assert ask(refund.payment, 10).identifiers == ""


@pytest.mark.promise("I12")
def test_what_they_show_before_is_asked_for_once_the_claim_is_committed(sandbox: Sandbox, monkeypatch: Any) -> None:
    """Else an order of somebody else could slip in between, and its refund be taken for ours."""
    refund, seen = approved(), []
    monkeypatch.setattr(Payerly, "before", lambda self, order: seen.append(again(refund).status) or {})
    services.send_refund(refund.pk)
    assert seen == ["sending"]
