"""What all screens of the desk share: nothing is added, changed or deleted but through a step."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ERROR_FLAG
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

from refunds import policy, scope, services
from refunds.admin.bounded import Bounded
from refunds.models import Account
from refunds.templatetags.desk import mode


class DeskRequest(HttpRequest):
    """A request on a page of the desk: the admin has seen to it that somebody is logged in."""

    user: User


class NoGuessing:
    """Mixed into every screen: a list is narrowed by the filters that it shows, and by nothing else.

    Django would take any column of the table, so that hidden ones could be guessed letter by letter.
    """

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        filters = self.get_list_filter(request)  # type: ignore[attr-defined]
        fields = (
            one[0] if isinstance(one, tuple) else one for one in filters
        )  # a field, maybe with a class of its own
        several = [getattr(field, "parameters", (getattr(field, "parameter_name", field),)) for field in fields]
        offered = {name for names in several for name in names}
        endings = ("", "__exact", "__id__exact", "__isnull")
        return lookup in {f"{name}{ending}" for name in offered for ending in endings}


class ReadOnly(NoGuessing, ModelAdmin):
    """A list and a page to read. Superusers cannot edit here either."""

    list_per_page = 50
    paginator = Bounded
    show_full_result_count = False
    list_filter_submit = False
    save_as = False
    list_disable_select_all = True
    to_account = "account"  # leads from a row to its account, for people who are limited to some; "" where none is

    def get_queryset(self, request: DeskRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return scope.within(rows, request.user, self.to_account) if self.to_account else rows

    def has_add_permission(self, request: DeskRequest) -> bool:
        return False

    def has_change_permission(self, request: DeskRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: DeskRequest, obj: Model | None = None) -> bool:
        return False

    def changelist_view(self, request: DeskRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """A search for a card number is forgotten, before it gets into pages and links."""
        if asks_for_a_card(request):
            messages.error(
                request,
                _(
                    "That looks like a card number, and nothing here is kept under one. "
                    "Search for the order, the e-mail address or the gateway's id of the payment."
                ),
            )
            return redirect(request.path)
        if request.method == "GET" and ERROR_FLAG in request.GET:
            messages.error(request, _("That address asks for something this list cannot read, so it shows everything."))
        return super().changelist_view(request, extra_context)

    # Rights that Django asks for by the names in `permissions=` of an action.

    def has_request_permission(self, request: DeskRequest) -> bool:
        return policy.may(request.user, policy.REQUEST)

    def has_approve_permission(self, request: DeskRequest) -> bool:
        return policy.may(request.user, policy.APPROVE)

    def has_sync_permission(self, request: DeskRequest) -> bool:
        return policy.may(request.user, policy.SYNC)

    def page(self, request: DeskRequest, template: str, status: int = 200, **context: Any) -> TemplateResponse:
        """A page of ours in the admin's frame."""
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        return TemplateResponse(request, template, {**frame, **context}, status=status)


class OwnPage(ReadOnly):
    """A read-only object that has a page of its own instead of a form."""

    page_template = ""

    def change_view(
        self, request: DeskRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET"])
        found = self.get_object(request, object_id)
        if found is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, found):
            raise PermissionDenied
        return self.page(request, self.page_template, title=str(found), **self.page_context(request, found))

    def page_context(self, request: DeskRequest, found: Any) -> dict[str, Any]:
        raise AssertionError("every page says what it shows")


def asks_for_a_card(request: HttpRequest) -> bool:
    """Whether the search or a filter holds a card number, which is neither looked for nor repeated."""
    return any(services.searches_for_a_card(text) for texts in request.GET.lists() for text in texts[1])


def too_many(request: DeskRequest, n_most: int) -> str:
    """Why this selection is refused, or "": only rows that were picked, and not more than people can read."""
    n_picked = len(request.POST.getlist(ACTION_CHECKBOX_NAME))
    if request.POST.get("select_across") not in (None, "", "0"):
        return _("Pick the rows one by one: selecting everything, seen or not, is not possible here.")
    if n_picked > n_most:
        return _("At most %(most)s at a time; you picked %(picked)s.") % {"most": n_most, "picked": n_picked}
    return ""


def two_lines(first: str, second: str, *, is_wide: bool = False) -> str:
    """A cell of a list: what people say, and below it, smaller, what machines say."""
    width = "desk-two wide" if is_wide else "desk-two"
    return format_html('<span class="{}">{}<small>{}</small></span>', width, first or "—", second)


def with_mode(name: str, account: Account) -> str:
    """A cell of a list: a name, and below it whether it is about real money."""
    return two_lines(name, mode(account))


def seen_in(request: DeskRequest, name: str) -> int | None:
    """The version or amount that a page showed, as its form carries it; None for anything else."""
    text = request.POST.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 19 else None
