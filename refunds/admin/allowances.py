"""Allowances: what a person may ask for or approve at once and on one day, and proposals for others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods
from unfold.decorators import display

from gateways.money import Money
from refunds import policy, services, wording
from refunds.admin import proposals
from refunds.admin.change_forms import AllowanceForm, NewAllowanceForm
from refunds.admin.desk import DeskRequest, OwnPage
from refunds.admin.proposal_form import EndForm, ProposalForm
from refunds.models import Allowance, Change


@admin.register(Allowance)
class AllowanceAdmin(OwnPage):
    page_template = "admin/refunds/allowance.html"
    to_account = ""
    list_before_template = "admin/refunds/allowance_list_before.html"
    list_display = ("person", "shown_act", "currency", "shown_largest", "shown_per_day", "shown_taken")
    list_filter = ("act", "currency")
    list_select_related = ("person",)
    search_fields = ("person__username", "person__first_name", "person__last_name")
    search_help_text = gettext_lazy("Name of the person")
    actions = None

    @display(description=gettext_lazy("For"), ordering="act")
    def shown_act(self, row: Allowance) -> str:
        return row.get_act_display()

    @display(description=gettext_lazy("At once"))
    def shown_largest(self, row: Allowance) -> str:
        return wording.amount(Money(row.largest, row.currency))

    @display(description=gettext_lazy("On one day"))
    def shown_per_day(self, row: Allowance) -> str:
        return wording.amount(Money(row.per_day, row.currency))

    @display(description=gettext_lazy("Taken today"))
    def shown_taken(self, row: Allowance) -> str:
        return wording.amount(Money(services.taken_today(row), row.currency))

    def get_queryset(self, request: DeskRequest) -> QuerySet[Allowance]:
        return super().get_queryset(request).select_related("person")

    def changelist_view(self, request: DeskRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        shown = {"may_propose": policy.may(request.user, policy.RULES), "required": settings.ALLOWANCES_REQUIRED}
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    # --- the page of one ---

    def page_context(self, request: DeskRequest, found: Allowance) -> dict[str, Any]:
        told = Change.objects.filter(kind=Change.Kind.ALLOWANCE, subject=_subject(found))
        return {
            "original": found,
            "row": found,
            "largest": Money(found.largest, found.currency),
            "per_day": Money(found.per_day, found.currency),
            "taken": Money(services.taken_today(found), found.currency),
            "left": services.left_of(found).today,
            "waiting": proposals.waiting(Change.Kind.ALLOWANCE, _subject(found)),
            "changes": told.select_related("proposed_by", "confirmed_by", "dropped_by"),
            "may_propose": policy.may(request.user, policy.RULES) and found.person_id != request.user.pk,
            "may_see_changes": request.user.has_perm("refunds.view_change"),
        }

    # --- proposals ---

    def get_urls(self) -> list[URLPattern]:
        def at(address: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            asking = require_http_methods(["GET", "HEAD", "POST"])(view)
            return path(address, self.admin_site.admin_view(asking), name=f"refunds_allowance_{name}")

        return [
            at("propose/", self.new_view, "new"),
            at("<int:pk>/propose/", self.propose_view, "propose"),
            at("<int:pk>/end/", self.end_view, "end"),
            *super().get_urls(),
        ]

    def new_view(self, request: DeskRequest) -> HttpResponse:
        proposals.demand_right(request, policy.RULES)
        form = NewAllowanceForm(request.POST or None, by=request.user, initial={"seen": {}})
        if request.method == "POST" and form.is_valid():
            person = form.cleaned_data["person"]
            subject = services.allowance_subject(person, form.cleaned_data["act"], form.cleaned_data["currency"])
            if services.stands(Change.Kind.ALLOWANCE, subject, person):
                form.add_error(None, _("This person has such an allowance already. Propose a change of that one."))
            elif change := proposals.propose(request, form, Change.Kind.ALLOWANCE, subject, person):
                return redirect("admin:refunds_change_change", change.pk)
        return self._ask(request, form, _("Propose a new allowance"))

    def propose_view(self, request: DeskRequest, pk: int) -> HttpResponse:
        row = self._to_change(request, pk)
        form = AllowanceForm(request.POST or None, allowance=row, initial={"seen": _seen(row)})
        return self._propose(request, form, row, _("Propose a change: %(row)s") % {"row": row})

    def end_view(self, request: DeskRequest, pk: int) -> HttpResponse:
        row = self._to_change(request, pk)
        form = EndForm(request.POST or None, initial={"seen": _seen(row)})
        return self._propose(request, form, row, _("Propose to end: %(row)s") % {"row": row}, ends=True)

    def _to_change(self, request: DeskRequest, pk: int) -> Allowance:
        proposals.demand_right(request, policy.RULES)
        row = self.get_object(request, str(pk))
        if row is None:
            raise Http404
        return row

    def _propose(
        self, request: DeskRequest, form: ProposalForm, row: Allowance, title: str, *, ends: bool = False
    ) -> HttpResponse:
        if request.method == "POST" and form.is_valid():
            change = proposals.propose(request, form, Change.Kind.ALLOWANCE, _subject(row), row.person)
            if change:
                return redirect("admin:refunds_change_change", change.pk)
        return self._ask(request, form, title, row, ends=ends)

    def _ask(
        self, request: DeskRequest, form: ProposalForm, title: str, row: Allowance | None = None, *, ends: bool = False
    ) -> HttpResponse:
        return self.page(
            request,
            "admin/refunds/propose.html",
            status=409 if form.errors else 200,
            title=title,
            form=form,
            about=_("%(act)s in %(currency)s, by %(person)s")
            % {"act": row.get_act_display().capitalize(), "currency": row.currency, "person": row.person}
            if row
            else "",
            explains=_(
                "Who has an allowance for an act may do nothing of it in other currencies. "
                "Who has none is allowed nothing."
            )
            if settings.ALLOWANCES_REQUIRED
            else _(
                "Who has an allowance for an act may do nothing of it in other currencies. Who has none is not limited."
            ),
            ends=ends,
            back=reverse("admin:refunds_allowance_change", args=(row.pk,))
            if row
            else reverse("admin:refunds_allowance_changelist"),
        )


def _subject(row: Allowance) -> str:
    return services.allowance_subject(row.person, row.act, row.currency)


def _seen(row: Allowance) -> dict[str, int]:
    return {"largest": row.largest, "per_day": row.per_day}
