"""Unmatched refunds: what a gateway shows and may be anybody's. A person says which it is, or that it is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from unfold.decorators import display

from refunds import policy, scope, services, wording
from refunds.admin.desk import DeskRequest, OwnPage, seen_in, two_lines
from refunds.admin.filters import OWN_ACCOUNTS
from refunds.errors import RefundError
from refunds.models import Refund, UnmatchedRefund
from refunds.templatetags.desk import mode


@dataclass(frozen=True)
class Candidate:
    """A refund that it could be; `why_not` says why this cannot be said here, or ""."""

    suggestion: services.Suggestion
    why_not: str


class Standing(admin.SimpleListFilter):
    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", _("Somebody has to look")), ("settled", _("Settled"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UnmatchedRefund]) -> QuerySet[UnmatchedRefund]:
        is_open = {"open": True, "settled": False}.get(self.value() or "")
        return queryset if is_open is None else queryset.filter(settled_at__isnull=is_open)


@admin.register(UnmatchedRefund)
class UnmatchedAdmin(OwnPage):
    page_template = "admin/refunds/unmatched.html"
    list_display = (
        "shown_name",
        "shown_amount",
        "shown_standing",
        "shown_likely",
        "shown_payment",
        "shown_seen",
    )
    list_filter = (Standing, OWN_ACCOUNTS)
    list_select_related = ("account", "settled_as", "settled_by")
    ordering = (F("settled_at").desc(nulls_first=True), "-pk")
    search_fields = ("reference", "key", "payment_reference")
    search_help_text = gettext_lazy("Their reference, their payment, or the key")
    actions = None

    @display(description=gettext_lazy("Their reference"))
    def shown_name(self, row: UnmatchedRefund) -> str:
        return two_lines(str(row), row.key if row.reference else "")

    @display(description=gettext_lazy("Amount"))
    def shown_amount(self, row: UnmatchedRefund) -> str:
        account = format_html("{} {}", row.account, mode(row.account))
        return two_lines(wording.amount(row.money) if row.money else _("not said"), account)

    @display(description=gettext_lazy("Standing"), label={"open": "danger", "ours": "success", "none": ""})
    def shown_standing(self, row: UnmatchedRefund) -> tuple[str, str]:
        if not row.settled_at:
            return "open", _("look at it")
        if row.settled_as:
            return "ours", _("it is %(refund)s") % {"refund": row.settled_as}
        return "none", _("none of ours")

    @display(description=gettext_lazy("It could be"))
    def shown_likely(self, row: Any) -> str:
        best = getattr(row, "best", None)
        return two_lines(str(best.refund), best.why, is_wide=True) if best else "—"

    @display(description=gettext_lazy("Payment"))
    def shown_payment(self, row: UnmatchedRefund) -> str:
        return two_lines(row.payment_reference, "" if row.payment_id else _("not known here"))

    @display(description=gettext_lazy("Seen"), ordering="seen_at")
    def shown_seen(self, row: UnmatchedRefund) -> str:
        return two_lines(wording.moment(row.seen_at), _("by %(source)s") % {"source": row.get_source_display()})

    def get_changelist_instance(self, request: DeskRequest) -> Any:
        """The rows of the page that is shown, each with the refund that it likeliest is."""
        shown = super().get_changelist_instance(request)
        if request.user.has_perm("refunds.view_refund"):
            best = services.best_suggestions(list(shown.result_list))
            for row in shown.result_list:
                row.best = best.get(row.pk)
        return shown

    # --- the page of one ---

    def get_queryset(self, request: DeskRequest) -> QuerySet[UnmatchedRefund]:
        return super().get_queryset(request).select_related("account", "payment", "settled_as", "settled_by")

    def page_context(self, request: DeskRequest, found: UnmatchedRefund) -> dict[str, Any]:
        return {
            "row": found,
            "original": found,
            "candidates": candidates(found, request.user),
            "may_decide": not found.settled_at and policy.may(request.user, policy.DECLARE),
            "may_see_refunds": request.user.has_perm("refunds.view_refund"),
            "may_see_delivery": request.user.has_perm("refunds.view_delivery"),
        }

    def get_urls(self) -> list[URLPattern]:
        match = self.admin_site.admin_view(require_POST(self.match_view))
        dismiss = self.admin_site.admin_view(require_POST(self.dismiss_view))
        return [
            path("<int:pk>/is/<int:refund_pk>/", match, name="refunds_unmatchedrefund_match"),
            path("<int:pk>/none-of-ours/", dismiss, name="refunds_unmatchedrefund_dismiss"),
            *super().get_urls(),
        ]

    def match_view(self, request: DeskRequest, pk: int, refund_pk: int) -> HttpResponse:
        row = self._to_decide(request, pk)
        refunds = scope.within(Refund.objects.filter(pk=refund_pk), request.user)
        if not refunds.exists() or not request.user.has_perm("refunds.view_refund"):
            raise Http404
        seen = seen_in(request, "seen")
        try:
            refund = services.match_unmatched(row.pk, refund_pk, request.user, seen=-1 if seen is None else seen)
        except RefundError as refusal:
            return self._refused(request, row, str(refusal))
        messages.success(
            request,
            _("It is %(refund)s (%(mode)s). The gateway is asked about it under that reference.")
            % {"refund": refund, "mode": refund.account.mode},
        )
        return redirect("admin:refunds_refund_change", refund.pk)

    def dismiss_view(self, request: DeskRequest, pk: int) -> HttpResponse:
        row, note = self._to_decide(request, pk), request.POST.get("note", "")
        try:
            services.dismiss_unmatched(row.pk, request.user, note)
        except RefundError as refusal:
            return self._refused(request, row, str(refusal), note)
        messages.success(
            request,
            _("%(row)s (%(mode)s) has left the list: it is none of ours.") % {"row": row, "mode": row.account.mode},
        )
        return redirect("admin:refunds_unmatchedrefund_changelist")

    def _to_decide(self, request: DeskRequest, pk: int) -> UnmatchedRefund:
        row = self.get_object(request, str(pk))
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row) or not policy.may(request.user, policy.DECLARE):
            raise PermissionDenied
        return row

    def _refused(self, request: DeskRequest, row: UnmatchedRefund, refusal: str, note: str = "") -> HttpResponse:
        """The page as it is now, with why nothing was done and what was typed."""
        row = self.get_object(request, str(row.pk))
        context = {**self.page_context(request, row), "refusal": refusal, "note": note}
        return self.page(request, self.page_template, status=409, title=str(row), **context)


def candidates(row: UnmatchedRefund, user: User) -> list[Candidate]:
    """For those who may see refunds, while it waits."""
    if row.settled_at or not user.has_perm("refunds.view_refund"):
        return []
    return [Candidate(one, services.why_no_match(row, one.refund)) for one in services.suggestions(row)]
