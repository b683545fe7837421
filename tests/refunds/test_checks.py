"""System checks, each once red and once green: the site refuses to start half-configured."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gateways import registry
from gateways.contract import Capabilities, Gateway
from gateways.errors import Misconfigured
from refunds import checks

pytestmark = pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")

LIVE, SANDBOX = "https://api.brand.example/v1", "https://try.brand.example/v1"


class Brand(Gateway):
    name = "brand"
    label = "Brand"
    needs = ("URL", "TOKEN")
    takes = {"SECOND_SECRET": "", "HOURS": "20"}
    secrets = ("TOKEN", "SECOND_SECRET")
    hosts = {"sandbox": SANDBOX, "live": LIVE}
    can = Capabilities()
    poll_plan = ()

    def __init__(self, config):
        super().__init__(config)
        if not self.config["HOURS"].isdigit():
            raise Misconfigured("HOURS must be a number.")

    def refund(self, order):
        raise AssertionError("A check never asks for a refund.")


class Shared(Brand):
    hosts = {"sandbox": "https://api.brand.example/trial", "live": "https://api.brand.example/v1"}


@pytest.fixture(autouse=True)
def brands(monkeypatch):
    monkeypatch.setattr(registry, "names", lambda: ("brand", "shared"))
    monkeypatch.setattr(registry, "gateway_class", {"brand": Brand, "shared": Shared}.__getitem__)
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "shop:brand")
    monkeypatch.setenv("SHOP_URL", SANDBOX)
    monkeypatch.setenv("SHOP_TOKEN", "0123456789abcdef")


def ids(errors):
    """Every error has an id and is a sentence that ends."""
    errors = list(errors)
    assert all(error.msg.endswith(".") and error.msg[0].isupper() for error in errors)
    return [error.id for error in errors]


def account_ids(monkeypatch, **variables):
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    return ids(checks.check_accounts())


# --- SECRET_KEY ---


@pytest.mark.parametrize("key", ["", "short", "0123456" * 7, "x" * 60, "django-insecure-" + "0123456789" * 5])
def test_a_missing_short_or_borrowed_secret_key_is_refused(settings, key):
    settings.SECRET_KEY = key
    assert ids(checks.check_secret_key()) == ["refunds.E001"]


def test_a_long_secret_key_is_fine(settings):
    assert ids(checks.check_secret_key()) == []


def test_the_demo_key_is_fine_for_the_demo(settings):
    settings.SECRET_KEY, settings.DEBUG = "django-insecure-" + "0123456789" * 5, True
    assert ids(checks.check_secret_key()) == []


# --- Accounts ---


def test_a_whole_account_is_fine(monkeypatch):
    assert account_ids(monkeypatch) == []


@pytest.mark.parametrize("text", ["shop", "shop:nobody", "shop:brand,shop:brand"])
def test_a_malformed_list_is_refused(monkeypatch, text):
    assert account_ids(monkeypatch, GATEWAY_ACCOUNTS=text) == ["refunds.E002"]


def test_an_unknown_mode_is_refused(monkeypatch):
    assert account_ids(monkeypatch, SHOP_MODE="production") == ["refunds.E002"]


def test_a_missing_key_is_named(monkeypatch):
    monkeypatch.delenv("SHOP_TOKEN")
    (error,) = checks.check_accounts()
    assert error.id == "refunds.E003"
    assert "SHOP_TOKEN" in error.msg


@pytest.mark.parametrize("name", ["SHOP_TOKEN", "SHOP_SECOND_SECRET"])
def test_a_short_secret_is_refused_without_being_shown(monkeypatch, name):
    monkeypatch.setenv(name, "hunter2")
    (error,) = checks.check_accounts()
    assert error.id == "refunds.E004"
    assert name in error.msg
    assert "hunter2" not in error.msg


def test_a_live_account_wants_debug_off(monkeypatch, settings):
    live = {"SHOP_MODE": "live", "SHOP_URL": LIVE}
    assert account_ids(monkeypatch, **live) == []
    settings.DEBUG = True
    assert account_ids(monkeypatch, **live) == ["refunds.E006"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8001/v1",
        "http://localhost/v1",
        "http://[::1]/v1",
        "https://api.sandbox.brand.example/v1",
        "https://my-sandbox2.example/v1",
        "https://TRY.brand.example/other",
    ],
)
def test_a_live_account_never_talks_to_a_sandbox(monkeypatch, url):
    assert account_ids(monkeypatch, SHOP_MODE="live", SHOP_URL=url) == ["refunds.E011"]
    assert account_ids(monkeypatch, SHOP_MODE="sandbox", SHOP_URL=url) == []


def test_a_sandbox_account_never_talks_to_the_live_host(monkeypatch):
    assert account_ids(monkeypatch, SHOP_URL=LIVE) == ["refunds.E012"]
    assert account_ids(monkeypatch, SHOP_URL="https://api.brand.example/v2") == ["refunds.E012"]
    assert account_ids(monkeypatch, SHOP_URL=LIVE, SHOP_MODE="live") == []


def test_the_path_tells_where_one_host_serves_both(monkeypatch):
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "shop:shared")
    assert account_ids(monkeypatch, SHOP_URL="https://api.brand.example/trial/") == []
    assert account_ids(monkeypatch, SHOP_URL="https://api.brand.example/v1") == ["refunds.E012"]
    assert account_ids(monkeypatch, SHOP_MODE="live") == []
    assert account_ids(monkeypatch, SHOP_URL="https://api.brand.example/trial") == ["refunds.E011"]


@pytest.mark.parametrize(
    "url", ["http://try.brand.example/v1", "try.brand.example", "ftp://try.brand.example", "https://["]
)
def test_credentials_never_travel_in_the_clear(monkeypatch, url):
    assert account_ids(monkeypatch, SHOP_URL=url) == ["refunds.E013"]


def test_what_the_connector_itself_refuses_is_told(monkeypatch):
    assert account_ids(monkeypatch, SHOP_HOURS="20") == []
    assert account_ids(monkeypatch, SHOP_HOURS="many") == ["refunds.E014"]


# --- The site ---


@pytest.mark.parametrize(
    ("url", "debug", "found"),
    [
        ("", False, []),
        ("https://refunds.example", False, []),
        ("http://127.0.0.1:8000", True, []),
        ("http://127.0.0.1:8000", False, ["refunds.E010"]),
        ("http://refunds.example", True, ["refunds.E010"]),
        ("http://refunds.example", False, ["refunds.E010"]),
        ("refunds.example", False, ["refunds.E010"]),
        ("https://refunds.example/?a=b", False, ["refunds.E010"]),
    ],
)
def test_the_public_url_is_https(settings, url, debug, found):
    settings.PUBLIC_URL, settings.DEBUG = url, debug
    assert ids(checks.check_public_url()) == found


POSTGRESQL = "django.db.backends.postgresql"


@pytest.mark.parametrize(
    ("database", "found"),
    [
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}, []),
        ({"ENGINE": POSTGRESQL, "HOST": ""}, []),
        ({"ENGINE": POSTGRESQL, "HOST": "127.0.0.1"}, []),
        ({"ENGINE": POSTGRESQL, "HOST": "/run/postgresql"}, []),
        ({"ENGINE": POSTGRESQL, "HOST": "", "OPTIONS": {"host": "/tmp/pg"}}, []),
        ({"ENGINE": POSTGRESQL, "HOST": "db.example"}, ["refunds.E005"]),
        ({"ENGINE": POSTGRESQL, "HOST": "localhost,db.example"}, ["refunds.E005"]),
        ({"ENGINE": POSTGRESQL, "HOST": "", "OPTIONS": {"host": "10.0.0.5"}}, ["refunds.E005"]),
        ({"ENGINE": POSTGRESQL, "HOST": "", "OPTIONS": {"service": "refunds"}}, ["refunds.E005"]),
    ],
)
def test_debug_stays_away_from_a_production_database(settings, monkeypatch, database, found):
    monkeypatch.delenv("PGHOST", raising=False)
    settings.DATABASES = {"default": database}
    assert ids(checks.check_debug_database()) == []
    settings.DEBUG = True
    assert ids(checks.check_debug_database()) == found


def test_libpq_finds_its_host_in_the_environment_and_so_do_we(settings, monkeypatch):
    monkeypatch.setenv("PGHOST", "db.example")
    settings.DATABASES, settings.DEBUG = {"default": {"ENGINE": POSTGRESQL, "HOST": ""}}, True
    assert ids(checks.check_debug_database()) == ["refunds.E005"]


def test_atomic_requests_are_refused(settings):
    assert ids(checks.check_atomic_requests()) == []
    settings.DATABASES = {"default": {**settings.DATABASES["default"], "ATOMIC_REQUESTS": True}}
    assert ids(checks.check_atomic_requests()) == ["refunds.E007"]


def test_a_lease_outlives_three_calls(settings):
    settings.GATEWAY_DEADLINE_SECONDS, settings.LEASE_SECONDS = 30, 150
    assert ids(checks.check_lease()) == []
    settings.LEASE_SECONDS = 149
    assert ids(checks.check_lease()) == ["refunds.E015"]


# --- All of it, as the command line runs it ---


def manage(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    base = {"READ_DOT_ENV": "off", "PATH": os.environ["PATH"], "GATEWAY_ACCOUNTS": "", "SECRET_KEY": "0123456789" * 5}
    environment = {name: text for name, text in {**base, **variables}.items() if text is not None}
    return subprocess.run([sys.executable, "manage.py", *command], env=environment, capture_output=True, text=True)


def test_a_bare_environment_is_told_what_is_missing():
    done = manage("check", SECRET_KEY="", DATABASE_URL="sqlite:///:memory:")
    assert done.returncode == 1
    assert "refunds.E001" in done.stderr


def test_a_database_in_memory_is_treated_fairly():
    done = manage("check", "--database", "default", DATABASE_URL="sqlite:///:memory:")
    assert done.returncode == 0, done.stderr


def test_atomic_requests_in_the_database_url_are_seen():
    done = manage("check", DATABASE_URL="sqlite:///:memory:?ATOMIC_REQUESTS=True")
    assert "refunds.E007" in done.stderr


def test_a_production_site_passes_djangos_own_deployment_checks():
    mail = {"EMAIL_URL": "smtp+tls://desk:secret@mail.example:587", "EMAIL_FROM": "desk@refunds.example"}
    done = manage("check", "--deploy", "--fail-level", "WARNING", PUBLIC_URL="https://refunds.example", **mail)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("pace", "ids"), [(1.0, []), (0.01, []), (0.0, ["refunds.E020"]), (-1.0, ["refunds.E020"])])
def test_a_pace_that_would_never_pause_is_refused(settings, pace, ids):
    settings.POLL_PACE = pace
    assert [error.id for error in checks.check_poll_pace()] == ids
