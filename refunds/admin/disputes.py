"""Marking a payment as disputed and closing the dispute, beside the payment's page. GET asks, POST does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from refunds import policy, services
from refunds.admin.desk import DeskRequest, OwnPage, seen_in
from refunds.errors import RefundError
from refunds.models import Payment

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True)
class DisputeStep:
    """One verb about a payment; `do(payment_id, user, note, case, seen)` takes it."""

    name: str
    label: StrOrPromise
    explains: StrOrPromise
    asks: StrOrPromise
    done: StrOrPromise
    do: Callable[[int, User, str, str, int], Payment]
    asks_case: bool = False

    @property
    def verb(self) -> str:
        return self.label.rstrip("…")


STEPS = {
    step.name: step
    for step in (
        DisputeStep(
            "dispute",
            gettext_lazy("Mark as disputed…"),
            gettext_lazy(
                "The customer has asked the bank for the money. Until the dispute is closed, no refund of this payment "
                "is requested, approved or sent; what is at the gateway already is still asked about."
            ),
            gettext_lazy("How do you know?"),
            gettext_lazy("%(payment)s is marked as disputed: nothing of it is sent (%(mode)s)."),
            lambda pk, user, note, case, seen: services.mark_disputed(pk, user, note, case, seen=seen),
            asks_case=True,
        ),
        DisputeStep(
            "close",
            gettext_lazy("Dispute closed…"),
            gettext_lazy(
                "Refunds can be requested again, and those that were approved are sent at once. If the bank has given "
                "the customer the money, withdraw them first."
            ),
            gettext_lazy("How did it end?"),
            gettext_lazy("%(payment)s is no longer disputed (%(mode)s)."),
            lambda pk, user, note, case, seen: services.close_dispute(pk, user, note, seen=seen),
        ),
    )
}


def urls(screen: OwnPage) -> list[URLPattern]:
    view = screen.admin_site.admin_view(require_http_methods(["GET", "HEAD", "POST"])(partial(dispute_view, screen)))
    return [path("<int:pk>/dispute/<slug:name>/", view, name="refunds_payment_dispute")]


def offered(payment: Payment, user: User) -> DisputeStep | None:
    """The button of a payment's page for this person."""
    return STEPS["close" if payment.disputed_at else "dispute"] if policy.may(user, policy.DISPUTE) else None


def dispute_view(screen: OwnPage, request: DeskRequest, pk: int, name: str) -> HttpResponse:
    """A stale page is refused with a sentence and loses nothing that was typed."""
    payment, step = screen.get_object(request, str(pk)), STEPS.get(name)
    if payment is None or step is None:
        raise Http404
    if not screen.has_view_permission(request, payment) or not policy.may(request.user, policy.DISPUTE):
        raise PermissionDenied
    note, case, refusal = request.POST.get("text", ""), request.POST.get("case", ""), ""
    if request.method == "POST":
        seen = seen_in(request, "seen")
        try:
            step.do(payment.pk, request.user, note, case, -1 if seen is None else seen)
        except RefundError as trouble:
            refusal, payment = str(trouble), screen.get_object(request, str(pk))
        else:
            messages.success(request, step.done % {"payment": payment, "mode": payment.account.mode})
            return redirect("admin:refunds_payment_change", pk)
    return screen.page(
        request,
        "admin/refunds/dispute.html",
        status=409 if refusal else 200,
        title=f"{step.verb}: {payment}",
        step=step,
        payment=payment,
        original=payment,
        refusal=refusal,
        text=note,
        case=case,
        waiting=payment.refunds.filter(status="approved").select_related("payment"),
    )
