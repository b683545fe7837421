"""The site around the business: settings from the environment, the demo's environment, ports, static files."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError
from django.db import connection

from gateways import registry
from gateways.sandbox import Sandbox
from refunds.management.commands.worker import check_pool
from refunds_site import run

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {
    "SECRET_KEY": "0123456789" * 6,
    "PUBLIC_URL": "https://refunds.example.com",
    "DATABASE_URL": "sqlite:///:memory:",
}


def settings_of(*names: str, folder: Path = ROOT, **environment: str) -> dict[str, object]:
    """The settings that a fresh process reads from exactly this environment."""
    code = "import json; from refunds_site import settings as s; "
    code += f"print(json.dumps([getattr(s, n) for n in {names}], default=str))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"READ_DOT_ENV": "off", "PYTHONPATH": str(folder), "PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    return dict(zip(names, json.loads(done.stdout), strict=True))


def demo(*names: str, **environment: str) -> list[str]:
    script = ". ./demo.env; " + "; ".join(f'echo "${name}"' for name in names)
    env = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(
        ["sh", "-ec", script], env=env, capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split("\n")[:-1]


def test_production_is_closed_by_default():
    names = ("DEBUG", "SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_HSTS_SECONDS")
    found = settings_of(*names, "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", **PRODUCTION)
    assert found.pop("ALLOWED_HOSTS") == ["refunds.example.com"]
    assert found.pop("CSRF_TRUSTED_ORIGINS") == ["https://refunds.example.com"]
    assert found == dict(zip(names, (False, True, True, True, 31_536_000), strict=True))


def test_a_proxys_header_is_believed_only_when_named():
    assert settings_of("SECURE_PROXY_SSL_HEADER", **PRODUCTION)["SECURE_PROXY_SSL_HEADER"] is None
    found = settings_of("SECURE_PROXY_SSL_HEADER", PROXY_HTTPS_HEADER="X-Forwarded-Proto", **PRODUCTION)
    assert found["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_FORWARDED_PROTO", "https"]


def test_a_secret_key_may_stand_in_a_file_or_begin_with_a_dollar(tmp_path):
    (tmp_path / "key").write_text("k" * 60 + "\n")
    rest = {**PRODUCTION, "SECRET_KEY": ""}
    assert settings_of("SECRET_KEY", **rest, SECRET_KEY_FILE=str(tmp_path / "key"))["SECRET_KEY"] == "k" * 60
    assert settings_of("SECRET_KEY", **{**rest, "SECRET_KEY": "$PATH"})["SECRET_KEY"] == "$PATH"


def test_sqlite_waits_its_turn_and_keeps_its_commits():
    (database,) = settings_of("DATABASES", **PRODUCTION).values()
    options = database["default"]["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    assert options["timeout"] == 20
    assert "journal_mode=WAL" in options["init_command"]
    assert "synchronous=FULL" in options["init_command"]


def test_postgresql_keeps_connections_or_pools_them_but_never_both():
    url = {**PRODUCTION, "DATABASE_URL": "postgresql://u:p@db.example/refunds"}
    kept = settings_of("DATABASES", **url)["DATABASES"]["default"]
    assert (kept["CONN_MAX_AGE"], kept["CONN_HEALTH_CHECKS"]) == (60, True)
    assert "pool" not in kept["OPTIONS"]
    pooled = settings_of("DATABASES", **url, DATABASE_POOL="5")["DATABASES"]["default"]
    assert (pooled["OPTIONS"]["pool"]["max_size"], pooled["CONN_HEALTH_CHECKS"]) == (5, True)
    assert not pooled.get("CONN_MAX_AGE")


def test_a_worker_refuses_a_pool_that_its_jobs_would_wait_for(monkeypatch):
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "pool", {"max_size": 9})
    check_pool(7)
    with pytest.raises(CommandError, match="need 10 connections, and the pool has 9"):
        check_pool(8)


def test_weak_passwords_pass_in_the_demo_only():
    assert len(settings_of("AUTH_PASSWORD_VALIDATORS", **PRODUCTION)["AUTH_PASSWORD_VALIDATORS"]) == 4
    assert settings_of("AUTH_PASSWORD_VALIDATORS", DEBUG="on", **PRODUCTION)["AUTH_PASSWORD_VALIDATORS"] == []


def test_every_variable_of_the_settings_is_explained_in_the_example():
    files = [
        ROOT / f"refunds_site/{name}.py" for name in ("environment", "settings", "login_settings", "watch_settings")
    ]
    code = "\n".join(file.read_text() for file in files)
    read = set(re.findall(r'ENV\.\w+\("([A-Z_]+)"', code)) | set(re.findall(r'ENVIRON\.get\("([A-Z_]+)"', code))
    read |= set(re.findall(r"\$\{?([A-Z_]+)", (ROOT / "Procfile").read_text())) | {"READ_DOT_ENV", "GATEWAY_ACCOUNTS"}
    explained = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert read - explained == set()


def test_every_key_of_every_gateway_is_explained_in_the_example():
    from gateways import registry

    explained = (ROOT / ".env.example").read_text()
    for name in registry.names():
        kind = registry.gateway_class(name)
        for key in (*kind.needs, *kind.takes):
            assert re.search(rf"^#?{name.upper()}\w*_{key}=", explained, re.MULTILINE), f"{name}: {key}"
        for mode, url in kind.hosts.items():
            assert url in explained, f"{name}: {mode}"


def test_what_is_set_already_wins_over_the_demo():
    assert demo("DEBUG", "PORT", "PUBLIC_URL") == ["on", "8000", "http://127.0.0.1:8000"]
    assert demo("PORT", "PUBLIC_URL", "PAYERLY_EU_URL", PORT="9000", SANDBOX_PORT="9001") == [
        "9000",
        "http://127.0.0.1:9000",
        "http://127.0.0.1:9001/payerly/v1",
    ]


def test_a_taken_port_is_named_with_its_variable():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=f"^Port {port} cannot be used .*PORT=…$"):
            run.check_ports({"PORT": port})


def test_two_servers_never_get_the_same_port():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with pytest.raises(SystemExit, match="SANDBOX_PORT=…"):
        run.check_ports({"PORT": port, "SANDBOX_PORT": port})
    run.check_ports({"PORT": port})


def test_static_files_need_no_collecting(client):
    answer = client.get("/static/unfold/css/styles.css")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/css")


def test_the_demo_has_the_keys_of_every_simulated_gateway():
    sandbox = Sandbox()
    accounts = dict(entry.split(":") for entry in demo("GATEWAY_ACCOUNTS")[0].split(","))
    assert set(accounts.values()) == set(registry.names())
    for slug, gateway in accounts.items():
        if gateway not in sandbox.simulators:
            continue
        given = sandbox.credentials(gateway)
        names = [f"{slug.upper().replace('-', '_')}_{name}" for name in given]
        found = demo(*names, SANDBOX_PORT=str(urlsplit(sandbox.root).port))
        assert found == list(given.values()), slug


def test_the_button_of_single_sign_on_may_lead_to_the_issuer_and_nowhere_else() -> None:
    def goals(**environment: str) -> list[str]:
        found = settings_of("CONTENT_SECURITY_POLICY", **PRODUCTION, **environment)["CONTENT_SECURITY_POLICY"]
        return list(found["DIRECTIVES"]["form-action"])  # type: ignore[index]

    assert goals() == ["'self'"]
    assert goals(OIDC_ISSUER="https://id.example:8443/realms/acme") == ["'self'", "https://id.example:8443"]
