"""The pages of single sign-on: begin, come back, prove again, go on."""

from __future__ import annotations

from typing import Any

from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY, resume_request
from allauth.account.utils import get_next_redirect_url
from allauth.socialaccount.providers.base.constants import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from refunds.admin import fresh
from refunds.issuer import Unreachable
from refunds_site import oidc

TROUBLES = (Unreachable, OAuth2Error, ValueError, KeyError)


@never_cache
@require_POST
def begin(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect(settings.LOGIN_REDIRECT_URL)
    return to_the_issuer(request, AuthProcess.LOGIN, get_next_redirect_url(request))


@never_cache
@require_GET
def callback(request: HttpRequest) -> HttpResponse:
    demand_issuer()
    try:
        answer: HttpResponse = oidc.Callback.adapter_view(oidc.Client(request, settings.OIDC_ISSUER))(request)
    except TROUBLES:
        return out_of_reach(request)
    return answer


@never_cache
@login_required
@require_GET
def again(request: HttpRequest) -> HttpResponse:
    """The issuer is asked to ask anew; what waits goes on afterwards."""
    waits = STATE_SESSION_KEY in request.session
    back = reverse("sso_go_on") if waits else get_next_redirect_url(request)
    return to_the_issuer(request, AuthProcess.REDIRECT, back, auth_params={"prompt": "login", "max_age": "0"})


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def go_on(request: HttpRequest) -> HttpResponse:
    """The way back from the issuer is a GET, so what waits is done by one more click."""
    if STATE_SESSION_KEY not in request.session:
        return redirect(settings.LOGIN_REDIRECT_URL)
    if request.method == "POST" and fresh.is_fresh(request):
        return resume_request(request) or redirect(settings.LOGIN_REDIRECT_URL)
    return render(request, "account/sso_go_on.html")


@never_cache
@require_GET
def cancelled(request: HttpRequest) -> HttpResponse:
    return render(
        request,
        "account/sso_refused.html",
        {"why": _("You did not go on at %(issuer)s.") % {"issuer": settings.OIDC_NAME}},
    )


def to_the_issuer(request: HttpRequest, process: str, next_url: str | None, **asked: Any) -> HttpResponse:
    demand_issuer()
    try:
        return oidc.Issuer(request, app=oidc.app()).redirect(request, process, next_url, **asked)
    except TROUBLES:
        return out_of_reach(request)


def out_of_reach(request: HttpRequest) -> HttpResponse:
    why = _("%(issuer)s cannot be reached, or is not set up as it should be. Try again in a minute.") % {
        "issuer": settings.OIDC_NAME
    }
    return render(request, "account/sso_refused.html", {"why": why}, status=502)


def demand_issuer() -> None:
    if not settings.OIDC_ISSUER:
        raise Http404
