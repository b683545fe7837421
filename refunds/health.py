"""How accounts do, and which refunds are late. Only reading, and of calls never more than a window of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Window
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, RowNumber
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from refunds.models import Account, Attempt, Delivery, Refund, Status
from refunds.models.refund import AT_THE_GATEWAY
from refunds.reports.lengths import Length, lengths

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
UNASKED = timedelta(hours=1)  # the sweep takes what is due each minute, so by then nobody is at work
OPEN = (Status.APPROVED, *sorted(AT_THE_GATEWAY))
ANSWERS = (Attempt.Outcome.ANSWERED, Attempt.Outcome.REFUSED)  # a gateway's "no" is an answer
ACCIDENTS = (Attempt.Outcome.NO_ANSWER, Attempt.Outcome.NOT_SENT)
SOME, MOST = 5, 50  # per cent of the calls of the last hour


@dataclass(frozen=True)
class Calls:
    """The finished calls of a window of time; `answers` is how long those took that were answered."""

    number: int = 0
    failed: int = 0
    answers: Length | None = None

    def fails(self, per_cent: int) -> bool:
        """Whether at least so many of a hundred brought no answer."""
        return bool(self.failed) and self.failed * 100 >= self.number * per_cent


@dataclass(frozen=True)
class Standing:
    """In words and in a colour; `is_trouble` wants somebody to look."""

    words: str | Promise
    tone: str
    is_trouble: bool = False


PAUSED = Standing(_("Paused"), "waiting", is_trouble=True)
STOPPED = Standing(_("No answer"), "alarm", is_trouble=True)
MOST_FAIL = Standing(_("Most calls fail"), "alarm", is_trouble=True)
SOME_FAIL = Standing(_("Some calls fail"), "waiting", is_trouble=True)
WORKING = Standing(_("Working"), "good")
QUIET = Standing(_("Quiet"), "over")


@dataclass(frozen=True)
class Health:
    """One account: `oldest` is the refund that has been open longest, since `since`."""

    account: Account
    hour: Calls
    day: Calls
    oldest: Refund | None
    since: datetime | None
    last_webhook: datetime | None

    @property
    def standing(self) -> Standing:
        """By the last hour; what people or the breaker have stopped goes first."""
        if self.account.paused_because:
            return PAUSED
        if self.account.breaker_until:
            return STOPPED
        if not self.hour.number:
            return QUIET
        if self.hour.fails(MOST):
            return MOST_FAIL
        return SOME_FAIL if self.hour.fails(SOME) else WORKING


def of_accounts(accounts: QuerySet[Account]) -> list[Health]:
    """Those in trouble come first. The number of queries is fixed."""
    last = Delivery.objects.filter(account=OuterRef("pk")).order_by("-received_at").values("received_at")[:1]
    light = accounts.defer("webhook_key", "webhook_key_offered", "proved")
    found = list(light.annotate(last_webhook=Subquery(last)))
    now = timezone.now()
    (hour, day), oldest = calls(now - HOUR, now - DAY), _oldest_open()
    healths = []
    for account in found:
        refund, since = oldest.get(account.pk, (None, None))
        of_hour, of_day = hour.get(account.pk, Calls()), day.get(account.pk, Calls())
        last_webhook = account.last_webhook
        healths.append(Health(account, of_hour, of_day, refund, since, last_webhook))
    return sorted(healths, key=lambda health: not health.standing.is_trouble)


def calls(*since: datetime) -> list[dict[int, Calls]]:
    """For each of these moments, by account: finished calls that began since then.

    Of all accounts, since it is the window of time that has an index and keeps this small.
    """
    rows = Attempt.objects.filter(started_at__gte=min(since)).order_by()
    counts = {}
    for place, moment in enumerate(since):
        begun = Q(started_at__gte=moment)
        counts[f"number_{place}"] = _calls_of(begun)
        counts[f"failed_{place}"] = _calls_of(begun & Q(outcome__in=ACCIDENTS))
    finished = rows.filter(outcome__in=(*ANSWERS, *ACCIDENTS)).values("refund__account").annotate(**counts)
    numbers: list[dict[str, Any]] = list(map(dict, finished))
    found: list[dict[int, Calls]] = [{} for _moment in since]
    for place, moment in enumerate(since):
        answered = rows.filter(started_at__gte=moment, outcome__in=ANSWERS)
        took = lengths(answered, "started_at", "finished_at", by="refund__account")
        for row in numbers:
            key, number, failed = row["refund__account"], row[f"number_{place}"], row[f"failed_{place}"]
            found[place][key] = Calls(number, failed, took.get(key))
    return found


def _calls_of(attempts: Q) -> Combinable:
    """How many calls these attempts were: those of a bundle were one."""
    return Count("pk", filter=attempts & Q(bundle=None)) + Count("bundle", filter=attempts, distinct=True)


def _oldest_open() -> dict[int, tuple[Refund, datetime]]:
    """By account: approved or at the gateway, and not at its end; since it was sent, or else approved."""
    rows = Refund.objects.filter(status__in=OPEN).order_by()
    rows = rows.annotate(since=Coalesce("sent_at", "approved_at", "requested_at"))
    place = Window(RowNumber(), partition_by="account", order_by=("since", "pk"))
    first = rows.annotate(place=place).filter(place=1).only("pk", "account")
    return {refund.account_id: (refund, refund.since) for refund in first}


# --- late refunds ---


def is_overdue() -> Q:
    """Too long at the gateway without a final word, or due for long and asked by nobody."""
    too_old = timezone.now() - settle_within()
    since_then = Q(sent_at__lt=too_old) | Q(sent_at=None, requested_at__lt=too_old)
    unasked = Q(status__in=OPEN, ask_at__lt=timezone.now() - UNASKED)
    return Q(since_then, status__in=AT_THE_GATEWAY) | unasked


def is_stuck() -> Q:
    """Unknown or overdue, and Finance has not been called to it."""
    return Q(Q(status=Status.UNKNOWN) | is_overdue(), needs_attention="")


def overdue(refunds: QuerySet[Refund]) -> QuerySet[Refund]:
    """The one that has been out longest comes first."""
    out_since = Coalesce("sent_at", "approved_at", "requested_at")
    return refunds.filter(is_overdue()).annotate(since=out_since).order_by("since", "pk")


def is_unasked(refund: Refund) -> bool:
    """Due for long, and no worker has taken it."""
    return refund.ask_at is not None and refund.ask_at < timezone.now() - UNASKED


def settle_within() -> timedelta:
    return timedelta(days=settings.SETTLE_WITHIN_DAYS)


def approve_within() -> timedelta:
    return timedelta(hours=settings.APPROVE_WITHIN_HOURS)


def over_committed(payments: QuerySet[Any]) -> QuerySet[Any]:
    """Of which more has gone back or is spoken for than was captured."""
    return payments.filter(captured__lt=F("refunded") + F("held"))
