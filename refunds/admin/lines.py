"""The line of decisions on the pages: which line a person has come along, and what its pages show of it.

A list hands its filters and its order on in the address of each refund, as the admin's lists do; so whoever decides
goes along the very list that was looked at.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR
from django.contrib.auth.models import User
from django.core.exceptions import SuspiciousOperation
from django.db.models import F, QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from unfold.views import ChangeList

from refunds import policy, risk, scope, services
from refunds.admin import looking, queue
from refunds.admin.desk import DeskRequest
from refunds.admin.filters import Line, Mine, is_line
from refunds.admin.steps import STEPS
from refunds.models import Approval, Refund, Status
from refunds.services.hold import clock

FILTERS = "_changelist_filters"
NOT_OF_THE_LINE = ("p", "all", "e")  # a page of a list, and what went wrong with it
MOST_TO_UNDO = 3


@dataclass(frozen=True)
class Held:
    """What this person approved and can still take back, until `at`."""

    refund: Refund
    at: str


def line(screen: Any, request: DeskRequest) -> QuerySet[Refund]:
    """The list that this person came from, where it is a line of decisions; else all that waits, risk first."""
    listed, asked = copy(request), QueryDict(request.GET.get(FILTERS, ""), mutable=True)
    for name in NOT_OF_THE_LINE:
        asked.pop(name, None)
    listed.GET = asked  # type: ignore[assignment]
    if not is_line(listed):
        return queue.in_line(request.user)
    try:
        return screen.get_changelist_instance(listed).queryset
    except (IncorrectLookupParameters, SuspiciousOperation):
        return queue.in_line(request.user)


def keep(screen: Any, request: DeskRequest) -> str:
    """What hands the line on to the next address, or ""."""
    kept = screen.get_preserved_filters(request)
    return f"?{kept}" if kept else ""


class InOrder(ChangeList):
    """A list that, where it is a line of decisions, stands in its chosen order; a click on a column sorts by that."""

    def get_ordering(self, request: Any, queryset: Any) -> list[Any]:
        if not is_line(request) or self.params.get(ORDER_VAR):
            return list(super().get_ordering(request, queryset))
        order = request.GET.get(Line.parameter_name) or queue.RISK
        return list(queue.ORDERS.get(order, queue.ORDERS[queue.RISK])[1])

    def get_ordering_field_columns(self) -> dict[Any, Any]:
        """Which columns are marked as sorted."""
        in_line = self.filter_params.get(Mine.parameter_name) and not self.params.get(ORDER_VAR)
        return {} if in_line else super().get_ordering_field_columns()


def above_list(request: DeskRequest) -> dict[str, Any]:
    """What stands above the list of refunds for those who decide."""
    if not policy.may(request.user, policy.APPROVE):
        return {}
    order = request.GET.get(Line.parameter_name) or queue.RISK
    if request.GET.get(ORDER_VAR):
        order = "column"  # a click on a heading has sorted it otherwise
    return {"line_order": order if is_line(request) else "", "undo": to_undo(request.user)}


def shown(screen: Any, request: DeskRequest, refund: Refund) -> dict[str, Any]:
    """What a refund's page shows of the line; `at_hand` are the steps that it offers by itself."""
    context: dict[str, Any] = {"place": None, "keep": keep(screen, request), "at_hand": ()}
    context["kept_filters"] = request.GET.get(FILTERS, "")
    if not policy.may(request.user, policy.APPROVE):
        return context
    if services.held_until(refund) and STEPS["unapprove"].fits(refund, request.user):
        return {**context, "held_until": True, "at_hand": ("unapprove", "send")}
    if refund.status != Status.REQUESTED:
        return context
    context |= {"undo": to_undo(request.user), "place": queue.place(refund, line(screen, request))}
    if context["place"] is None:
        return context
    listed = request.GET.get(FILTERS, "")
    return {
        **context,
        "at_hand": ("approve", "return", "reject"),
        "signs": _signs(refund, request.user),
        "looks": looking.look(refund, request.user),
        "line_list": reverse("admin:refunds_refund_changelist") + "?" + (listed or "for_me=decide"),
    }


def _signs(refund: Refund, user: User) -> list[str]:
    judged = risk.judged(Refund.objects.filter(pk=refund.pk), user).select_related("payment", "requested_by").get()
    return risk.signs(judged)


def to_undo(user: User) -> list[Held]:
    """The latest that this person approved and that are held, so that one click takes them back."""
    if not services.hold_time():
        return []
    recent = Approval.objects.filter(
        approver=user,
        approved_at__gt=timezone.now() - services.hold_time(),
        revision=F("refund__revision"),  # not one that was taken back, with another person's in its place
    )
    held = scope.within(Refund.objects.filter(status=Status.APPROVED, approvals__in=recent), user)
    found = held.select_related("payment", "account").order_by("-approved_at", "-pk").distinct()[:MOST_TO_UNDO]
    return [Held(refund, clock(until)) for refund in found if (until := services.held_until(refund))]


def note_looks(page: Any, user: User) -> None:
    """Each refund on a page of the list learns who else is looking at it."""
    changelist = (getattr(page, "context_data", None) or {}).get("cl")
    rows = list(changelist.result_list) if changelist else []
    looks = looking.looked_at([refund.pk for refund in rows], user) if rows else {}
    for refund in rows:
        refund.looks = looks.get(refund.pk, [])


def span(since: datetime) -> str:
    """How long ago that was."""
    return _("less than a minute") if timezone.now() - since < timedelta(minutes=1) else timesince(since)


def signs_in_list(refund: Any) -> str:
    """A cell of the line: why it stands here, who else is looking, and since when it waits."""
    said = [
        *(("sign", sign) for sign in risk.signs(refund)),
        *(("look", look.words) for look in getattr(refund, "looks", [])),
    ]
    waits = _("waits for %(time)s") % {"time": span(refund.requested_at)}
    lines = format_html_join("", '<span class="{}">{}</span>', said)
    return format_html('<span class="desk-why">{}<small>{}</small></span>', lines, waits)
