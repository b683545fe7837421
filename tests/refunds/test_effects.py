"""What one word leaves behind: every field of the refund and every field of the line, rule by rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from gateways.contract import Outcome
from gateways.money import Money
from refunds import services
from refunds.models import Attempt, Event, Refund, Status
from refunds.services.actor import Mouth
from refunds.services.record import NO_WORD, NOT_REACHED, RULES, call_for, earlier_sends_never_left, standing
from tests.builders import again, approved, ask
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
    assert line.data == {"outcome": "processing", "details": {}}
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
    assert line.data == {"outcome": "succeeded", "details": {"rrn": "1"}}


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


# --- what is over, and what was never sent ---


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
