"""A step for many refunds: first a page that says what will happen, then one service call per row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import transaction
from django.http import HttpResponse

from gateways.money import Money
from refunds.admin import fresh, results
from refunds.admin.desk import DeskRequest, ReadOnly, seen_in, too_many
from refunds.admin.steps import Step
from refunds.errors import RefundError
from refunds.models import Refund

MOST_ROWS = 50


@dataclass(frozen=True)
class Row:
    """One picked refund; `why_not` says why it is skipped, "" when the step can be taken."""

    refund: Refund
    why_not: str


def ask_or_do(screen: ReadOnly, request: DeskRequest, step: Step) -> HttpResponse | None:
    """The action's first POST shows the confirmation page, the second one does what that page showed."""
    if why := too_many(request, MOST_ROWS):
        messages.error(request, why)
        return None
    if step.needs_proof and (away := fresh.ask(request)):
        return away
    refunds = _picked(screen, request)
    text = request.POST.get("text", "")
    untyped = _untyped(request, refunds, step) if "confirmed" in request.POST else []
    if "confirmed" in request.POST and (text.strip() or not step.asks) and not untyped:
        done = [_taken(request, refund, step, text) for refund in refunds]
        return results.shown(screen, request, step, [row for row in done if row])
    rows = [
        Row(refund, rehearse(partial(step.do, refund.pk, request.user, refund.version, "rehearsal")))
        for refund in refunds
    ]
    return screen.page(
        request,
        "admin/refunds/bulk.html",
        title=step.verb,
        step=step,
        rows=rows,
        doable=[row for row in rows if not row.why_not],
        totals=totals(row.refund.money for row in rows if not row.why_not),
        to_type=large(row.refund.money for row in rows if not row.why_not) if step.types_total else [],
        untyped=untyped,
        action=request.POST["action"],
        checkbox=ACTION_CHECKBOX_NAME,
        text=text,
        text_missing="confirmed" in request.POST and bool(step.asks) and not text.strip(),
    )


def _picked(screen: ReadOnly, request: DeskRequest) -> list[Refund]:
    """Also those that have left the filtered list since: each row that was picked is answered for."""
    keys = [pk for pk in request.POST.getlist(ACTION_CHECKBOX_NAME) if pk.isascii() and pk.isdecimal()]
    refunds = screen.get_queryset(request).filter(pk__in=keys)
    return list(refunds.select_related("payment", "account", "reason", "requested_by").order_by("requested_at", "pk"))


def totals(amounts: Iterable[Money]) -> list[Money]:
    """One sum per currency."""
    sums: dict[str, Money] = {}
    for money in amounts:
        sums[money.currency] = sums.get(money.currency, Money(0, money.currency)) + money
    return [sums[currency] for currency in sorted(sums)]


def large(amounts: Iterable[Money]) -> list[Money]:
    """The totals that a person types, to have read them: from BULK_TYPED_TOTAL major units."""
    return [total for total in totals(amounts) if total.major >= settings.BULK_TYPED_TOTAL]


def _untyped(request: DeskRequest, refunds: list[Refund], step: Step) -> list[Money]:
    """Totals of what the page offered that were not typed as they are."""
    offered = [refund.money for refund in refunds if seen_in(request, f"seen_{refund.pk}") is not None]
    wanted = large(offered) if step.types_total else []
    return [total for total in wanted if request.POST.get(f"total_{total.currency}", "").strip() != str(total)]


def rehearse(step: Callable[[], object]) -> str:
    """Why the service would refuse this step, or "": it is really asked, and everything is taken back."""
    try:
        with transaction.atomic():
            step()
            transaction.set_rollback(True)
    except RefundError as refusal:
        return str(refusal)
    return ""


def _taken(request: DeskRequest, refund: Refund, step: Step, text: str) -> results.Came | None:
    """What became of one row; None for one that was shown as skipped."""
    seen = seen_in(request, f"seen_{refund.pk}")
    if seen is None:
        return None
    try:
        changed = step.do(refund.pk, request.user, seen, text)
    except RefundError as refusal:
        return results.Came(refund.pk, False, str(refusal))
    return results.Came(refund.pk, True, str(step.told(changed)), changed.version)
