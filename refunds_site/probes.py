"""What machines ask: is this process alive, is it ready, does the desk work, and how much of everything there is.

Nobody logs in here. Strangers learn names and ok or late; ages and reasons, and all metrics, want METRICS_TOKEN.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseNotFound, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from refunds import vitals
from refunds.metrics import page

log = logging.getLogger(__name__)

NAMES = ("healthz", "readyz", "statusz", "metrics")


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers; nothing else is asked."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """May a load balancer send requests here? Without a worker: what people ask for waits safely until one is back."""
    return _told(request, vitals.READY)


@require_safe
def statusz(request: HttpRequest) -> HttpResponse:
    """Does the whole desk work: this process, a worker, its sweep, what is due, the history?"""
    return _told(request, vitals.DESK)


def metrics(request: HttpRequest) -> HttpResponse:
    if not settings.METRICS_TOKEN:
        return HttpResponseNotFound()
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    if not _has_token(request):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    try:
        told = page.text()
    except Error as trouble:
        log.warning("The metrics could not be read: %s", type(trouble).__name__)
        told = None
    if told is None:
        return _an_answer(HttpResponse(status=503, headers={"Retry-After": "5"}))
    return HttpResponse(told, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _told(request: HttpRequest, panel: vitals.Panel) -> HttpResponse:
    checks = panel.look()
    is_ok, is_known = all(check.is_ok for check in checks.values()), _has_token(request)
    told = {name: _one(check, is_known) for name, check in checks.items()}
    response = JsonResponse({"status": _word(is_ok), "checks": told}, status=200 if is_ok else 503)
    return _an_answer(response)


def _an_answer(response: HttpResponse) -> HttpResponse:
    """A probe's 503 is what was asked for: Django would log it as an error of ours, every few seconds."""
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _one(check: vitals.Check, is_known: bool) -> str | dict[str, Any]:
    if not is_known:
        return _word(check.is_ok)
    told: dict[str, Any] = {"status": _word(check.is_ok)}
    if check.age is not None:
        told["seconds"] = round(check.age.total_seconds(), 1)
    return told | ({"why": check.why} if check.why else {})


def _word(is_ok: bool) -> str:
    return "ok" if is_ok else "late"


def _has_token(request: HttpRequest) -> bool:
    kind, _space, token = request.headers.get("Authorization", "").partition(" ")
    is_right = constant_time_compare(token.strip(), settings.METRICS_TOKEN)
    return bool(settings.METRICS_TOKEN) and kind.lower() == "bearer" and is_right
