"""What is over and old moves into files: what goes, what stays, and how a refund lives on after it."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from gateways.contract import Outcome, RefundUpdate
from refunds import archives, history, services
from refunds.archives import files, index, run
from refunds.errors import BadInput, WrongMoment
from refunds.models import (
    Account,
    Archive,
    ArchivedChain,
    ArchivedDelivery,
    Attempt,
    BatchRow,
    Declaration,
    Delivery,
    Event,
    Notice,
    Payment,
    Refund,
    UnmatchedRefund,
)
from refunds.reports import figures
from refunds.reports.selection import Selection
from refunds.services.actor import Mouth
from tests.builders import again, alice, approved, ask, bob, dora, make_account, make_payment
from tests.people.rooms import a_batch
from tests.refunds.olden import YEARS_AGO, archive, at, exchange, findings, last_year, loose, olden, seal, webhook
from tests.refunds.test_webhooks import OURS, callback, deliver, pem

pytestmark = pytest.mark.django_db
BACK = RefundUpdate(Outcome.FAILED, reference="REF-1", code="returned", message="The bank sent it back.")


@pytest.mark.promise("I22", "I23")
def test_what_is_over_and_old_leaves_the_database_and_the_history_holds(tmp_path: Path) -> None:
    old, young = olden(1), approved(make_payment(reference="young"))
    loose()
    n_lines = Event.objects.filter(payment=old.payment_id).count()
    first, second = archive(tmp_path)
    assert (first.n_payments, first.n_events, first.n_attempts, first.n_deliveries) == (1, n_lines, 2, 1)
    assert (second.n_payments, second.n_deliveries) == (0, 1)
    assert not Event.objects.filter(payment=old.payment_id).exists()
    assert young.events.exists()
    assert not Delivery.objects.exists()
    assert findings(tmp_path) == []
    assert history.verify().n_archived == n_lines
    assert {path.name for path in tmp_path.iterdir()} == {first.file_name, second.file_name}
    assert archive(tmp_path) == []


# --- what stays ---


def attention(refund: Refund) -> None:
    Refund.objects.filter(pk=refund.pk).update(needs_attention="Look.")


def due(refund: Refund) -> None:
    Refund.objects.filter(pk=refund.pk).update(ask_at=timezone.now())


def unconfirmed(refund: Refund) -> None:
    Refund.objects.filter(pk=refund.pk).update(to_confirm="failed")


def payment_due(refund: Refund) -> None:
    Payment.objects.filter(pk=refund.payment_id).update(ask_at=timezone.now())


def disputed(refund: Refund) -> None:
    services.mark_disputed(refund.payment_id, dora(), "Chargeback.", "case-1", seen=refund.payment.version)


def dispute_closed(refund: Refund) -> None:
    """Long ago: a file that names it again must not mark it again."""
    with at(timezone.now() - YEARS_AGO):
        disputed(refund)
        now_is = Payment.objects.get(pk=refund.payment_id)
        services.close_dispute(now_is.pk, dora(), "Won.", seen=now_is.version)
    seal(YEARS_AGO)


def another_on_its_way(refund: Refund) -> None:
    ask(Payment.objects.get(pk=refund.payment_id))


def young_line(refund: Refund) -> None:
    update = RefundUpdate(Outcome.SUCCEEDED, reference=refund.reference, message="Still.")
    services.record_update(refund.pk, update, Mouth.LOOK_UP)


def young_delivery(refund: Refund) -> None:
    webhook(refund.account, "late", refund=refund)


def young_attempt(refund: Refund) -> None:
    exchange(refund, Attempt.Kind.LOOK_UP)


def open_attempt(refund: Refund) -> None:
    Attempt.objects.filter(refund=refund, kind="look_up").update(outcome="open")


def open_proposal(refund: Refund) -> None:
    told = {"note": "x", "ticket": "T-1", "proposed_by": dora(), "proposed_at": timezone.now()}
    Declaration.objects.create(refund=refund, outcome="failed", version=refund.version, **told)


def notice_pending(refund: Refund) -> None:
    now = timezone.now()
    Notice.objects.create(account=refund.account, refund=refund, kind="attention", made_at=now, due_at=now)


def unmatched(refund: Refund) -> None:
    told = {"outcome": "succeeded", "why": "x", "seen_at": timezone.now()}
    UnmatchedRefund.objects.create(account=refund.account, payment_reference=refund.payment.reference, **told)


def row_waiting(refund: Refund) -> None:
    batch = a_batch()
    told = {"amount": 100, "reason": refund.reason, "seen_free": 100}
    BatchRow.objects.create(batch=batch, line=99, payment=refund.payment, **told)


STAYS: tuple[Callable[[Refund], None], ...] = (
    attention,
    due,
    unconfirmed,
    payment_due,
    disputed,
    dispute_closed,
    another_on_its_way,
    young_line,
    young_delivery,
    young_attempt,
    open_attempt,
    open_proposal,
    notice_pending,
    unmatched,
    row_waiting,
)


@pytest.mark.parametrize("why", STAYS, ids=lambda why: why.__name__)
def test_a_payment_with_anything_left_to_do_stays(why: Callable[[Refund], None], tmp_path: Path) -> None:
    refund, other = olden(1), olden(2)
    why(refund)
    seal()
    assert archives.would_archive(last_year()).n_payments == 1
    archive(tmp_path)
    assert refund.events.exists()
    assert not other.events.exists()
    assert findings(tmp_path) == []


def test_what_no_checkpoint_has_sealed_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as unsealed:
        unsealed.setattr("tests.refunds.olden.seal", lambda *_: None)
        olden()
    assert archive(tmp_path) == []
    seal()
    assert len(archive(tmp_path)) == 1


def test_a_payment_without_a_refund_and_a_webhook_that_waits_for_people_stay(tmp_path: Path) -> None:
    with at(timezone.now() - YEARS_AGO):
        make_payment()
        webhook(make_account(), "not readable", result="unreadable")
        named = webhook(make_account(), "about an unknown refund", result="unmatched")
        told = {"outcome": "succeeded", "why": "x", "seen_at": timezone.now(), "settled_at": timezone.now()}
        UnmatchedRefund.objects.create(account=make_account(), delivery=named, **told)
    seal()
    assert archive(tmp_path) == []


def test_days_that_gateways_may_still_speak_of_are_refused(tmp_path: Path) -> None:
    young = (timezone.now() - timedelta(days=179)).date()
    with pytest.raises(BadInput, match="less than 180 days ago"):
        list(archives.archive(young, tmp_path, dora()))


@pytest.mark.promise("I1")
def test_the_order_stays_without_its_traffic(tmp_path: Path) -> None:
    """It is what tells us that something may have left the house: no archive may make us forget it."""
    refund = olden()
    archive(tmp_path)
    (order,) = refund.attempts.all()
    assert (order.kind, order.exchanges, order.outcome) == ("send", [], "answered")


# --- life goes on ---


def test_a_later_line_goes_on_from_the_archived_head(tmp_path: Path) -> None:
    refund = olden()
    archive(tmp_path)
    services.record_update(refund.pk, BACK, Mouth.LOOK_UP)
    assert again(refund).status == "reversed"
    assert refund.events.get().sequence == refund.version + 1
    assert findings(tmp_path) == []
    seal()
    assert findings(tmp_path) == []


def test_what_came_later_is_archived_later(tmp_path: Path) -> None:
    refund = olden()
    archive(tmp_path)
    with at(timezone.now() - YEARS_AGO / 2):
        services.record_update(refund.pk, BACK, Mouth.LOOK_UP)
        exchange(refund, Attempt.Kind.LOOK_UP)
        Refund.objects.filter(pk=refund.pk).update(needs_attention="")
    seal(YEARS_AGO / 2)
    archive(tmp_path)
    pieces = ArchivedChain.objects.filter(refund=refund).order_by("first_sequence")
    assert [(one.first_sequence, one.last_sequence) for one in pieces] == [(1, 4), (5, 5)]
    assert not refund.events.exists()
    assert refund.attempts.get().kind == "send"
    assert findings(tmp_path) == []


@pytest.mark.promise("I1")
def test_an_archived_refund_is_never_sent_again(tmp_path: Path) -> None:
    refund = olden(end="failed")
    archive(tmp_path)
    paid = RefundUpdate(Outcome.SUCCEEDED, reference="REF-1")
    services.record_update(refund.pk, paid, Mouth.LOOK_UP)
    assert again(refund).status == "unknown"
    assert not services.again(again(refund)).is_safe


@pytest.mark.promise("I1")
def test_that_it_was_archived_is_reason_enough(tmp_path: Path) -> None:
    """However it came to be unknown, and whatever else we have forgotten of it."""
    refund = olden(end="failed")
    archive(tmp_path)
    Refund.objects.filter(pk=refund.pk).update(status="unknown", reference="")
    guard = services.again(again(refund))
    assert (guard.is_safe, guard.may_come) == (False, False)


def test_the_same_words_write_nothing_after_the_archive_either(tmp_path: Path) -> None:
    refund = olden()
    archive(tmp_path)
    assert services.record_update(refund.pk, RefundUpdate(Outcome.SUCCEEDED, reference="REF-1"), Mouth.LOOK_UP) is None
    assert not refund.events.exists()


def test_a_new_refund_of_an_archived_payment_can_be_asked_for(tmp_path: Path) -> None:
    old = olden()
    archive(tmp_path)
    new = ask(Payment.objects.get(pk=old.payment_id), 500)
    services.approve_refund(new.pk, bob(), seen=new.version)
    assert findings(tmp_path) == []


@pytest.mark.promise("I11")
def test_a_webhook_that_comes_again_after_the_archive_does_nothing(tmp_path: Path) -> None:
    make_account()
    Account.objects.update(webhook_key=pem(OURS))
    refund = olden()
    with at(timezone.now() - YEARS_AGO):
        body = callback(refund)
        assert deliver(body).status_code == 200
    seal(YEARS_AGO)
    Refund.objects.filter(pk=refund.pk).update(ask_at=None, to_confirm="", needs_attention="")
    archive(tmp_path)
    assert ArchivedDelivery.objects.count() == 2
    assert deliver(body).status_code == 200
    assert not Delivery.objects.exists()
    assert not refund.events.exists()


def test_reports_still_know_why_a_refund_failed(tmp_path: Path) -> None:
    olden(end="failed")
    today = timezone.now().date()
    selection = Selection(today - YEARS_AGO * 2, today, ZoneInfo("UTC"))
    before = figures.failures(Refund.objects.all(), selection)
    archive(tmp_path)
    assert figures.failures(Refund.objects.all(), selection) == before
    assert before[0].code == "no funds"


# --- the file ---


def test_the_same_rows_make_the_same_bytes_and_name_no_customer(tmp_path: Path) -> None:
    olden()
    about = {"sequence": 1, "before": "2026-01-01"}
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        files.write(tmp_path / folder, about, run._of_payments([Payment.objects.get().pk]))
    one, other = (list((tmp_path / folder).iterdir()) for folder in ("one", "other"))
    assert one[0].read_bytes() == other[0].read_bytes()
    assert "anna" not in gzip.decompress(one[0].read_bytes()).decode().lower()


def test_nothing_is_taken_out_when_a_payment_has_moved_meanwhile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refund, keep = olden(), index.keep

    def late(*args: Any) -> Archive:
        services.record_update(refund.pk, BACK, Mouth.LOOK_UP)
        return keep(*args)

    monkeypatch.setattr(index, "keep", late)
    with pytest.raises(WrongMoment, match="moved meanwhile"):
        archive(tmp_path)
    assert refund.events.count() == 5
    assert not Archive.objects.exists()


def test_a_file_that_was_written_badly_takes_nothing_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What counts is what was read back, not what should have been written."""
    refund, fill = olden(), files._fill

    def forgetful(file: Any, about: Any, groups: Any) -> Any:
        some = list(groups)
        some[0].event[0]["text"] = "other"
        return fill(file, about, some)

    monkeypatch.setattr(files, "_fill", forgetful)
    with pytest.raises(WrongMoment):
        archive(tmp_path)
    assert refund.events.exists()
    assert not Archive.objects.exists()


def test_finished_notices_go_with_the_line_that_they_were_about(tmp_path: Path) -> None:
    refund = olden()
    told = {"account": refund.account, "refund": refund, "kind": "succeeded", "made_at": timezone.now()}
    Notice.objects.create(person=alice(), event=refund.events.last(), sent_at=timezone.now(), **told)
    archive(tmp_path)
    assert not Notice.objects.exists()


# --- the commands ---


def said(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_the_commands_say_what_they_do(tmp_path: Path) -> None:
    refund, day = olden(), last_year().isoformat()
    dora()
    ask_for = ("archive", "--before", day, "--to", str(tmp_path), "--by", "dora")
    assert said(*ask_for, "--dry-run") == "Would take 1 payments, 0 webhooks about no refund.\n"
    assert not list(tmp_path.iterdir())
    told = said(*ask_for)
    (file,) = tmp_path.iterdir()
    assert told.startswith(f"{file.name}: 1 payments, 6 lines, 2 attempts, 1 webhooks\n1 files.")
    assert said(*ask_for) == "Nothing to do.\n"
    assert Archive.objects.get().by == dora()
    assert "In archives: 6 lines in 1 files, taken by their seals; --archive FOLDER reads them." in said("verify")
    assert f"In archives: 6 lines in 1 files, read again in {tmp_path}." in said("verify", "--archive", str(tmp_path))
    shown = said("show_archive", str(file), str(refund))
    assert "sending by worker, approved → sending" in shown
    assert "webhook" in shown
    rows = [json.loads(line) for line in said("show_archive", str(file), str(refund), "--json").splitlines()]
    assert [name for row in rows for name in row] == ["payment", *["event"] * 6, *["attempt"] * 2, "delivery"]
    with pytest.raises(CommandError, match="holds nothing of R-000999"):
        said("show_archive", str(file), "R-000999")
    with pytest.raises(CommandError, match="no folder"):
        said("verify", "--archive", str(tmp_path / "nowhere"))


def test_the_log_has_the_seal_and_verify_compares_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    olden()
    with caplog.at_level("INFO", logger="refunds.history"):
        (one,) = archive(tmp_path)
    kept = [record.getMessage() for record in caplog.records]
    assert f"archive 1 in {one.file_name}: {one.digest}" in kept
    assert history.verify(kept).findings == []
    other = [line.replace(one.digest, "0" * 64) for line in kept]
    assert history.verify(other).findings == ["Archive 1 is not the one that was written to the log."]
    invented = [*kept, f"archive 2 in other.jsonl.gz: {'0' * 64}"]
    assert history.verify(invented).findings == ["Archive 2 stands in the log and not in the database."]
