"""Who is told of a step, when and of what: in the step's own transaction, once, and only while it is true."""

from __future__ import annotations

import smtplib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection, transaction
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from gateways.contract import Outcome
from refunds import jobs, services
from refunds.admin.queue import waiting_for
from refunds.errors import WrongMoment
from refunds.models import Approval, Notice, Preference, Refund, Status
from refunds.services import journal, letters, notices, telling
from refunds.services.actor import WORKER, Mouth
from refunds.services.notices import who_may_decide
from refunds.services.steps import locked, take_step
from tests.builders import (
    again,
    alice,
    approved,
    ask,
    bert,
    bob,
    dora,
    limit_to,
    make_account,
    make_payment,
    make_rule,
    person,
    stand_in,
)
from tests.refunds.test_record import hear, standing_in

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Kind = Notice.Kind


@pytest.fixture(autouse=True)
def post(settings: Any) -> None:
    settings.SENDS_MAIL = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    for one in (alice(), bob()):
        write_to(one)


def write_to(one: User, **wishes: Any) -> User:
    User.objects.filter(pk=one.pk).update(email=f"{one.username}@example.com")
    if wishes:
        Preference.objects.update_or_create(person=one, defaults=wishes)
    return User.objects.get(pk=one.pk)


def kinds(of: User) -> list[str]:
    return list(Notice.objects.filter(person=of).values_list("kind", flat=True))


def due_now() -> None:
    Notice.objects.filter(due_at__isnull=False).update(due_at=timezone.now() - timedelta(seconds=1))


def told(of: User) -> list[Any]:
    """The mails that this person gets when all that was booked is due."""
    mail.outbox.clear()
    due_now()
    services.tell(of.pk)
    assert all(letter.to == [of.email] for letter in mail.outbox)
    return list(mail.outbox)


def left_out(of: User) -> list[str]:
    return list(Notice.objects.filter(person=of).values_list("left_out", flat=True))


def decide(refund: Refund, how: str, text: str = "", by: User | None = None) -> Refund:
    words = (text,) if text else ()
    return getattr(services, f"{how}_refund")(refund.pk, by or bob(), *words, seen=again(refund).version)


@transaction.atomic
def call_for_a_person(refund: Refund, why: str = "Look.") -> None:
    take_step(locked(refund.pk), "test", WORKER, needs_attention=why)


# --- Which step tells whom ---


def test_a_request_is_booked_for_those_who_may_decide_and_for_nobody_else() -> None:
    write_to(bert())
    for name, group, fields in (
        ("agnes", "Agents", {}),
        ("fay", "Finance", {}),
        ("gone", "Approvers", {"is_active": False}),
        ("root", "Approvers", {"is_superuser": True}),
        ("guest", "Approvers", {"is_staff": False}),
    ):
        write_to(person(name, group, **fields))
    person("silent", "Approvers")  # no address
    ask()
    assert {row.person.username for row in Notice.objects.all()} == {"bob", "bert"}
    assert {row.kind for row in Notice.objects.all()} == {"to_decide"}


def test_nobody_is_told_of_an_account_that_they_do_not_work_with() -> None:
    limit_to(write_to(bert()), make_account("paynow-pl"))
    limit_to(bob(), make_account(), make_account("paynow-pl"))
    ask()
    assert [row.person for row in Notice.objects.all()] == [bob()]


def test_four_eyes_nobody_is_asked_to_decide_about_their_own_request() -> None:
    both = write_to(alice())
    both.groups.add(*bob().groups.all())
    ask()
    assert kinds(both) == []
    assert kinds(bob()) == ["to_decide"]


def test_four_eyes_nor_when_somebody_else_has_put_it_back_in_line() -> None:
    both = write_to(alice())
    refund = approved()
    both.groups.add(*bob().groups.all())
    decide(refund, "unapprove", "Too quick.")
    assert again(refund).events.last().actor == "bob"
    assert "to_decide" not in kinds(both)
    Notice.objects.create(
        person=both, refund=refund, account=refund.account, kind="to_decide", made_at=NOON, due_at=NOON
    )
    assert told(both) == []


def test_who_has_approved_already_is_not_asked_again() -> None:
    make_rule("2")
    write_to(bert())
    refund = ask()
    decide(refund, "approve")
    assert len(told(bert())) == 1
    assert told(bob()) == []
    assert left_out(bob()) == ["It does not wait for this person any more."]
    assert list(who_may_decide(again(refund))) == [bert()]


def test_whose_allowance_was_used_has_a_part_in_it() -> None:
    make_rule("2")
    write_to(bert())
    refund = ask()
    Approval.objects.create(
        refund=refund,
        revision=1,
        approver=person("deputy", "Approvers"),
        requester=alice(),
        acting_for=bert(),
        digest="x",
        approved_at=timezone.now(),
    )
    assert told(bert()) == []
    assert list(who_may_decide(again(refund))) == [bob()]


def test_a_deputy_is_asked_and_reads_for_whom() -> None:
    deputy = write_to(bert(), to_decide="each")
    stand_in(deputy, bob())
    ask()
    (letter,) = told(deputy)
    assert "You stand in for bob." in letter.body


@pytest.mark.once
def test_a_deputy_who_does_not_work_with_the_account_is_not_asked() -> None:
    limit_to(write_to(bert()), make_account("paynow-pl"))
    stand_in(bert(), bob())
    ask()
    assert kinds(bert()) == []


def test_the_line_of_the_screen_and_the_mails_name_the_same_people() -> None:
    write_to(bert())
    refund = ask()
    for one in (alice(), bob(), bert()):
        in_line = waiting_for(one).filter(pk=refund.pk).exists() and one.groups.filter(name="Approvers").exists()
        assert in_line == who_may_decide(refund).filter(pk=one.pk).exists()


def test_where_a_rule_lets_it_through_nobody_is_asked() -> None:
    make_rule("0")
    ask()
    assert Notice.objects.count() == 0


def test_an_answered_question_and_a_taken_back_approval_wait_again() -> None:
    write_to(bert())
    refund = decide(ask(), "return", "Which parcel?")
    services.resubmit_refund(refund.pk, alice(), "The blue one.", seen=refund.version)
    assert kinds(bert()) == ["to_decide", "to_decide"]
    assert len(told(bert())) == 1, "two rounds of one refund are one row"
    decide(refund, "approve")
    decide(refund, "unapprove", "Too quick.")
    assert kinds(bert()) == ["to_decide"] * 3
    assert kinds(bob()) == ["to_decide"] * 2, "he took it back himself"


@pytest.mark.parametrize(
    ("how", "kind", "says"),
    [
        ("return", "returned", "bob has returned your request with a question."),
        ("reject", "rejected", "bob has rejected your request. The amount is free again."),
    ],
)
def test_the_requester_reads_what_the_approver_wrote(how: str, kind: str, says: str) -> None:
    decide(ask(), how, "Which parcel?\nThe blue one?")
    assert kinds(alice()) == [kind]
    (letter,) = told(alice())
    assert says in letter.body
    assert "  > Which parcel?\n  > The blue one?\n" in letter.body


@pytest.mark.parametrize(
    ("outcome", "kind", "says"),
    [
        (Outcome.SUCCEEDED, "succeeded", "It is done: the money was sent back."),
        (Outcome.FAILED, "failed", "no money moved"),
    ],
)
def test_the_requester_hears_of_the_end(outcome: Outcome, kind: str, says: str) -> None:
    refund = hear(standing_in(Status.PROCESSING), outcome, Mouth.LOOK_UP, message="said to Anna Nowak")
    assert "Anna Nowak" in refund.events.last().text
    assert kinds(alice()) == [kind]
    (letter,) = told(alice())
    assert says in letter.body
    assert "Anna" not in letter.body + letter.subject, "no words of the gateway"


def test_the_requester_hears_that_it_came_back() -> None:
    refund = standing_in(Status.SUCCEEDED)
    Notice.objects.all().update(due_at=None)
    hear(refund, Outcome.FAILED, Mouth.LOOK_UP)
    assert kinds(alice())[-1] == "reversed"
    (letter,) = told(alice())
    assert letter.subject.endswith("came back after it had succeeded: 10.00 EUR")


def test_what_is_unknown_for_a_moment_is_mailed_to_nobody() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        refund = standing_in(Status.UNKNOWN)
        services.tell(alice().pk)
        assert (kinds(alice()), mail.outbox) == (["attention"], [])
        clock.shift(timedelta(minutes=4))
        hear(refund, Outcome.SUCCEEDED, Mouth.LOOK_UP)
        clock.shift(timedelta(minutes=2))
        services.tell(alice().pk)
    assert [letter.subject for letter in mail.outbox] == [f"{refund} succeeded: 10.00 EUR"]
    assert left_out(alice()) == ["It is no longer true.", ""]


def test_what_stays_unknown_is_told_and_how_not_to_refund_twice() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        standing_in(Status.UNKNOWN)
        clock.shift(timedelta(minutes=6))
        services.tell(alice().pk)
    assert "Do not refund it any other way." in mail.outbox[0].body


def test_a_call_for_a_person_is_told_once_for_each_new_reason() -> None:
    refund = standing_in(Status.PROCESSING)
    for why in ("Look.", "Look.", "Look there."):
        call_for_a_person(refund, why)
    assert kinds(alice()) == ["attention", "attention"]
    (letter,) = told(alice())
    assert "Finance has to look at it." in letter.body
    assert left_out(alice()) == ["A later notice says it.", ""]
    services.clear_attention(refund.pk, write_to(dora()), "Seen.", seen=again(refund).version)
    assert kinds(alice()) == ["attention", "attention"]


@pytest.mark.once
def test_a_refund_that_was_made_at_the_gateway_has_nobody_to_tell() -> None:
    refund = standing_in(Status.PROCESSING)
    line = refund.events.last()
    refund.requested_by, n_rows = None, Notice.objects.count()
    notices.book(refund, line, calls=True)
    assert Notice.objects.count() == n_rows


def test_nobody_is_told_of_what_they_did_themselves() -> None:
    refund = ask()
    services.withdraw_refund(refund.pk, alice(), seen=refund.version)
    assert kinds(alice()) == []


def test_without_a_mail_server_nothing_is_written_and_nothing_is_asked(
    settings: Any, django_assert_num_queries: Any
) -> None:
    settings.SENDS_MAIL = False
    refund = ask()
    line = refund.events.get()
    with django_assert_num_queries(0):
        notices.book(refund, line, calls=True)
    assert Notice.objects.count() == 0


def test_a_step_that_tells_nobody_costs_nothing_and_one_that_tells_ten_two_queries(
    django_assert_num_queries: Any,
) -> None:
    for number in range(10):
        write_to(person(f"approver-{number}", "Approvers"), to_decide="each")
    refund = ask()
    line = refund.events.get()
    assert Notice.objects.count() == 11
    Notice.objects.all().delete()
    with django_assert_num_queries(2):
        notices.book(refund, line, calls=False)
    assert Notice.objects.count() == 11
    line.from_status = line.to_status
    with django_assert_num_queries(0):
        notices.book(refund, line, calls=False)


# --- One transaction ---


def test_a_step_that_is_rolled_back_leaves_no_notice_and_wakes_nobody(django_capture_on_commit_callbacks: Any) -> None:
    write_to(bob(), to_decide="each")
    payment = make_payment()
    with django_capture_on_commit_callbacks() as woken, transaction.atomic():
        ask(payment)
        assert Notice.objects.count() == 1
        transaction.set_rollback(True)
    assert (Notice.objects.count(), Refund.objects.count(), woken) == (0, 0, [])


def test_a_step_that_comes_too_late_leaves_no_notice() -> None:
    refund = ask()
    decide(refund, "reject", "No.")
    n_rows = Notice.objects.count()
    with pytest.raises(WrongMoment):
        services.return_refund(refund.pk, bob(), "Why?", seen=refund.version)
    assert Notice.objects.count() == n_rows


def test_a_notice_that_cannot_be_written_takes_the_step_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same transaction, seen from the other side."""
    refund = ask()

    def fails(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(journal, "book", fails)
    with pytest.raises(RuntimeError):
        decide(refund, "reject", "No.")
    assert again(refund).status == Status.REQUESTED


@pytest.mark.django_db(transaction=True)
def test_what_was_committed_is_in_line_at_once_and_after_a_lost_job_by_the_sweep() -> None:
    write_to(bob(), to_decide="each")
    ask()
    row = Notice.objects.get(person=bob())
    mine = [job for job in DBTaskResult.objects.all() if job.task_path.endswith("jobs.tell")]
    assert [job.args_kwargs["args"] for job in mine] == [[bob().pk]]
    DBTaskResult.objects.all().delete()
    assert services.sweep_notices() == 1
    jobs.tell.call(bob().pk)
    row.refresh_from_db()
    assert (len(mail.outbox), bool(row.sent_at), row.due_at) == (1, True, None)
    assert services.sweep_notices() == 0


# --- Digests ---


def test_a_digest_comes_once_an_hour_with_the_totals_of_each_currency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "payerly-eu:payerly,bank:manual")
    with time_machine.travel(NOON + timedelta(minutes=7), tick=False) as clock:
        for number in range(3):
            ask(make_payment(reference=f"p{number}", order=f"order-{number}"))
        ask(make_payment(9000, "PLN", "t-1", account=make_account("bank", gateway="manual", mode="live")), 1250)
        assert {row.due_at for row in Notice.objects.filter(person=bob())} == {NOON + timedelta(hours=1)}
        clock.shift(timedelta(minutes=52))
        assert services.tell(bob().pk) == 0
        clock.shift(timedelta(minutes=2))
        assert services.tell(bob().pk) == 1
    (letter,) = mail.outbox
    assert letter.subject == "4 refunds wait for your decision"
    assert "Together: 12.50\N{NO-BREAK SPACE}PLN (live), 30.00\N{NO-BREAK SPACE}EUR (sandbox)" in letter.body
    assert "https://refunds.example/admin/refunds/refund/?for_me=decide" in letter.body
    assert letter.body.count("/change/") == 4


def test_a_refund_that_was_decided_before_the_digest_is_not_in_it() -> None:
    first, second = ask(), ask(make_payment(reference="p2"))
    decide(first, "reject", "No.", by=bert())
    (letter,) = told(bob())
    assert (str(first) in letter.body, str(second) in letter.body) == (False, True)
    assert left_out(bob()) == ["It does not wait for this person any more.", ""]


def test_a_digest_with_nothing_left_is_not_sent() -> None:
    decide(ask(), "reject", "No.", by=bert())
    assert told(bob()) == []


def test_whoever_is_due_for_many_at_once_gets_them_in_one() -> None:
    write_to(bob(), to_decide="each")
    payment = make_payment(captured=100_000)
    for _ in range(letters.MOST_BY_EACH + 1):
        ask(payment)
    (letter,) = told(bob())
    assert letter.subject == "11 refunds wait for your decision"


def test_a_long_digest_ends_with_a_number() -> None:
    payment = make_payment(captured=100_000)
    for _ in range(53):
        ask(payment)
    (letter,) = told(bob())
    assert letter.body.count("/change/") == 50
    assert "and 3 more" in letter.body


# --- What each person wants, and may know when the moment comes ---


def test_each_wish_is_followed() -> None:
    write_to(bob(), to_decide="off")
    write_to(bert(), to_decide="each")
    write_to(alice(), own="digest", not_about=["rejected"])
    decide(ask(), "reject", "No.")
    decide(ask(make_payment(reference="p2")), "return", "Why?")
    assert kinds(bob()) == []
    assert all(row.due_at == row.made_at for row in Notice.objects.filter(person=bert()))
    assert kinds(alice()) == ["returned"]
    (letter,) = told(alice())
    assert letter.subject == "News of 1 of your refunds"


def switched_off(one: User) -> None:
    User.objects.filter(pk=one.pk).update(is_active=False)


def made_superuser(one: User) -> None:
    User.objects.filter(pk=one.pk).update(is_superuser=True)


def without_address(one: User) -> None:
    User.objects.filter(pk=one.pk).update(email="")


def forged_address(one: User) -> None:
    User.objects.filter(pk=one.pk).update(email="a@example.com\nBcc: b@example.com")


def out_of_the_group(one: User) -> None:
    one.groups.clear()


def moved_to_another_account(one: User) -> None:
    limit_to(one, make_account("paynow-pl"))


def wants_none(one: User) -> None:
    write_to(one, to_decide="off", own="off")


CHANGES = [
    switched_off,
    made_superuser,
    without_address,
    forged_address,
    out_of_the_group,
    moved_to_another_account,
    wants_none,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("who", ["alice", "bob"])
def test_whatever_changed_since_it_was_booked_counts(change: Callable[[User], None], who: str) -> None:
    refund = ask()
    if who == "alice":
        decide(refund, "return", "Which parcel?")
    one = User.objects.get(username=who)
    change(one)
    mail.outbox.clear()
    due_now()
    assert services.tell(one.pk) == 0
    assert mail.outbox == []
    assert all(left_out(one))


def test_a_question_that_was_answered_meanwhile_is_not_told() -> None:
    refund = decide(ask(), "return", "Which parcel?")
    services.resubmit_refund(refund.pk, alice(), "The blue one.", seen=refund.version)
    assert told(alice()) == []


# --- What stands in a mail ---


def test_a_mail_holds_what_is_needed_and_nothing_of_the_customer() -> None:
    refund = decide(ask(internal_note="VIP, Anna Nowak", ticket="T-77"), "return", "Which parcel?")
    (letter,) = told(alice())
    for said in (str(refund), "10.00\N{NO-BREAK SPACE}EUR", "order order-1", "account payerly-eu (sandbox)"):
        assert said in letter.body
    assert f"\nhttps://refunds.example/admin/refunds/refund/{refund.pk}/change/\n" in letter.body
    assert letter.body.count("https://") == 2, "the refund and the preferences; nothing that decides"
    everything = letter.message().as_string()
    for private in ("Anna", "anna@example.com", "VIP", "token", "approve/", str(refund.payment.reference)):
        assert private not in everything.replace("refund.payment", "")
    assert letter.content_subtype == "plain"
    assert letter.extra_headers["Auto-Submitted"] == "auto-generated"


def test_no_text_from_outside_gets_into_a_header() -> None:
    nasty = "x\r\nBcc: evil@example.com\r\n\r\nPay 4111 1111 1111 1111"
    person("eve\nBcc: evil@example.com", "Approvers")
    refund = ask(make_payment(order=nasty[:100]))
    services.return_refund(refund.pk, User.objects.get(username__startswith="eve"), "Why?\r\nBcc: e@x.io", seen=1)
    (letter,) = told(alice())
    message = letter.message()
    assert sorted(set(message.keys())) == sorted(
        {
            "Content-Type",
            "MIME-Version",
            "Content-Transfer-Encoding",
            "Subject",
            "From",
            "To",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "X-Auto-Response-Suppress",
            "References",
        }
    )
    assert "\n" not in letter.subject
    assert "4111 1111 1111 1111" not in letter.body


def test_a_mail_is_in_the_readers_language_and_time_zone() -> None:
    write_to(bob(), to_decide="each", time_zone="Asia/Tokyo", language="pl")
    with time_machine.travel(NOON, tick=False):
        ask(make_payment(captured=500_000), 125_000)
        (letter,) = told(bob())
    assert "21:00 JST" in letter.body
    assert "1\N{NO-BREAK SPACE}250,00\N{NO-BREAK SPACE}EUR" in letter.body


# --- Sending: once, or later, or given up and seen ---


def break_the_mail(monkeypatch: pytest.MonkeyPatch, trouble: BaseException, *, after: bool = False) -> None:
    """The server is down; or, with `after`, it takes the mail and then the worker dies."""
    original = EmailBackend.send_messages

    def send(self: EmailBackend, messages: Any) -> int:
        if after:
            original(self, messages)
        raise trouble

    monkeypatch.setattr(EmailBackend, "send_messages", send)


def test_a_mail_server_that_is_down_is_tried_again_after_growing_pauses(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        decide(ask(), "return", "Which parcel?")
        row = Notice.objects.get(person=alice())
        pauses = []
        with monkeypatch.context() as patch:
            break_the_mail(patch, smtplib.SMTPServerDisconnected("gone"))
            for _ in range(4):
                assert services.tell(alice().pk) == 0
                row.refresh_from_db()
                pauses.append(row.due_at - timezone.now())
                assert services.tell(alice().pk) == 0, "not before its time"
                clock.shift(pauses[-1])
        assert pauses == [timedelta(minutes=n) for n in (1, 2, 4, 8)]
        assert (row.tries, row.trouble) == (4, "SMTPServerDisconnected: gone")
        assert services.tell(alice().pk) == 1
    row.refresh_from_db()
    assert (len(mail.outbox), row.trouble, row.due_at) == (1, "", None)


def test_after_the_last_try_it_is_given_up_with_its_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    decide(ask(), "return", "Which parcel?")
    break_the_mail(monkeypatch, OSError("no route"))
    for _ in range(telling.MOST_TRIES + 2):
        Notice.objects.filter(person=alice(), due_at__isnull=False).update(due_at=timezone.now())
        services.tell(alice().pk)
    row = Notice.objects.get(person=alice())
    assert (row.tries, row.due_at, row.sent_at) == (telling.MOST_TRIES, None, None)
    assert list(services.notices_given_up()) == [row]
    assert row.trouble == "OSError: no route"


def test_a_sender_that_dies_after_the_server_took_it_sends_it_again_under_the_same_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        decide(ask(), "return", "Which parcel?")
        with monkeypatch.context() as patch:
            break_the_mail(patch, KeyboardInterrupt(), after=True)
            with pytest.raises(KeyboardInterrupt):
                services.tell(alice().pk)
        assert services.tell(alice().pk) == 0, "somebody may still be at it"
        assert services.sweep_notices() == 0
        clock.shift(telling.LEASE)
        assert services.sweep_notices() == 1
        assert services.tell(alice().pk) == 1
        assert services.tell(alice().pk) == 0
    first, second = mail.outbox
    assert first.extra_headers["Message-ID"] == second.extra_headers["Message-ID"]


def test_another_set_of_rows_has_another_id() -> None:
    ask()
    (first,) = told(bob())
    Notice.objects.update(sent_at=None, due_at=timezone.now())
    ask(make_payment(reference="p2"))
    (second,) = told(bob())
    assert first.extra_headers["Message-ID"] != second.extra_headers["Message-ID"]


def test_senders_that_die_each_time_do_not_try_for_ever() -> None:
    ask()
    Notice.objects.update(tries=telling.MOST_TRIES, due_at=timezone.now() - timedelta(seconds=1))
    assert services.tell(bob().pk) == 0
    assert services.sweep_notices() == 0
    assert services.notices_given_up().count() == 1


def test_one_mail_that_fails_puts_off_those_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        decide(ask(make_payment(reference=f"p{number}")), "return", "Which parcel?")
    break_the_mail(monkeypatch, OSError("no route"))
    due_now()
    assert services.tell(alice().pk) == 0
    rows = Notice.objects.filter(person=alice())
    assert {(row.tries, row.due_at > timezone.now()) for row in rows} == {(1, True)}


@pytest.mark.django_db(transaction=True)
def test_two_senders_at_once_send_one_mail_and_no_transaction_is_open_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(5):
        decide(ask(make_payment(reference=f"p{number}")), "return", "Which parcel?")
    due_now()
    original, is_open = EmailBackend.send_messages, []

    def send(self: EmailBackend, messages: Any) -> int:
        is_open.append(connection.in_atomic_block)
        return original(self, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", send)
    start, counts = threading.Barrier(4), []

    def work() -> None:
        start.wait()
        try:
            counts.append(services.tell(alice().pk))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == len(mail.outbox) == 5
    assert len({letter.extra_headers["Message-ID"] for letter in mail.outbox}) == 5
    assert is_open == [False] * 5


def test_what_was_told_is_forgotten_after_three_months() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        ask()
        told(bob())
        ask(make_payment(reference="p2"))
        clock.shift(telling.KEPT + timedelta(days=1))
        services.sweep_notices()
        assert [bool(row.due_at) for row in Notice.objects.filter(person=bob())] == [True]
