"""Batches: refunds requested from a file. It is uploaded, rehearsed row by row, confirmed, and then followed."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet, Sum
from django.http import Http404, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_safe
from unfold.decorators import display
from unfold.widgets import UnfoldAdminFileFieldWidget

from gateways.money import Money
from refunds import policy, scope, services, sheets, wording
from refunds.admin import kept
from refunds.admin.bulk import large, totals
from refunds.admin.desk import DeskRequest, OwnPage, two_lines
from refunds.errors import BadInput, RefundError
from refunds.models import Account, Batch, BatchRow, Payment, RefundReason
from refunds.services.batches import SEE_ALL
from refunds.services.request_rows import COLUMNS, MOST_ROWS, WHY_NOT

KIND = "request-file"
LARGEST_FILE_MB = 2
ROWS_A_PAGE = 100
EXAMPLE = ("account-name", "pay-1001", "order-1001", "12.50", "EUR", "Goods returned", "T-1001", "Parcel is at dock 4.")
GONE = gettext_lazy(
    "This preview was used already, is older than an hour, or another file was uploaded since. "
    "Nothing was requested by opening it again. Look among the batches, or choose the file anew."
)
# What can be picked of a dry run's rows, and of a batch's.
PLANNED: dict[str, Callable[[services.Planned], bool]] = {
    "all": lambda row: True,
    "asked": lambda row: not row.why_not,
    "skipped": lambda row: bool(row.why_not),
    "suspect": lambda row: row.is_suspect and not row.why_not,
}
RESULTS = ("all", *BatchRow.Result.values)


class RequestFileForm(forms.Form):
    """A file of bounded size; what it is, is told by the service."""

    file = forms.FileField(
        label=gettext_lazy("CSV or XLSX file"),
        widget=UnfoldAdminFileFieldWidget({"accept": ".csv,.xlsx,text/csv"}),
        max_length=200,
    )

    def clean_file(self) -> UploadedFile:
        file = self.cleaned_data["file"]
        if file.size > LARGEST_FILE_MB * 1024 * 1024:
            raise forms.ValidationError(_("The file is larger than %(most)s MB. Split it.") % {"most": LARGEST_FILE_MB})
        return file


@admin.register(Batch)
class BatchAdmin(OwnPage):
    page_template = "admin/refunds/batch.html"
    list_before_template = "admin/refunds/batch_list_before.html"
    list_display = ("shown_batch", "shown_standing", "shown_rows", "person", "shown_confirmed")
    list_select_related = ("person",)
    search_fields = ("file_name", "person__username")
    search_help_text = gettext_lazy("File name or person")
    to_account = ""  # a batch may be about several accounts: the service tells which of them a person may see
    actions = None

    @display(description=gettext_lazy("Batch"))
    def shown_batch(self, batch: Batch) -> str:
        return two_lines(str(batch), batch.file_name, is_wide=True)

    @display(description=gettext_lazy("Standing"), label={"done": "success", "moving": "info", "trouble": "danger"})
    def shown_standing(self, batch: Batch) -> tuple[str, str]:
        if batch.trouble:
            return "trouble", _("given up")
        return ("done", _("done")) if batch.finished_at else ("moving", _("at work"))

    @display(description=gettext_lazy("Rows"))
    def shown_rows(self, batch: Any) -> str:
        said = {"requested": batch.n_requested, "all": batch.n_rows}
        refused = _("%(refused)s refused") % {"refused": batch.n_refused} if batch.n_refused else ""
        return two_lines(_("%(requested)s of %(all)s requested") % said, refused)

    @display(description=gettext_lazy("Confirmed"), ordering="confirmed_at")
    def shown_confirmed(self, batch: Batch) -> str:
        return wording.moment(batch.confirmed_at)

    def get_queryset(self, request: DeskRequest) -> QuerySet[Batch]:
        known = services.known_rows(request.user, "rows__")
        counts = {f"n_{name}": Count("rows", filter=Q(rows__result=name) & known) for name in BatchRow.Result.values}
        counts |= {"n_known": Count("rows", filter=known), "n_rows": Count("rows")}
        return services.batches_for(request.user).annotate(**counts).select_related("person")

    def has_view_permission(self, request: DeskRequest, obj: Batch | None = None) -> bool:
        return request.user.has_perm(SEE_ALL) or policy.may(request.user, policy.REQUEST)

    has_module_permission = has_view_permission

    def has_add_permission(self, request: DeskRequest) -> bool:
        return policy.may(request.user, policy.REQUEST)

    # --- the page of one ---

    def page_context(self, request: DeskRequest, found: Any) -> dict[str, Any]:
        rows = found.rows.select_related("payment__account", "reason", "refund__payment")
        if found.person_id != request.user.pk and scope.limited_to(request.user) is not None:
            rows = rows.exclude(payment=None)  # their words may name accounts that this person does not know of
        show = request.GET.get("show", "")
        show = show if show in RESULTS else "all"
        known = rows.filter(services.known_rows(request.user))
        page = _page(request, rows if show == "all" else known.filter(result=show))
        asked = known.filter(result="requested").order_by().values_list("payment__currency")
        return {
            "batch": found,
            "original": found,
            "page_of_rows": page,
            "known": set(known.filter(pk__in=[row.pk for row in page]).values_list("pk", flat=True)),
            "show": show,
            "tabs": _tabs(rows, known),
            "totals": totals(Money(minor, currency) for currency, minor in asked.annotate(minor=Sum("amount"))),
            "may_see_earlier": services.batches_for(request.user).filter(pk=found.again_of_id).exists(),
            "n_done": found.n_requested + found.n_refused,
            "is_mine": found.person_id == request.user.pk,
            "query": request.GET.urlencode(),
        }

    # --- asking ---

    def get_urls(self) -> list[URLPattern]:
        own = self.admin_site.admin_view
        return [
            path("template/", own(require_safe(self.template_view)), name="refunds_batch_template"),
            path("rehearsal/<slug:name>/", own(self.rehearsal_view), name="refunds_batch_rehearsal"),
            path("<int:pk>/refused/", own(require_safe(self.refused_view)), name="refunds_batch_refused"),
            *super().get_urls(),
        ]

    def add_view(self, request: DeskRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """GET asks for a file; POST rehearses it and leads to what came of that."""
        if refused := _closed(request):
            return refused
        form = RequestFileForm(request.POST, request.FILES) if request.method == "POST" else RequestFileForm()
        if form.is_bound and form.is_valid():
            file = form.cleaned_data["file"]
            try:
                run = services.dry_run(file.read(), _plain_name(file.name), request.user)
            except BadInput as trouble:
                form.add_error("file", str(trouble))
            else:
                return redirect("admin:refunds_batch_rehearsal", kept.keep(KIND, request.user, run.pack()))
        return self.page(
            request,
            "admin/refunds/batch_add.html",
            status=400 if form.errors else 200,
            title=_("Request refunds from a file"),
            form=form,
            columns=COLUMNS,
            most_rows=MOST_ROWS,
            largest_mb=LARGEST_FILE_MB,
            reasons=RefundReason.objects.filter(is_active=True),
            accounts=scope.within(Account.objects.filter(is_active=True), request.user, "pk"),
        )

    def rehearsal_view(self, request: DeskRequest, name: str) -> HttpResponse:
        """GET shows what would be requested; POST, with what that page asks for, has it requested."""
        if refused := _closed(request):
            return refused
        packed = kept.kept(KIND, request.user, name)
        if packed is None:
            messages.warning(request, GONE)
            return redirect("admin:refunds_batch_add")
        run = services.DryRun.unpack(packed)
        to_type, earlier = large(filter(None, (row.money for row in run.doable))), services.confirmed_before(run)
        troubles: list[str] = []
        if request.method == "POST":
            troubles = _missing(request, run, to_type, earlier)
            if not troubles and (batch := self._open(request, run, earlier)):
                return redirect("admin:refunds_batch_change", batch.pk)
        return self.page(
            request,
            "admin/refunds/batch_rehearsal.html",
            status=409 if request.method == "POST" else 200,
            title=_("What would be requested"),
            run=run,
            name=name,
            troubles=troubles,
            to_type=to_type,
            totals=totals(filter(None, (row.money for row in run.doable))),
            earlier=earlier,
            may_see_earlier=earlier and services.batches_for(request.user).filter(pk=earlier.pk).exists(),
            **_shown(request, run),
        )

    def _open(self, request: DeskRequest, run: services.DryRun, earlier: Batch | None) -> Batch | None:
        try:
            batch = services.open_batch(run, request.user, knows_of=earlier)
        except RefundError as refusal:
            messages.error(request, str(refusal))
            return None
        kept.drop(KIND, request.user)
        n_rows = len(run.doable)
        said = {"batch": batch, "number": n_rows}
        text = ngettext(
            "%(batch)s: %(number)s refund is being requested.",
            "%(batch)s: %(number)s refunds are being requested.",
            n_rows,
        )
        messages.success(request, text % said)
        return batch

    # --- files ---

    def template_view(self, request: DeskRequest) -> HttpResponse:
        """Our columns and an example, which no account would take in."""
        if refused := _closed(request):
            return refused
        answer = HttpResponse(content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="refunds-template.csv"'
        csv.writer(answer).writerows((COLUMNS, EXAMPLE))
        return answer

    def refused_view(self, request: DeskRequest, pk: int) -> StreamingHttpResponse:
        """One's own rows that were refused, as they were written and with the reason, to be corrected and uploaded."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        batch = services.batches_for(request.user).filter(pk=pk, person=request.user).first()
        if batch is None:
            raise Http404
        refused = batch.rows.filter(services.known_rows(request.user), result="refused").order_by("line")
        rows = [[*(row.given.get(name, "") for name in COLUMNS), row.why_not] for row in refused]
        return StreamingHttpResponse(
            sheets.as_csv([[*COLUMNS, WHY_NOT], *rows]),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{batch}-refused.csv"'},
        )


def _closed(request: DeskRequest) -> HttpResponse | None:
    """Only those who may request refunds come any further."""
    if not policy.may(request.user, policy.REQUEST):
        raise PermissionDenied
    allowed = ("GET", "HEAD", "POST")
    return None if request.method in allowed else HttpResponseNotAllowed(allowed)


def _plain_name(name: str | None) -> str:
    """A card number in a file's name is not kept either."""
    return services.without_cards("".join(sign for sign in name or "" if sign.isprintable())[:200])


def _missing(request: DeskRequest, run: services.DryRun, to_type: list[Any], earlier: Batch | None) -> list[str]:
    """What the page asks for and did not get."""
    troubles = [
        _("Type the total exactly as shown: %(total)s %(currency)s.") % {"total": total, "currency": total.currency}
        for total in to_type
        if request.POST.get(f"total_{total.currency}", "").strip() != str(total)
    ]
    if any(row.is_suspect for row in run.doable) and request.POST.get("suspect") != "yes":
        troubles.append(_("Say that the likely duplicates are meant, or take them out of the file."))
    if earlier and request.POST.get("again") != str(earlier.pk):
        troubles.append(_("Say that the same file is meant to be requested once more."))
    return troubles


def _shown(request: DeskRequest, run: services.DryRun) -> dict[str, Any]:
    """The rows of the page that is asked for, with their payments."""
    show = request.GET.get("show", "")
    show = show if show in PLANNED else "all"
    page = _page(request, [row for row in run.rows if PLANNED[show](row)])
    own = scope.within(Payment.objects.select_related("account"), request.user)
    payments = own.in_bulk([row.payment_id for row in page if row.payment_id])
    reasons = RefundReason.objects.in_bulk([row.reason_id for row in page if row.reason_id])
    return {
        "page_of_rows": page,
        "rows": [(row, payments.get(row.payment_id or 0), reasons.get(row.reason_id or 0)) for row in page],
        "show": show,
        "tabs": [(name, sum(map(is_one, run.rows))) for name, is_one in PLANNED.items()],
        "n_suspect": sum(row.is_suspect for row in run.doable),
        "n_skipped": len(run.rows) - len(run.doable),
    }


def _tabs(rows: QuerySet[BatchRow], known: QuerySet[BatchRow]) -> list[tuple[str, int]]:
    counts = dict(known.order_by().values_list("result").annotate(number=Count("pk")))
    return [(name, rows.count() if name == "all" else counts.get(name, 0)) for name in RESULTS]


def _page(request: DeskRequest, rows: Any) -> Any:
    return Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("p"))
