"""Deliveries, the inbox: the webhooks that were let in and what became of each, and a count of those that were not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Max, Min, Q, QuerySet, Sum
from django.http import Http404, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe
from unfold.decorators import display

from refunds import find, policy, scope, services, wording
from refunds.admin.bounded import MOST_ROWS
from refunds.admin.desk import DeskRequest, OwnPage, two_lines, with_mode
from refunds.admin.export import Exports
from refunds.admin.filters import OWN_ACCOUNTS
from refunds.errors import RefundError
from refunds.models import Account, Delivery, RefusedKnock, UnmatchedRefund

LABELS = {
    "applied": "success",
    "evidence": "info",
    "knock": "info",
    "ignored": "",
    "unmatched": "warning",
    "unreadable": "danger",
}
Why = RefusedKnock.Why
WHAT_TO_DO = {
    Why.TYPE: gettext_lazy("No gateway of ours sends this. If it comes again and again, compare its webhook settings."),
    Why.SIZE: gettext_lazy("No gateway of ours sends this: robots do. Nothing needs to be done."),
    Why.UNVERIFIED: gettext_lazy(
        "The signature did not fit. Has the gateway's key or our secret changed (see the account)? Is a clock wrong? "
        "Otherwise a stranger knocks, who got nothing. Refunds are asked about all the same."
    ),
    Why.NOT_READY: gettext_lazy(
        "We had nothing to verify it with: the key is not fetched yet, or a setting is missing (see the account). "
        "The gateway sends it again, and refunds are asked about all the same."
    ),
}


@dataclass(frozen=True)
class Refused:
    """What was refused at one account for one reason, over all hours that are kept."""

    account: Account
    why: str
    to_do: str
    n_knocks: int
    n_lately: int
    first_at: datetime
    last_at: datetime


@admin.register(Delivery)
class DeliveryAdmin(Exports, OwnPage):
    page_template = "admin/refunds/delivery.html"
    list_before_template = "admin/refunds/delivery_list_before.html"
    list_display = ("shown_moment", "shown_result", "shown_refund", "shown_account", "shown_why")
    list_filter = (OWN_ACCOUNTS, "result")
    list_select_related = ("account", "refund")
    search_fields = ("find",)  # the box is there; what it finds is said below
    search_help_text = gettext_lazy("The refund's number, or its id at the gateway")
    actions = None

    def get_search_results(
        self, request: DeskRequest, queryset: QuerySet[Delivery], search_term: str
    ) -> tuple[QuerySet[Delivery], bool]:
        """By the refund; else by a part of the latest bodies, where they may be read: no index knows those."""
        if not search_term or "\0" in search_term:
            return (queryset.none() if search_term else queryset), False
        named = queryset.filter(refund__in=find.refunds_named(search_term))
        if named.exists() or not policy.may(request.user, policy.RAW):
            return named, False
        latest = queryset.order_by("-pk").values("pk")[:MOST_ROWS]
        return queryset.filter(pk__in=latest, body__icontains=search_term), False

    @display(description=gettext_lazy("Received"), ordering="pk")
    def shown_moment(self, delivery: Delivery) -> str:
        return wording.moment(delivery.received_at)

    @display(description=gettext_lazy("Result"), label=LABELS)
    def shown_result(self, delivery: Delivery) -> tuple[str, str]:
        return delivery.result, delivery.get_result_display()

    @display(description=gettext_lazy("Refund"))
    def shown_refund(self, delivery: Delivery) -> str:
        return two_lines(str(delivery.refund), delivery.refund.reference) if delivery.refund else "—"

    @display(description=gettext_lazy("Account"))
    def shown_account(self, delivery: Delivery) -> str:
        return with_mode(str(delivery.account), delivery.account)

    @display(description=gettext_lazy("Why"))
    def shown_why(self, delivery: Delivery) -> str:
        return two_lines(delivery.why, "", is_wide=True)

    def changelist_view(self, request: DeskRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        day = knocks_of(request).filter(last_at__gt=timezone.now() - timedelta(days=1))
        n_refused = day.aggregate(number=Sum("n_knocks"))["number"] or 0
        return super().changelist_view(request, {"n_refused": n_refused, **(extra_context or {})})

    # --- the page of one ---

    def get_queryset(self, request: DeskRequest) -> QuerySet[Delivery]:
        return super().get_queryset(request).select_related("account", "refund__payment")

    def page_context(self, request: DeskRequest, found: Delivery) -> dict[str, Any]:
        user = request.user
        return {
            "delivery": found,
            "original": found,
            "reading": services.read_again(found),
            "may_read_raw": policy.may(user, policy.RAW),
            "may_replay": policy.may(user, policy.DECLARE),
            "may_see_refunds": user.has_perm("refunds.view_refund"),
            "unmatched": UnmatchedRefund.objects.filter(delivery=found).select_related("settled_as"),
        }

    # --- what was refused, and what is heard again ---

    def get_urls(self) -> list[URLPattern]:
        own = self.admin_site.admin_view
        return [
            path("refused/", own(require_safe(self.refused_view)), name="refunds_delivery_refused"),
            path("<int:pk>/replay/", own(self.replay_view), name="refunds_delivery_replay"),
            *super().get_urls(),
        ]

    def refused_view(self, request: DeskRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.page(
            request, "admin/refunds/delivery_refused.html", title=_("Refused at the door"), refused=refused(request)
        )

    def replay_view(self, request: DeskRequest, pk: int) -> HttpResponse:
        """GET shows what hearing it again would do, POST does it."""
        if not policy.may(request.user, policy.DECLARE) or not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        delivery = self.get_object(request, str(pk))
        if delivery is None:
            raise Http404
        does = services.replay_delivery if request.method == "POST" else services.rehearse_replay
        replay, refusal = None, ""
        try:
            replay = does(delivery.pk, request.user)
        except RefundError as trouble:
            refusal = str(trouble)
        if replay and request.method == "POST":
            return self._done(request, delivery, replay)
        return self.page(
            request,
            "admin/refunds/delivery_replay.html",
            status=409 if request.method == "POST" else 200,
            title=_("Hear it again"),
            delivery=delivery,
            replay=replay,
            refusal=refusal,
        )

    def _done(self, request: DeskRequest, delivery: Delivery, replay: services.Replay) -> HttpResponse:
        LogEntry.objects.create(
            user=request.user,
            content_type=ContentType.objects.get_for_model(Delivery),
            object_id=str(delivery.pk),
            object_repr=str(delivery),
            action_flag=CHANGE,
            change_message=f"Heard again: {replay.code}. {replay.why}"[:500],
        )
        said = {"result": replay.result, "why": replay.why}
        messages.success(request, _("It was heard again: %(result)s. %(why)s") % said)
        return redirect("admin:refunds_delivery_change", delivery.pk)


def knocks_of(request: DeskRequest) -> QuerySet[RefusedKnock]:
    return scope.within(RefusedKnock.objects.all(), request.user)


def refused(request: DeskRequest) -> list[Refused]:
    """Account by account and reason by reason, the latest first."""
    day_ago = timezone.now() - timedelta(days=1)
    grouped = knocks_of(request).order_by().values_list("account", "why")
    lately = Sum("n_knocks", filter=Q(last_at__gt=day_ago))
    rows = grouped.annotate(number=Sum("n_knocks"), lately=lately, first=Min("first_at"), last=Max("last_at"))
    accounts = Account.objects.in_bulk([row[0] for row in rows])
    found = [
        Refused(accounts[account], str(Why(why).label), str(WHAT_TO_DO[Why(why)]), number, of_day or 0, first, last)
        for account, why, number, of_day, first, last in rows
    ]
    return sorted(found, key=lambda one: one.last_at, reverse=True)
