"""The shipped production settings pass every check of Django's and of ours; what would open a door is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {
    "SECRET_KEY": "q8Zr-2vJ_5xKp0WmT7nYbE4cH9sLdA6uGfR3iQoX1jV-tB_yNkMwPzCe",
    "PUBLIC_URL": "https://refunds.example.com",
    "DATABASE_URL": "sqlite:///:memory:",
    "EMAIL_URL": "smtp+tls://desk:a-password@mail.example.com:587",
    "EMAIL_FROM": "refunds@example.com",
}
ACCOUNT = {
    "GATEWAY_ACCOUNTS": "payerly-eu:payerly",
    "PAYERLY_EU_URL": "https://api.sandbox.payerly.tech/v1",
    "PAYERLY_EU_TOKEN": "a-token-of-sixteen-and-more",
}
BEHIND_A_PROXY = {"PROXY_HTTPS_HEADER": "X-Forwarded-Proto", "TRUSTED_PROXIES": "1", "PROXY_ADDRESSES": "10.0.0.5"}


def checked(**environment: str) -> subprocess.CompletedProcess[str]:
    """`manage.py check --deploy` in a process of its own, with exactly this environment; warnings fail it too."""
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env={"READ_DOT_ENV": "off", "PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


@pytest.mark.promise("I51")
@pytest.mark.parametrize(
    "more",
    [{}, ACCOUNT, BEHIND_A_PROXY, {"WEBHOOK_HOSTS": "hooks.example.com"}],
    ids=["alone", "with an account", "behind a proxy", "webhooks apart"],
)
def test_production_is_clean(more: dict[str, str]) -> None:
    done = checked(**PRODUCTION, **more)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


BAD: dict[str, tuple[dict[str, str], str]] = {
    "no key": ({"SECRET_KEY": ""}, "E001"),
    "a short key": ({"SECRET_KEY": "short"}, "E001"),
    "a dull key": ({"SECRET_KEY": "a" * 60}, "E001"),
    "the demo's key": ({"SECRET_KEY": "django-insecure-demo-only-0123456789abcdefghijklmnopqrstuvwxyz"}, "E001"),
    "debug": ({"DEBUG": "on"}, "security.W018"),
    "debug with a real database": ({"DEBUG": "on", "DATABASE_URL": "postgres://u:p@db.example/x"}, "E005"),
    "plain http": ({"HTTPS": "off"}, "security.W008"),
    "cookies over plain http": ({"HTTPS": "off"}, "security.W012"),
    "no HSTS": ({"HSTS_SECONDS": "0"}, "security.W004"),
    "a public URL without TLS": ({"PUBLIC_URL": "http://refunds.example.com"}, "E010"),
    "no host": ({"PUBLIC_URL": "", "ALLOWED_HOSTS": ""}, "security.W020"),
    "every host": ({"ALLOWED_HOSTS": "*"}, "E043"),
    "every host of a domain": ({"ALLOWED_HOSTS": ".example.com"}, "E043"),
    "webhooks at the desk": ({"WEBHOOK_HOSTS": "refunds.example.com"}, "E041"),
    "webhooks everywhere": ({"WEBHOOK_HOSTS": "*"}, "E041"),
    "a proxy from anywhere": ({"PROXY_HTTPS_HEADER": "X-Forwarded-Proto"}, "E042"),
    "a proxy's count from anywhere": ({"TRUSTED_PROXIES": "1"}, "E042"),
    "everybody is a proxy": ({**BEHIND_A_PROXY, "PROXY_ADDRESSES": "0.0.0.0/0"}, "E042"),
    "logs that nobody reads": ({"LOG_FORMAT": "xml"}, "E044"),
    "exports without end": ({"EXPORT_MOST_ROWS": "99999999"}, "E045"),
    "a token that can be guessed": ({"METRICS_TOKEN": "short"}, "E046"),
    "no traces at all": ({"TRACES_KEPT": "0"}, "E048"),
    "reports in the clear": ({"SENTRY_DSN": "http://key@sentry.example/1"}, "E049"),
    "a lease that is too short": ({"LEASE_SECONDS": "5"}, "E015"),
    "an unknown gateway": ({"GATEWAY_ACCOUNTS": "x:nobody"}, "E002"),
    "an account without its secret": ({**ACCOUNT, "PAYERLY_EU_TOKEN": ""}, "E003"),
    "a short secret": ({**ACCOUNT, "PAYERLY_EU_TOKEN": "short"}, "E004"),
    "credentials in the clear": ({**ACCOUNT, "PAYERLY_EU_URL": "http://api.sandbox.payerly.tech/v1"}, "E013"),
    "a gateway in our own network": ({**ACCOUNT, "PAYERLY_EU_URL": "https://10.0.0.7/v1"}, "E014"),
    "a gateway at the metadata address": ({**ACCOUNT, "PAYERLY_EU_URL": "https://169.254.169.254/v1"}, "E014"),
    "a live account on a sandbox": ({**ACCOUNT, "PAYERLY_EU_MODE": "live"}, "E011"),
    "a live account on this machine": (
        {**ACCOUNT, "PAYERLY_EU_MODE": "live", "PAYERLY_EU_URL": "http://127.0.0.1:1"},
        "E011",
    ),
}


@pytest.mark.promise("I51")
@pytest.mark.parametrize("what", BAD)
def test_a_setting_that_opens_a_door_is_refused(what: str) -> None:
    bad, wanted = BAD[what]
    done = checked(**{**PRODUCTION, **bad})
    assert done.returncode != 0
    assert wanted in done.stderr, done.stderr


@pytest.mark.promise("I51")
@pytest.mark.parametrize("what", ["a dull key", "every host", "webhooks everywhere", "a proxy from anywhere"])
def test_the_web_server_does_not_even_start(what: str) -> None:
    """What is an error of ours needs no --deploy: the WSGI door asks the same checks."""
    done = subprocess.run(
        [sys.executable, "-c", "import refunds_site.wsgi"],
        env={"READ_DOT_ENV": "off", "PATH": os.environ["PATH"], **PRODUCTION, **BAD[what][0]},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode != 0
    assert BAD[what][1] in done.stderr


def test_cookies_belong_to_this_host_alone() -> None:
    code = "from refunds_site import settings as s; print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, "
    code += "s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, getattr(s, 'SESSION_COOKIE_DOMAIN', None), s.LOG_FORMAT)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"READ_DOT_ENV": "off", "PATH": os.environ["PATH"], **PRODUCTION},
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.split() == ["__Host-desk-session", "__Host-desk-csrf", "True", "True", "None", "json"]
