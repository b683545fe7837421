"""What came of a bulk action, row by row, on a page of its own that can be read again; kept in the person's session."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from refunds import policy, services
from refunds.admin import fresh
from refunds.admin.desk import DeskRequest, ReadOnly
from refunds.admin.steps import STEPS, Step
from refunds.errors import RefundError
from refunds.models import Refund

KEPT = "bulk_results"
MOST_KEPT = 5


@dataclass(frozen=True)
class Came:
    """What became of one refund; `version` is the one that the step left behind."""

    refund_id: int
    is_done: bool
    told: str
    version: int = 0


@dataclass(frozen=True)
class Row:
    refund: Refund
    came: Came
    may_undo: bool


def shown(screen: ReadOnly, request: DeskRequest, step: Step, rows: list[Came]) -> HttpResponse:
    """Keep the rows, and lead to their page: reading it again does nothing again."""
    token, kept = secrets.token_urlsafe(12), request.session.get(KEPT, {})
    latest = dict(list(kept.items())[1 - MOST_KEPT :])
    latest[token] = {"step": step.name, "back": request.get_full_path(), "rows": [asdict(row) for row in rows]}
    request.session[KEPT] = latest
    return redirect(_address(token))


def urls(screen: ReadOnly) -> list[URLPattern]:
    def view(request: DeskRequest, token: str) -> HttpResponse:
        return result_view(screen, request, token)

    return [path("result/<slug:token>/", screen.admin_site.admin_view(view), name="refunds_refund_result")]


def result_view(screen: ReadOnly, request: DeskRequest, token: str) -> HttpResponse:
    """GET shows it; POST takes back what can be undone, one service call per row."""
    if not screen.has_view_permission(request):
        raise PermissionDenied
    kept = request.session.get(KEPT, {}).get(token)
    if kept is None:
        raise Http404
    rows = _rows(screen, request, kept)
    if request.method == "POST":
        if not policy.may(request.user, policy.APPROVE):
            raise PermissionDenied
        if away := fresh.ask(request):
            return away
        _undo(request, token, rows)
        return redirect(_address(token))
    n_done = sum(row.came.is_done for row in rows)
    return screen.page(
        request,
        "admin/refunds/bulk_result.html",
        title=_("What came of it: %(verb)s") % {"verb": STEPS[kept["step"]].verb},
        verb=STEPS[kept["step"]].verb,
        rows=rows,
        n_done=n_done,
        n_refused=len(rows) - n_done,
        undoable=[row for row in rows if row.may_undo],
        back=kept["back"],
    )


def _rows(screen: ReadOnly, request: DeskRequest, kept: dict[str, Any]) -> list[Row]:
    """With each refund as it is now; of one that this person no longer sees nothing is told."""
    came = [Came(**row) for row in kept["rows"]]
    found = screen.get_queryset(request).in_bulk([row.refund_id for row in came])
    rows = [(found[row.refund_id], row) for row in came if row.refund_id in found]
    return [Row(refund, row, _may_undo(refund, row, request)) for refund, row in rows]


def _may_undo(refund: Refund, came: Came, request: DeskRequest) -> bool:
    is_held = services.held_until(refund) is not None and refund.version == came.version
    return came.is_done and is_held and STEPS["unapprove"].fits(refund, request.user)


def _undo(request: DeskRequest, token: str, rows: list[Row]) -> None:
    became = []
    for row in rows:
        came = row.came
        if row.may_undo:
            try:
                changed = services.unapprove_refund(came.refund_id, request.user, "", seen=came.version)
                came = Came(came.refund_id, True, _("was taken back and waits for a decision again"), changed.version)
            except RefundError as refusal:
                came = Came(came.refund_id, False, str(refusal), came.version)
        became.append(asdict(came))
    request.session[KEPT][token]["rows"] = became
    request.session.modified = True


def _address(token: str) -> str:
    return reverse("admin:refunds_refund_result", args=(token,))
