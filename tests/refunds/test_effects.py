"""What one word leaves behind: every field of the refund and every field of the line, rule by rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from gateways.contract import Outcome
from refunds import services
from refunds.models import Attempt, Event, Refund, Status
from refunds.services.actor import Mouth
from refunds.services.record import NO_WORD, NOT_REACHED, RULES, call_for, earlier_sends_never_left, standing
from tests.builders import again
from tests.refunds.test_record import hear, standing_in, word

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
S, M = Status, Mouth


def last(refund: Refund) -> Event:
    return refund.events.last()


def soon(moment: datetime | None) -> bool:
    return moment is not None and abs(moment - timezone.now()) < timedelta(minutes=1)


def test_every_row_hears_every_word() -> None:
    rows = {"on its way", "processing", "succeeded", "over", "never sent"}
    assert set(RULES) == {(row, outcome) for row in rows for outcome in Outcome}


def test_a_refund_stands_in_the_row_of_what_has_happened() -> None:
    sent = {"sent_at": NOON}
    rows = {status: standing(Refund(status=status, **sent)) for status in S}
    assert {status for status, row in rows.items() if row == "over"} == {S.FAILED, S.REVERSED, S.WITHDRAWN}
    assert {status for status, row in rows.items() if row == "on its way"} == {S.SENDING, S.UNKNOWN}
    assert (rows[S.PROCESSING], rows[S.SUCCEEDED]) == ("processing", "succeeded")
    assert {standing(Refund(status=status, **sent)) for status in (S.REQUESTED, S.RETURNED, S.APPROVED)} == {
        "never sent"
    }
    for status in (S.SENDING, S.WITHDRAWN, S.REJECTED):
        assert standing(Refund(status=status)) == "never sent"


@pytest.mark.parametrize("passing", [NO_WORD, NOT_REACHED, ""])
def test_a_call_for_a_person_outlives_a_step_unless_the_next_word_answers_it(passing: str) -> None:
    assert call_for(Refund(needs_attention=passing)) == ""
    assert call_for(Refund(needs_attention="Look.")) == "Look."


# --- on its way ---


def test_processing_waits_for_the_next_look() -> None:
    refund = hear(
        standing_in(S.UNKNOWN, asks=3, needs_attention=NO_WORD), Outcome.PROCESSING, M.LOOK_UP, message="soon"
    )
    assert (refund.status, refund.asks, refund.needs_attention, refund.reference) == ("processing", 0, "", "txn-1")
    assert refund.ask_at > timezone.now()
    line = last(refund)
    assert (line.step, line.text) == (
        "processing",
        "They say processing: PROCESSING soon. The money is on its way.",
    )
    assert line.data == {"outcome": "processing", "details": {}, "code": "PROCESSING"}
    assert line.source == "look_up"


@pytest.mark.parametrize("status", [S.SENDING, S.UNKNOWN, S.PROCESSING])
@pytest.mark.parametrize("mouth", list(Mouth))
def test_success_is_the_end_and_a_webhook_s_is_looked_up(status: S, mouth: Mouth) -> None:
    refund = standing_in(status, asks=3, needs_attention="Look.", ask_at=NOON, to_confirm="failed")
    refund = hear(refund, Outcome.SUCCEEDED, mouth, details={"rrn": "1"})
    assert (refund.status, refund.asks, refund.needs_attention) == ("succeeded", 0, "Look.")
    assert soon(refund.final_at)
    if mouth is M.WEBHOOK:
        assert (refund.to_confirm, soon(refund.ask_at)) == ("succeeded", True)
    else:
        assert (refund.to_confirm, refund.ask_at) == ("", None)
    line = last(refund)
    assert (line.step, line.text) == ("succeeded", "They say succeeded: SUCCEEDED.")
    assert line.data == {"outcome": "succeeded", "details": {"rrn": "1"}, "code": "SUCCEEDED"}


@pytest.mark.parametrize("mouth", list(Mouth))
def test_a_refusal_is_the_end_and_all_but_a_look_up_s_is_looked_up(mouth: Mouth) -> None:
    refund = hear(standing_in(S.SENDING), Outcome.FAILED, mouth, code="NO")
    assert (refund.status, soon(refund.final_at), last(refund).step) == ("failed", True, "failed")
    assert (refund.to_confirm, refund.ask_at is not None) == (("", False) if mouth is M.LOOK_UP else ("failed", True))
    assert last(refund).text == "They say failed: NO."


def attempt(refund: Refund, fence: int, **fields: Any) -> Attempt:
    return Attempt.objects.create(refund=refund, **{"kind": "send", "fence": fence, "started_at": NOON, **fields})


@pytest.mark.promise("I4")
def test_only_sends_that_may_have_left_take_a_refusal_its_force() -> None:
    refund = standing_in(S.SENDING)
    only = attempt(refund, 9)
    assert earlier_sends_never_left(refund, only)
    attempt(refund, 1, outcome="not_sent", finished_at=NOON)
    attempt(refund, 2, kind="look_up", outcome="no_answer", finished_at=NOON)
    assert earlier_sends_never_left(refund, only)
    attempt(refund, 3, outcome="no_answer", finished_at=NOON)
    assert not earlier_sends_never_left(refund, only)


@pytest.mark.promise("I4")
@pytest.mark.parametrize("earlier", ["no_answer", "not_sent"])
def test_a_refusal_after_an_unclear_order_leaves_it_unknown(earlier: str) -> None:
    refund = standing_in(S.SENDING, fence=2)
    attempt(refund, 1, outcome=earlier, finished_at=NOON)
    services.record_update(refund.pk, word(refund, Outcome.FAILED, code="NO"), M.ANSWER, attempt(refund, 2))
    refund = again(refund)
    if earlier == "not_sent":
        assert (refund.status, last(refund).step) == ("failed", "failed")
        return
    assert (refund.status, refund.reference, refund.asks) == ("unknown", "txn-1", 0)
    assert refund.ask_at > timezone.now() - timedelta(minutes=1)
    line = last(refund)
    assert (line.step, line.text) == (
        "refused, yet unclear",
        "They say failed: NO. An earlier order of the same refund may have been carried out, so we keep asking.",
    )


def test_a_refusal_that_came_too_late_moves_nothing() -> None:
    refund = standing_in(S.PROCESSING, asks=2)
    services.record_update(refund.pk, word(refund, Outcome.FAILED, code="NO"), M.ANSWER, attempt(refund, 1))
    refund = again(refund)
    assert (refund.status, refund.asks) == ("processing", 0)
    assert last(refund).text == "They say failed: NO. It came too late to decide anything."


@pytest.mark.parametrize(("asked_at", "status"), [(NOON, "withdrawn"), (None, "failed")])
def test_a_cancel_is_ours_only_where_we_asked(asked_at: datetime | None, status: str) -> None:
    refund = standing_in(S.PROCESSING, cancel_asked_at=asked_at, ask_at=NOON)
    refund = hear(refund, Outcome.CANCELLED, M.LOOK_UP, code="")
    assert (refund.status, soon(refund.final_at), refund.ask_at, refund.reference) == (status, True, None, "txn-1")
    said = "They say cancelled. Our cancel is confirmed." if asked_at else "They say cancelled."
    assert (last(refund).text, last(refund).step) == (said, "cancelled" if asked_at else "failed")


def test_a_cancel_by_webhook_is_looked_up() -> None:
    refund = hear(standing_in(S.PROCESSING, cancel_asked_at=NOON), Outcome.CANCELLED, M.WEBHOOK)
    assert (refund.status, refund.to_confirm, soon(refund.ask_at)) == ("withdrawn", "cancelled", True)


@pytest.mark.parametrize(
    ("status", "reference", "then"),
    [
        (S.SENDING, "txn-1", "processing"),
        (S.SENDING, "", "unknown"),
        (S.UNKNOWN, "txn-1", "processing"),
        (S.UNKNOWN, "", "unknown"),
        (S.PROCESSING, "", "processing"),
        (S.PROCESSING, "txn-1", "processing"),
    ],
)
def test_a_word_that_settles_nothing_calls_a_person_once(status: S, reference: str, then: str) -> None:
    said = {"reference": reference, "code": "", "message": "HUH"}
    refund = hear(standing_in(status, asks=3), Outcome.UNCLEAR, M.LOOK_UP, **said)
    assert (refund.status, refund.asks, last(refund).step) == (then, 0, "unclear")
    assert refund.ask_at > timezone.now() - timedelta(minutes=1)
    assert refund.needs_attention == last(refund).text == "Their word settles nothing: HUH"
    n_lines = refund.events.count()
    assert hear(refund, Outcome.UNCLEAR, M.LOOK_UP, **said).events.count() == n_lines


def test_an_unclear_word_without_words_says_so_and_a_long_one_is_cut() -> None:
    refund = hear(standing_in(S.PROCESSING), Outcome.UNCLEAR, M.LOOK_UP, code="")
    assert refund.needs_attention == "Their word settles nothing: it is one that we do not know"
    refund = hear(refund, Outcome.UNCLEAR, M.LOOK_UP, code="A", message="x" * 400)
    assert refund.needs_attention == f"Their word settles nothing: A {'x' * 300}"[:300]
