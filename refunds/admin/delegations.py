"""Delegations: who stands in for an approver who is away. Approvers see their own, and choose their own deputy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods
from unfold.decorators import display

from refunds import policy, services, wording
from refunds.admin import proposals
from refunds.admin.change_forms import DeputyForm
from refunds.admin.desk import DeskRequest, OwnPage
from refunds.errors import RefundError
from refunds.models import Change, Delegation

BADGES = {"running": "success", "comes": "info", "over": "", "ended": ""}
WORDS = {
    "running": gettext_lazy("stands in now"),
    "comes": gettext_lazy("begins later"),
    "over": gettext_lazy("over"),
    "ended": gettext_lazy("ended early"),
}


@admin.register(Delegation)
class DelegationAdmin(OwnPage):
    page_template = "admin/refunds/delegation.html"
    to_account = ""
    list_before_template = "admin/refunds/delegation_list_before.html"
    list_display = ("shown_person", "deputy", "shown_from", "shown_until", "shown_standing")
    list_select_related = ("person", "deputy")
    actions = None

    @display(description=gettext_lazy("Away"), ordering="person")
    def shown_person(self, row: Delegation) -> str:
        return str(row.person)

    @display(description=gettext_lazy("From"), ordering="from_at")
    def shown_from(self, row: Delegation) -> str:
        return wording.moment(row.from_at)

    @display(description=gettext_lazy("Until"), ordering="until")
    def shown_until(self, row: Delegation) -> str:
        return wording.moment(row.until)

    @display(description=gettext_lazy("Standing"), label=BADGES)
    def shown_standing(self, row: Delegation) -> tuple[str, str]:
        return standing(row), str(WORDS[standing(row)])

    def get_queryset(self, request: DeskRequest) -> QuerySet[Delegation]:
        """Approvers see those that they are part of; who watches over changes sees all."""
        rows = super().get_queryset(request).select_related("person", "deputy")
        if request.user.has_perm("refunds.view_change"):
            return rows
        return rows.filter(Q(person=request.user) | Q(deputy=request.user))

    def changelist_view(self, request: DeskRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        own = proposals.open_changes().filter(kind=Change.Kind.DELEGATION, person=request.user)
        shown = {"may_propose": policy.may(request.user, policy.APPROVE), "own_proposals": own}
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    def page_context(self, request: DeskRequest, found: Delegation) -> dict[str, Any]:
        return {
            "original": found,
            "row": found,
            "standing": standing(found),
            "standing_words": WORDS[standing(found)],
            "may_end": may_end(found, request.user),
        }

    def get_urls(self) -> list[URLPattern]:
        def at(address: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            asking = require_http_methods(["GET", "HEAD", "POST"])(view)
            return path(address, self.admin_site.admin_view(asking), name=f"refunds_delegation_{name}")

        return [at("propose/", self.new_view, "new"), at("<int:pk>/end/", self.end_view, "end"), *super().get_urls()]

    def new_view(self, request: DeskRequest) -> HttpResponse:
        proposals.demand_right(request, policy.APPROVE)
        me, form = request.user, DeputyForm(request.POST or None, by=request.user, initial={"seen": {}})
        if request.method == "POST" and form.is_valid():
            subject = f"{form.cleaned_data['deputy'].get_username()} {me.get_username()}"
            if change := proposals.propose(request, form, Change.Kind.DELEGATION, subject, me):
                return redirect("admin:refunds_change_change", change.pk)
        return self.page(
            request,
            "admin/refunds/propose.html",
            status=409 if form.errors else 200,
            title=_("Propose a deputy"),
            form=form,
            explains=_("Your deputy may approve with your allowance, where the deputy's own is not enough."),
            second=_("a gateway admin"),
            back=reverse("admin:refunds_delegation_changelist"),
        )

    def end_view(self, request: DeskRequest, pk: int) -> HttpResponse:
        row, refusal = self.get_object(request, str(pk)), ""
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row) or not _has_a_say(row, request.user):
            raise PermissionDenied
        if request.method == "POST":
            try:
                services.end_delegation(row.pk, request.user)
            except RefundError as trouble:
                refusal = str(trouble)
            else:
                messages.success(
                    request,
                    _("%(deputy)s no longer stands in for %(person)s.") % {"deputy": row.deputy, "person": row.person},
                )
                return redirect("admin:refunds_delegation_changelist")
        return self.page(
            request,
            "admin/refunds/delegation_end.html",
            status=409 if refusal else 200,
            title=_("End it now: %(row)s") % {"row": row},
            refusal=refusal,
            **self.page_context(request, row),
        )


def standing(row: Delegation) -> str:
    now = timezone.now()
    if row.ended_at:
        return "ended"
    if row.until <= now:
        return "over"
    return "comes" if row.from_at > now else "running"


def may_end(row: Delegation, user: User) -> bool:
    return standing(row) in ("running", "comes") and _has_a_say(row, user)


def _has_a_say(row: Delegation, user: User) -> bool:
    return user.pk in (row.person_id, row.deputy_id) or policy.may(user, policy.RULES)
