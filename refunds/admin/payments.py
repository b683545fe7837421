"""Payments: find one, see what is free of it, ask for a refund."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Lower
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from refunds import find, limits, policy, services, wording
from refunds.admin import cockpit, disputes, intake, refund_all
from refunds.admin.desk import DeskRequest, OwnPage, two_lines, with_mode
from refunds.admin.export import Exports
from refunds.admin.filters import OWN_ACCOUNTS, OfCurrency
from refunds.admin.forms import RequestForm
from refunds.errors import RefundError
from refunds.models import Payment

BADGES = {"captured": "info", "partially_refunded": "warning", "refunded": "success"}


@admin.register(Payment)
class PaymentAdmin(Exports, OwnPage):
    page_template = "admin/refunds/payment.html"
    list_before_template = "admin/refunds/payment_list_before.html"
    list_display = (
        "shown_payment",
        "shown_customer",
        "shown_captured",
        "shown_free",
        "shown_status",
        "shown_account",
    )
    list_filter = (OWN_ACCOUNTS, "status", OfCurrency)
    list_select_related = ("account",)
    search_fields = ("find",)  # the box is there; what it finds is said in refunds/find.py
    search_help_text = gettext_lazy("Order, e-mail, name, our number, or any id of the gateway")
    actions = ("request_what_is_free",)

    @display(description=gettext_lazy("Payment"), ordering="order")
    def shown_payment(self, payment: Payment) -> str:
        return two_lines(payment.order, payment.reference)

    @display(description=gettext_lazy("Customer"), ordering=Lower("customer_email"))
    def shown_customer(self, payment: Payment) -> str:
        return two_lines(payment.customer_name, payment.customer_email)

    @display(description=gettext_lazy("Captured"), ordering="captured_at")
    def shown_captured(self, payment: Payment) -> str:
        return two_lines(wording.amount(payment.money(payment.captured)), wording.moment(payment.captured_at))

    @display(description=gettext_lazy("Free"))
    def shown_free(self, payment: Payment) -> str:
        return wording.amount(payment.money(payment.free))

    @display(description=gettext_lazy("Status"), label=BADGES)
    def shown_status(self, payment: Payment) -> tuple[str, str]:
        words = payment.get_status_display()
        return payment.status, f"{words} · disputed" if payment.disputed_at else words

    @display(description=gettext_lazy("Account"))
    def shown_account(self, payment: Payment) -> str:
        return with_mode(str(payment.account), payment.account)

    def changelist_view(self, request: DeskRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        offered = {"may_request": policy.may(request.user, policy.REQUEST)}
        return super().changelist_view(request, {**offered, **(extra_context or {})})

    def get_search_results(
        self, request: DeskRequest, queryset: QuerySet[Payment], search_term: str
    ) -> tuple[QuerySet[Payment], bool]:
        return (find.narrowed(queryset, search_term) if search_term else queryset), False

    @admin.action(description=gettext_lazy("Request a refund of what is free"), permissions=["request"])
    def request_what_is_free(self, request: DeskRequest, queryset: QuerySet[Payment]) -> HttpResponse | None:
        return refund_all.ask_or_do(self, request, queryset)

    # --- the page of one payment ---

    def page_context(self, request: DeskRequest, found: Payment) -> dict[str, Any]:
        refunds = found.refunds.select_related("payment__account", "account", "reason", "requested_by", "retry_of")
        return {
            **facts(found),
            **cockpit.journal(found),
            **cockpit.customer(found, request.user),
            "rows": cockpit.rows(refunds),
            "may_request": policy.may(request.user, policy.REQUEST),
            "why_not": why_not(found),
            "dispute_step": disputes.offered(found, request.user),
        }

    # --- coming in, and being asked back ---

    def get_urls(self) -> list[URLPattern]:
        own = self.admin_site.admin_view
        return [
            *intake.urls(self),
            *disputes.urls(self),
            path("<int:pk>/request/", own(self.request_view), name="refunds_payment_request"),
            *super().get_urls(),
        ]

    def has_add_permission(self, request: DeskRequest) -> bool:
        return policy.may(request.user, policy.IMPORT)

    def add_view(self, request: DeskRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return intake.add_view(self, request)

    def request_view(self, request: DeskRequest, pk: int) -> HttpResponse:
        """Ask for a refund of one payment; a stale form comes back with the new figure and what was typed."""
        payment = self.get_object(request, str(pk))
        if payment is None:
            raise Http404
        if not self.has_view_permission(request, payment) or not policy.may(request.user, policy.REQUEST):
            raise PermissionDenied
        form = RequestForm(request.POST or None, payment=payment, by=request.user)
        if request.method == "POST" and form.is_valid():
            try:
                refund = services.request_refund(payment.pk, by=request.user, **form.order())
            except RefundError as refusal:
                payment = self.get_object(request, str(pk))
                form = form.stale(payment, str(refusal))
            else:
                messages.success(request, wording.after_request(refund))
                return redirect("admin:refunds_refund_change", refund.pk)
        return self.page(
            request,
            "admin/refunds/request.html",
            status=409 if form.errors else 200,
            title=_("Request a refund"),
            form=form,
            why_not=why_not(payment),
            left=services.left_today(request.user, limits.Act.REQUEST),
            siblings=cockpit.siblings(payment),
            **facts(payment),
        )


def why_not(payment: Payment) -> str:
    """Why no refund can be asked of this payment now, or ""."""
    try:
        policy.demand_refundable(payment)
    except RefundError as refusal:
        return str(refusal)
    return "" if payment.free > 0 else _("Nothing is free any more: all of it is refunded or spoken for.")


def facts(payment: Payment) -> dict[str, Any]:
    return {"payment": payment, "original": payment, "bar": cockpit.bar(payment)}
