"""Every judge of the soak is content with a clean day, and sees the one wrong that is planted in it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.soak import checkers, test_soak
from tests.soak.found import Found, Kept, Line, Movement, Sold
from tests.soak.history import History, Operation
from tests.soak.judging import Judgement

SECRET = "s3cret/with+signs&more"
PAYMENTS = (
    Sold(1, "payerly", "pay-1", 5000, held=700, refunded=1000, status="partially_refunded"),
    Sold(2, "airpay", "716000001", 3000, held=0, refunded=3000, status="refunded"),
)
REFUNDS = (
    Kept(1, 1, "key-1", 1000, "succeeded", "ref-1", version=2, was_sent=True, bodies=("a",)),
    Kept(2, 1, "key-2", 300, "failed", "ref-2", was_sent=True, bodies=("b",)),
    Kept(3, 1, "key-3", 300, "unknown", retry_of=2, was_sent=True, calls="Look there.", bodies=("c",)),
    Kept(4, 2, "key-4", 3000, "succeeded", "ref-4", was_sent=True, bodies=("d",)),
    Kept(5, 1, "key-5", 400, "requested"),
)
LINES = (
    Line(1, 1, "requested", "alice", "person", 100.0, "act-1", "t-1"),
    Line(1, 2, "approved", "bob", "person", 110.0, "act-2"),
    Line(2, 1, "requested", "alice", "person", 101.0, "act-3", "t-2"),
    Line(3, 1, "requested", "alice", "person", 120.0, "act-4", "t-2"),
    Line(4, 1, "requested", "alice", "person", 102.0, "lost", "t-3"),
    Line(5, 1, "requested", "anna", "person", 103.0, "act-5", "t-5"),
)
OPERATIONS = (
    Operation("alice", "request", 99, 100, "ok", 302, "act-1", payment=1, ticket="t-1"),
    Operation("bob", "approve", 109, 110, "ok", 302, "act-2", refund=1, seen=1),
    Operation("bob", "approve", 109, 110, "fail", 409, "act-2b", refund=1, seen=1),
    Operation("alice", "request", 100, 101, "ok", 302, "act-3", payment=1, ticket="t-2"),
    Operation("alice", "retry", 119, 120, "ok", 302, "act-4", refund=2, seen=1),
    Operation("alice", "request", 101, 101.5, "info", payment=2, ticket="t-3"),
    Operation("alice", "request", 101, 101.5, "info", payment=2, ticket="t-4"),
    Operation("anna", "request", 102, 103, "ok", 302, "act-5", payment=1, ticket="t-5"),
    Operation("carol", "look", 104, 105, "ok", 200, "act-6"),
    Operation("gateway", "webhook", 104, 105, "fail", 503, "act-7"),
    Operation("chaos", "connection cut: soak-web", 200, 200, "ok"),
    Operation("dora", "look", 199, 201, "info", 500, "act-8"),
)
MOVEMENTS = (
    Movement("payerly", "key-1", "pay-1", 1000),
    Movement("payerly", "key-3", "pay-1", 300),
    Movement("airpay", "made-up", "716000001", 3000),
)
CLEAN = Found(
    OPERATIONS, REFUNDS, PAYMENTS, LINES, MOVEMENTS, (0, "Everything fits."), 1, 1, (("web.log", "all is well"),)
)
CLEAN = replace(CLEAN, secrets=(("TOKEN", SECRET),))


def other(rows: tuple[Any, ...], number: int, **changes: Any) -> tuple[Any, ...]:
    """The same rows with one of them changed."""
    return (*rows[:number], replace(rows[number], **changes), *rows[number + 1 :])


def with_refund(pk: int, **changes: Any) -> Found:
    return replace(CLEAN, refunds=other(REFUNDS, pk - 1, **changes))


def with_payment(pk: int, **changes: Any) -> Found:
    return replace(CLEAN, payments=other(PAYMENTS, pk - 1, **changes))


def with_line(*more: Line) -> Found:
    return replace(CLEAN, lines=(*LINES, *more))


def with_operation(**changes: Any) -> Found:
    return replace(CLEAN, operations=(*OPERATIONS, replace(OPERATIONS[2], **changes)))


def with_movement(*more: Movement) -> Found:
    return replace(CLEAN, movements=(*MOVEMENTS, *more))


def with_log(text: str) -> Found:
    return replace(CLEAN, logs=(("web.log", f"a line with {text} in it"),))


PLANTED: tuple[tuple[Callable[[Found], Judgement], str, Found], ...] = (
    (checkers.nothing_is_paid_twice, "by one key", with_movement(MOVEMENTS[0])),
    (
        checkers.nothing_is_paid_twice,
        "by a second order of one key",
        with_movement(replace(MOVEMENTS[0], key="key-1#2")),
    ),
    (checkers.nothing_is_paid_twice, "without a key", with_movement(replace(MOVEMENTS[2], key="made-up-too"))),
    (checkers.nothing_is_paid_twice, "for nobody", with_movement(Movement("pay3", "x", "pay-9", 1))),
    (checkers.no_more_than_captured_is_paid, "too much", with_movement(Movement("payerly", "key-9", "pay-1", 3701))),
    (checkers.every_end_fits_the_money, "succeeded without", with_refund(5, status="succeeded", was_sent=True)),
    (checkers.every_end_fits_the_money, "failed with", with_refund(1, status="failed")),
    (checkers.every_end_fits_the_money, "never sent, and paid", with_refund(4, status="withdrawn", was_sent=False)),
    (
        checkers.every_end_fits_the_money,
        "came back unheard",
        with_movement(replace(MOVEMENTS[0], kind="reversal")),
    ),
    (checkers.every_sum_is_true, "held", with_payment(1, held=699)),
    (checkers.every_sum_is_true, "refunded", with_payment(1, refunded=1300)),
    (checkers.every_sum_is_true, "over-committed", with_payment(1, captured=1699)),
    (checkers.every_sum_is_true, "status", with_payment(2, status="partially_refunded")),
    (checkers.the_history_holds, "verify", replace(CLEAN, verified=(1, "R-000001: line 2 is not what was written."))),
    (checkers.the_history_holds, "not exported", replace(CLEAN, n_exported=0)),
    (checkers.what_was_said_to_be_done_is_done_once, "lost", replace(CLEAN, lines=LINES[:-1])),
    (
        checkers.what_was_said_to_be_done_is_done_once,
        "twice",
        with_line(replace(LINES[1], sequence=3)),
    ),
    (
        checkers.what_was_said_to_be_done_is_done_once,
        "by another person",
        replace(CLEAN, lines=other(LINES, 1, actor="ben")),
    ),
    (
        checkers.what_was_said_to_be_done_is_done_once,
        "on another version than was seen",
        replace(CLEAN, lines=other(LINES, 1, sequence=3)),
    ),
    (
        checkers.what_was_said_to_be_done_is_done_once,
        "one form, two refunds",
        replace(
            CLEAN,
            operations=(*OPERATIONS, replace(OPERATIONS[0], act="act-9")),
            refunds=(*REFUNDS, replace(REFUNDS[0], pk=6, key="key-6")),
            lines=(*LINES, replace(LINES[0], refund=6, act="act-9")),
        ),
    ),
    (checkers.what_was_refused_left_nothing, "refused, yet done", with_line(replace(LINES[1], act="act-2b"))),
    (checkers.what_was_refused_left_nothing, "a look that acts", with_line(replace(LINES[1], act="act-6"))),
    (checkers.nobody_did_what_nobody_asked, "from nowhere", with_line(replace(LINES[1], sequence=3, act="nobody's"))),
    (checkers.nobody_did_what_nobody_asked, "lost once, done twice", with_line(replace(LINES[4], refund=5))),
    (checkers.no_name_is_used_twice, "key", with_refund(2, key="key-1")),
    (checkers.no_name_is_used_twice, "reference", with_refund(2, reference="ref-1")),
    (checkers.no_name_is_used_twice, "retry", with_refund(5, retry_of=2)),
    (checkers.no_name_is_used_twice, "line", replace(CLEAN, lines=other(LINES, 1, sequence=1))),
    (checkers.no_name_is_used_twice, "a version without a line", with_refund(1, version=3)),
    (checkers.every_try_had_the_same_body, "two bodies", with_refund(1, bodies=("a", "b"))),
    (checkers.everything_rests_or_has_called, "unknown, in silence", with_refund(3, calls="")),
    (checkers.everything_rests_or_has_called, "processing, in silence", with_refund(5, status="processing")),
    (checkers.everything_rests_or_has_called, "a knock nobody followed", with_refund(1, is_due=True)),
    (checkers.everything_rests_or_has_called, "never confirmed", with_refund(1, to_confirm="succeeded")),
    (checkers.everything_rests_or_has_called, "approved, waits for nobody", with_refund(5, status="approved")),
    (checkers.no_page_broke, "a person", with_operation(status=500, ended="info")),
    (checkers.no_page_broke, "a gateway", with_operation(status=500, actor="gateway", kind="webhook")),
    (checkers.no_secret_is_told, "plain", with_log(SECRET)),
    (checkers.no_secret_is_told, "in a URL", with_log(quote(SECRET, safe=""))),
    (checkers.no_secret_is_told, "hexadecimal", with_log(SECRET.encode().hex())),
    (checkers.no_secret_is_told, "base64", with_log(base64.b64encode(b"user:" + SECRET.encode()).decode())),
)


@pytest.mark.parametrize("judge", checkers.CHECKERS, ids=lambda judge: judge.__name__)
def test_a_clean_day_is_found_clean_and_was_looked_at(judge: Callable[[Found], Judgement]) -> None:
    judgement = judge(CLEAN)
    assert judgement.findings == ()
    assert judgement.trials > 0


@pytest.mark.parametrize(
    ("judge", "found"), [pytest.param(judge, found, id=f"{judge.__name__}: {name}") for judge, name, found in PLANTED]
)
def test_one_planted_wrong_is_seen(judge: Callable[[Found], Judgement], found: Found) -> None:
    assert len(judge(found).findings) == 1


def test_no_judge_is_without_a_planted_wrong_and_none_is_left_out_of_the_soak() -> None:
    names = {judge.__name__ for judge in checkers.CHECKERS}
    assert {judge.__name__ for judge, *_ in PLANTED} == names
    assert {name.removeprefix("test_") for name in vars(test_soak) if name.startswith("test_")} == names


@pytest.mark.parametrize(
    "refund",
    [
        with_refund(5, status="approved", blocked_by=(3,)),
        with_refund(3, calls="", was_looked_at=True),
        with_refund(5, status="processing", by_hand=True),
    ],
)
def test_what_waits_for_people_rests(refund: Found) -> None:
    assert checkers.everything_rests_or_has_called(refund).findings == ()


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    for operation in OPERATIONS:
        history.add(operation)
    assert tuple(history.read()) == OPERATIONS
