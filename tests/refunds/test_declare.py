"""What became of a refund by the word of two people: who may say it, when, with what, and that it stays said."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.utils import timezone

from refunds import services
from refunds.errors import BadInput, NotAllowed, SamePerson, WrongMoment
from refunds.models import Account, Attempt, Declaration, Payment, Refund, Status, UnmatchedRefund
from refunds.services.evidence_files import LARGEST_FILE
from tests.builders import PDF, again, alice, approved, bob, carol, dora, erik, make_payment, person
from tests.refunds.test_record import standing_in

pytestmark = pytest.mark.django_db
S = Status
LATER = timedelta(hours=1)


def lost(status: Status = S.UNKNOWN, **fields: Any) -> Refund:
    """Sent so long ago that nothing of it can still arrive."""
    return standing_in(status, **{"sent_at": timezone.now() - LATER, **fields})


def propose(refund: Refund, outcome: str = "succeeded", by: User | None = None, **words: Any) -> Refund:
    words = {"note": "Seen on the statement.", "ticket": "T-1", **words}
    services.propose_outcome(refund.pk, by or dora(), outcome, seen=again(refund).version, **words)
    return again(refund)


def confirm(refund: Refund, by: User | None = None) -> Refund:
    services.confirm_outcome(refund.pk, by or erik(), seen=again(refund).version)
    return again(refund)


def file(name: str = "statement.pdf", content: bytes = PDF) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


@pytest.mark.parametrize("status", [S.UNKNOWN, S.PROCESSING])
@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_one_proposes_and_another_confirms(status: Status, outcome: str) -> None:
    refund = propose(lost(status), outcome)
    assert refund.status == status, "one person alone moves nothing"
    refund = confirm(refund)
    assert (refund.status, refund.needs_attention) == (outcome, "")
    # A declared failure frees the amount: where the gateway can be asked, it is looked up once more.
    assert (refund.to_confirm, refund.ask_at is not None) == (("failed", True) if outcome == "failed" else ("", False))
    assert refund.final_at is not None
    payment = Payment.objects.get()
    assert (payment.held, payment.refunded) == ((0, 1000) if outcome == "succeeded" else (0, 0))
    assert list(refund.events.values_list("step", "actor"))[-2:] == [
        ("outcome proposed", "dora"),
        ("declared", "erik"),
    ]
    declaration = Declaration.objects.get()
    assert (declaration.proposed_by, declaration.confirmed_by) == (dora(), erik())


def test_nobody_confirms_an_own_proposal() -> None:
    refund = propose(lost())
    with pytest.raises(SamePerson, match="proposed it yourself"):
        confirm(refund, by=dora())
    assert again(refund).status == "unknown"


def test_the_requester_may_not_confirm_even_with_every_right() -> None:
    alice().groups.add(*dora().groups.all())
    refund = propose(lost())
    with pytest.raises(SamePerson, match="asked for the refund yourself"):
        confirm(refund, by=User.objects.get(username="alice"))
    assert again(refund).status == "unknown"


@pytest.mark.parametrize("who", ["alice", "bob", "carol", "root"])
def test_only_finance_proposes_confirms_and_drops(who: str) -> None:
    alice(), bob(), carol(), person("root", is_superuser=True)
    user = User.objects.get(username=who)
    with pytest.raises(NotAllowed):
        propose(lost(), by=user)
    refund = propose(lost(payment=make_payment(reference="pay-2")))
    with pytest.raises(NotAllowed):
        confirm(refund, by=user)
    with pytest.raises(NotAllowed):
        services.drop_proposal(refund.pk, user, "No.", seen=refund.version)
    assert Declaration.objects.get().dropped_at is None


@pytest.mark.parametrize("status", [S.SENDING, S.SUCCEEDED, S.FAILED, S.WITHDRAWN, S.REVERSED])
def test_only_what_is_unknown_or_processing_is_declared(status: Status) -> None:
    with pytest.raises(WrongMoment, match="nothing to declare"):
        propose(lost(status))
    with pytest.raises(WrongMoment):
        propose(approved(make_payment(reference="pay-2")))


def test_a_proposal_is_void_as_soon_as_the_refund_moves() -> None:
    refund = propose(lost())
    services.check_refund(refund.pk, bob())
    assert services.open_declaration(again(refund)) is None
    with pytest.raises(WrongMoment, match="Nothing is proposed"):
        confirm(refund)
    confirm(propose(refund, "failed"))
    first, second = Declaration.objects.all()
    assert "has changed" in first.dropped_because
    assert (second.outcome, again(refund).status) == ("failed", "failed")


def test_a_stale_page_confirms_nothing() -> None:
    refund = propose(lost())
    with pytest.raises(WrongMoment, match="has changed since"):
        services.confirm_outcome(refund.pk, erik(), seen=refund.version - 1)
    with pytest.raises(WrongMoment, match="has changed since"):
        services.drop_proposal(refund.pk, erik(), "No.", seen=refund.version - 1)


def test_a_second_proposal_waits_until_the_first_is_dropped() -> None:
    refund = propose(lost())
    with pytest.raises(WrongMoment, match="dora has proposed already"):
        propose(refund, "failed", by=erik())
    services.drop_proposal(refund.pk, erik(), "The statement is of another day.", seen=refund.version)
    assert Declaration.objects.get().dropped_because == "The statement is of another day."
    assert confirm(propose(refund, "failed", by=erik()), by=dora()).status == "failed"


def test_a_proposal_is_dropped_only_with_a_reason() -> None:
    refund = propose(lost())
    with pytest.raises(BadInput, match="Say why"):
        services.drop_proposal(refund.pk, erik(), " ", seen=refund.version)
    assert services.open_declaration(again(refund)) is not None


def test_no_failure_is_confirmed_before_the_quiet_window_is_over() -> None:
    refund = propose(standing_in(S.UNKNOWN), "failed")
    with pytest.raises(WrongMoment, match="may still arrive"):
        confirm(refund)
    assert Payment.objects.get().held == 1000
    past = timezone.now() - LATER
    Attempt.objects.create(refund=refund, kind="send", fence=1, outcome="no_answer", started_at=past, finished_at=past)
    Refund.objects.filter(pk=refund.pk).update(sent_at=past)
    now = timezone.now()
    second = Attempt.objects.create(
        refund=refund, kind="send", fence=2, outcome="no_answer", started_at=now, finished_at=now
    )
    with pytest.raises(WrongMoment, match="may still arrive"):
        confirm(refund)  # the last order counts, not the first
    Attempt.objects.filter(pk=second.pk).update(started_at=past, finished_at=past)
    assert confirm(refund).status == "failed"


def test_a_success_is_confirmed_at_any_time() -> None:
    assert confirm(propose(standing_in(S.UNKNOWN))).status == "succeeded"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"ticket": " "}, "Attach evidence"),
        ({"note": " "}, "how you know"),
        ({"note": "x" * 2001}, "at most 2000"),
        ({"ticket": "x" * 201}, "at most 200"),
        ({"reference": "x" * 101}, "at most 200"),
        ({"reference": "a\nb"}, "one line"),
        ({"outcome": "withdrawn"}, "went back or not"),
        ({"evidence": file("virus.exe")}, "of these kinds"),
        ({"evidence": file("page.pdf.html")}, "of these kinds"),
        ({"evidence": file("empty.pdf", b"")}, "empty"),
        ({"evidence": file("big.pdf", b"x" * (LARGEST_FILE + 1))}, "larger than 5 MB"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_what_cannot_be_used_is_refused_and_nothing_is_kept(
    words: dict[str, Any], why: str, evidence_folder: Path
) -> None:
    refund = lost()
    with pytest.raises(BadInput, match=why):
        propose(refund, **words)
    assert (again(refund).version, Declaration.objects.count()) == (refund.version, 0)
    assert not evidence_folder.exists()


def test_evidence_alone_is_enough_and_is_kept_under_a_name_of_its_own(evidence_folder: Path) -> None:
    propose(lost(), ticket="", evidence=file("my statement.PDF", PDF))
    declaration = Declaration.objects.get()
    assert declaration.evidence_name == "my statement.PDF"
    assert "statement" not in declaration.evidence.name
    assert [kept.read_bytes() for kept in evidence_folder.iterdir()] == [PDF]


def test_their_reference_becomes_the_refunds_and_answers_the_unmatched_list(bank: Account) -> None:
    payment = make_payment(account=bank)
    refund = lost(S.PROCESSING, payment=payment)
    shown = UnmatchedRefund.objects.create(
        account=bank, source="look_up", reference="SEPA-7", outcome="succeeded", why="?", seen_at=timezone.now()
    )
    assert confirm(propose(refund, reference="SEPA-7")).reference == "SEPA-7"
    shown.refresh_from_db()
    assert shown.settled_as == refund


def test_a_transfer_by_hand_succeeds_only_with_its_reference(bank: Account) -> None:
    refund = lost(S.PROCESSING, payment=make_payment(account=bank))
    with pytest.raises(BadInput, match="reference of the transfer"):
        propose(refund)
    assert confirm(propose(refund, "failed")).status == "failed"


def test_the_reference_of_another_refund_is_refused_early_and_late() -> None:
    other = standing_in(S.SUCCEEDED, reference="txn-1")
    payment = make_payment(reference="pay-2")
    with pytest.raises(BadInput, match=f"belongs to {other}"):
        propose(lost(payment=payment), reference="txn-1")
    refund = propose(Refund.objects.get(payment=payment), reference="txn-2")
    Refund.objects.filter(pk=other.pk).update(reference="txn-2")
    with pytest.raises(WrongMoment, match="belongs to another"):
        confirm(refund)
    assert (again(refund).status, Declaration.objects.get().confirmed_at) == ("unknown", None)


def test_a_declared_end_frees_the_place_at_a_gateway_that_takes_one_at_a_time(quiet: Account) -> None:
    payment = make_payment(account=quiet)
    first = lost(payment=payment)
    with pytest.raises(IntegrityError), transaction.atomic():
        standing_in(S.UNKNOWN, payment=payment)
    confirm(propose(first, "failed"))
    assert standing_in(S.UNKNOWN, payment=payment).status == "unknown"


def test_what_was_declared_failed_can_be_tried_again() -> None:
    refund = confirm(propose(lost(), "failed"))
    retry = services.retry_refund(refund.pk, alice(), seen=refund.version)
    assert (retry.status, retry.retry_of, retry.key != refund.key) == ("requested", refund, True)


# --- what the database itself refuses ---


def test_the_database_refuses_one_person_as_both() -> None:
    propose(lost())
    both = {"confirmed_by": dora(), "confirmed_at": timezone.now()}
    with pytest.raises(IntegrityError), transaction.atomic():
        Declaration.objects.update(**both)


def test_the_database_refuses_the_requester_as_the_second_person() -> None:
    propose(lost())
    requester = {"confirmed_by": alice(), "confirmed_at": timezone.now()}
    with pytest.raises(IntegrityError), transaction.atomic():
        Declaration.objects.update(**requester)
    told = Declaration.objects.get()
    services.drop_proposal(told.refund_id, erik(), "No.", seen=again(told.refund).version)
    with pytest.raises(IntegrityError), transaction.atomic():
        Declaration.objects.create(
            refund=told.refund,
            outcome="failed",
            version=1,
            note="n",
            ticket="t",
            proposed_by=dora(),
            proposed_at=timezone.now(),
            **requester,
        )


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "failed"},
        {"note": "something else"},
        {"ticket": "T-2"},
        {"reference": "txn-9"},
        {"evidence": "other.pdf"},
        {"evidence_name": "other.pdf"},
        {"version": 1},
        {"proposed_at": timezone.now()},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_database_refuses_any_rewriting(change: dict[str, Any]) -> None:
    propose(lost())
    with pytest.raises(IntegrityError), transaction.atomic():
        Declaration.objects.update(**change)


def test_the_database_refuses_another_proposer_and_another_refund() -> None:
    propose(lost())
    other = standing_in(S.UNKNOWN, payment=make_payment(reference="pay-2"))
    for change in ({"proposed_by": erik()}, {"refund": other}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Declaration.objects.update(**change)


@pytest.mark.parametrize("end", ["confirmed", "dropped"])
def test_what_has_ended_stays_as_it_is_and_nothing_is_deleted(end: str) -> None:
    refund = propose(lost())
    if end == "confirmed":
        confirm(refund)
    else:
        services.drop_proposal(refund.pk, erik(), "No.", seen=refund.version)
    for change in ({"confirmed_by": None, "confirmed_at": None}, {"dropped_at": None}, {"dropped_because": "?"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Declaration.objects.update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        Declaration.objects.all().delete()


def test_the_database_knows_one_open_proposal_of_a_refund() -> None:
    told = Declaration.objects.get(refund=propose(lost()))
    told.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        told.save(force_insert=True)
