"""Sending notices: what is due for one person is claimed, looked at again, written and sent; then the rows say so.

No transaction is open while anything is sent. A sender that dies after a mail was taken and before the rows say so
leaves it to be sent a second time, under the same Message-ID (docs/notifications.md).
"""

from __future__ import annotations

import logging
import smtplib
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta

from django.contrib.auth.models import User
from django.db.models import F, QuerySet
from django.utils import timezone

from gateways.errors import GatewayError
from refunds import jobs
from refunds.models import Notice
from refunds.services.channel import post
from refunds.services.letters import letters_to
from refunds.services.worth import whys_not

log = logging.getLogger("refunds")

MOST_AT_ONCE = 200  # the rest stays due
MOST_WOKEN = 500
LEASE = timedelta(minutes=10)  # longer than a dialogue with a mail server, whose every answer has EMAIL_TIMEOUT
MOST_TRIES = 12  # over some sixteen hours
LONGEST_PAUSE = timedelta(hours=4)
KEPT = timedelta(days=90)  # the journal keeps what happened for ever
ACCIDENTS = (smtplib.SMTPException, OSError, ValueError, GatewayError)


def sweep_notices() -> int:
    """Put whoever is due to be told in line again, and give up what was tried too often. Safe from any number."""
    now = timezone.now()
    due = Notice.objects.filter(due_at__lte=now)
    if n_lost := due.filter(tries__gte=MOST_TRIES).update(due_at=None):  # its senders died, each time
        log.error("%d notices were given up after %d tries.", n_lost, MOST_TRIES)
    Notice.objects.filter(made_at__lt=now - KEPT, due_at=None).delete()
    people = list(due.order_by("person").values_list("person", flat=True).distinct()[:MOST_WOKEN])
    for person in people:
        jobs.wake_tell(person)
    return len(people)


def notices_given_up() -> QuerySet[Notice]:
    """What nobody was told of because it could not be sent; `trouble` says why."""
    return Notice.objects.filter(due_at=None, sent_at=None, left_out="")


def tell(person_id: int | None) -> int:
    """Tell this person, or without one the house's channel, all that is due. Returns how many messages went out."""
    claim = uuid.uuid4().hex
    rows = _claimed(person_id, claim)
    if not rows:
        return 0
    if person_id is None:
        return int(_send("the channel", rows, lambda: post(rows)))
    person = User.objects.select_related("preference").get(pk=person_id)
    letters = letters_to(person, _worth_sending(person, rows))
    for number, letter in enumerate(letters):
        if not _send(person.get_username(), letter.rows, letter.send):
            for other in letters[number + 1 :]:
                _put_off(other.rows, "An e-mail before it could not be sent.")
            return number
    return len(letters)


def _claimed(person_id: int | None, claim: str) -> list[Notice]:
    """The due rows, each taken by exactly one sender; for the time of a lease nobody else has them."""
    now = timezone.now()
    due = Notice.objects.filter(person=person_id, due_at__lte=now, tries__lt=MOST_TRIES)
    first = list(due.order_by("pk").values_list("pk", flat=True)[:MOST_AT_ONCE])
    due.filter(pk__in=first).update(claim=claim, due_at=now + LEASE, tries=F("tries") + 1)
    rows = Notice.objects.filter(claim=claim).select_related("account", "event", "refund__payment", "refund__reason")
    return list(rows.select_related("refund__account", "refund__requested_by").order_by("pk"))


def _mine(rows: Sequence[Notice]) -> QuerySet[Notice]:
    """The rows as they are now, but those that were lost to another sender meanwhile."""
    return Notice.objects.filter(pk__in=[row.pk for row in rows], claim=rows[0].claim, due_at__isnull=False)


def _worth_sending(person: User, rows: list[Notice]) -> list[Notice]:
    """A last look: what is no longer true, or no longer theirs to know, is left out."""
    whys = whys_not(person, rows)
    for why in set(filter(None, whys.values())):
        _mine([row for row in rows if whys[row.pk] == why]).update(due_at=None, left_out=why)
    return [row for row in rows if not whys[row.pk]]


def _send(to: str, rows: Sequence[Notice], send: Callable[[], object]) -> bool:
    try:
        send()
    except ACCIDENTS as trouble:
        wait = getattr(trouble, "retry_after", None)
        _put_off(rows, f"{type(trouble).__name__}: {trouble}", wait)
        log.warning("Telling %s did not work (try %d): %s", to, rows[0].tries, type(trouble).__name__)
        return False
    _mine(rows).update(due_at=None, sent_at=timezone.now(), trouble="")
    some = ", ".join(f"{row.refund or row.account} {row.kind}" for row in rows[:5])
    log.info("Told %s: %s%s", to, some, f" and {len(rows) - 5} more" if len(rows) > 5 else "")
    return True


def _put_off(rows: Sequence[Notice], trouble: str, wait: timedelta | None = None) -> None:
    """To be tried again after a pause that doubles; after the last try it stays, with its trouble, for people."""
    for row in rows:
        pause = max(min(timedelta(minutes=2 ** (row.tries - 1)), LONGEST_PAUSE), wait or timedelta())
        due_at = timezone.now() + pause if row.tries < MOST_TRIES else None
        _mine([row]).update(due_at=due_at, trouble=trouble[:300])
        if due_at is None:
            log.error("Notice %d (%s) was given up after %d tries.", row.pk, row.kind, row.tries)
