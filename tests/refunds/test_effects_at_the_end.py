"""What one word leaves behind once a refund is over, was never sent, or is not the one they mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from gateways.contract import Outcome
from gateways.money import Money
from refunds.models import Refund, Status
from refunds.services.actor import Mouth
from tests.builders import again, approved, ask
from tests.refunds.test_effects import last, soon
from tests.refunds.test_record import hear, standing_in

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
S, M = Status, Mouth


def test_more_of_the_same_is_evidence() -> None:
    refund = standing_in(S.SUCCEEDED, details={"a": "1"}, reference="txn-1")
    refund = hear(refund, Outcome.SUCCEEDED, M.LOOK_UP, details={"b": "2"}, code="")
    assert (refund.details, refund.identifiers) == ({"a": "1", "b": "2"}, "txn-1 1 2")
    assert (last(refund).step, last(refund).text) == ("evidence", "They say succeeded. Kept as evidence.")
    n_lines = refund.events.count()
    assert hear(refund, Outcome.SUCCEEDED, M.LOOK_UP, details={"b": "2"}, code="").events.count() == n_lines


def test_an_older_word_is_kept_with_the_reason() -> None:
    refund = hear(
        standing_in(S.PROCESSING, said_at=NOON), Outcome.FAILED, M.LOOK_UP, occurred_at=NOON - timedelta(1), code=""
    )
    assert (refund.status, refund.said_at) == ("processing", NOON)
    assert last(refund).text == "They say failed. Kept as evidence: older than what we know."


@pytest.mark.parametrize(
    ("known", "said", "kept"),
    [
        (None, NOON, NOON),
        (NOON, NOON + timedelta(hours=1), NOON + timedelta(hours=1)),
        (NOON, None, NOON),
        (None, None, None),
    ],
)
def test_the_time_of_their_latest_word_is_kept(known: Any, said: Any, kept: Any) -> None:
    refund = hear(standing_in(S.PROCESSING, said_at=known), Outcome.PROCESSING, M.LOOK_UP, occurred_at=said)
    assert refund.said_at == kept


def test_a_clock_of_theirs_that_is_ahead_does_not_deafen_us() -> None:
    refund = hear(
        standing_in(S.PROCESSING), Outcome.PROCESSING, M.LOOK_UP, occurred_at=timezone.now() + timedelta(days=9)
    )
    assert soon(refund.said_at)


@pytest.mark.parametrize("status", [S.SUCCEEDED, S.FAILED])
def test_an_unclear_word_after_the_end_calls_a_person(status: S) -> None:
    refund = hear(standing_in(status), Outcome.UNCLEAR, M.LOOK_UP, code="HUH")
    assert (refund.status, refund.needs_attention) == (status, "After the end: They say unclear: HUH.")
    assert last(refund).text == "They say unclear: HUH. Kept as evidence: a word we do not know."


@pytest.mark.promise("I20")
@pytest.mark.parametrize(("status", "outcome"), [(S.SUCCEEDED, Outcome.FAILED), (S.FAILED, Outcome.SUCCEEDED)])
@pytest.mark.parametrize("mouth", [M.WEBHOOK, M.ANSWER])
def test_a_contradiction_is_looked_up_at_once(status: S, outcome: Outcome, mouth: Mouth) -> None:
    refund = hear(standing_in(status, asks=3), outcome, mouth, code="")
    assert (refund.status, refund.asks, refund.to_confirm, soon(refund.ask_at)) == (status, 0, outcome, True)
    assert last(refund).step == "contradicted"
    assert last(refund).text == (f"They say {outcome}. That contradicts the end of this refund, so we look it up.")
    n_lines = refund.events.count()
    assert hear(refund, outcome, mouth, code="").events.count() == n_lines


def test_a_reversal_calls_a_person_and_is_the_end() -> None:
    refund = hear(standing_in(S.SUCCEEDED, ask_at=NOON, to_confirm="failed"), Outcome.FAILED, M.LOOK_UP, code="BACK")
    assert (refund.status, refund.ask_at, refund.to_confirm) == ("reversed", None, "")
    assert soon(refund.final_at)
    assert refund.needs_attention == last(refund).text == "It had succeeded, and then came back: They say failed: BACK."
    assert last(refund).step == "reversed"


def test_a_late_success_is_doubted_and_asked_after() -> None:
    refund = standing_in(S.FAILED, final_at=NOON, asks=3, to_confirm="succeeded")
    refund = hear(refund, Outcome.SUCCEEDED, M.LOOK_UP, code="")
    assert (refund.status, refund.final_at, refund.to_confirm, refund.asks) == ("unknown", None, "", 0)
    assert refund.ask_at is not None
    assert refund.needs_attention == last(refund).text == "It was failed, and now: They say succeeded."
    assert last(refund).step == "doubted"


@pytest.mark.promise("I12")
def test_where_only_one_may_be_on_its_way_both_are_called_for() -> None:
    first = standing_in(S.FAILED, exclusive=True)
    second = standing_in(S.PROCESSING, first.payment)
    Refund.objects.filter(pk=second.pk).update(exclusive=True, sent_at=first.sent_at)
    first = hear(first, Outcome.SUCCEEDED, M.LOOK_UP, code="")
    second = again(second)
    assert (first.status, second.status, first.to_confirm) == ("failed", "processing", "")
    assert first.needs_attention == "It was failed, and now: They say succeeded."
    assert last(first).text.endswith("Kept as evidence: another refund of this payment is on its way.")
    assert second.needs_attention == f"{first}, of the same payment, may be paid after all: both could be."
    assert (last(second).step, last(second).text) == ("both may be paid", second.needs_attention)


@pytest.mark.parametrize(
    ("status", "outcome", "what"),
    [(S.SUCCEEDED, Outcome.FAILED, "came back"), (S.FAILED, Outcome.SUCCEEDED, "was paid")],
)
def test_a_word_that_may_be_about_a_later_refund_moves_nothing(status: S, outcome: Outcome, what: str) -> None:
    first = standing_in(status, exclusive=True, sent_at=NOON)
    second = approved(first.payment, 500)
    Refund.objects.filter(pk=second.pk).update(exclusive=True, sent_at=NOON + timedelta(hours=1))
    first = hear(first, outcome, M.LOOK_UP, amount=None)
    assert first.status == status
    assert first.needs_attention == (
        f"They speak of the whole payment, and {second} was sent after this one. Look which one {what}."
    )
    assert last(first).text.endswith("Kept as evidence: it may be about another refund.")


def test_a_word_about_what_was_never_sent_says_so() -> None:
    refund = hear(ask(), Outcome.PROCESSING, M.LOOK_UP, code="")
    assert (refund.status, refund.may_not_be_sent) == ("requested", True)
    assert refund.needs_attention == "The gateway speaks of it, yet we never sent it. They say processing."
    assert last(refund).text == "They say processing. Kept as evidence: we never sent it."


# --- what does not match ---


@pytest.mark.promise("I38")
@pytest.mark.parametrize(
    ("status", "then"),
    [(S.SENDING, "unknown"), (S.UNKNOWN, "unknown"), (S.PROCESSING, "processing"), (S.FAILED, "failed")],
)
def test_what_does_not_match_moves_nothing_but_out_of_sending(status: S, then: str) -> None:
    wrong = {"amount": Money(999, "EUR"), "code": ""}
    refund = hear(standing_in(status, asks=3), Outcome.SUCCEEDED, M.LOOK_UP, **wrong)
    why = "They say 9.99 EUR; we asked 10.00 EUR."
    assert (refund.status, refund.needs_attention, refund.reference) == (then, why, "")
    assert (last(refund).step, last(refund).text) == ("does not match", f"{why} They say succeeded.")
    assert (refund.asks, refund.ask_at is not None) == ((3, False) if status == S.FAILED else (0, True))
    assert not refund.may_not_be_sent
    n_lines = refund.events.count()
    assert hear(refund, Outcome.SUCCEEDED, M.LOOK_UP, **wrong).events.count() == n_lines


@pytest.mark.promise("I38")
def test_what_does_not_match_a_refund_that_was_never_sent_stops_it() -> None:
    refund = hear(approved(), Outcome.SUCCEEDED, M.LOOK_UP, amount=Money(999, "EUR"))
    assert (refund.status, refund.may_not_be_sent) == ("approved", True)
    assert refund.needs_attention.startswith("They say 9.99 EUR")
