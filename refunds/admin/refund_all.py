"""The payment list's action: a refund of what is free, for each picked payment, after a page that shows it all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpResponse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from refunds import services
from refunds.admin.bulk import MOST_ROWS, rehearse, totals
from refunds.admin.desk import DeskRequest, ReadOnly, seen_in, too_many
from refunds.errors import RefundError
from refunds.models import Payment, Refund, RefundReason


class ReasonForm(forms.Form):
    """What all the refunds of one go share."""

    reason = forms.ModelChoiceField(
        RefundReason.objects.filter(is_active=True), empty_label="Choose…", widget=UnfoldAdminSelectWidget
    )
    ticket = forms.CharField(max_length=200, required=False, widget=UnfoldAdminTextInputWidget)
    internal_note = forms.CharField(max_length=2000, required=False, widget=UnfoldAdminTextareaWidget({"rows": 3}))


@dataclass(frozen=True)
class Row:
    payment: Payment
    why_not: str


def ask_or_do(screen: ReadOnly, request: DeskRequest, picked: QuerySet[Payment]) -> HttpResponse | None:
    """The first POST shows what would be asked, the second asks it, one service call per payment."""
    if why := too_many(request, MOST_ROWS):
        messages.error(request, why)
        return None
    payments = list(picked.select_related("account").order_by("captured_at", "pk"))
    confirmed = "confirmed" in request.POST
    form = ReasonForm(request.POST if confirmed else None)
    if confirmed and form.is_valid():
        _do(request, payments, form)
        return None
    rows = [Row(payment, _why_not(request, payment)) for payment in payments]
    return screen.page(
        request,
        "admin/refunds/refund_all.html",
        title="Request a refund of what is free",
        form=form,
        rows=rows,
        doable=[row for row in rows if not row.why_not],
        totals=totals(row.payment.money(row.payment.free) for row in rows if not row.why_not),
        action=request.POST["action"],
        checkbox=ACTION_CHECKBOX_NAME,
    )


def _request(request: DeskRequest, payment: Payment, seen_free: int, reason: RefundReason, **words: Any) -> Refund:
    return services.request_refund(payment.pk, seen_free, reason, request.user, seen_free=seen_free, **words)


def _why_not(request: DeskRequest, payment: Payment) -> str:
    reason = RefundReason.objects.filter(is_active=True).first()
    if reason is None:
        return "There is no reason in use; a gateway admin has to add one."
    return rehearse(lambda: _request(request, payment, payment.free, reason))


def _do(request: DeskRequest, payments: list[Payment], form: ReasonForm) -> None:
    done = []
    for payment in payments:
        seen = seen_in(request, f"seen_{payment.pk}")
        if seen is None:
            continue  # it was shown as skipped
        try:
            refund = _request(request, payment, seen, **form.cleaned_data)
            done.append(f"{refund} ({payment.account.mode})")
        except RefundError as refusal:
            messages.error(request, f"{payment} ({payment.account.mode}): {refusal}")
    if done:
        messages.success(request, f"{len(done)} requested: {', '.join(done)}. Somebody else has to approve them.")
    else:
        messages.warning(request, "Nothing was requested.")
