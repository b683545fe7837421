"""What verifying says, finding by finding, and that a digest stays what it was."""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone as clock

from refunds import guards, history
from refunds.history.chain import COVERED, link
from refunds.history.fold import Chain, flaws_of_chain, flaws_of_payment, flaws_of_refund, sums_of
from refunds.history.verify import MOST_KEPT, Verdict
from refunds.models import Checkpoint, Event, Payment, Refund
from tests.builders import approved, ask, carol, make_payment

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def line(sequence: int = 1, was: str = "", now: str = "requested", previous: str = "", **changes: Any) -> Event:
    """A line with its right digest."""
    usual = {
        "payment_id": 1,
        "refund_id": 2,
        "sequence": sequence,
        "step": "step",
        "from_status": was,
        "to_status": now,
        "actor": "alice",
        "actor_user_id": 3,
        "source": "person",
        "at": NOON,
        "text": "Grüße",
        "data": {"b": 1, "a": [2]},
        "heard": "",
        "correlation": "c" * 32,
    }
    event = Event(**{**usual, **changes})
    event.digest = link(event, previous)
    return event


def chain(*statuses: str, **changes: Any) -> list[Event]:
    lines: list[Event] = []
    for number, (was, now) in enumerate(zip(("", *statuses), statuses, strict=False), 1):
        lines.append(line(number, was, now, lines[-1].digest if lines else "", **changes))
    return lines


# --- a line's digest ---


@pytest.mark.promise("I23")
def test_a_digest_stays_what_it_was() -> None:
    """Any other way to write it would break every chain that there is."""
    assert line().digest == "0e00b44abadffee2cdb938ff0ffa13e5b5318296692e5ad3f0ce443772f6439b"
    assert (
        line(2, "requested", "approved", "f" * 64).digest
        == "30678a9e2e5adab3392762c32299d8f4f9b19b5a89da9b26fd22a10ed0f9b9ec"
    )


@pytest.mark.promise("I23")
def test_every_field_is_covered_and_so_is_the_line_before() -> None:
    for name in COVERED:
        other = SimpleNamespace(**{field: getattr(line(), field) for field in COVERED})
        setattr(other, name, NOON + timedelta(microseconds=1) if name == "at" else "other")
        assert link(other, "") != line().digest, name
    assert link(line(), "f") != line().digest


def test_a_moment_is_the_same_in_every_zone_and_a_name_in_every_order() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    assert line(at=elsewhere, data={"a": [2], "b": 1}).digest == line().digest


def test_a_digest_does_not_depend_on_where_the_server_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    here = line().digest
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        there = line().digest
    time.tzset()
    assert there == here


# --- one journal ---


def test_a_sound_journal_has_no_flaws() -> None:
    assert list(flaws_of_chain("it", Chain(chain("requested", "approved", "sending")))) == []


def test_a_line_that_is_missing_is_named() -> None:
    whole = chain("requested", "approved", "sending")
    assert list(flaws_of_chain("it", Chain([whole[0], whole[2]]))) == [
        "it: line 2 is missing; line 3 stands in its place."
    ]
    assert list(flaws_of_chain("it", Chain(whole[1:]))) == ["it: line 1 is missing; line 2 stands in its place."]


def test_a_line_that_was_changed_is_named_and_only_that_one() -> None:
    lines = chain("requested", "approved", "sending")
    lines[1].text = "other"
    assert list(flaws_of_chain("it", Chain(lines))) == ["it: line 2 (step) is not what was written."]


def test_lines_that_do_not_follow_from_each_other_are_named() -> None:
    first = line()
    second = line(2, "failed", "approved", first.digest)
    third = line(3, "approved", "sending", second.digest)
    assert list(flaws_of_chain("it", Chain([first, second, third]))) == [
        "it: line 2 comes from failed, but it was requested."
    ]


def refund(**changes: Any) -> Refund:
    usual = {"pk": 2, "version": 2, "status": "approved", "amount": 1000}
    return Refund(**{**usual, **changes})


@pytest.mark.promise("I21")
@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({}, None),
        ({"version": 3}, "R-000002: it has version 3, its journal ends with line 2."),
        ({"status": "failed"}, "R-000002: it is failed, its journal says approved."),
        ({"amount": 1001}, "R-000002: its amount is 1001, its journal says 1000."),
    ],
)
def test_a_refund_is_what_its_journal_says(changes: dict[str, Any], flaw: str | None) -> None:
    lines = chain("requested", "approved", data={"amount": 1000})
    assert list(flaws_of_refund(refund(**changes), Chain(lines))) == ([flaw] if flaw else [])
    if "amount" in changes:
        assert list(flaws_of_refund(refund(**changes), Chain(chain("requested", "approved")))) == []


def test_a_refund_without_a_journal_is_a_flaw() -> None:
    assert list(flaws_of_refund(refund(), Chain([]))) == ["R-000002: it has no journal."]


def test_held_is_what_may_still_be_paid_and_refunded_what_was() -> None:
    statuses = ("requested", "returned", "approved", "sending", "unknown", "processing", "succeeded", "failed")
    amounts = [(10**n, status) for n, status in enumerate((*statuses, "rejected", "withdrawn", "reversed"))]
    assert sums_of(amounts) == (111111, 1000000)
    assert sums_of([]) == (0, 0)


@pytest.mark.promise("I21")
@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({}, None),
        ({"version": 2}, "payment 1: it has version 2, its journal ends with line 1."),
        ({"status": "refunded"}, "payment 1: it is refunded, its journal says captured."),
        ({"captured": 5001}, "payment 1: its amount is 5001, its journal says 5000."),
        ({"currency": "PLN"}, "payment 1: its currency is PLN, its journal says EUR."),
        ({"held": 999}, "payment 1: 999 is held, its refunds' journals say 1000."),
        ({"refunded": 1}, "payment 1: 1 is refunded, its refunds' journals say 0."),
    ],
)
def test_a_payment_is_what_its_journals_say(changes: dict[str, Any], flaw: str | None) -> None:
    usual = {"pk": 1, "version": 1, "status": "captured", "captured": 5000, "currency": "EUR", "held": 1000}
    payment = Payment(**{**usual, **changes})
    own = chain("captured", refund_id=None, data={"amount": 5000, "currency": "EUR"})
    journals = [(refund(), Chain(chain("requested", "approved"))), (refund(pk=3), Chain([]))]
    assert list(flaws_of_payment(payment, Chain(own), journals)) == ([flaw] if flaw else [])
    without_its_own = list(flaws_of_payment(payment, Chain([]), journals))
    assert without_its_own == ([flaw] if "held" in changes or "refunded" in changes else [])
    if "version" in changes:
        own[0].text = "other"
        assert "payment 1: line 1 (step) is not what was written." in list(
            flaws_of_payment(payment, Chain(own), journals)
        )


# --- everything ---


def test_a_verdict_counts_all_and_keeps_the_first() -> None:
    verdict = Verdict()
    assert verdict.is_clean
    verdict.add(str(number) for number in range(MOST_KEPT + 5))
    assert (verdict.is_clean, verdict.n_findings, MOST_KEPT) == (False, 205, 200)
    assert verdict.findings == [str(number) for number in range(200)]


@pytest.mark.django_db
@pytest.mark.parametrize("chunk", [1, 2, 3, 500])
def test_everything_is_looked_at_in_whatever_portions(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[Verdict.__module__], "CHUNK", chunk)
    for number in range(3):
        approved(make_payment(reference=f"pay-{number}"))
    verdict = history.verify()
    assert (verdict.n_payments, verdict.n_refunds, verdict.n_events) == (3, 3, 9)
    assert (verdict.n_checkpoints, verdict.n_younger, verdict.findings) == (0, 9, [])
    history.set_checkpoint()
    ask(Payment.objects.get(reference="pay-0"), 1)
    verdict = history.verify()
    assert (verdict.n_checkpoints, verdict.n_younger, verdict.n_refunds, verdict.n_events) == (1, 1, 4, 10)


@pytest.mark.django_db
@pytest.mark.promise("I23")
def test_each_payment_s_flaws_are_found_with_the_refund_they_belong_to() -> None:
    first, second = approved(make_payment()), approved(make_payment(reference="pay-2"))
    guards.remove(connection)
    Event.objects.filter(refund=first, step="approved").update(actor="mallory")
    Payment.objects.filter(pk=second.payment_id).update(held=7)
    Event.objects.filter(refund=second).update(refund_id=first.pk, sequence=F("sequence") + 10)
    guards.install(connection)
    findings = history.verify().findings
    assert (
        sorted(findings)
        == sorted(set(findings))
        == [
            f"{first}: line 2 (approved) is not what was written.",
            f"{second}: it has no journal.",
            f"payment {second.payment_id}: 7 is held, its refunds' journals say 0.",
            f"payment {second.payment_id}: lines of {first}, which is no refund of it.",
        ]
    )


@pytest.mark.django_db
def test_a_checkpoint_that_is_missing_or_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        ask(make_payment(reference=f"pay-{number}"))
        at = clock.now() + timedelta(minutes=2 * number)
        with monkeypatch.context() as patch:
            patch.setattr(clock, "now", lambda at=at: at)
            history.set_checkpoint()
    verdict = history.verify()
    assert (verdict.n_checkpoints, verdict.n_younger, verdict.findings) == (3, 0, [])
    guards.remove(connection)
    seal = Checkpoint.objects.get(sequence=2)
    Checkpoint.objects.filter(pk=seal.pk).update(digest="0" * 64)
    found = history.verify().findings
    assert found[0] == f"Checkpoint 2 does not fit the lines up to {seal.last_event}."
    Checkpoint.objects.filter(pk=seal.pk).delete()
    assert history.verify().findings == ["Checkpoint 2 is missing; checkpoint 3 stands in its place."]


@pytest.mark.django_db
@pytest.mark.promise("I23")
def test_checkpoints_are_compared_with_the_log_that_was_kept() -> None:
    ask()
    seal = history.set_checkpoint()
    line = f"12:00 INFO checkpoint {seal.sequence} up to line {seal.last_event}: {seal.digest} and more"
    assert history.verify(["", "else", line, line]).findings == []
    other = [f"checkpoint 1 up to line {seal.last_event}: {'0' * 64}", f"checkpoint 1 up to line 9: {seal.digest}"]
    for lie in other:
        assert history.verify([lie]).findings == ["Checkpoint 1 is not the one that was written to the log."]
    more = [line.replace("checkpoint 1", f"checkpoint {number}") for number in (3, 2)]
    assert history.verify([line, *more]).findings == [
        "Checkpoint 2 stands in the log and not in the database.",
        "Checkpoint 3 stands in the log and not in the database.",
    ]


@pytest.mark.django_db
def test_what_was_found_is_kept_for_who_asked_and_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    approved()
    before = clock.now()
    kept = history.verify_and_keep(carol().pk)
    assert (kept.asked_by, kept.n_findings, kept.n_payments, caplog.records) == (carol(), 0, 1, [])
    assert before <= kept.at <= kept.finished_at <= clock.now()
    Payment.objects.update(held=7)
    with caplog.at_level(logging.CRITICAL):
        kept = history.verify_and_keep(carol().pk)
    assert (kept.n_findings, len(kept.findings), len(caplog.records)) == (1, 1, 1)
    assert caplog.records[0].name == "refunds.history"
