"""The journal as evidence: chained, sealed, verified; whoever rewrites it is found out, and nobody else is accused."""

from __future__ import annotations

import io
import logging
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from gateways.contract import Outcome, RefundUpdate
from refunds import archive_guards, correlation, guards, history, services
from refunds.history.chain import link
from refunds.history.verify import Verdict, flaws
from refunds.models import (
    Approval,
    Attempt,
    Batch,
    BatchRow,
    Checkpoint,
    Declaration,
    Delivery,
    Event,
    Payment,
    ReasonWord,
    Refund,
    UnmatchedRefund,
)
from refunds.services.actor import Mouth
from tests.builders import (
    alice,
    approved,
    ask,
    bert,
    bob,
    carol,
    dora,
    make_delivery,
    make_payment,
    make_rule,
    stand_in,
    ute,
)
from tests.refunds.olden import an_archive

pytestmark = pytest.mark.django_db
TAMPERINGS, CLEAN_LOGS, LINES = 1000, 100, 500


def a_life(number: int) -> Refund:
    """One refund's journal, from the request to some end or other."""
    payment = make_payment(captured=9000, reference=f"pay-{number}")
    refund = approved(payment, 1000 + number)
    if number % 4 == 0:
        return services.unapprove_refund(refund.pk, bob(), "Wait.", seen=refund.version)
    if number % 4 == 1:
        return services.withdraw_refund(refund.pk, alice(), seen=refund.version)
    Refund.objects.filter(pk=refund.pk).update(sent_at=timezone.now())
    services.record_update(refund.pk, RefundUpdate(Outcome.PROCESSING, reference=f"REF-{number}"), Mouth.LOOK_UP)
    return refund


def write_lines(n_wanted: int, first: int = 0) -> None:
    while Event.objects.count() < n_wanted:
        a_life(first)
        first += 1


def seal(caplog: pytest.LogCaptureFixture) -> list[str]:
    """A checkpoint over everything so far; what the log says of it."""
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="refunds.history"):
        assert history.set_checkpoint()
    return [record.getMessage() for record in caplog.records]


# --- tampering: each changes the database behind everybody's back, and returns what it did ---


def any_line(dice: random.Random) -> Event:
    return Event.objects.all()[dice.randrange(Event.objects.count())]


def rewrite(field: str, value: Callable[[Event], Any]) -> Callable[[random.Random], str]:
    def tamper(dice: random.Random) -> str:
        line = any_line(dice)
        Event.objects.filter(pk=line.pk).update(**{field: value(line)})
        return f"{field} of line {line.pk}"

    return tamper


def rewrite_well(dice: random.Random) -> str:
    """With all digests of the chain computed anew: only the checkpoint knows better."""
    line = any_line(dice)
    line.text += " (amended)"
    chain = Event.objects.filter(payment=line.payment_id, refund=line.refund_id).order_by("sequence")
    previous = ""
    for one in chain:
        one = line if one.pk == line.pk else one
        previous = link(one, previous)
        Event.objects.filter(pk=one.pk).update(digest=previous, text=one.text)
    return f"text of line {line.pk}, digests and all"


def remove(dice: random.Random) -> str:
    line = any_line(dice)
    Event.objects.filter(pk=line.pk).delete()
    return f"line {line.pk} removed"


def cut_the_end_of_a_journal(dice: random.Random) -> str:
    refund = dice.choice(list(Refund.objects.filter(version__gt=1)))
    last = refund.events.order_by("-sequence").first()
    Event.objects.filter(pk=last.pk).delete()
    Refund.objects.filter(pk=refund.pk).update(version=F("version") - 1, status=last.from_status)
    return f"the end of {refund}"


def swap(dice: random.Random) -> str:
    one, other = any_line(dice), any_line(dice)
    while one.text == other.text or one.pk == other.pk:
        other = any_line(dice)
    told = {"step": one.step, "text": one.text, "at": one.at, "actor": one.actor}
    Event.objects.filter(pk=one.pk).update(step=other.step, text=other.text, at=other.at, actor=other.actor)
    Event.objects.filter(pk=other.pk).update(**told)
    return f"lines {one.pk} and {other.pk} swapped"


def invent(dice: random.Random) -> str:
    """A line at the end of a journal, well chained, with the refund moved to fit it."""
    refund = dice.choice(list(Refund.objects.select_related("payment")))
    last = refund.events.order_by("-sequence").first()
    line = Event.objects.get(pk=last.pk)
    line.pk, line.sequence, line.step = None, last.sequence + 1, "evidence"
    line.from_status = last.to_status
    line.digest = link(line, last.digest)
    line.pk = -1  # among the sealed ones
    line.save(force_insert=True)
    Refund.objects.filter(pk=refund.pk).update(version=F("version") + 1)
    return f"line {line.pk} of {refund} invented"


def shift_money(dice: random.Random) -> str:
    payment = dice.choice(list(Payment.objects.all()))
    field = dice.choice(["held", "refunded", "captured"])
    Payment.objects.filter(pk=payment.pk).update(**{field: F(field) + dice.randrange(1, 500)})
    return f"{field} of payment {payment.pk}"


def move_status(dice: random.Random) -> str:
    refund = dice.choice(list(Refund.objects.all()))
    others = [status for status in ("succeeded", "failed", "rejected") if status != refund.status]
    Refund.objects.filter(pk=refund.pk).update(status=dice.choice(others))
    return f"status of {refund}"


def raise_amount(dice: random.Random) -> str:
    refund = dice.choice(list(Refund.objects.all()))
    Refund.objects.filter(pk=refund.pk).update(amount=F("amount") + 1)
    return f"amount of {refund}"


def unseal(dice: random.Random) -> str:
    Checkpoint.objects.order_by("-sequence").first().delete()
    return "the last checkpoint removed"


TAMPER: tuple[Callable[[random.Random], str], ...] = (
    rewrite("text", lambda line: line.text + "."),
    rewrite("actor", lambda line: "mallory"),
    rewrite("actor_user_id", lambda line: None if line.actor_user_id else User.objects.first().pk),
    rewrite("at", lambda line: line.at + timedelta(microseconds=1)),
    rewrite("to_status", lambda line: "rejected" if line.to_status != "rejected" else "failed"),
    rewrite("from_status", lambda line: "failed"),
    rewrite("step", lambda line: line.step[::-1]),
    rewrite("source", lambda line: "person" if line.source != "person" else "worker"),
    rewrite("data", lambda line: {**line.data, "more": 1}),
    rewrite("heard", lambda line: "0" * 64),
    rewrite("correlation", lambda line: "0" * 32),
    rewrite("sequence", lambda line: line.sequence + 100),
    rewrite("digest", lambda line: line.digest[::-1]),
    rewrite_well,
    remove,
    cut_the_end_of_a_journal,
    swap,
    invent,
    shift_money,
    move_status,
    raise_amount,
    unseal,
)


@pytest.mark.once
@pytest.mark.promise("I21", "I23")
def test_no_tampering_is_missed(caplog: pytest.LogCaptureFixture, trials: Callable[[int], None]) -> None:
    """1,000 tamperings of a log of 500 lines, sealed by two checkpoints whose log lines were kept elsewhere."""
    dice = random.Random(23)
    write_lines(LINES // 2)
    kept = seal(caplog)
    write_lines(LINES, first=LINES)
    with pytest.MonkeyPatch.context() as clock:
        later = timezone.now() + timedelta(minutes=2)
        clock.setattr(timezone, "now", lambda: later)
        kept += seal(caplog)
    assert history.verify(kept).findings == []
    guards.remove(connection)
    missed = []
    for number in range(TAMPERINGS):
        with transaction.atomic():
            inside = transaction.savepoint()
            try:
                done = TAMPER[number % len(TAMPER)](dice)
                if next(flaws(Verdict(), kept), None) is None:
                    missed.append(done)
            finally:
                transaction.savepoint_rollback(inside)
    guards.install(connection)
    assert missed == []
    trials(TAMPERINGS)


@pytest.mark.promise("I23")
def test_a_clean_log_is_never_accused(caplog: pytest.LogCaptureFixture, trials: Callable[[int], None]) -> None:
    kept: list[str] = []
    for number in range(CLEAN_LOGS):
        a_life(number)
        if number % 10 == 3:
            with pytest.MonkeyPatch.context() as clock:
                later = timezone.now() + timedelta(minutes=number)
                clock.setattr(timezone, "now", lambda later=later: later)
                kept += seal(caplog)
        verdict = history.verify(kept)
        assert verdict.findings == []
    assert verdict.n_checkpoints == 10
    assert verdict.n_events == Event.objects.count()
    trials(CLEAN_LOGS)


@pytest.mark.promise("I23")
def test_a_rewritten_database_does_not_fit_the_log_that_was_kept(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever computes all digests and checkpoints anew is found out by the workers' log alone."""
    write_lines(20)
    kept = seal(caplog)
    guards.remove(connection)
    rewrite_well(random.Random(1))
    Checkpoint.objects.all().delete()
    seal(caplog)
    guards.install(connection)
    assert history.verify().is_clean
    assert history.verify(kept).findings == ["Checkpoint 1 is not the one that was written to the log."]
    guards.remove(connection)
    Checkpoint.objects.all().delete()
    guards.install(connection)
    assert history.verify(kept).findings == ["Checkpoint 1 stands in the log and not in the database."]


def test_a_checkpoint_comes_once_a_minute_and_only_when_there_is_something_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = timezone.now()
    assert history.set_checkpoint() is None
    ask()
    assert history.set_checkpoint().sequence == 1
    ask(make_payment(reference="pay-2"))
    assert history.set_checkpoint() is None
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(minutes=2))
    assert history.set_checkpoint().n_events == 2
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(minutes=4))
    assert history.set_checkpoint() is None
    ask(make_payment(reference="pay-3"))
    monkeypatch.setattr(timezone, "now", lambda: now - timedelta(days=1))
    assert history.set_checkpoint(), "A clock that was set back keeps nobody waiting."
    assert history.verify().is_clean


# --- what cannot be done to it at all ---

STATEMENTS = {
    "sqlite": ("UPDATE refunds_{0} SET id = id", "DELETE FROM refunds_{0}"),
    "postgresql": ("UPDATE refunds_{0} SET id = id", "DELETE FROM refunds_{0}", "TRUNCATE refunds_{0} CASCADE"),
}
NEVER_REWRITTEN = ("event", "checkpoint", "approval", *archive_guards.KEPT)


def fill_every_table() -> None:
    an_archive()
    refund, now = approved(), timezone.now()
    delivery = make_delivery(refund.account)
    Attempt.objects.create(refund=refund, kind="send", fence=1, started_at=now)
    Declaration.objects.create(
        refund=refund, outcome="failed", version=1, note="x", ticket="T-1", proposed_by=dora(), proposed_at=now
    )
    UnmatchedRefund.objects.create(account=refund.account, delivery=delivery, outcome="succeeded", why="x", seen_at=now)
    ReasonWord.objects.create(reason=refund.reason, gateway="toy", word="x")
    make_rule("2")
    stand_in(bob(), bert())
    batch = Batch.objects.create(person=alice(), file_name="x.csv", rehearsed_at=now, confirmed_at=now)
    BatchRow.objects.create(batch=batch, line=2, result="refused", done_at=now)
    services.propose_change("accounts", "alice", {"accounts": [refund.account.slug]}, ute(), "x", person=alice())
    history.set_checkpoint()
    history.verify_and_keep(carol().pk)


@pytest.mark.promise("I22", "I26")
@pytest.mark.django_db(transaction=True)
def test_the_database_itself_refuses(trials: Callable[[int], None]) -> None:
    fill_every_table()
    tried = [
        statement.format(table)
        for table in guards.NO_DELETE
        for statement in STATEMENTS[connection.vendor]
        if table in NEVER_REWRITTEN or not statement.startswith("UPDATE")
    ]
    for statement in tried:
        with pytest.raises(DatabaseError, match="never"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    trials(len(tried))


@pytest.mark.promise("I22")
def test_the_models_cannot_do_it_either() -> None:
    fill_every_table()
    ways: list[Callable[[], Any]] = [
        lambda: Event.objects.update(text="x"),
        lambda: Event.objects.first().delete(),
        lambda: Event.objects.all().delete(),
        lambda: Event.objects.first().save(),
        lambda: Event.objects.bulk_update(Event.objects.all(), ["actor"]),
        lambda: Refund.objects.first().delete(),
        lambda: Payment.objects.first().delete(),
        lambda: Delivery.objects.first().delete(),
        lambda: Approval.objects.update(digest="x"),
    ]
    for way in ways:
        with pytest.raises(DatabaseError), transaction.atomic():
            way()


@pytest.mark.promise("I24")
def test_nobody_can_be_deleted_out_of_it() -> None:
    write_lines(30)
    n_lines = Event.objects.count()
    for user in User.objects.all():
        with pytest.raises(DatabaseError), transaction.atomic():
            user.delete()
    User.objects.filter(username="alice").update(username="renamed", is_active=False)
    assert Event.objects.count() == n_lines
    assert Event.objects.filter(actor="alice").exists()
    assert history.verify().is_clean


@pytest.mark.promise("I24")
def test_every_line_says_who_whence_when_and_in_which_act() -> None:
    write_lines(50)
    for line in Event.objects.all():
        assert line.actor
        assert line.source in Event.Source.values
        assert line.at.utcoffset() == timedelta()
        assert line.step
        assert line.to_status
        assert len(line.correlation) == 32
        assert (line.actor_user is not None) == (line.source == Event.Source.PERSON)


@pytest.mark.promise("I24")
def test_one_request_is_one_act(client: Any) -> None:
    waiting = [ask(make_payment(reference=f"pay-{n}")) for n in range(2)]
    client.force_login(bob())
    page = reverse("admin:refunds_refund_step", args=[waiting[0].pk, "approve"])
    answer = client.post(page, {"version": waiting[0].version, "seen": waiting[0].version})
    line = waiting[0].events.last()
    assert line.step == "approved"
    assert answer["X-Request-ID"] == line.correlation
    assert client.get("/admin/")["X-Request-ID"] != line.correlation
    assert correlation.current() == ""


# --- verify, as a command and as a page ---


def told(*arguments: str) -> str:
    out = io.StringIO()
    call_command("verify", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_the_command_says_what_it_saw_and_fails_on_a_difference(tmp_path: Any, caplog: Any) -> None:
    refund = approved()
    log = tmp_path / "worker.log"
    log.write_text("12:00:00 INFO    [-] refunds.history  " + "\n".join(seal(caplog)) + "\nsomething else\n")
    assert told("--log", str(log)) == (
        "Looked at 1 payments, 1 refunds, 3 journal lines and 1 checkpoints.\n"
        "Younger than the last checkpoint: 0 lines.\nEverything fits.\n"
    )
    services.unapprove_refund(refund.pk, bob(), "Wait.", seen=refund.version)
    assert "Younger than the last checkpoint: 1 lines." in told()
    Payment.objects.update(held=F("held") + 1)
    with pytest.raises(CommandError, match="does not hold: 1 differences"):
        told()


def test_the_page_tells_an_auditor_and_nobody_else(client: Any) -> None:
    refund = approved()
    now, shown = reverse("admin:refunds_verification_now"), reverse("admin:refunds_verification_changelist")
    client.force_login(bob())
    assert client.post(now).status_code == 403
    assert client.get(shown).status_code == 403
    client.force_login(carol())
    assert client.get(now).status_code == 405
    assert "Verify everything now" in client.get(shown).content.decode()
    history.verify_and_keep(carol().pk)
    assert "everything fits" in client.get(shown).content.decode()
    guards.remove(connection)
    Event.objects.filter(refund=refund, step="approved").update(actor="<b>mallory</b>")
    guards.install(connection)
    kept = history.verify_and_keep(carol().pk)
    page = client.get(reverse("admin:refunds_verification_change", args=[kept.pk])).content.decode()
    assert f"{refund}: line 2 (approved) is not what was written." in page
    assert "The history does not hold" in page


# --- forgetting a customer ---


@pytest.mark.promise("I21", "I23")
def test_a_forgotten_customer_is_nowhere_and_the_history_still_holds(caplog: pytest.LogCaptureFixture) -> None:
    refund = approved(make_payment(customer_name="Zofia Zielona", customer_email="Zofia@example.com"))
    other = ask(make_payment(reference="pay-2"))
    seal(caplog)
    out = io.StringIO()
    call_command("forget_customer", "zofia@EXAMPLE.com", "--by", dora().username, stdout=out)
    assert "Payments without a name and an address now: 1" in out.getvalue()
    payment = Payment.objects.get(pk=refund.payment_id)
    assert (payment.customer_name, payment.customer_email) == ("", "")
    assert Payment.objects.get(pk=other.payment_id).customer_name
    line = payment.events.filter(refund=None).last()
    assert (line.step, line.actor, line.source) == ("customer forgotten", "dora", "command")
    stored = str([list(model.objects.values()) for model in (Event, Refund, Attempt, Delivery, Payment)])
    assert "zofia" not in stored.lower()
    assert history.verify().is_clean


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nobody@example.com", "--by", "dora"), "No payment names"),
        (("zofia", "--by", "dora"), "not an e-mail address"),
        (("zofia@example.com", "--by", "nobody"), "no such active person"),
    ],
)
def test_forgetting_says_what_is_wrong(arguments: tuple[str, ...], why: str) -> None:
    dora()
    with pytest.raises(CommandError, match=why):
        call_command("forget_customer", *arguments)
