"""A list as a file: the rows that filters and search leave over, by a POST of those who may export."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import FileResponse, Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from refunds import policy, sheets
from refunds.admin.desk import DeskRequest, ReadOnly, asks_for_a_card
from refunds.models import ArchivedChain, Delivery, Event, Payment, Refund

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

log = logging.getLogger(__name__)

CHUNK = 500
Column = tuple[str, Callable[[Any], object]]


@dataclass(frozen=True)
class Table:
    """One kind of file: `rows` makes its rows of what the list shows."""

    name: str
    label: StrOrPromise
    columns: Sequence[Column]
    rows: Callable[[QuerySet[Any]], QuerySet[Any]]


REFUND: Sequence[Column] = (
    ("number", lambda refund: refund.number),
    ("key", lambda refund: refund.key),
    ("reference", lambda refund: refund.reference),
    ("account", lambda refund: refund.account.slug),
    ("gateway", lambda refund: refund.account.gateway),
    ("mode", lambda refund: refund.account.mode),
    ("status", lambda refund: refund.status),
    ("amount", lambda refund: refund.money),
    ("currency", lambda refund: refund.payment.currency),
    ("reason", lambda refund: refund.reason),
    ("ticket", lambda refund: refund.ticket),
    ("internal_note", lambda refund: refund.internal_note),
    ("needs_attention", lambda refund: refund.needs_attention),
    ("payment_reference", lambda refund: refund.payment.reference),
    ("order", lambda refund: refund.payment.order),
    ("customer_name", lambda refund: refund.payment.customer_name),
    ("customer_email", lambda refund: refund.payment.customer_email),
    ("requested_by", lambda refund: refund.requested_by),
    ("requested_at", lambda refund: refund.requested_at),
    ("sent_at", lambda refund: refund.sent_at),
    ("final_at", lambda refund: refund.final_at),
)
PAYMENT: Sequence[Column] = (
    ("payment_reference", lambda payment: payment.reference),
    ("account", lambda payment: payment.account.slug),
    ("gateway", lambda payment: payment.account.gateway),
    ("mode", lambda payment: payment.account.mode),
    ("order", lambda payment: payment.order),
    ("captured", lambda payment: payment.money(payment.captured)),
    ("refunded", lambda payment: payment.money(payment.refunded)),
    ("held", lambda payment: payment.money(payment.held)),
    ("currency", lambda payment: payment.currency),
    ("status", lambda payment: payment.status),
    ("captured_at", lambda payment: payment.captured_at),
    ("disputed_at", lambda payment: payment.disputed_at),
    ("dispute_case", lambda payment: payment.dispute_case),
    ("customer_name", lambda payment: payment.customer_name),
    ("customer_email", lambda payment: payment.customer_email),
    ("method", lambda payment: payment.method),
)
# Bodies and headers are raw exchanges, which have a right of their own.
DELIVERY: Sequence[Column] = (
    ("received_at", lambda delivery: delivery.received_at),
    ("account", lambda delivery: delivery.account.slug),
    ("result", lambda delivery: delivery.result),
    ("why", lambda delivery: delivery.why),
    ("refund", lambda delivery: delivery.refund),
    ("digest", lambda delivery: delivery.digest),
)
EVENT: Sequence[Column] = (
    ("line", lambda event: event.pk),
    ("at", lambda event: event.at),
    ("payment_reference", lambda event: event.payment.reference),
    ("refund", lambda event: event.refund),
    ("sequence", lambda event: event.sequence),
    ("step", lambda event: event.step),
    ("from_status", lambda event: event.from_status),
    ("to_status", lambda event: event.to_status),
    ("actor", lambda event: event.actor),
    ("source", lambda event: event.source),
    ("text", lambda event: event.text),
    ("data", lambda event: json.dumps(event.data, ensure_ascii=False, sort_keys=True)),
    ("act", lambda event: event.correlation),
    ("digest", lambda event: event.digest),
)

ARCHIVED: Sequence[Column] = (
    ("payment_reference", lambda piece: piece.payment.reference),
    ("refund", lambda piece: piece.refund),
    ("first_sequence", lambda piece: piece.first_sequence),
    ("last_sequence", lambda piece: piece.last_sequence),
    ("status", lambda piece: piece.status),
    ("digest", lambda piece: piece.digest),
    ("file", lambda piece: piece.archive.file_name),
    ("file_sha256", lambda piece: piece.archive.file_digest),
    ("before", lambda piece: piece.archive.before),
)


def _events(of: str) -> Callable[[QuerySet[Any]], QuerySet[Event]]:
    """The journal's lines of the listed refunds or payments, in the order in which they were written."""

    def rows(listed: QuerySet[Any]) -> QuerySet[Event]:
        chosen = {f"{of}__in": listed.order_by().values("pk")}
        return Event.objects.filter(**chosen).select_related("payment", "refund").order_by("pk")

    return rows


def _archived(of: str) -> Callable[[QuerySet[Any]], QuerySet[ArchivedChain]]:
    """Which lines of the same lie in which archive file."""

    def rows(listed: QuerySet[Any]) -> QuerySet[ArchivedChain]:
        chosen = {f"{of}__in": listed.order_by().values("pk")}
        return ArchivedChain.objects.filter(**chosen).select_related("payment", "refund", "archive").order_by("pk")

    return rows


def _listed(*related: str) -> Callable[[QuerySet[Any]], QuerySet[Any]]:
    return lambda listed: listed.select_related(*related)


TABLES: dict[type[Model], Sequence[Table]] = {
    Refund: (
        Table("refunds", gettext_lazy("Refunds"), REFUND, _listed("payment", "account", "reason", "requested_by")),
        Table("journal", gettext_lazy("Their journal"), EVENT, _events("refund")),
        Table("archived", gettext_lazy("What of it is archived"), ARCHIVED, _archived("refund")),
    ),
    Payment: (
        Table("payments", gettext_lazy("Payments"), PAYMENT, _listed("account")),
        Table("journal", gettext_lazy("Their journal"), EVENT, _events("payment")),
        Table("archived", gettext_lazy("What of it is archived"), ARCHIVED, _archived("payment")),
    ),
    Delivery: (Table("deliveries", gettext_lazy("Deliveries"), DELIVERY, _listed("account", "refund")),),
}
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class Exports(ReadOnly):
    """Mixed into a list: those who may export find the files above it."""

    list_before_template = "admin/refunds/list_before.html"

    def changelist_view(self, request: DeskRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {**offered(self, request), **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        return [*urls(self), *super().get_urls()]


def urls(screen: ReadOnly) -> list[URLPattern]:
    @require_POST
    def view(request: DeskRequest) -> HttpResponseBase:
        return export_view(screen, request)

    name = f"{screen.opts.app_label}_{screen.opts.model_name}_export"
    return [path("export/", screen.admin_site.admin_view(view), name=name)]


def offered(screen: ReadOnly, request: DeskRequest) -> dict[str, Any]:
    """What a list shows of it: the choices, and the filters and the search to keep."""
    if not policy.may(request.user, policy.EXPORT):
        return {}
    return {"export": {"tables": TABLES[screen.model], "formats": FORMATS, "query": request.GET.urlencode()}}


def export_view(screen: ReadOnly, request: DeskRequest) -> HttpResponseBase:
    """The list's own rows, so that whoever may not see a row in the list does not find it in the file."""
    if not screen.has_view_permission(request) or not policy.may(request.user, policy.EXPORT):
        raise PermissionDenied
    table = next((one for one in TABLES[screen.model] if one.name == request.POST.get("table")), None)
    form = request.POST.get("format", "")
    if table is None or form not in FORMATS:
        raise Http404
    back = redirect(f"../?{request.GET.urlencode()}")
    if asks_for_a_card(request):
        return back  # the list says why
    try:
        rows = table.rows(screen.get_changelist_instance(request).get_queryset(request))
    except IncorrectLookupParameters:
        return redirect("../?e=1")
    n_rows = rows.count()
    if n_rows > settings.EXPORT_MOST_ROWS:
        most = f"{settings.EXPORT_MOST_ROWS:,}"
        messages.error(
            request,
            _("That is %(rows)s rows, and a file has at most %(most)s. Narrow the list by filters.")
            % {"rows": f"{n_rows:,}", "most": most},
        )
        return back
    _note(screen, request, table, form, n_rows)
    return _file(form, f"{table.name}-{timezone.now():%Y%m%d-%H%M%S}.{form}", lines(table, rows[:n_rows]))


def lines(table: Table, rows: QuerySet[Any]) -> Iterator[sheets.Row]:
    yield [name for name, value in table.columns]
    for row in rows.iterator(chunk_size=CHUNK):
        yield [written(value(row)) for name, value in table.columns]


def written(value: object) -> str:
    """Amounts in major units, as Money writes them; times in UTC by ISO 8601."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return "" if value is None else str(value)


def _file(form: str, name: str, rows: Iterable[sheets.Row]) -> HttpResponseBase:
    if form == "xlsx":
        return FileResponse(sheets.as_xlsx(rows), as_attachment=True, filename=name, content_type=FORMATS[form])
    disposition = f'attachment; filename="{name}"'
    return StreamingHttpResponse(
        sheets.as_csv(rows), content_type=FORMATS[form], headers={"Content-Disposition": disposition}
    )


def _note(screen: ReadOnly, request: DeskRequest, table: Table, form: str, n_rows: int) -> None:
    """Who took what out of the house: in the log, and among the recent actions of the person."""
    query = request.GET.urlencode()[:500]
    said = f"exported {n_rows} rows ({table.name}, {form}), filters: {query or 'none'}"
    log.info("%s %s", request.user, said)
    LogEntry.objects.create(
        user=request.user,
        content_type=ContentType.objects.get_for_model(screen.model),
        object_repr=f"Export of {table.name}",
        action_flag=CHANGE,
        change_message=said,
    )
