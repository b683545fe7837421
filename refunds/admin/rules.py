"""Approval rules: what is in force, what was, and proposals for others with a look at what they would have done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods
from unfold.decorators import display

from refunds import change_words, policy, scope, services, wording
from refunds.admin import proposals
from refunds.admin.desk import DeskRequest, OwnPage, two_lines
from refunds.admin.proposal_form import EndForm, ProposalForm, Wish
from refunds.admin.rule_form import RuleForm
from refunds.errors import RefundError
from refunds.models import Change, Refund, Rule
from refunds.services.change_kinds import wish_of

COUNTED = timedelta(days=services.PREVIEW_DAYS)
TONES = {
    Rule.Demand.NONE: "success",
    Rule.Demand.ONE: "info",
    Rule.Demand.TWO: "warning",
    Rule.Demand.BLOCK: "danger",
}


class Standing(admin.SimpleListFilter):
    title = gettext_lazy("standing")
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("ended", _("Ended versions"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        usual, *others = super().choices(changelist)
        yield from ({**usual, "display": _("In force")}, *others)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Rule]) -> QuerySet[Rule]:
        return queryset.filter(ended_at__isnull=self.value() != "ended")


@dataclass(frozen=True)
class Version:
    """One version and the change that brought it; None where it came without two people."""

    rule: Rule
    sentence: str
    sums: str
    change: Change | None


@admin.register(Rule)
class RuleAdmin(OwnPage):
    page_template = "admin/refunds/rule.html"
    to_account = ""  # a rule may be for all accounts: see get_queryset
    list_before_template = "admin/refunds/rule_list_before.html"
    list_display = ("shown_name", "shown_sentence", "shown_demand", "shown_times")
    list_filter = (Standing,)
    list_select_related = ("account", "reason")
    actions = None

    @display(description=gettext_lazy("Rule"), ordering="number")
    def shown_name(self, rule: Rule) -> str:
        return two_lines(
            _("Rule %(number)s") % {"number": rule.number}, _("version %(number)s") % {"number": rule.version}
        )

    @display(description=gettext_lazy("In words"))
    def shown_sentence(self, rule: Rule) -> str:
        return two_lines(change_words.sentence(rule), change_words.sums(rule), is_wide=True)

    @display(description=gettext_lazy("Asks for"), label=TONES)
    def shown_demand(self, rule: Rule) -> tuple[str, str]:
        return rule.demand, change_words.demand(rule.demand)

    @display(description=gettext_lazy("In force since"), ordering="began_at")
    def shown_times(self, rule: Rule) -> str:
        until = _("until %(moment)s") % {"moment": wording.moment(rule.ended_at)} if rule.ended_at else ""
        return two_lines(wording.moment(rule.began_at), until, is_wide=True)

    def get_queryset(self, request: DeskRequest) -> QuerySet[Rule]:
        rules, accounts = (
            super().get_queryset(request).select_related("account", "reason"),
            scope.limited_to(request.user),
        )
        return rules if accounts is None else rules.filter(Q(account=None) | Q(account__in=accounts))

    def changelist_view(self, request: DeskRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        shown = {"may_propose": policy.may(request.user, policy.RULES)}
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    # --- the page of one ---

    def page_context(self, request: DeskRequest, found: Rule) -> dict[str, Any]:
        versions = self.get_queryset(request).filter(number=found.number).order_by("-version")
        may_see_changes = request.user.has_perm("refunds.view_change")
        met = Refund.objects.filter(rule__number=found.number, requested_at__gt=timezone.now() - COUNTED)
        return {
            "rule": found,
            "original": found,
            "versions": _versions(list(versions)),
            "in_force": versions.filter(ended_at=None).first(),
            "n_met": scope.within(met, request.user).count(),
            "days": COUNTED.days,
            "waiting": proposals.waiting(Change.Kind.RULE, str(found.number)) if may_see_changes else None,
            "may_propose": policy.may(request.user, policy.RULES),
            "may_see_changes": may_see_changes,
        }

    # --- proposals: GET asks, the first POST shows what it would do, the second one proposes ---

    def get_urls(self) -> list[URLPattern]:
        def at(address: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            asking = require_http_methods(["GET", "HEAD", "POST"])(view)
            return path(address, self.admin_site.admin_view(asking), name=f"refunds_rule_{name}")

        return [
            at("propose/", self.new_view, "new"),
            at("number/<int:number>/propose/", self.propose_view, "propose"),
            at("number/<int:number>/end/", self.end_view, "end"),
            *super().get_urls(),
        ]

    def new_view(self, request: DeskRequest) -> HttpResponse:
        proposals.demand_right(request, policy.RULES)
        form = RuleForm(request.POST or None, by=request.user, initial={"seen": {}})
        return self._ask_or_propose(request, services.next_number(), form, None)

    def propose_view(self, request: DeskRequest, number: int) -> HttpResponse:
        rule = self._in_force(request, number)
        form = RuleForm(request.POST or None, by=request.user, rule=rule, initial={"seen": _seen(rule)})
        return self._ask_or_propose(request, number, form, rule)

    def end_view(self, request: DeskRequest, number: int) -> HttpResponse:
        rule = self._in_force(request, number)
        return self._ask_or_propose(
            request, number, EndForm(request.POST or None, initial={"seen": _seen(rule)}), rule, ends=True
        )

    def _in_force(self, request: DeskRequest, number: int) -> Rule | None:
        """None where it has just ended: then the service says so and what was typed is kept."""
        proposals.demand_right(request, policy.RULES)
        versions = self.get_queryset(request).filter(number=number)
        rule = versions.filter(ended_at=None).first()
        if rule is None and (request.method != "POST" or not versions.exists()):
            raise Http404
        return rule

    def _ask_or_propose(
        self, request: DeskRequest, number: int, form: ProposalForm, rule: Rule | None, *, ends: bool = False
    ) -> HttpResponse:
        preview = None
        if request.method == "POST" and form.is_valid():
            wish = form.wish()
            if request.POST.get("previewed") == digest(wish):
                if change := proposals.propose(request, form, Change.Kind.RULE, str(number)):
                    return redirect("admin:refunds_change_change", change.pk)
            else:
                try:
                    preview = services.preview_rule(number, wish, request.user)
                except RefundError as refusal:
                    form.add_error(None, str(refusal))
        title = _("Propose a change of rule %(number)s") if rule else _("Propose a new rule")
        title = _("Propose to end rule %(number)s") if ends else title
        return self.page(
            request,
            "admin/refunds/rule_propose.html",
            status=409 if form.errors else 200,
            title=title % {"number": number},
            form=form,
            rule=rule,
            sentence=change_words.sentence(rule) if rule else "",
            ends=ends,
            preview=preview,
            wished=change_words.sentence_of(form.wish()) if preview and not ends else "",
            previewed=digest(form.wish()) if preview else "",
            back=reverse("admin:refunds_rule_change", args=(rule.pk,))
            if rule
            else reverse("admin:refunds_rule_changelist"),
        )


def digest(wish: Wish) -> str:
    """Ties the second POST to the very wish of which the first one has shown what it would do."""
    return hashlib.sha256(json.dumps(wish, sort_keys=True).encode()).hexdigest()


def _seen(rule: Rule | None) -> Wish:
    return wish_of(rule) if rule else {}


def _versions(rules: list[Rule]) -> list[Version]:
    if not rules:
        return []
    changes = Change.objects.filter(kind=Change.Kind.RULE, subject=str(rules[0].number), confirmed_at__isnull=False)
    made = list(changes.select_related("proposed_by", "confirmed_by").order_by("pk"))
    return [Version(rule, change_words.sentence(rule), change_words.sums(rule), _made_by(rule, made)) for rule in rules]


def _made_by(rule: Rule, made: list[Change]) -> Change | None:
    """The first change since this version began that describes it."""
    wish = wish_of(rule)
    return next((c for c in made if c.after == wish and c.confirmed_at and c.confirmed_at >= rule.began_at), None)
