"""Who is to be told of a journal line: one row each, written in the transaction of the line itself.

A line that is rolled back leaves none, and one that is committed loses none; sending them is a job (telling.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from refunds import jobs, policy
from refunds.models import Account, Approval, Event, How, Notice, Refund, Scope, Status
from refunds.preferences import next_digest

Kind = Notice.Kind

OF_A_MOVE: dict[str, Notice.Kind] = {
    Status.REQUESTED: Kind.TO_DECIDE,
    Status.RETURNED: Kind.RETURNED,
    Status.REJECTED: Kind.REJECTED,
    Status.FAILED: Kind.FAILED,
    Status.SUCCEEDED: Kind.SUCCEEDED,
    Status.REVERSED: Kind.REVERSED,
    Status.UNKNOWN: Kind.ATTENTION,
}
IN_THE_CHANNEL = frozenset({Kind.REVERSED, Kind.ATTENTION})
# Most of what is unknown for a moment is known again by then, and nobody needs to hear of it.
RESTS = timedelta(minutes=5)


def book(refund: Refund, line: Event, *, calls: bool) -> None:
    """Write down whom this line concerns; `calls`: with it, the refund has begun to call for a person."""
    kind = kind_of(refund, line, calls=calls)
    if kind is None or not (settings.SENDS_MAIL or settings.NOTICE_WEBHOOK_URL):
        return
    rests = line.to_status == Status.UNKNOWN and not calls
    soon = line.at + RESTS if rests else line.at
    due = _moments(kind, refund, line, soon) if settings.SENDS_MAIL else {}
    if settings.NOTICE_WEBHOOK_URL and kind in IN_THE_CHANNEL:
        due[None] = soon
    told = {"account": refund.account, "refund": refund, "event": line, "kind": kind, "made_at": line.at}
    Notice.objects.bulk_create(Notice(person_id=person, due_at=due_at, **told) for person, due_at in due.items())
    _wake(person for person, due_at in due.items() if due_at <= line.at)


def kind_of(refund: Refund, line: Event, *, calls: bool) -> Notice.Kind | None:
    """What kind of news a line is; most are none."""
    moved = line.from_status != line.to_status
    if moved and line.to_status == Status.REVERSED:
        return Kind.REVERSED
    if calls:
        return Kind.ATTENTION
    kind = OF_A_MOVE.get(line.to_status) if moved else None
    return None if kind == Kind.TO_DECIDE and refund.approvals_needed == 0 else kind


def book_for_the_channel(account: Account, kind: Notice.Kind, text: str) -> None:
    """News of an account, which no journal has; written in the caller's transaction."""
    if settings.NOTICE_WEBHOOK_URL:
        now = timezone.now()
        Notice.objects.create(account=account, kind=kind, text=text[:300], made_at=now, due_at=now)
        _wake([None])


def _moments(kind: Notice.Kind, refund: Refund, line: Event, soon: datetime) -> dict[int | None, datetime]:
    """When each of the people concerned is told. Nobody is told of what they did themselves."""
    people = who_may_decide(refund) if kind == Kind.TO_DECIDE else reachable().filter(pk=refund.requested_by_id or 0)
    wish = "preference__to_decide" if kind == Kind.TO_DECIDE else "preference__own"
    found = people.exclude(pk=line.actor_user_id or 0).values_list("pk", wish, "preference__not_about")
    usual = How.DIGEST if kind == Kind.TO_DECIDE else How.EACH
    moments = {How.EACH: soon, How.DIGEST: next_digest(soon)}
    wanted = [(person, How(how or usual)) for person, how, not_about in found if kind not in (not_about or ())]
    return {person: moments[how] for person, how in wanted if how in moments}


def reachable() -> QuerySet[User]:
    """People of the desk who can be written to; a superuser looks after the system, and refunds are not theirs."""
    return User.objects.filter(is_active=True, is_staff=True, is_superuser=False).exclude(email="")


def who_may_decide(refund: Refund) -> QuerySet[User]:
    """Those who could decide about this refund now: by right and account, and without a part in it already."""
    own = Scope.objects.filter(person=OuterRef("pk"))
    has_part = Approval.objects.filter(
        Q(approver=OuterRef("pk")) | Q(acting_for=OuterRef("pk")), refund=refund, revision=refund.revision
    )
    return (
        reachable()
        .filter(pk__in=User.objects.with_perm(policy.APPROVE, include_superusers=False).values("pk"))
        .filter(~Exists(own) | Exists(own.filter(account=refund.account_id)))
        .exclude(pk=refund.requested_by_id or 0)
        .exclude(Exists(has_part))
    )


def _wake(people: Iterable[int | None]) -> None:
    """Have them told once this transaction is committed. Only a wake-up: the row's `due_at` is the truth."""
    for person in people:
        transaction.on_commit(partial(jobs.wake_tell, person), robust=True)
