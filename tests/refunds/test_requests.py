"""The requester's steps in detail: what is kept, what is said, and what is left as it was."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from refunds import services
from refunds.errors import BadInput, NotAllowed, NotRefundable, WrongMoment
from refunds.models import Payment, Refund, RefundReason, Scope
from refunds.services.typed import LONGEST_TEXT, spoken
from tests.builders import again, alice, approved, ask, bob, limit_to, make_account, make_payment, make_rule, person
from tests.refunds.test_record import standing_in

pytestmark = pytest.mark.django_db


def test_a_request_keeps_what_was_asked() -> None:
    rule, before = make_rule("2"), timezone.now()
    payment = make_payment()
    reason = RefundReason.objects.get(name="Goods returned")
    refund = again(ask(payment, 1200, ticket=" T-1 ", internal_note=" calls every day "))
    assert (refund.payment, refund.account, refund.amount, refund.reason) == (payment, payment.account, 1200, reason)
    assert (refund.ticket, refund.internal_note, refund.public_note) == ("T-1", "calls every day", reason.wording)
    assert (refund.requested_by, refund.retry_of, refund.exclusive) == (alice(), None, False)
    assert (refund.rule, refund.approvals_needed, refund.status) == (rule, 2, "requested")
    assert before <= refund.requested_at <= timezone.now()
    line = refund.events.get()
    assert (line.step, line.text) == ("requested", "12.00 EUR: Goods returned. ")
    assert line.data == {"amount": 1200, "currency": "EUR", "ticket": "T-1", "rule": "rule 1 v1", "approvals": 2}


def test_without_a_rule_the_line_names_none() -> None:
    line = ask().events.get()
    assert (line.data["rule"], line.data["approvals"], line.data["ticket"]) == ("", 1, "")


def test_what_a_rule_lets_through_comes_due_at_once() -> None:
    make_rule("0")
    before = timezone.now()
    refund = again(ask())
    assert before <= refund.ask_at == refund.approved_at <= timezone.now()
    assert (refund.asks, refund.events.last().text) == (0, "No approval is needed.")


def test_nobody_asks_outside_their_accounts() -> None:
    limit_to(alice(), make_account("bank"))
    with pytest.raises(NotAllowed, match="do not work with the account"):
        ask()
    assert Payment.objects.get().held == 0


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_is_no_amount(amount: int) -> None:
    with pytest.raises(BadInput, match="more than zero"):
        ask(make_payment(), amount)


# --- retry ---


@pytest.mark.parametrize("status", ["failed", "reversed"])
def test_a_retry_asks_the_same_once_more(status: Any) -> None:
    failed = standing_in(status, ticket="T-1", internal_note="calls every day")
    retry = again(services.retry_refund(failed.pk, alice(), seen=failed.version))
    assert (retry.retry_of, retry.amount, retry.reason, retry.payment) == (failed, 1000, failed.reason, failed.payment)
    assert (retry.ticket, retry.internal_note, retry.status) == ("T-1", "calls every day", "requested")
    assert retry.key != failed.key
    assert retry.events.get().text == f"10.00 EUR: Goods returned. A new try after {failed}."
    with pytest.raises(WrongMoment, match=f"{failed} is being retried already"):
        services.retry_refund(failed.pk, alice(), seen=failed.version)


@pytest.mark.parametrize("status", ["sending", "unknown", "processing", "succeeded"])
def test_only_what_failed_or_came_back_is_retried(status: Any) -> None:
    refund = standing_in(status)
    with pytest.raises(WrongMoment, match="only a failed or reversed refund is retried"):
        services.retry_refund(refund.pk, alice(), seen=refund.version)


def test_what_was_made_at_the_gateway_is_not_retried() -> None:
    payment = make_payment()
    made_there = {"amount": 1000, "status": "failed", "requested_at": timezone.now(), "reference": "theirs"}
    refund = Refund.objects.create(payment=payment, account=payment.account, source="gateway", **made_there)
    with pytest.raises(NotRefundable, match="made at the gateway"):
        services.retry_refund(refund.pk, alice(), seen=refund.version)


@pytest.mark.parametrize("step", ["retry", "resubmit", "withdraw"])
def test_an_old_page_and_another_account_stop_each_step(step: str) -> None:
    refund = standing_in("failed") if step == "retry" else ask()
    if step == "resubmit":
        services.return_refund(refund.pk, bob(), "Which?", seen=refund.version)
    take = {
        "retry": lambda seen: services.retry_refund(refund.pk, alice(), seen=seen),
        "resubmit": lambda seen: services.resubmit_refund(refund.pk, alice(), "This.", seen=seen),
        "withdraw": lambda seen: services.withdraw_refund(refund.pk, alice(), seen=seen),
    }[step]
    version = again(refund).version
    with pytest.raises(WrongMoment, match="has changed since"):
        take(version - 1)
    limit_to(alice(), make_account("bank"))
    with pytest.raises(NotAllowed, match="do not work with"):
        take(version)
    Scope.objects.all().delete()
    alice().groups.clear()
    with pytest.raises(NotAllowed, match="You may not"):
        take(version)


# --- resubmit ---


def test_a_resubmitted_refund_says_the_answer_and_meets_its_rule() -> None:
    refund = ask()
    services.return_refund(refund.pk, bob(), "Which?", seen=1)
    with pytest.raises(BadInput, match="Answer the question"):
        services.resubmit_refund(refund.pk, alice(), "  ", seen=2)
    returned = services.resubmit_refund(refund.pk, alice(), " The blue one. ", seen=2)
    assert (returned, again(refund).revision, again(refund).status) == (refund, 2, "requested")
    line = refund.events.last()
    assert (line.step, line.text, line.actor) == ("resubmitted", "The blue one.", "alice")


def test_what_is_disputed_meanwhile_is_not_resubmitted() -> None:
    refund = ask()
    services.return_refund(refund.pk, bob(), "Which?", seen=1)
    Payment.objects.update(disputed_at=timezone.now())
    with pytest.raises(NotRefundable, match="disputed"):
        services.resubmit_refund(refund.pk, alice(), "This.", seen=2)


# --- withdraw ---


def test_a_withdrawn_refund_rests_with_its_reason() -> None:
    refund = approved()
    Refund.objects.filter(pk=refund.pk).update(needs_attention="Ask Finance.")
    before = timezone.now()
    services.withdraw_refund(refund.pk, alice(), seen=refund.version, why=" The customer keeps it. ")
    refund = again(refund)
    assert (refund.status, refund.ask_at, refund.needs_attention) == ("withdrawn", None, "Ask Finance.")
    assert before <= refund.final_at <= timezone.now()
    line = refund.events.last()
    assert (line.step, line.text, line.actor) == ("withdrawn", "The customer keeps it.", "alice")


def test_only_a_requester_withdraws_even_with_the_right() -> None:
    refund = ask()
    with pytest.raises(NotAllowed, match=r"who asked for .* can withdraw it"):
        services.withdraw_refund(refund.pk, person("agent-two", "Agents"), seen=1)


# --- words ---


def test_words_are_plain_and_not_endless() -> None:
    assert spoken("  fine ", "no") == "fine"
    assert spoken("x" * LONGEST_TEXT, "no") == "x" * 2000
    for text in ("x" * 2001, "a\0b"):
        with pytest.raises(BadInput, match="at most 2000 characters"):
            spoken(text, "no")
    with pytest.raises(BadInput, match="say something"):
        spoken(" \n", "say something")
