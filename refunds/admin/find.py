"""The box on every page: anything that a customer can read out leads to the payment or the refund."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from refunds import find, services
from refunds.admin.desk import DeskRequest

LONGEST = 200  # characters of a search


def find_view(request: DeskRequest) -> HttpResponse:
    """What was found, or straight to it where it is the only one. A card number is neither looked for nor repeated."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET"])
    text = request.GET.get("q", "").strip()
    refusal = _why_not(text)
    found = find.Found() if refusal else find.find(text, request.user)
    if only := found.only:
        return redirect(f"admin:refunds_{only._meta.model_name}_change", only.pk)
    context = {
        **admin.site.each_context(request),
        "title": _("Find"),
        "sought": "" if refusal else text,
        "refusal": refusal,
        "found": found,
        "most": find.MOST_HITS,
    }
    return TemplateResponse(request, "admin/refunds/find.html", context, status=400 if refusal else 200)


def _why_not(text: str) -> str:
    if len(text) > LONGEST or "\0" in text:
        return _("Nothing that a customer reads out is longer than %(most)d characters.") % {"most": LONGEST}
    if services.searches_for_a_card(text):
        return _(
            "That looks like a card number, and nothing here is kept under one. "
            "Search for the order, the e-mail address or the gateway's id of the payment."
        )
    return ""
