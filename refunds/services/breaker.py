"""The breaker of an account: after some accidents in a row nothing new is sent for a while, then one refund tries it.

Account rows are written here in short transactions of their own, never while a refund is locked or a gateway is called.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.contract import Gateway
from refunds.models import Account, Notice, Refund, Status
from refunds.services.due import ask_again, lease
from refunds.services.notices import book_for_the_channel

log = logging.getLogger("refunds")

OPENS_AFTER = 5  # accidents in a row
FIRST, LONGEST = timedelta(minutes=1), timedelta(minutes=15)
MOST_WOKEN = 500  # the rest comes due by itself


@dataclass(frozen=True)
class Probe:
    """The right to send one refund once the breaker's time is over; until `until` nobody else has it."""

    account_id: int
    was: datetime
    until: datetime


def why_waits(account: Account) -> str:
    """Why nothing new is sent through the account at this moment, or ""."""
    until = account.breaker_until
    if until is None or _is_over(until):
        return ""
    at = f"{timezone.localtime(until):%H:%M:%S}"
    n = account.accidents
    return _("%(account)s has failed %(n)s times in a row and is tried again at %(at)s. %(breaker_because)s") % {
        "account": account,
        "n": n,
        "at": at,
        "breaker_because": account.breaker_because,
    }


def next_try(account: Account) -> datetime:
    """When what waits for an open breaker comes due."""
    soon, until = timezone.now() + timedelta(seconds=1), account.breaker_until
    return soon if until is None or _is_over(until) else max(until, soon)


def _is_over(until: datetime) -> bool:
    """Also when it lies further away than any break is long: then the clock has been set back."""
    longest = LONGEST * max(settings.POLL_PACE, 1) + lease()
    return until <= timezone.now() or until > timezone.now() + longest


def take_probe(refund_id: int) -> Probe | None:
    """Once the breaker's time is over, exactly one worker may try; None for all others, and where none is open."""
    opened = Account.objects.filter(refunds=refund_id, breaker_until__isnull=False)
    found = opened.values_list("pk", "breaker_until").first()
    if found is None or found[1] is None or not _is_over(found[1]):
        return None
    probe = Probe(found[0], found[1], timezone.now() + lease())
    row = Account.objects.filter(pk=probe.account_id, breaker_until=probe.was)
    return probe if row.update(breaker_until=probe.until) == 1 else None


def give_back(probe: Probe | None) -> None:
    """A probe that led to no call is the next one's; after a call the breaker has moved on, and this does nothing."""
    if probe:
        row = Account.objects.filter(pk=probe.account_id, breaker_until=probe.until)
        row.update(breaker_until=probe.was)


@transaction.atomic
def note_accident(account: Account, gateway: Gateway, why: str, *, of_probe: bool = False) -> None:
    """A call without an answer. Once it is open only its probe counts: what was on its way tells nothing new."""
    if not gateway.http.exchanges:
        return  # nobody was asked
    row = Account.objects.filter(pk=account.pk)
    counts = row if of_probe else row.filter(breaker_until=None)
    counts.update(accidents=F("accidents") + 1)
    now_is = row.get()
    if now_is.accidents < OPENS_AFTER or (now_is.breaker_until and not of_probe):
        return
    doubled = min(FIRST * 2 ** min(now_is.accidents - OPENS_AFTER, 10), LONGEST)
    until = timezone.now() + doubled * settings.POLL_PACE
    row.update(breaker_until=until, breaker_because=why[:300])
    if now_is.breaker_until is None:
        book_for_the_channel(account, Notice.Kind.BREAKER, why)
    said = f"{account}: {now_is.accidents} accidents in a row, so nothing is sent until {until:%H:%M:%S} UTC. {why}"
    transaction.on_commit(lambda: log.warning("%s", said), robust=True)


def note_answer(account: Account) -> None:
    """An answer, whatever it says: the count begins anew, and an open breaker closes. Writes nothing on a good day."""
    troubled = Account.objects.filter(pk=account.pk, accidents__gt=0)
    found = troubled.values_list("breaker_until").first()
    if found is None:
        return
    (until,) = found
    if not troubled.update(accidents=0, breaker_until=None, breaker_because="") or until is None:
        return
    log.warning("%s answers again, so what waits is sent.", account)
    wake(account, until)


def wake(account: Account, until: datetime) -> None:
    """Have sent at once what waited for this breaker; a refund with a pause of its own keeps it."""
    waited = Q(asks=0, ask_at__lte=until) | Q(ask_at=until)
    waiting = Refund.objects.filter(waited, account=account, status=Status.APPROVED, ask_at__gt=timezone.now())
    for refund in waiting.order_by("ask_at")[:MOST_WOKEN]:
        ask_again(refund, timezone.now(), count=False)
