"""The health strip: one line for each account that this person works with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import Count, Max
from django.utils import timezone

from refunds import health, policy, scope, services
from refunds.admin.report_shares import per_cent
from refunds.admin.report_times import told
from refunds.capabilities import label_of
from refunds.health import Calls, Health
from refunds.metrics.now import ALIVE
from refunds.models import Account, WorkerSign

MOST_LINES = 50


@dataclass(frozen=True)
class Window:
    """The calls of an hour or a day in words; `rate` is rounded up, so that no failure is called none."""

    calls: Calls
    rate: str
    p95: str


@dataclass(frozen=True)
class Line:
    health: Health
    gateway: str
    hour: Window
    day: Window


@dataclass(frozen=True)
class Strip:
    """`n_more` accounts are left out, none of them in more trouble; `names_refunds` for those who may see refunds.

    Below them the workers, and for those who look after accounts the notices that could not be sent.
    """

    lines: list[Line]
    n_more: int
    names_refunds: bool
    n_workers: int
    swept_at: datetime | None
    n_given_up: int


def strip(user: User, limit: list[int] | None) -> Strip:
    found = health.of_accounts(scope.among(Account.objects.filter(is_active=True), limit, "pk"))
    lines = [
        Line(one, label_of(one.account.gateway), _window(one.hour), _window(one.day)) for one in found[:MOST_LINES]
    ]
    signs = WorkerSign.objects.filter(polled_at__gt=timezone.now() - ALIVE)
    alive = signs.aggregate(number=Count("pk"), swept_at=Max("swept_at"))
    n_given_up = services.notices_given_up().count() if policy.may(user, policy.ACCOUNTS) else 0
    names_refunds = user.has_perm("refunds.view_refund")
    return Strip(lines, len(found) - len(lines), names_refunds, alive["number"], alive["swept_at"], n_given_up)


def _window(calls: Calls) -> Window:
    rate = per_cent(-(-1000 * calls.failed // calls.number)) if calls.number else ""
    return Window(calls, rate, told(calls.answers.p95) if calls.answers else "")
