"""Error pages say the same to everybody: in the desk's look, without a script, and without what went wrong."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest
from django.test import Client
from django.urls import include, path

from tests.builders import person
from tests.people.test_headers import deviations

pytestmark = [pytest.mark.django_db, pytest.mark.once]
CANARY = "canary-of-the-error-8471"


def raising(error: type[Exception]) -> Any:
    def view(request: HttpRequest) -> None:
        secret = CANARY  # noqa: F841  a local variable of the frame that fails
        raise error(CANARY)

    return view


urlpatterns = [
    path("boom/400/", raising(BadRequest)),
    path("boom/403/", raising(PermissionDenied)),
    path("boom/404/", raising(Http404)),
    path("boom/500/", raising(RuntimeError)),
    path("", include("refunds_site.urls")),
]
from refunds_site.urls import handler400, handler403, handler404, handler500  # noqa: E402, F401


@pytest.fixture
def site(settings: Any) -> Client:
    settings.ROOT_URLCONF = __name__
    return Client(raise_request_exception=False)


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_an_error_page_is_constant_and_tells_nothing(site: Client, status: int) -> None:
    anonymous = site.get(f"/boom/{status}/?q={CANARY}", headers={"X-Canary": CANARY})
    site.force_login(person("alice", "Agents", first_name=CANARY))
    known = site.get(f"/boom/{status}/?q={CANARY}")
    assert anonymous.status_code == known.status_code == status
    assert anonymous.content == known.content
    page = known.content.decode()
    assert CANARY not in page
    assert "<script" not in page
    assert "<style" not in page
    assert 'href="/static/error.css"' in page
    assert f">{status}<" in page
    assert "To the desk" in page
    assert deviations(known) == deviations(anonymous) == []


def test_a_foreign_host_is_answered_with_the_same_page(site: Client) -> None:
    answer = site.get("/accounts/login/", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert "That request cannot be read" in answer.content.decode()
    assert "evil" not in answer.content.decode()


def test_a_form_without_its_token_is_answered_with_the_same_page() -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/accounts/login/", {"login": CANARY, "password": CANARY})
    assert answer.status_code == 403
    assert "You may not do this" in answer.content.decode()
    assert CANARY not in answer.content.decode()


def test_an_error_page_needs_no_database(site: Client, django_db_blocker: Any) -> None:
    with django_db_blocker.block():
        assert site.get("/boom/500/").status_code == 500


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_the_stylesheet_of_the_error_pages_is_there(client: Client, status: int) -> None:
    assert client.get("/static/error.css").status_code == 200
