"""What strangers meet: whose proxy headers count, which host answers what, and the headers of every answer."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.http.request import split_domain_port
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers, patch_cache_control
from django.utils.html import escape
from django.utils.translation import gettext_lazy

from gateways import cards

Answer = Callable[[HttpRequest], HttpResponse]

# What only a proxy may say; Django, allauth and the settings read some of them.
FORWARDED = re.compile(r"HTTP_(X_FORWARDED_\w+|FORWARDED|X_REAL_IP)\Z")
WEBHOOK = re.compile(r"/webhooks/[-a-zA-Z0-9_]+/\Z")
# No page of the desk needs anything of the machine in front of it.
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "camera",
        "display-capture",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "serial",
        "usb",
    )
)
ERRORS = {
    400: (gettext_lazy("That request cannot be read"), gettext_lazy("Go back, reload the page and try once more.")),
    403: (
        gettext_lazy("You may not do this"),
        gettext_lazy(
            "Your groups do not give you that right, or the page was open for too long. Reload it, or ask a user admin."
        ),
    ),
    404: (gettext_lazy("There is no such page"), gettext_lazy("It is not here, or it is not yours to see.")),
    500: (
        gettext_lazy("Something went wrong here"),
        gettext_lazy("It is in the log. If you were about to move money, look at the refund first."),
    ),
}


def proxies(get_response: Answer) -> Answer:
    """Takes a proxy's headers out of whatever does not come from an address in PROXY_ADDRESSES."""

    def answer(request: HttpRequest) -> HttpResponse:
        named = [secure[0]] if (secure := settings.SECURE_PROXY_SSL_HEADER) else []
        if not is_proxy(request.META.get("REMOTE_ADDR", "")):
            for name in [name for name in request.META if FORWARDED.match(name) or name in named]:
                del request.META[name]
        return get_response(request)

    return answer


def is_proxy(address: str) -> bool:
    """Is this one of our own proxies? An address that cannot be read is nobody's."""
    try:
        ip = ipaddress.ip_address(address)
        return any(ip in ipaddress.ip_network(network, strict=False) for network in settings.PROXY_ADDRESSES)
    except ValueError:
        return False


def headers(get_response: Answer) -> Answer:
    """For every answer, static files too."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["Permissions-Policy"] = PERMISSIONS_POLICY
        response["Cross-Origin-Resource-Policy"] = "same-origin"
        return response

    return answer


def never_stored(get_response: Answer) -> Answer:
    """For everything behind the static files: no browser and no proxy keeps what the desk or the login says."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        add_never_cache_headers(response)
        patch_cache_control(response, no_store=True, private=True)
        return response

    return answer


def cards_not_shown(get_response: Answer) -> Answer:
    """A card number that was typed into a form does not come back in the page that refuses it."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.method == "POST" and hasattr(request, "_post") and not response.streaming:
            typed = {text for values in request.POST.lists() for text in map(str, values[1]) if cards.has_number(text)}
            for text in sorted(typed, key=len, reverse=True):
                for form in (text, escape(text)):
                    response.content = response.content.replace(form.encode(), cards.masked(form).encode())
        return response

    return answer


def webhooks_alone(get_response: Answer) -> Answer:
    """With WEBHOOK_HOSTS, webhooks are answered there and nowhere else, and nothing else is answered there."""

    def answer(request: HttpRequest) -> HttpResponse:
        if settings.WEBHOOK_HOSTS:
            is_at_the_door = host_of(request) in settings.WEBHOOK_HOSTS
            if is_at_the_door != bool(WEBHOOK.match(request.path_info)):
                return HttpResponseNotFound(headers={"Cache-Control": "no-store"})
        return get_response(request)

    return answer


def host_of(request: HttpRequest) -> str:
    """The name that was called, without its port. Raises DisallowedHost for one that is not ours."""
    return split_domain_port(request.get_host())[0]


def error_page(status: int) -> Callable[..., HttpResponse]:
    """The same page for everybody, whatever went wrong: nothing is asked of the database or of the request."""

    def view(request: HttpRequest, exception: Exception | None = None, reason: str = "") -> HttpResponse:
        title, what_to_do = ERRORS[status]
        return render(None, "error.html", {"title": title, "what_to_do": what_to_do, "status": status}, status=status)

    return view


bad_request, forbidden, not_found, server_error = (error_page(status) for status in (400, 403, 404, 500))
