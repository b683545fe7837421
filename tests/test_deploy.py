"""Containers, systemd units and nginx say the same as the Procfile, the settings and the docs, and it works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from tests.front import PRODUCTION, free_ports, wait_for

ROOT = Path(__file__).resolve().parent.parent
UNITS = sorted((ROOT / "deploy/systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
CONTAINERFILE = (ROOT / "Containerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
NGINX = (ROOT / "deploy/nginx/refunds.conf").read_text()
# Not ours: the shell's, Python's, PostgreSQL's image, and what names the image.
FOREIGN = {
    "PATH",
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
    "POSTGRES_USER",
    "POSTGRES_DB",
    "POSTGRES_PASSWORD",
    "VERSION",
}
EXPOSURE = 2.0  # of systemd-analyze's 10; a plain unit has 9.6
HARDENING = re.compile(r"# It writes evidence files.*?SystemCallErrorNumber=EPERM\n", re.DOTALL)


def procfile() -> dict[str, str]:
    return dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())


def says(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def plain(command: str) -> str:
    """Without the folder of the programs, and without what stands in for a variable that is not set."""
    command = re.sub(r"^(exec )?(/srv/refunds/current/\.venv/bin/)?", "", command)
    return re.sub(r"\$\{(\w+):-[^}]*\}", r"${\1}", command).replace("$PORT", "%i").replace("${PORT}", "%i")


def unit(name: str) -> Path:
    return ROOT / "deploy/systemd" / name


def command(service: str) -> str:
    return plain(says(unit(service), "ExecStart")[0])


def in_the_container() -> list[str]:
    (words,) = re.findall(r"^CMD \[(.+)\]$", CONTAINERFILE, re.MULTILINE)
    return list(yaml.safe_load(f"[{words}]"))


# --- the same everywhere ---


def test_web_and_worker_are_started_as_in_the_procfile() -> None:
    ours = procfile()
    assert command("refunds-web@.service") == plain(ours["web"]) == plain(in_the_container()[-1])
    assert command("refunds-worker@.service") == ours["worker"] == COMPOSE["services"]["worker"]["command"]
    assert "command" not in COMPOSE["services"]["web"]


def test_every_variable_is_one_of_ours() -> None:
    explained = set(re.findall(r"^#?([A-Z_0-9]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    named = set(re.findall(r"^(?:ENV |    )([A-Z_]+)=", CONTAINERFILE, re.MULTILINE))
    named |= set(re.findall(r"\$\{?([A-Z_]+)", CONTAINERFILE + (ROOT / "compose.yaml").read_text()))
    named |= {name for one in COMPOSE["services"].values() for name in one.get("environment", ())}
    for service in SERVICES:
        named |= {word.partition("=")[0] for line in says(service, "Environment") for word in line.split()}
        named |= set(re.findall(r"\$\{(\w+)\}", service.read_text()))
    named |= set(re.findall(r"([A-Z_]+)=", NGINX))
    assert {"HOST", "WEB_THREADS", "WORKER_THREADS", "DATABASE_URL", "EVIDENCE_DIR", "PROXY_ADDRESSES"} <= named
    assert named - explained - FOREIGN == set()


def test_every_command_of_ours_exists() -> None:
    text = "".join(service.read_text() for service in SERVICES) + CONTAINERFILE + (ROOT / "compose.yaml").read_text()
    named = set(re.findall(r"manage\.py (\w+)", text))
    assert {"migrate", "createcachetable", "sync_accounts", "collectstatic", "verify", "clearsessions"} <= named
    assert named - set(get_commands()) == set()


def test_a_stop_waits_until_what_has_begun_is_done() -> None:
    """For the web, longer than nginx waits; for a worker, a whole lease."""
    waits = int(re.findall(r"proxy_read_timeout (\d+)s", NGINX)[0])
    stops = {name: int(says(unit(f"refunds-{name}@.service"), "TimeoutStopSec")[0]) for name in ("web", "worker")}
    grace = {name: int(COMPOSE["services"][name]["stop_grace_period"].rstrip("s")) for name in stops}
    assert stops == grace
    assert stops["web"] > waits
    assert stops["worker"] > settings.LEASE_SECONDS


def test_nothing_secret_and_nothing_unnamed_gets_into_the_image() -> None:
    copied = set(re.findall(r"^COPY (?!--from)(\S+) ", CONTAINERFILE, re.MULTILINE))
    let_through = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert copied == let_through
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in tracked if "/" not in name and name.startswith(".env") and name != ".env.example"]
    assert not re.search(r"(?i)(secret_key|password|token)\s*[=:]\s*[\"']?\w", CONTAINERFILE)
    for name, service in COMPOSE["services"].items():
        assert all("${" in text for key, text in service.get("environment", {}).items() if "PASSWORD" in key), name


def test_images_are_pinned_and_run_as_nobody() -> None:
    images = [*re.findall(r"^FROM (\S+)", CONTAINERFILE, re.MULTILINE), COMPOSE["services"]["database"]["image"]]
    assert all(re.fullmatch(r"[a-z]+:\d[\w.-]*", image) for image in images), images
    assert re.search(r"^USER \d+:\d+$", CONTAINERFILE, re.MULTILINE)
    for name in ("prepare", "web", "worker"):
        service = COMPOSE["services"][name]
        assert (service["cap_drop"], service["read_only"]) == (["ALL"], True)
        assert service["volumes"] == ["evidence:/var/lib/refunds"]
    assert all(port.startswith("127.0.0.1:") for port in COMPOSE["services"]["web"]["ports"])


def test_every_unit_is_shut_in_the_same_way() -> None:
    walls = {service.name: HARDENING.findall(service.read_text()) for service in SERVICES}
    assert len({tuple(found) for found in walls.values()}) == 1
    for service in SERVICES:
        assert says(service, "User") == ["refunds"]
        assert says(service, "NoNewPrivileges") == ["yes"]
        assert says(service, "EnvironmentFile") == ["/etc/refunds/env"]


def test_every_file_is_told_about() -> None:
    page = (ROOT / "docs/production.md").read_text()
    for file in [*UNITS, ROOT / "deploy/nginx/refunds.conf", ROOT / "compose.yaml", ROOT / "Containerfile"]:
        assert file.name in page, file.name


# --- and it works ---


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is missing: the units were not read")
@pytest.mark.parametrize("name", [one.name for one in UNITS])
def test_systemd_understands_every_unit(name: str, tmp_path: Path) -> None:
    """With programs that exist; the folder of the desk does not, here."""
    for one in UNITS:
        text = re.sub(r"/srv/refunds/current/\.venv/bin/\w+", "/bin/true", one.read_text())
        (tmp_path / one.name.replace("@", "@1")).write_text(text)
    analyze = ["systemd-analyze", "--man=no", "verify", str(tmp_path / name.replace("@", "@1"))]
    done = subprocess.run(analyze, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    if name.endswith(".service"):
        analyze = ["systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE * 10:.0f}"]
        done = subprocess.run(
            [*analyze, str(tmp_path / name.replace("@", "@1"))], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.skipif(not shutil.which("hadolint"), reason="hadolint is missing: the Containerfile was not linted")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(["hadolint", str(ROOT / "Containerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def composer() -> list[str]:
    """The words that call Compose here, the plugin or the older program; none where there is neither."""
    plugin = subprocess.run(["sh", "-c", "docker compose version"], capture_output=True, check=False)
    return (
        ["docker", "compose"]
        if plugin.returncode == 0
        else ["docker-compose"]
        if shutil.which("docker-compose")
        else []
    )


def test_compose_understands_its_file(tmp_path: Path) -> None:
    if not (words := composer()):
        pytest.skip("Compose is missing: compose.yaml was not read by it")
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    shutil.copy(ROOT / ".env.example", tmp_path / "production.env")
    config = [*words, "--file", str(tmp_path / "compose.yaml"), "config"]
    environment = {**os.environ, "POSTGRES_PASSWORD": "made-up"}
    done = subprocess.run(config, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)["services"]
    assert read["worker"]["environment"]["DATABASE_URL"] == "postgresql://refunds:made-up@database:5432/refunds"
    del environment["POSTGRES_PASSWORD"]
    assert subprocess.run(config, env=environment, capture_output=True, check=False).returncode != 0


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_what_is_copied_into_the_image_is_enough(process_environment: dict[str, str], tmp_path: Path) -> None:
    """The steps of the Containerfile, in a folder with the copied files alone, with the packages of this machine."""
    for source, target in re.findall(r"^COPY (?!--from)(\S+) (\S+)$", CONTAINERFILE, re.MULTILINE):
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, tmp_path / (source if target == "./" else target.lstrip("/").replace("/", "_")))
    (port,) = free_ports(1)
    path = f"{Path(sys.executable).parent}{os.pathsep}{process_environment['PATH']}"
    bare = {"PATH": path, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    (collect,) = re.findall(r"^RUN (SECRET_KEY=.+)$", CONTAINERFILE, re.MULTILINE)
    subprocess.run(["sh", "-c", collect], cwd=tmp_path, env=bare, check=True, capture_output=True)
    assert (tmp_path / "staticfiles/staticfiles.json").exists()
    environment = {**bare, **PRODUCTION, "DATABASE_URL": process_environment["DATABASE_URL"], "PORT": str(port)}
    web = subprocess.Popen(in_the_container(), cwd=tmp_path, env=environment)
    try:
        wait_for(port)
        with urllib.request.urlopen(asking(port), timeout=30) as page:
            assert re.search(rb'"/static/[\w/.-]+\.[0-9a-f]{12}\.js"', page.read())
        (check,) = re.findall(r"^HEALTHCHECK .* CMD (\[.+\])$", CONTAINERFILE, re.MULTILINE)
        health = yaml.safe_load(check)
        assert subprocess.run(health, env=environment, check=False).returncode == 0
    finally:
        web.terminate()
        assert web.wait(30) == 0
    assert subprocess.run(health, env=environment, check=False, capture_output=True).returncode != 0


def asking(port: int) -> urllib.request.Request:
    """As the proxy would."""
    headers = {"Host": "refunds.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
    return urllib.request.Request(f"http://127.0.0.1:{port}/accounts/login/", headers=headers)
