"""Changes of rules, limits and rights: what waits for a second person, what was done, and by whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.db.models import F, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods
from unfold.decorators import display

from refunds import change_words, policy, scope, services, wording
from refunds.admin import fresh, proposals
from refunds.admin.desk import DeskRequest, OwnPage, two_lines
from refunds.errors import RefundError
from refunds.models import Account, Change
from refunds.services.change_kinds import KINDS

# Who may look at the changes at all sees those of what they may look at.
SEEN_BY = {
    Change.Kind.RULE: "refunds.view_rule",
    Change.Kind.ALLOWANCE: "refunds.view_allowance",
    Change.Kind.DELEGATION: "refunds.view_delegation",
    Change.Kind.GROUPS: "auth.view_user",
    Change.Kind.ACCOUNTS: "auth.view_user",
}


def kinds_seen(user: User) -> list[str]:
    if not user.has_perm("refunds.view_change"):
        return []
    return [kind for kind, right in SEEN_BY.items() if user.has_perm(right)]


def kinds_confirmed(user: User | AnonymousUser) -> list[str]:
    """Those that it is this person's office to confirm."""
    return [kind for kind, rules in KINDS.items() if isinstance(user, User) and policy.may(user, rules.confirms)]


def waiting_for(user: User | AnonymousUser) -> QuerySet[Change]:
    """What this person may be the one to confirm."""
    kinds = kinds_confirmed(user)
    if not kinds or not isinstance(user, User):
        return Change.objects.none()
    others = proposals.open_changes().filter(kind__in=kinds).exclude(proposed_by=user).exclude(person=user)
    return in_scope(others, user)


def number_waiting(request: HttpRequest) -> int:
    """How many this person may be the one to confirm; a page asks once, for the navigation and for itself."""
    known: int | None = getattr(request, "n_changes_waiting", None)
    number = waiting_for(request.user).count() if known is None else known
    request.n_changes_waiting = number  # type: ignore[attr-defined]
    return number


def in_scope(changes: QuerySet[Change], user: User) -> QuerySet[Change]:
    """Without rules of accounts that this person does not work with, and without anybody's accounts."""
    ids = scope.limited_to(user)
    if ids is None:
        return changes
    known = ["", *Account.objects.filter(pk__in=ids).values_list("slug", flat=True)]
    sides = [
        Q(**{f"{side}__account__isnull": True}) | Q(**{f"{side}__account__in": known}) for side in ("before", "after")
    ]
    others = changes.exclude(kind=Change.Kind.ACCOUNTS)
    return others.filter(~Q(kind=Change.Kind.RULE) | (sides[0] & sides[1]))


ASKS = {"confirm": gettext_lazy("Confirm: %(title)s"), "drop": gettext_lazy("Drop: %(title)s")}


class Standing(admin.SimpleListFilter):
    title = gettext_lazy("standing")
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("mine", _("Waiting for me to confirm")), ("waiting", _("Waiting")), ("done", _("Done"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Change]) -> QuerySet[Change]:
        is_open = Q(confirmed_at=None, dropped_at=None)
        match self.value():
            case "mine":
                return queryset.filter(pk__in=waiting_for(cast(User, request.user)).values("pk"))
            case "waiting":
                return queryset.filter(is_open)
            case "done":
                return queryset.exclude(is_open)
        return queryset


class KindSeen(admin.SimpleListFilter):
    title = gettext_lazy("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind, str(Change.Kind(kind).label).capitalize()) for kind in kinds_seen(cast(User, request.user))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Change]) -> QuerySet[Change]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Change)
class ChangeAdmin(OwnPage):
    page_template = "admin/refunds/change.html"
    to_account = ""
    list_display = ("shown_title", "shown_after", "shown_before", "shown_standing", "shown_proposal")
    list_filter = (Standing, KindSeen)
    list_select_related = ("person", "proposed_by", "confirmed_by", "dropped_by")
    ordering = (F("confirmed_at").desc(nulls_first=True), "-pk")
    actions = None

    @display(description=gettext_lazy("Change"))
    def shown_title(self, change: Change) -> str:
        return two_lines(change_words.title(change), str(change_words.VERBS[change_words.verb(change)]), is_wide=True)

    @display(description=gettext_lazy("As proposed"))
    def shown_after(self, change: Change) -> str:
        return two_lines(change_words.before_and_after(change)[1], "", is_wide=True)

    @display(description=gettext_lazy("Instead of"))
    def shown_before(self, change: Change) -> str:
        return two_lines(change_words.before_and_after(change)[0], "", is_wide=True)

    @display(
        description=gettext_lazy("Standing"),
        label={"waiting": "warning", "confirmed": "success", "dropped": "", "made": "info"},
    )
    def shown_standing(self, change: Change) -> tuple[str, str]:
        return standing(change)

    @display(description=gettext_lazy("Proposed by"), ordering="proposed_at")
    def shown_proposal(self, change: Change) -> str:
        return two_lines(str(change.proposed_by or change.get_source_display()), wording.moment(change.proposed_at))

    # --- the page of one ---

    def get_queryset(self, request: DeskRequest) -> QuerySet[Change]:
        seen = Q(kind__in=kinds_seen(request.user)) | Q(proposed_by=request.user)
        return in_scope(
            super().get_queryset(request).filter(seen).select_related(*self.list_select_related), request.user
        )

    def has_view_permission(self, request: DeskRequest, obj: Change | None = None) -> bool:
        """An approver sees what they proposed themselves, and no list."""
        return super().has_view_permission(request, obj) or (obj is not None and obj.proposed_by_id == request.user.pk)

    def page_context(self, request: DeskRequest, found: Change) -> dict[str, Any]:
        may_look_back = self.has_view_permission(request)
        return {
            "change": found,
            "original": found,
            "what": change_words.title(found),
            "verb": change_words.verb(found),
            "standing": standing(found),
            "lines": change_words.lines(found),
            "why_not": why_not(found, request.user),
            "may_confirm": policy.may(request.user, KINDS[found.kind].confirms),
            "may_drop": may_drop(found, request.user),
            "is_own": found.proposed_by_id == request.user.pk,
            "back": reverse("admin:refunds_change_changelist") if may_look_back else "",
            **_preview(found, request.user),
        }

    def get_urls(self) -> list[URLPattern]:
        def at(name: str, view: Callable[..., HttpResponse]) -> URLPattern:
            asking = require_http_methods(["GET", "HEAD", "POST"])(view)
            return path(f"<int:pk>/{name}/", self.admin_site.admin_view(asking), name=f"refunds_change_{name}")

        return [at("confirm", self.confirm_view), at("drop", self.drop_view), *super().get_urls()]

    def confirm_view(self, request: DeskRequest, pk: int) -> HttpResponse:
        change = self._to_end(request, pk)
        proposals.demand_right(request, KINDS[change.kind].confirms)
        if away := fresh.ask(request):
            return away
        if request.method != "POST":
            return self._ask(request, change, "confirm")
        try:
            done = services.confirm_change(change.pk, request.user)
        except RefundError as refusal:
            return self._ask(request, change, "confirm", str(refusal))
        messages.success(
            request, _("%(title)s: confirmed, and in force from now on.") % {"title": change_words.title(done)}
        )
        return redirect("admin:refunds_change_change", pk)

    def drop_view(self, request: DeskRequest, pk: int) -> HttpResponse:
        change, text = self._to_end(request, pk), request.POST.get("text", "")
        if request.method != "POST":
            return self._ask(request, change, "drop")
        try:
            dropped = services.drop_change(change.pk, request.user, text)
        except RefundError as refusal:
            return self._ask(request, change, "drop", str(refusal), text)
        messages.success(
            request,
            _("%(title)s: the proposal is dropped. Everything stays as it is.")
            % {"title": change_words.title(dropped)},
        )
        return redirect("admin:refunds_change_change", pk)

    def _to_end(self, request: DeskRequest, pk: int) -> Change:
        change = self.get_object(request, str(pk))
        if change is None:
            raise Http404
        if not self.has_view_permission(request, change) or not may_drop(change, request.user, even_over=True):
            raise PermissionDenied
        return change

    def _ask(self, request: DeskRequest, change: Change, to_do: str, refusal: str = "", text: str = "") -> HttpResponse:
        """The page before a change is confirmed or dropped shows exactly what it is."""
        change = self.get_object(request, str(change.pk))
        return self.page(
            request,
            f"admin/refunds/change_{to_do}.html",
            status=409 if refusal else 200,
            title=ASKS[to_do] % {"title": change_words.title(change)},
            refusal=refusal,
            text=text,
            **self.page_context(request, change),
        )


def standing(change: Change) -> tuple[str, str]:
    if change.dropped_at:
        return "dropped", _("dropped")
    if not change.confirmed_at:
        return "waiting", _("waits")
    return ("confirmed", _("confirmed")) if change.confirmed_by_id else ("made", change.get_source_display())


def is_open(change: Change) -> bool:
    return not change.confirmed_at and not change.dropped_at


def may_drop(change: Change, user: User, *, even_over: bool = False) -> bool:
    """Whoever proposed it, and whoever could confirm it."""
    rightful = change.proposed_by_id == user.pk or policy.may(user, KINDS[change.kind].confirms)
    return rightful and (even_over or is_open(change))


def why_not(change: Change, user: User) -> str:
    """Why this person cannot confirm it now, or ""; the service has the last word."""
    if not is_open(change):
        return ""
    if change.proposed_by_id == user.pk:
        return _("It waits for a second person: you proposed it, so somebody else has to confirm it.")
    if not policy.may(user, KINDS[change.kind].confirms):
        return _("It waits for a second person.")
    if change.person_id == user.pk:
        return _("It is about you, so somebody else has to confirm it.")
    if services.stands(change.kind, change.subject, change.person) != change.before:
        return _("What it would change has changed since. Drop it, and propose it again.")
    return ""


def _preview(change: Change, user: User) -> dict[str, Any]:
    """What a rule that waits would have done to the refunds there were."""
    if change.kind != Change.Kind.RULE or not is_open(change) or not policy.may(user, policy.RULES):
        return {}
    try:
        return {"preview": services.preview_rule(int(change.subject), change.after, user)}
    except RefundError as trouble:
        return {"no_preview": str(trouble)}
