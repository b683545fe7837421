"""Every answer of every address carries the desk's headers, whoever asks and whatever comes back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.builders import ask, make_delivery, make_payment, person

pytestmark = [pytest.mark.django_db, pytest.mark.once]
FILLINGS = {
    "object_id": "1",
    "app_label": "refunds",
    "content_type_id": "1",
    "account": "payerly-eu",
    "name": "approve",
    "url": "no-such-page",
    "id": "1",
    "user_id": "1",
    "uidb36": "1",
    "key": "x",
    "provider_id": "x",
}
POLICY = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
EVIDENCE_POLICY = {"default-src": "'none'", "sandbox": ""}


def addresses(patterns: list[Any] | None = None, before: str = "/") -> Iterator[tuple[str, Any]]:
    """Every address of the site with its view, those of the registry too; what varies in it is filled in."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        here = before + filled(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, here)
        elif isinstance(pattern, URLPattern):
            yield here, pattern.callback


def filled(pattern: Any) -> str:
    """A route or a regular expression as an address that it matches."""
    route = getattr(pattern, "_route", None)
    if route is None:
        route = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", pattern._regex.strip("^$").replace(r"\Z", ""))
    fill = lambda found: FILLINGS.get(found["name"], "1")  # noqa: E731
    return re.sub(r"<(?:\w+:)?(?P<name>\w+)>", fill, str(route)).replace("\\", "")


def policy_of(answer: Any) -> dict[str, str]:
    parts = [part.strip().partition(" ") for part in answer["Content-Security-Policy"].split(";") if part.strip()]
    return {name: rest for name, _, rest in parts}


def deviations(answer: Any) -> list[str]:
    """What this answer lacks."""
    wanted = {
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    found = [f"{name}: {answer.get(name)}" for name, value in wanted.items() if answer.get(name) != value]
    if policy_of(answer) not in (POLICY, EVIDENCE_POLICY):
        found.append(f"Content-Security-Policy: {answer['Content-Security-Policy']}")
    if "no-store" not in answer.get("Cache-Control", ""):
        found.append(f"Cache-Control: {answer.get('Cache-Control')}")
    if "camera=()" not in answer.get("Permissions-Policy", ""):
        found.append("Permissions-Policy")
    if answer.get("Content-Type", "").startswith("text/html") and not answer.streaming:
        found += inline_scripts(answer.content.decode())
    return found


def inline_scripts(page: str) -> list[str]:
    scripts = re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")[^>]*>", page)
    handlers = re.findall(r"<[^>]+\son[a-z]+\s*=[^>]*>", page)
    return [*scripts, *handlers, *re.findall(r"javascript:", page)]


@pytest.fixture
def everything() -> None:
    refund = ask(make_payment())
    make_delivery(refund.account)


@pytest.mark.promise("I55")
def test_every_answer_carries_the_headers(client: Client, everything: None, trials: Any) -> None:
    """A new page is covered by itself: the walk finds it in the URLconf."""
    root = person("root", is_superuser=True)
    people = [None, root, person("fin", "Finance"), person("gate", "Gateway admins"), person("alice", "Agents")]
    wrong, n_asked, answered = [], 0, set()
    found = sorted({address for address, _ in addresses()})
    assert len(found) > 60
    for who in people:
        client.logout() if who is None else client.force_login(who)
        for address in found:
            for method in ("get", "post", "put"):
                if who is not None and "logout" in address and method == "post":
                    continue
                answer = getattr(client, method)(address)
                n_asked += 1
                answered.add(answer.status_code)
                wrong += [f"{who} {method} {address} {answer.status_code}: {what}" for what in deviations(answer)]
    trials(n_asked)
    assert wrong == []
    assert {200, 302, 403, 404, 405} <= answered
    assert 500 not in answered


def test_static_files_may_be_kept(client: Client) -> None:
    answer = client.get("/static/unfold/css/styles.css")
    assert "no-store" not in answer["Cache-Control"]
    assert policy_of(answer) == POLICY
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_https_is_remembered_by_browsers(client: Client, settings: Any) -> None:
    settings.SECURE_HSTS_SECONDS = 31_536_000
    assert Client().get("/accounts/login/", secure=True)["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize("name", ["desk-session", "desk-csrf"])
def test_cookies_are_out_of_reach_for_scripts_and_other_sites(client: Client, name: str) -> None:
    person("alice", "Agents")
    client.get("/accounts/login/")
    client.post("/accounts/login/", {"login": "alice", "password": "demo"})
    cookie = client.cookies[name]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"
    assert cookie["domain"] == ""


def test_no_other_cookie_is_set(client: Client) -> None:
    person("fin", "Finance")
    client.post("/accounts/login/", {"login": "fin", "password": "demo"})
    client.get("/admin/")
    assert {name for name, cookie in client.cookies.items() if cookie.value} <= {
        settings.SESSION_COOKIE_NAME,
        settings.CSRF_COOKIE_NAME,
    }
