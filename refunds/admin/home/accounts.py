"""The health strip: one line for each account that this person works with."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User

from refunds import health, scope
from refunds.admin.report_shares import per_cent
from refunds.admin.report_times import told
from refunds.capabilities import label_of
from refunds.health import Calls, Health
from refunds.models import Account

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
    """`n_more` accounts are left out, none of them in more trouble; `names_refunds` for those who may see refunds."""

    lines: list[Line]
    n_more: int
    names_refunds: bool


def strip(user: User, limit: list[int] | None) -> Strip:
    found = health.of_accounts(scope.among(Account.objects.filter(is_active=True), limit, "pk"))
    lines = [
        Line(one, label_of(one.account.gateway), _window(one.hour), _window(one.day)) for one in found[:MOST_LINES]
    ]
    return Strip(lines, len(found) - len(lines), user.has_perm("refunds.view_refund"))


def _window(calls: Calls) -> Window:
    rate = per_cent(-(-1000 * calls.failed // calls.number)) if calls.number else ""
    return Window(calls, rate, told(calls.answers.p95) if calls.answers else "")
