"""Which host answers what, and whose word about the visitor counts."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from refunds import accounts
from refunds_site import checks
from refunds_site.surface import is_proxy
from tests.builders import make_account, person
from tests.people.test_headers import addresses

HOOKS, DESK = "hooks.example.com", "refunds.example.com"


@pytest.fixture
def alone(settings: Any) -> None:
    settings.WEBHOOK_HOSTS = [HOOKS]
    settings.ALLOWED_HOSTS = [HOOKS, DESK]


def visitor(host: str) -> Client:
    """A superuser, who would see everything."""
    client = Client(headers={"Host": host})
    client.force_login(person("root", is_superuser=True))
    return client


def at(host: str, method: str, path: str, client: Client | None = None) -> int:
    return getattr(client or visitor(host), method)(path, content_type="application/json").status_code


@pytest.mark.django_db
@pytest.mark.once
@pytest.mark.promise("I56")
def test_on_a_webhook_host_everything_else_is_not_found(alone: None, trials: Any) -> None:
    make_account()
    paths = {address for address, _ in addresses() if not address.startswith("/webhooks/")}
    paths |= {
        "/static/unfold/css/styles.css",
        "/static/error.css",
        "/favicon.ico",
        "/webhooks/",
        "/webhooks/payerly-eu",
        "/webhooks/payerly-eu/../../admin/",
        "/webhooks/payerly-eu/x/",
        "/webhooks//admin/",
        "//admin/",
        "/webhooks/payerly-eu/%0A",
        "/WEBHOOKS/payerly-eu/",
    }
    hosts = (HOOKS, f"{HOOKS}:443", HOOKS.upper(), f"{HOOKS}.")
    visitors = {host: visitor(host) for host in hosts}
    found = {(host, path): at(host, "get", path, visitors[host]) for host in hosts for path in sorted(paths)}
    trials(len(found))
    assert set(found.values()) == {404}
    assert at(HOOKS, "post", "/webhooks/payerly-eu/") in (400, 401, 503)
    assert at(HOOKS, "post", "/webhooks/nobody/") == 404


@pytest.mark.django_db
@pytest.mark.once
@pytest.mark.promise("I56")
def test_on_the_desks_host_webhooks_are_not_found(alone: None) -> None:
    make_account()
    assert at(DESK, "post", "/webhooks/payerly-eu/") == 404
    assert at(DESK, "get", "/admin/") == 200
    assert at(DESK, "get", "/static/error.css") == 200


@pytest.mark.django_db
@pytest.mark.once
def test_without_the_setting_one_host_answers_both(settings: Any) -> None:
    make_account()
    assert at("testserver", "post", "/webhooks/payerly-eu/") in (400, 401, 503)
    assert at("testserver", "get", "/admin/") == 200


def test_gateways_are_told_the_webhook_host(settings: Any) -> None:
    settings.WEBHOOK_HOSTS = [HOOKS]
    account = accounts.Account(slug="payerly-eu", gateway="payerly")
    assert accounts.callback_url(account) == "https://hooks.example.com/webhooks/payerly-eu/"


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("hooks.example.com", 0),
        ("*", 1),
        (".example.com", 1),
        ("https://hooks.example.com", 1),
        ("hooks.example.com:443", 1),
        ("refunds.example", 1),  # where the desk stands
        ("-x.example", 1),
    ],
)
def test_a_webhook_host_is_one_whole_name_and_not_the_desks(settings: Any, host: str, found: int) -> None:
    settings.WEBHOOK_HOSTS = [host]
    assert [error.id for error in checks.check_webhook_hosts()] == ["refunds.E041"] * found


# --- proxies ---

FORGED = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "1.2.3.4",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "443",
    "X-Real-Ip": "1.2.3.4",
    "Forwarded": "for=1.2.3.4;proto=https",
}


@pytest.mark.django_db
@pytest.mark.once
@pytest.mark.promise("I56")
@pytest.mark.parametrize(
    ("address", "is_believed"),
    [("10.0.0.5", True), ("10.0.0.6", False), ("203.0.113.9", False), ("", False), ("unix:", False), ("fd00::5", True)],
)
def test_a_proxys_header_counts_from_a_proxy_only(settings: Any, address: str, is_believed: bool) -> None:
    settings.PROXY_ADDRESSES = ["10.0.0.5/32", "fd00::/64"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT = True
    answer = Client(REMOTE_ADDR=address).get("/accounts/login/", headers=FORGED)
    assert answer.status_code == (200 if is_believed else 301)
    assert "evil" not in answer.get("Location", "")
    left = {name for name in answer.wsgi_request.META if "FORWARDED" in name or "REAL_IP" in name}
    assert bool(left) == is_believed


@pytest.mark.django_db
@pytest.mark.once
def test_guessing_is_counted_by_the_true_address(settings: Any) -> None:
    """Whoever invents an address for each guess is still one visitor."""
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    settings.PROXY_ADDRESSES = ["10.0.0.5/32"]
    person("alice", "Agents")
    for number in range(5):
        visitor = Client(REMOTE_ADDR="203.0.113.9", headers={"X-Forwarded-For": f"198.51.100.{number}"})
        visitor.post("/accounts/login/", {"login": "alice", "password": "wrong"})
    last = Client(REMOTE_ADDR="203.0.113.9", headers={"X-Forwarded-For": "198.51.100.77"})
    page = last.post("/accounts/login/", {"login": "alice", "password": "demo"}).content.decode()
    assert "Too many failed login attempts" in page


@pytest.mark.parametrize(
    ("addresses_", "header", "count", "found"),
    [
        ([], None, 0, 0),
        (["10.0.0.5"], ("HTTP_X_FORWARDED_PROTO", "https"), 1, 0),
        (["127.0.0.0/8", "::1"], None, 1, 0),
        ([], ("HTTP_X_FORWARDED_PROTO", "https"), 0, 1),
        ([], None, 1, 1),
        (["everybody"], None, 0, 1),
        (["0.0.0.0/0"], None, 0, 1),
        (["::/0"], None, 0, 1),
    ],
)
def test_who_is_a_proxy_is_said_and_narrow(
    settings: Any, addresses_: list[str], header: Any, count: int, found: int
) -> None:
    settings.PROXY_ADDRESSES, settings.SECURE_PROXY_SSL_HEADER = addresses_, header
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = count
    assert [error.id for error in checks.check_proxies()] == ["refunds.E042"] * found


def test_nobody_is_a_proxy_by_default(settings: Any) -> None:
    assert settings.PROXY_ADDRESSES == []
    assert not is_proxy("127.0.0.1")


@pytest.mark.parametrize(("host", "found"), [("refunds.example", 0), ("*", 1), (".example.com", 1)])
def test_the_desk_answers_to_whole_names_only(settings: Any, host: str, found: int) -> None:
    settings.ALLOWED_HOSTS = [host]
    assert [error.id for error in checks.check_allowed_hosts()] == ["refunds.E043"] * found
