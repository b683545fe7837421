"""In which language and time zone a page is written: its reader's."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import get_language, get_language_from_request

from refunds.models import Preference
from refunds.preferences import reading


def middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A person's own wishes; else the browser's language, where the desk speaks it, and the house's time zone."""

    def answer(request: HttpRequest) -> HttpResponse:
        language, time_zone = wishes(request)
        with reading(language or get_language_from_request(request), time_zone):
            response = get_response(request)
            response.headers.setdefault("Content-Language", get_language() or settings.LANGUAGE_CODE)
            return response

    return answer


def wishes(request: HttpRequest) -> tuple[str, str]:
    """Language and time zone that this person asked for; asks the database only about somebody who is logged in."""
    if not request.user.is_authenticated:
        return "", ""
    found = Preference.objects.filter(person=request.user).values_list("language", "time_zone").first()
    return found or ("", "")
