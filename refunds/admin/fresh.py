"""Fresh authentication: whoever decides about money has proved a moment ago who they are.

Logging in counts. Each deciding act extends it, until FRESH_LOGIN_AT_MOST_MINUTES after the proof itself; who decides
on one refund after the other, until FRESH_DECIDING_AT_MOST_MINUTES after it (docs/decisions/0015).
A request that comes too late waits in the session, is done after the proof, and so loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY, stash_and_reauthenticate
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import redirect
from django.urls import resolve
from django.utils.http import urlencode

BEGAN = "began_at"  # when this session logged in
ACTED = "acted_at"
WAITS_AT_MOST = 10 * 60  # seconds that a request waits for the proof

View = Callable[..., HttpResponse]


def ask(request: HttpRequest, *, one_by_one: bool = False) -> HttpResponse | None:
    """Where this person proves who they are before this request is done; None when they just did.

    `one_by_one`: it decides on one refund, which a person has looked at.
    """
    if not is_fresh(request, one_by_one=one_by_one):
        return _suspend(request) if request.method == "POST" else lead(request, request.get_full_path())
    if request.method == "POST":
        request.session[ACTED] = time.time()
    return None


def needed(view: View) -> View:
    """The view, for whoever has just proved who they are."""

    @wraps(view)
    def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        away = ask(request) if request.user.is_authenticated else None
        return away or view(request, *args, **kwargs)

    return asked


def is_fresh(request: HttpRequest, *, one_by_one: bool = False) -> bool:
    now, proved = time.time(), proved_at(request)
    latest = max(proved, request.session.get(ACTED, 0.0))
    at_most = settings.FRESH_DECIDING_AT_MOST_MINUTES if one_by_one else settings.FRESH_LOGIN_AT_MOST_MINUTES
    return 0 <= now - proved <= at_most * 60 and 0 <= now - latest <= settings.FRESH_LOGIN_MINUTES * 60


def proved_at(request: HttpRequest) -> float:
    """When this person last proved who they are; with the second factor, where they have one."""
    records = get_authentication_records(request, _user(request))
    if has_second_factor(request.user):
        records = [record for record in records if record["method"] == "mfa"]
    elif not records:
        records = [{"at": request.session.get(BEGAN, 0.0)}]
    return max((record["at"] for record in records), default=0.0)


def has_second_factor(user: User | AnonymousUser) -> bool:
    return is_mfa_enabled(user, types=[Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN])


def lead(request: HttpRequest, back_to: str) -> HttpResponse:
    """To the page where this person proves who they are, and from there back."""
    request.session.pop(STATE_SESSION_KEY, None)  # what was left waiting is given up
    ways = get_adapter().get_reauthentication_methods(request.user)
    if not ways:
        raise PermissionDenied
    return redirect(f"{ways[0]['url']}?{urlencode({'next': back_to})}")


def lost_files(request: HttpRequest) -> bool:
    """Whether this request waited for a proof and came without the files it once had."""
    return bool(getattr(request, "lost_files", False))


def _user(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _suspend(request: HttpRequest) -> HttpResponseRedirect:
    """Only what was typed and picked is kept: headers and environment are not for the database."""
    typed = request.POST.copy()
    typed.pop("csrfmiddlewaretoken", None)
    state = {
        "path": request.path_info,
        "query": request.GET.urlencode(),
        "typed": typed.urlencode(),
        "files": bool(request.FILES),
        "at": time.time(),
    }
    return stash_and_reauthenticate(request, state, f"{__name__}.resume")


def resume(request: HttpRequest, state: dict[str, Any]) -> HttpResponse:
    """Do what waited; all its own checks are made again."""
    if not 0 <= time.time() - state["at"] <= WAITS_AT_MOST:
        return redirect(f"{state['path']}?{state['query']}")
    request.method, request.path_info = "POST", state["path"]
    request.path = request.META.get("SCRIPT_NAME", "").rstrip("/") + state["path"]
    request.META["QUERY_STRING"] = state["query"]
    request.GET, request.POST = QueryDict(state["query"]), QueryDict(state["typed"])
    request.lost_files = state["files"]  # type: ignore[attr-defined]
    request.resolver_match = found = resolve(state["path"])
    answer: HttpResponse = found.func(request, *found.args, **found.kwargs)
    return answer
