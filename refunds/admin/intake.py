"""The screens through which payments come in: a file with a preview, or one typed by hand. PaymentAdmin mounts them."""

from __future__ import annotations

import csv
from functools import partial
from io import BytesIO
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from refunds import policy, scope, wording
from refunds.admin import kept
from refunds.admin.desk import DeskRequest, ReadOnly
from refunds.admin.intake_forms import FileForm, PaymentForm
from refunds.errors import BadInput
from refunds.models import Account, Payment
from refunds.services.intake import COLUMNS, Tally, preview, read_rows, take_in
from refunds.services.typed import CARD

KIND = "payment-import"
N_TROUBLES_SHOWN = 200
ASK, LOOK, DONE = (f"admin/refunds/payment_import{part}.html" for part in ("", "_preview", "_done"))
EXAMPLE = (
    "account-name",
    "pay-1001",
    "order-1001",
    "12.50",
    "EUR",
    "2026-11-20T14:30:00Z",
    "Anna Nowak",
    "anna@example.com",
    "card",
    "no",
)


def urls(admin: ReadOnly) -> list[URLPattern]:
    """The pages that stand beside the list of payments; mount them before the list's own."""
    own = admin.admin_site.admin_view
    return [
        path("import/", own(partial(import_view, admin)), name="refunds_payment_import"),
        path("import/template/", own(template_view), name="refunds_payment_import_template"),
    ]


def add_view(admin: ReadOnly, request: DeskRequest) -> HttpResponse:
    """One payment by hand, over the same service as a file."""
    if refused := _closed(request):
        return refused
    form = PaymentForm(request.POST if request.method == "POST" else None, user=request.user)
    if form.is_bound and form.is_valid():
        tally = take_in([form.row()], by=request.user)
        if not tally.bad:
            return _show(request, form, tally)
        form.add_error(None, tally.bad[0].reason)
    status = 400 if form.errors else 200
    return admin.page(request, "admin/refunds/payment_add.html", status=status, title=_("Add a payment"), form=form)


def import_view(admin: ReadOnly, request: DeskRequest) -> HttpResponse:
    """GET asks for a file, POST shows what is in it, and POST with that preview's name takes it in."""
    if refused := _closed(request):
        return refused
    if request.method != "POST":
        return _ask(admin, request, FileForm())
    if name := request.POST.get("confirmed"):
        return _take_in(admin, request, name)
    form = FileForm(request.POST, request.FILES)
    if not form.is_valid():
        return _ask(admin, request, form)
    content = form.cleaned_data["file"].read()
    try:
        tally = preview(read_rows(BytesIO(content)), by=request.user)
    except BadInput as trouble:
        form.add_error("file", str(trouble))
        return _ask(admin, request, form)
    if lines := [str(row.line) for row in tally.bad if row.reason == str(CARD)]:
        form.add_error(
            "file",
            _("Line %(lines)s: %(card)s Nothing of the file was kept; choose it again then.")
            % {"lines": ", ".join(lines[:20]), "card": CARD},
        )
        return _ask(admin, request, form)
    return _tell(
        admin, request, LOOK, tally, title=_("What is in the file"), confirmed=kept.keep(KIND, request.user, content)
    )


def template_view(request: DeskRequest) -> HttpResponse:
    """Our columns and an example, which no account would take in."""
    if refused := _closed(request):
        return refused
    disposition = 'attachment; filename="payments-template.csv"'
    answer = HttpResponse(content_type="text/csv; charset=utf-8", headers={"Content-Disposition": disposition})
    csv.writer(answer).writerows((COLUMNS, EXAMPLE))
    return answer


def _closed(request: DeskRequest) -> HttpResponse | None:
    """Only those who may bring payments in come any further."""
    if not policy.may(request.user, policy.IMPORT):
        raise PermissionDenied
    allowed = ("GET", "HEAD", "POST")
    return None if request.method in allowed else HttpResponseNotAllowed(allowed)


def _show(request: DeskRequest, form: PaymentForm, tally: Tally) -> HttpResponse:
    row = form.row()
    payment = Payment.objects.get(account__slug=row.account, reference=row.payment_reference)
    if tally.n_new:
        messages.success(
            request,
            _("%(payment)s of %(amount)s is taken in.")
            % {"payment": payment, "amount": wording.amount(payment.money(payment.captured))},
        )
    elif tally.disputed:
        messages.success(request, _("%(payment)s is known already, and marked as disputed now.") % {"payment": payment})
    else:
        messages.info(request, _("%(payment)s is known already. Nothing was changed.") % {"payment": payment})
    return redirect("admin:refunds_payment_change", payment.pk)


def _ask(admin: ReadOnly, request: DeskRequest, form: FileForm, status: int = 400) -> HttpResponse:
    status = status if form.errors else 200
    names = wording.payment_names(scope.within(Account.objects.all(), request.user, "pk"))
    return admin.page(request, ASK, status=status, title=_("Import payments"), form=form, payment_names=names)


def _take_in(admin: ReadOnly, request: DeskRequest, name: str) -> HttpResponse:
    content = kept.kept(KIND, request.user, name)
    if content is None:
        form = FileForm({}, MultiValueDict())
        form.errors.clear()
        form.add_error(
            None,
            _(
                "This preview was used already, is older than an hour, or another file was uploaded since. "
                "Please choose the file again; payments that are in already will show as known."
            ),
        )
        return _ask(admin, request, form, status=409)
    tally = take_in(read_rows(BytesIO(content)), by=request.user)
    kept.drop(KIND, request.user)
    if tally.bad:
        return _tell(admin, request, DONE, tally, title=_("Payments taken in"))
    totals = ", ".join(wording.amount(money) for money in tally.money)
    new = ngettext("%(number)s new payment taken in", "%(number)s new payments taken in", tally.n_new)
    new %= {"number": tally.n_new}
    counted = {"known": tally.n_known, "disputed": len(tally.disputed)}
    if tally.disputed:
        known = _("%(known)s known already, %(disputed)s of them marked as disputed.") % counted
    else:
        known = _("%(known)s known already.") % counted
    messages.success(request, f"{new}{f': {totals}' if totals else ''}. {known}")
    return redirect("admin:refunds_payment_changelist")


def _tell(
    admin: ReadOnly, request: DeskRequest, template: str, tally: Tally, title: str, confirmed: str = ""
) -> HttpResponse:
    """Rows with the same trouble are told together: one missing account can be hundreds of rows."""
    lines: dict[str, list[int]] = {}
    for row in tally.bad:
        lines.setdefault(row.reason, []).append(row.line)
    troubles = list(lines.items())
    n_more = max(len(troubles) - N_TROUBLES_SHOWN, 0)
    shown: dict[str, Any] = {"troubles": troubles[:N_TROUBLES_SHOWN], "n_more": n_more, "confirmed": confirmed}
    return admin.page(request, template, title=title, tally=tally, **shown)
