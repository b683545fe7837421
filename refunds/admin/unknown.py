"""The unknown desk: refunds that nobody knows the end of, and where a person finds it out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, OuterRef, Prefetch, QuerySet, Subquery, Sum
from django.http import HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from gateways.errors import Misconfigured
from gateways.money import Money
from refunds import scope, services, wording
from refunds.admin import declarations
from refunds.admin.declarations import Proposal
from refunds.admin.desk import DeskRequest, OwnPage
from refunds.admin.steps import Step, offered
from refunds.models import Account, Attempt, Event, Refund, Status

MOST_ROWS = 50
STEPS_HERE = ("check", "found", "attend")


@dataclass(frozen=True)
class Exposure:
    """What is unknown at one account in one currency."""

    account: Account
    number: int
    money: Money


@dataclass(frozen=True)
class Row:
    """One refund as this person sees it; `last` is the last exchange with its gateway."""

    refund: Refund
    since: datetime
    last: Attempt | None
    next_step: str
    where: wording.Where
    steps: list[Step]
    proposal: Proposal | None
    may_declare: bool


@dataclass(frozen=True)
class Part:
    """Some rows of a list, and how many there are in truth."""

    rows: list[Any]
    total: int

    @property
    def is_cut(self) -> bool:
        return self.total > len(self.rows)


def urls(screen: OwnPage) -> list[URLPattern]:
    @require_safe
    def view(request: DeskRequest) -> HttpResponse:
        return unknown_view(screen, request)

    return [path("unknown/", screen.admin_site.admin_view(view), name="refunds_refund_unknown")]


def unknown_view(screen: OwnPage, request: DeskRequest) -> HttpResponse:
    if not screen.has_view_permission(request):
        raise PermissionDenied
    rows: dict[str, Any] = {name: _rows(found, request.user) for name, found in piles(request.user).items()}
    return screen.page(
        request,
        "admin/refunds/unknown.html",
        title=_("Unknown desk"),
        exposure=exposure(request.user),
        to_confirm=_to_confirm(request.user),
        **rows,
    )


def piles(user: User) -> dict[str, QuerySet[Refund]]:
    """Each refund in the first of these that it belongs to."""
    refunds = scope.within(Refund.objects.all(), user)
    unknown = refunds.filter(status=Status.UNKNOWN)
    transfers = transfers_to_make(user)
    others = refunds.filter(needs_attention__gt="").exclude(status=Status.UNKNOWN)
    return {
        "unknown": unknown.annotate(since=_since()).order_by(F("since").asc(nulls_first=True), "pk"),
        "transfers": transfers.order_by("sent_at", "pk"),
        "attention": others.exclude(pk__in=transfers.values("pk")).order_by("requested_at", "pk"),
    }


def transfers_to_make(user: User) -> QuerySet[Refund]:
    """What no gateway carries out: a person makes each transfer."""
    refunds = scope.within(Refund.objects.all(), user)
    return refunds.filter(status=Status.PROCESSING, account__gateway__in=services.gateways_by_hand())


def exposure(user: User) -> list[Exposure]:
    unknown = scope.within(Refund.objects.filter(status=Status.UNKNOWN), user).order_by()
    sums = unknown.values_list("account", "payment__currency").annotate(Count("pk"), Sum("amount"))
    accounts = Account.objects.in_bulk()
    found = [Exposure(accounts[pk], number, Money(minor, currency)) for pk, currency, number, minor in sums]
    return sorted(found, key=lambda one: (one.account.slug, one.money.currency))


def _since() -> Subquery:
    """When the step was taken that made it unknown."""
    steps = Event.objects.filter(refund=OuterRef("pk"), to_status=Status.UNKNOWN).exclude(from_status=Status.UNKNOWN)
    return Subquery(steps.order_by("-pk").values("at")[:1])


def _rows(refunds: QuerySet[Refund], user: User) -> Part:
    light = Attempt.objects.defer("exchanges", "order", "before").order_by("pk")
    found = refunds.select_related("payment", "account", "reason", "requested_by")
    found = found.prefetch_related(Prefetch("attempts", queryset=light, to_attr="exchanged"))
    return Part([_row(refund, user) for refund in found[:MOST_ROWS]], refunds.count())


def _row(refund: Refund, user: User) -> Row:
    proposal = declarations.proposal(refund, user)
    next_step, steps = _what_now(refund, user)
    exchanged: list[Attempt] = getattr(refund, "exchanged", [])
    return Row(
        refund,
        getattr(refund, "since", None) or refund.sent_at or refund.requested_at,
        exchanged[-1] if exchanged else None,
        next_step,
        wording.where_to_look(refund),
        steps,
        proposal,
        declarations.may_declare(refund, user) and not proposal,
    )


def _what_now(refund: Refund, user: User) -> tuple[str, list[Step]]:
    """A gateway that has left the program must not hide the refunds of the others."""
    try:
        return wording.next_step_and_when(refund), [step for step in offered(refund, user) if step.name in STEPS_HERE]
    except Misconfigured as no_such_gateway:
        return str(no_such_gateway), []


def _to_confirm(user: User) -> Part:
    """Proposals that wait for a second person, whoever that may be."""
    waiting = declarations.waiting(user).select_related("refund__payment", "refund__account", "proposed_by")
    rows = [(one, declarations.proposal(one.refund, user)) for one in waiting[:MOST_ROWS]]
    return Part(rows, waiting.count())
