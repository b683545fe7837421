"""The reports page: seven questions about a span of days, each as a chart and as a table."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from refunds import scope
from refunds.admin import report_shares, report_tables, report_times
from refunds.admin.desk import DeskRequest, OwnPage
from refunds.admin.report_form import ReportForm
from refunds.admin.report_tables import Report
from refunds.models import Refund
from refunds.reports import figures

SPANS = (7, 30, 90, 365)
COUNTED_BY = {
    "requested": gettext_lazy("By the moment of the request, whatever became of it."),
    "approved": gettext_lazy("By the moment of the last approval, whatever became of it."),
    "sent": gettext_lazy("By the moment of sending; one made in a gateway's own screens, when we found it."),
    "final": gettext_lazy("By the final moment: what succeeded and was not reversed since."),
}


def urls(screen: OwnPage) -> list[URLPattern]:
    @require_safe
    def view(request: DeskRequest) -> HttpResponse:
        return reports_view(screen, request)

    return [path("reports/", screen.admin_site.admin_view(view), name="refunds_refund_reports")]


def reports_view(screen: OwnPage, request: DeskRequest) -> HttpResponse:
    """The address holds every choice; a choice that makes no sense shows its error and no figures."""
    if not screen.has_view_permission(request):
        raise PermissionDenied
    form = ReportForm(request.GET, request.user)
    reports, spans = answers(form, request) if form.is_valid() else [], _spans(request)
    return screen.page(
        request,
        "admin/refunds/reports.html",
        title=_("Reports"),
        opts=None,  # else the title would be the list's
        form=form,
        reports=reports,
        is_empty=not any(report.rows for report in reports),
        zone=timezone.get_current_timezone_name(),
        spans=spans,
        longest=spans[-1][1],
        kept=_without_currency(request),
    )


def answers(form: ReportForm, request: DeskRequest) -> list[Report]:
    selection, by = form.selection(), form.cleaned_data["by"]
    refunds = scope.within(Refund.objects.all(), request.user)
    of_all_currencies = figures.per_day(refunds, replace(selection, currency=""), by)
    form.offer(list(report_tables.totals_of(of_all_currencies)))
    days = [one for one in of_all_currencies if selection.currency in ("", one.currency)]
    counted_by = str(COUNTED_BY[by])
    return [
        report_tables.count_per_day(days, selection, counted_by),
        report_tables.volume_per_day(days, selection, counted_by),
        report_shares.success(figures.ends(refunds, selection)),
        report_times.time_to_approve(figures.time_to_approve(refunds, selection)),
        report_times.time_to_settle(figures.time_to_settle(refunds, selection)),
        report_shares.reasons(figures.reasons(refunds, selection)),
        report_shares.failures(figures.failures(refunds, selection)),
    ]


def _without_currency(request: DeskRequest) -> str:
    """The beginning of an address that keeps every other choice."""
    query = request.GET.copy()
    query.pop("currency", None)
    return f"{query.urlencode()}&" if query else ""


def _spans(request: DeskRequest) -> list[tuple[int, str]]:
    """Links to the last so many days that keep every other choice."""
    today, found = timezone.localdate(), []
    for days in SPANS:
        query = request.GET.copy()
        query["from"], query["to"] = (today - timedelta(days=days - 1)).isoformat(), today.isoformat()
        found.append((days, query.urlencode()))
    return found
