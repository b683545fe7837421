"""How long a login lasts: so many minutes without a click, and so many hours at most."""

from __future__ import annotations

import time
from collections.abc import Callable

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from refunds.admin.fresh import BEGAN

SEEN = "seen_at"
MARK_EVERY = 60  # seconds: a page that is read costs no write
FOLLOWING = "following"  # what a page adds to its address when it reloads itself


def middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Ends a session that is too old; a page that only follows a refund keeps none alive."""

    def answer(request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            _look_after(request)
        response = get_response(request)
        if request.user.is_authenticated and BEGAN not in request.session:
            begin(request)  # this request was the login
        return response

    return answer


def begin(request: HttpRequest) -> None:
    request.session[BEGAN] = request.session[SEEN] = time.time()
    UserSession.objects.create_from_request(request)


def _look_after(request: HttpRequest) -> None:
    if BEGAN not in request.session:
        begin(request)
    elif why := why_over(request):
        logout(request)
        messages.info(request, why)
    elif FOLLOWING not in request.GET and time.time() - request.session[SEEN] >= MARK_EVERY:
        request.session[SEEN] = time.time()


def why_over(request: HttpRequest) -> str:
    """Why this session has ended, or ""."""
    now, session = time.time(), request.session
    if now - session[SEEN] >= settings.SESSION_IDLE_MINUTES * 60:
        return _("You were logged out after %(minutes)s minutes without a click.") % {
            "minutes": settings.SESSION_IDLE_MINUTES
        }
    if now - session[BEGAN] >= settings.SESSION_HOURS * 3600:
        return _("You were logged out: a login lasts %(hours)s hours at most.") % {"hours": settings.SESSION_HOURS}
    return ""
