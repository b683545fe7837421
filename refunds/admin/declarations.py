"""Declarations: one person says what became of a refund, another confirms it; and the evidence, for those who read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import FileResponse, Http404, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from refunds import policy, scope, services, wording
from refunds.admin import fresh
from refunds.admin.declare_form import DeclareForm
from refunds.admin.desk import DeskRequest, OwnPage, seen_in
from refunds.admin.facts import facts
from refunds.errors import RefundError
from refunds.models import Declaration, Refund
from refunds.models.refund import AWAITING

View = Callable[[OwnPage, DeskRequest, Refund], HttpResponse]
ASKS = {
    "confirm": gettext_lazy("Confirm what was proposed: %(refund)s"),
    "drop": gettext_lazy("Drop what was proposed: %(refund)s"),
}


@dataclass(frozen=True)
class Proposal:
    """The declaration that waits, for one reader: `why_not` says why this person cannot confirm it now, or ""."""

    declaration: Declaration
    is_own: bool
    why_not: str
    may_drop: bool


def urls(screen: OwnPage) -> list[URLPattern]:
    def at(address: str, view: Any, name: str) -> URLPattern:
        return path(f"<int:pk>/{address}", _own(screen, view), name=f"refunds_refund_{name}")

    return [
        at("declare/", _declaring(declare_view), "declare"),
        at("confirm/", _declaring(confirm_view), "confirm"),
        at("drop/", _declaring(drop_view), "drop"),
        at("evidence/<int:declaration_pk>/", evidence_view, "evidence"),
    ]


def _own(screen: OwnPage, view: Any) -> Any:
    """The view as one of the admin's, for those who may see this refund."""

    @require_http_methods(["GET", "HEAD", "POST"])
    def seeing(request: DeskRequest, pk: int, **names: int) -> HttpResponse:
        refund = screen.get_object(request, str(pk))
        if refund is None:
            raise Http404
        if not screen.has_view_permission(request, refund):
            raise PermissionDenied
        return view(screen, request, refund, **names)

    return screen.admin_site.admin_view(seeing)


def _declaring(view: View) -> View:
    """For whoever may declare, and has just proved who they are."""

    def declaring(screen: OwnPage, request: DeskRequest, refund: Refund) -> HttpResponse:
        if not policy.may(request.user, policy.DECLARE):
            raise PermissionDenied
        return fresh.ask(request) or view(screen, request, refund)

    return declaring


# --- what a refund's page shows of them ---


def shown(refund: Refund, user: User) -> dict[str, Any]:
    """The proposal that waits, what was declared before, and whether this person may declare now."""
    waiting = proposal(refund, user)
    told = list(refund.declarations.select_related("proposed_by", "confirmed_by").order_by("-pk"))
    return {
        "proposal": waiting,
        "declared": [one for one in told if not waiting or one.pk != waiting.declaration.pk],
        "may_declare": may_declare(refund, user) and not waiting,
    }


def may_declare(refund: Refund, user: User) -> bool:
    return refund.status in AWAITING and policy.may(user, policy.DECLARE)


def waiting(user: User) -> QuerySet[Declaration]:
    """Every proposal that waits for a second person and that this one may know of, oldest first."""
    rows = Declaration.objects.filter(confirmed_at=None, dropped_at=None, version=F("refund__version"))
    return scope.within(rows.filter(refund__status__in=AWAITING), user, "refund__account")


def waiting_for(user: User) -> QuerySet[Refund]:
    """Refunds whose proposal this person may be the one to confirm."""
    others = waiting(user).exclude(proposed_by=user).exclude(refund__requested_by=user)
    return Refund.objects.filter(pk__in=others.values("refund"))


def proposal(refund: Refund, user: User) -> Proposal | None:
    if refund.status not in AWAITING or (standing := services.open_declaration(refund)) is None:
        return None
    is_own = standing.proposed_by_id == user.pk
    return Proposal(standing, is_own, _why_not(refund, standing, user), policy.may(user, policy.DECLARE))


def _why_not(refund: Refund, standing: Declaration, user: User) -> str:
    """The service has the last word; this only says it before anybody presses a button."""
    if standing.proposed_by_id == user.pk:
        return _("It waits for a second person: you proposed it, so somebody else has to confirm it.")
    if not policy.may(user, policy.DECLARE):
        return _("It waits for a second person: somebody of Finance has to confirm it.")
    if refund.requested_by_id == user.pk:
        return _("It waits for a second person: you asked for this refund yourself.")
    if standing.outcome == Declaration.Outcome.FAILED and (until := no_failure_until(refund)):
        return _("Before %(moment)s no failure can be confirmed: the order may still arrive there.") % {
            "moment": wording.moment(until)
        }
    return ""


def no_failure_until(refund: Refund) -> datetime | None:
    """Until when no failure can be confirmed; None when it can be."""
    earliest = services.not_failed_before(refund)
    return earliest if timezone.now() < earliest else None


# --- the pages: GET asks, POST does ---


def declare_view(screen: OwnPage, request: DeskRequest, refund: Refund) -> HttpResponse:
    """A refusal comes back with all that was typed; only a file has to be chosen again."""
    form = DeclareForm(request.POST or None, request.FILES or None)
    if fresh.lost_files(request):
        form.add_error("evidence", _("Choose the file again."))
    if request.method == "POST" and form.is_valid():
        try:
            services.propose_outcome(refund.pk, request.user, seen=_seen(request), **form.cleaned_data)
        except RefundError as refusal:
            refund = screen.get_object(request, str(refund.pk))
            form.add_error(None, str(refusal))
        else:
            messages.success(
                request,
                _("Your word about %(refund)s (%(mode)s) is written down. Another person has to confirm it.")
                % {"refund": refund, "mode": refund.account.mode},
            )
            return redirect("admin:refunds_refund_change", refund.pk)
    return screen.page(
        request,
        "admin/refunds/declare.html",
        status=409 if form.errors else 200,
        title=_("Declare the outcome: %(refund)s") % {"refund": refund},
        form=form,
        lost_file=bool(form.errors and (request.FILES or fresh.lost_files(request))),
        no_failure_until=no_failure_until(refund),
        proposal=proposal(refund, request.user),
        is_by_hand=services.is_made_by_hand(refund),
        **facts(refund),
    )


def confirm_view(screen: OwnPage, request: DeskRequest, refund: Refund) -> HttpResponse:
    if request.method != "POST":
        return _ask(screen, request, refund, "confirm")
    try:
        done = services.confirm_outcome(refund.pk, request.user, seen=_seen(request))
    except RefundError as refusal:
        return _ask(screen, request, refund, "confirm", str(refusal))
    messages.success(
        request,
        _("%(done)s (%(mode)s) is %(status)s, as two people have declared.")
        % {"done": done, "mode": done.account.mode, "status": done.get_status_display()},
    )
    return redirect("admin:refunds_refund_change", refund.pk)


def drop_view(screen: OwnPage, request: DeskRequest, refund: Refund) -> HttpResponse:
    text = request.POST.get("text", "")
    if request.method != "POST":
        return _ask(screen, request, refund, "drop")
    try:
        services.drop_proposal(refund.pk, request.user, text, seen=_seen(request))
    except RefundError as refusal:
        return _ask(screen, request, refund, "drop", str(refusal), text)
    messages.success(
        request,
        _("The proposal about %(refund)s (%(mode)s) is dropped. The refund stands as it stood.")
        % {"refund": refund, "mode": refund.account.mode},
    )
    return redirect("admin:refunds_refund_change", refund.pk)


def _ask(
    screen: OwnPage, request: DeskRequest, refund: Refund, to_do: str, refusal: str = "", text: str = ""
) -> HttpResponse:
    """The page before a proposal is confirmed or dropped shows exactly what it is."""
    refund = screen.get_object(request, str(refund.pk))
    waiting = proposal(refund, request.user)
    if waiting is None:
        refusal = refusal or _("Nothing is proposed about %(refund)s as it stands now.") % {"refund": refund}
    return screen.page(
        request,
        f"admin/refunds/{to_do}.html",
        status=409 if refusal else 200,
        title=ASKS[to_do] % {"refund": refund},
        proposal=waiting,
        refusal=refusal,
        text=text,
        **facts(refund),
    )


def _seen(request: DeskRequest) -> int:
    seen = seen_in(request, "seen")
    return -1 if seen is None else seen


def evidence_view(screen: OwnPage, request: DeskRequest, refund: Refund, declaration_pk: int) -> HttpResponseBase:
    """A file that somebody attached: saved by the browser, never opened in our name."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET"])
    declaration = refund.declarations.filter(pk=declaration_pk).exclude(evidence="").first()
    if declaration is None:
        raise Http404
    try:
        file = declaration.evidence.open("rb")
    except FileNotFoundError:
        raise Http404(_("The file is not in EVIDENCE_DIR any more.")) from None
    answer = FileResponse(
        file, as_attachment=True, filename=declaration.evidence_name, content_type="application/octet-stream"
    )
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return answer
