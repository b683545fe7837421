"""Proposals about people: other groups, other accounts. One user admin proposes, another one confirms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from refunds import change_words, policy, scope, services
from refunds.admin import proposals
from refunds.admin.change_forms import AccountsForm, GroupsForm
from refunds.admin.desk import DeskRequest, ReadOnly
from refunds.models import Change

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

KINDS: dict[str, tuple[type[GroupsForm] | type[AccountsForm], StrOrPromise]] = {
    Change.Kind.GROUPS: (
        GroupsForm,
        gettext_lazy("Groups give the rights. Who makes the rules or looks after people moves no money."),
    ),
    Change.Kind.ACCOUNTS: (
        AccountsForm,
        gettext_lazy("Of all other accounts the person sees nothing, wherever they look."),
    ),
}


NONE: dict[str, StrOrPromise] = {
    Change.Kind.GROUPS: gettext_lazy("no group"),
    Change.Kind.ACCOUNTS: gettext_lazy("all accounts"),
}
TITLES: dict[str, StrOrPromise] = {
    Change.Kind.GROUPS: gettext_lazy("Propose other groups of %(person)s"),
    Change.Kind.ACCOUNTS: gettext_lazy("Propose other accounts of %(person)s"),
}


def urls(screen: Any) -> list[URLPattern]:
    def at(kind: str) -> URLPattern:
        @require_http_methods(["GET", "HEAD", "POST"])
        def view(request: DeskRequest, pk: int) -> HttpResponse:
            return propose_view(screen, request, pk, kind)

        return path(f"<int:pk>/{kind}/", screen.admin_site.admin_view(view), name=f"auth_user_{kind}")

    return [at(kind) for kind in KINDS]


def shown(person: User, user: User) -> dict[str, Any]:
    """What the page of a person shows of their rights, and what waits about them."""
    may_propose = policy.may(user, policy.PEOPLE) and person.pk != user.pk
    knows_all = scope.limited_to(user) is None
    kinds = KINDS if knows_all else [Change.Kind.GROUPS]
    waiting = proposals.open_changes().filter(kind__in=kinds, person=person)
    accounts = services.stands(Change.Kind.ACCOUNTS, person.get_username(), person)["accounts"]
    return {
        "person": person,
        "person_groups": ", ".join(_(group.name) for group in person.groups.all()),
        "person_accounts": ", ".join(accounts) if knows_all else "",
        "knows_accounts": knows_all,
        "may_propose": may_propose,
        "waiting_changes": [(one, *change_words.before_and_after(one)) for one in waiting],
    }


def propose_view(screen: Any, request: DeskRequest, pk: int, kind: str) -> HttpResponse:
    person: User | None = screen.get_object(request, str(pk))
    if person is None:
        raise Http404
    proposals.demand_right(request, policy.PEOPLE)
    names_accounts = kind == Change.Kind.ACCOUNTS and scope.limited_to(request.user) is not None
    if names_accounts or not screen.has_view_permission(request, person):
        raise PermissionDenied
    form_class, explains = KINDS[kind]
    name = person.get_username()
    now = services.stands(kind, name, person)
    form = form_class(request.POST or None, initial={**now, "seen": now})
    is_filled = request.method == "POST" and form.is_valid()
    if is_filled and (change := proposals.propose(request, form, kind, name, person)):
        return redirect("admin:refunds_change_change", change.pk)
    return ReadOnly.page(
        screen,
        request,
        "admin/refunds/propose.html",
        status=409 if form.errors else 200,
        title=TITLES[kind] % {"person": person},
        form=form,
        about=_("Now: %(names)s") % {"names": ", ".join(map(_, now[kind])) or NONE[kind]},
        explains=explains,
        back=reverse("admin:auth_user_change", args=(pk,)),
    )
