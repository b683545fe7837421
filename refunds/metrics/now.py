"""How the desk stands at this moment. Each question is about what is open or recent, and has an index."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from refunds import health, services
from refunds.models import (
    Account,
    Checkpoint,
    Event,
    Notice,
    Payment,
    Refund,
    RefusedKnock,
    Status,
    UnmatchedRefund,
    Verification,
    WorkerSign,
)
from refunds.models.refund import HOLDING

Sample = tuple[str, tuple[str, ...], int | float]  # name of the metric, values of its labels, value
OPEN = [status for status in Status if status in HOLDING]
ALIVE = timedelta(minutes=2)
DAY = timedelta(days=1)
Labels = dict[int, tuple[str, ...]]
# The account, in a form that no index sorts by: SQLite would walk through all rows of all accounts to group by it.
OF = F("account_id") + 0


def samples(accounts: Labels) -> Iterator[Sample]:
    """All that is true now; `accounts` has the labels of each account by its id."""
    now = timezone.now()
    yield from _refunds(accounts, now)
    yield from _due(accounts, now)
    yield from _by_account(accounts, "refunds_overdue", Refund.objects.filter(health.is_overdue()))
    yield from _by_account(accounts, "refunds_needing_attention", Refund.objects.filter(needs_attention__gt=""))
    yield from _by_account(accounts, "payments_over_committed", health.over_committed(Payment.objects.all()))
    yield from _by_account(accounts, "unmatched_refunds", UnmatchedRefund.objects.filter(settled_at=None))
    yield from _knocks(accounts, now)
    yield from _accounts(accounts)
    yield from _jobs(now)
    yield from _workers(now)
    yield "notices_due", (), Notice.objects.filter(due_at__lte=now).count()
    yield "notices_given_up", (), services.notices_given_up().count()
    yield from _history(now)


def _refunds(accounts: Labels, now: datetime) -> Iterator[Sample]:
    rows = Refund.objects.filter(status__in=OPEN).order_by().values_list(OF, "status")
    found = {(account, status): rest for account, status, *rest in rows.annotate(Count("pk"), Min("requested_at"))}
    for pk, labels in accounts.items():
        for status in OPEN:
            number, oldest = found.get((pk, status), (0, now))
            yield "refunds", (*labels, status), number
            yield "oldest_refund_seconds", (*labels, status), seconds(now - oldest)


def _due(accounts: Labels, now: datetime) -> Iterator[Sample]:
    rows = Refund.objects.filter(ask_at__lte=now).order_by().values_list(OF)
    found = {account: rest for account, *rest in rows.annotate(Count("pk"), Min("ask_at"))}
    for pk, labels in accounts.items():
        number, oldest = found.get(pk, (0, now))
        yield "refunds_due", labels, number
        yield "due_late_seconds", labels, seconds(now - oldest)


def _by_account(accounts: Labels, name: str, rows: QuerySet[Any]) -> Iterator[Sample]:
    found = dict(rows.order_by().values_list(OF).annotate(Count("pk")))
    for pk, labels in accounts.items():
        yield name, labels, found.get(pk, 0)


def _knocks(accounts: Labels, now: datetime) -> Iterator[Sample]:
    rows = RefusedKnock.objects.filter(hour__gt=now - DAY).order_by().values_list("account", "why")
    found = {(account, why): number for account, why, number in rows.annotate(Sum("n_knocks"))}
    for pk, labels in accounts.items():
        for why in RefusedKnock.Why.values:
            yield "refused_knocks_last_day", (*labels, why), found.get((pk, why), 0)


def _accounts(accounts: Labels) -> Iterator[Sample]:
    fields = ("pk", "paused_because", "breaker_until", "accidents")
    for pk, paused_because, breaker_until, accidents in Account.objects.values_list(*fields):
        if labels := accounts.get(pk):
            yield "account_paused", labels, int(bool(paused_because))
            yield "account_breaker_open", labels, int(breaker_until is not None)
            yield "account_accidents", labels, accidents


def _jobs(now: datetime) -> Iterator[Sample]:
    """Of our own backend; another one has metrics of its own."""
    if "django_tasks_db" not in settings.TASKS["default"]["BACKEND"]:
        return
    jobs = DBTaskResult.objects.order_by()
    ready = jobs.ready().aggregate(number=Count("pk"), since=Min("run_after"))
    later = jobs.filter(status="READY", run_after__gt=now).count()
    others = dict(jobs.filter(status__in=("RUNNING", "FAILED")).values_list("status").annotate(Count("pk")))
    numbers = {"ready": ready["number"], "later": later}
    numbers |= {name.lower(): others.get(name, 0) for name in ("RUNNING", "FAILED")}
    for standing, number in numbers.items():
        yield "jobs", (standing,), number
    yield "oldest_ready_job_seconds", (), seconds(now - (ready["since"] or now))


def _workers(now: datetime) -> Iterator[Sample]:
    alive = WorkerSign.objects.filter(polled_at__gt=now - ALIVE)
    sums = alive.aggregate(number=Count("pk"), threads=Sum("threads"), busy=Sum("n_at_work"))
    last = WorkerSign.objects.aggregate(poll=Max("polled_at"), sweep=Max("swept_at"))
    yield "workers", (), sums["number"]
    yield "worker_threads", (), sums["threads"] or 0
    yield "worker_threads_busy", (), sums["busy"] or 0
    yield "last_poll_timestamp_seconds", (), moment(last["poll"])
    yield "last_sweep_timestamp_seconds", (), moment(last["sweep"])


def _history(now: datetime) -> Iterator[Sample]:
    sealed = Checkpoint.objects.first()
    yield "last_checkpoint_timestamp_seconds", (), moment(sealed.at if sealed else None)
    yield "unsealed_seconds", (), seconds(now - (oldest_unsealed(sealed) or now))
    verified = Verification.objects.only("finished_at", "n_findings").first()
    yield "last_verification_timestamp_seconds", (), moment(verified.finished_at if verified else None)
    yield "last_verification_findings", (), verified.n_findings if verified else 0


def oldest_unsealed(sealed: Checkpoint | None) -> datetime | None:
    """When the first journal line was written that no checkpoint covers."""
    lines = Event.objects.filter(Q(pk__gt=sealed.last_event) if sealed else Q()).order_by("pk")
    return lines.values_list("at", flat=True).first()


def seconds(length: timedelta) -> float:
    """A moment that a clock put into the future is no time ago."""
    return max(length.total_seconds(), 0)


def moment(when: datetime | None) -> float:
    """Seconds since 1970, as Prometheus has them; 0 for never."""
    return when.timestamp() if when else 0
