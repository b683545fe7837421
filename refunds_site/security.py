"""Sign-in and security: the page where a person looks after password, second factors and sessions of their own."""

from __future__ import annotations

from typing import Any

from allauth.core.internal.sessionkit import get_session_user
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from allauth.usersessions.views import ListUserSessionsView
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from refunds.admin import fresh
from refunds_site import second_factor


@never_cache
@login_required
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    return render(request, "account/security.html", {"title": _("Sign-in and security"), **about(request)})


def about(request: HttpRequest) -> dict[str, Any]:
    mine = list(Authenticator.objects.filter(user=request.user).order_by("pk"))
    codes = next((one.wrap() for one in mine if one.type == Authenticator.Type.RECOVERY_CODES), None)
    return {
        "app": next((one for one in mine if one.type == Authenticator.Type.TOTP), None),
        "passkeys": [one for one in mine if one.type == Authenticator.Type.WEBAUTHN],
        "codes_left": len(codes.get_unused_codes()) if codes else None,
        "lacks_second": second_factor.is_required(request.user) and not fresh.has_second_factor(request.user),
        "sessions": open_sessions(request.user),
        "may_change_password": settings.PASSWORD_LOGIN and request.user.has_usable_password(),
        "issuer": settings.OIDC_NAME if request.user.socialaccount_set.exists() else "",
    }


def open_sessions(user: User) -> list[UserSession]:
    """Those that still let somebody in, the newest first."""
    known = UserSession.objects.filter(user=user).order_by("-created_at")
    return [one for one in known if get_session_user(one._session_store(one.session_key)) == user]


class EndSessions(ListUserSessionsView):
    """Ends all sessions of this person but the one that asks."""

    success_url = reverse_lazy("mfa_index")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("mfa_index")
