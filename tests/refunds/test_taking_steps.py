"""One step: the row, its money and its journal line move together, or nothing does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from refunds import jobs
from refunds.errors import NotAllowed, WrongMoment
from refunds.models import Event, Payment, Refund
from refunds.services import steps
from refunds.services.actor import WORKER, Actor
from refunds.services.steps import locked, take_step
from tests.builders import again, approved, ask, bob, limit_to, make_account, make_payment
from tests.refunds.test_record import standing_in

pytestmark = pytest.mark.django_db


def test_a_locked_refund_knows_its_payment_and_its_account() -> None:
    refund, other = ask(), ask(make_payment(reference="pay-2"))
    with transaction.atomic():
        found = locked(refund.pk, refund.version, bob())
    assert (found, found.payment.reference, found.account.slug) == (refund, "pay-1", "payerly-eu")
    assert found.account is found.payment.account
    with transaction.atomic():
        assert locked(other.pk).payment.reference == "pay-2"


@pytest.mark.promise("I29")
@pytest.mark.parametrize("seen", [0, 1, 3])
def test_another_version_than_was_seen_is_not_handed_out(seen: int) -> None:
    refund = approved()
    assert refund.version == 2
    with pytest.raises(WrongMoment, match=r"has changed since .* it is approved now"), transaction.atomic():
        locked(refund.pk, seen)


def test_who_is_limited_to_other_accounts_gets_none() -> None:
    refund = ask()
    limit_to(bob(), make_account("bank"))
    with pytest.raises(NotAllowed), transaction.atomic():
        locked(refund.pk, None, bob())
    with transaction.atomic():
        assert locked(refund.pk) == refund


@transaction.atomic
def step(refund: Refund, **said: Any) -> Event:
    return take_step(refund, "noted", Actor.person(bob()), **said)


@pytest.mark.promise("I25")
def test_a_step_changes_the_row_and_writes_its_line() -> None:
    refund = again(ask())
    soon = timezone.now() + timedelta(minutes=5)
    line = step(refund, text="Look.", heard="f" * 64, data={"a": 1}, needs_attention="Look.", ask_at=soon)
    for one in (refund, again(refund)):
        assert (one.version, one.needs_attention, one.ask_at, one.status) == (2, "Look.", soon, "requested")
    line = Event.objects.get(pk=line.pk)
    assert (line.refund, line.payment_id, line.sequence, line.step) == (refund, refund.payment_id, 2, "noted")
    assert (line.from_status, line.to_status) == ("requested", "requested")
    assert (line.actor, line.text, line.heard, line.data) == ("bob", "Look.", "f" * 64, {"a": 1})


@pytest.mark.promise("I25")
def test_a_step_that_books_a_moment_wakes_a_worker_for_it(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    woken: list[tuple[int, Any]] = []
    monkeypatch.setattr(jobs, "wake", lambda pk, ask_at: woken.append((pk, ask_at)))
    refund = again(ask())
    soon = timezone.now() + timedelta(minutes=5)
    with django_capture_on_commit_callbacks(execute=True):
        step(refund, ask_at=soon)
        step(refund, needs_attention="Look.")
        step(refund, ask_at=None)
    assert woken == [(refund.pk, soon)]


def test_a_step_that_says_nothing_writes_nothing_but_itself() -> None:
    line = step(again(ask()))
    line = Event.objects.get(pk=line.pk)
    assert (line.text, line.heard, line.data) == ("", "", {})


@pytest.mark.promise("I19")
def test_a_move_that_does_not_fit_is_refused_and_nothing_is_done() -> None:
    refund = again(ask())
    with pytest.raises(WrongMoment, match="is requested now, so this step is no longer possible"):
        step(refund, move=refund.claim)
    assert (again(refund).version, again(refund).status, refund.events.count()) == (1, "requested", 1)


@pytest.mark.promise("I19")
@pytest.mark.parametrize("change", [{"version": 9}, {"status": "returned"}])
def test_a_row_that_is_another_now_is_not_overwritten(change: dict[str, Any]) -> None:
    refund = again(ask())
    Refund.objects.filter(pk=refund.pk).update(**change)
    with pytest.raises(WrongMoment, match="at the same moment"):
        step(refund, needs_attention="Look.")
    assert again(refund).needs_attention == ""


def sums() -> tuple[int, int, str, int]:
    payment = Payment.objects.get()
    return payment.held, payment.refunded, payment.status, payment.version


@pytest.mark.promise("I1", "I21")
def test_the_money_moves_with_the_status() -> None:
    payment = make_payment(captured=1500)
    assert sums() == (0, 0, "captured", 1)
    first = standing_in("processing", payment)
    assert sums() == (1000, 0, "captured", 1), "it is held all the way"
    move(first, "succeed")
    assert sums() == (0, 1000, "partially_refunded", 2)
    second = standing_in_small(payment)
    assert sums() == (500, 1000, "partially_refunded", 2)
    move(second, "succeed")
    assert sums() == (0, 1500, "refunded", 3)
    move(second, "reverse")
    assert sums() == (0, 1000, "partially_refunded", 4)
    move(first, "reverse")
    assert sums() == (0, 0, "captured", 5)
    move(first, "doubt")
    assert sums() == (1000, 0, "captured", 5)
    move(first, "fail")
    assert sums() == (0, 0, "captured", 5)


def standing_in_small(payment: Payment) -> Refund:
    refund = again(approved(payment, 500))
    move(refund, "claim", lease_until=timezone.now() + timedelta(minutes=5), sent_at=timezone.now(), fence=1)
    move(refund, "accept")
    return refund


@transaction.atomic
def move(refund: Refund, name: str, **changes: Any) -> None:
    fresh = locked(refund.pk)
    take_step(fresh, name, WORKER, move=getattr(fresh, name), **changes)


def test_the_payment_s_own_line_says_what_is_refunded_and_why() -> None:
    refund = standing_in("processing")
    ask(refund.payment, 300)
    move(refund, "succeed")
    line = Event.objects.get(refund=None, step="payment")
    assert line.text == f"Because of {refund}, 10.00 of 50.00 EUR is refunded now."
    assert line.data == {"refund": refund.number, "refunded": 1000, "held": 300}
    assert (line.from_status, line.to_status, line.sequence) == ("captured", "partially_refunded", 2)
    assert (line.payment, line.source) == (refund.payment, "worker")


def test_a_payment_that_is_another_now_is_not_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody changes the payment between our look at it and our word about it."""
    refund, standing = standing_in("processing"), steps._standing

    def meanwhile(payment: Payment) -> str:
        Payment.objects.filter(pk=payment.pk).update(version=payment.version + 1)
        return standing(payment)

    monkeypatch.setattr(steps, "_standing", meanwhile)
    with pytest.raises(WrongMoment, match="changed this payment at the same moment"), transaction.atomic():
        take_step(refund, "succeeded", WORKER, move=refund.succeed)
    assert again(refund).status == "processing"
    assert Payment.objects.get().refunded == 0
