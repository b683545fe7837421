"""What every measurement stands on: a database server, the site's environment, the production web server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.postgres import server as throw_away

ROOT = Path(__file__).resolve().parent.parent
# As in production: nothing that is committed is lost.
DURABLE = ("max_connections = 400", "shared_buffers = '512MB'", "max_wal_size = '4GB'")
SITE = {
    "DJANGO_SETTINGS_MODULE": "refunds_site.settings",
    "READ_DOT_ENV": "off",
    "SECRET_KEY": "only-for-the-bench-" + "0123456789abcdef" * 4,
    "DEBUG": "off",
    "HTTPS": "off",
    "SECOND_FACTOR": "optional",
    "ACCEPT_OPTIONAL_SECOND_FACTOR": "on",
    "ALLOWED_HOSTS": "127.0.0.1",
    "PUBLIC_URL": "https://refunds.example",
    "GATEWAY_ACCOUNTS": "payerly-eu:payerly,payerly-us:payerly",
    "PAYERLY_EU_URL": "http://127.0.0.1:9/payerly/v1",
    "PAYERLY_EU_TOKEN": "token-for-the-bench-0123456789",
    "PAYERLY_US_URL": "http://127.0.0.1:9/payerly/v1",
    "PAYERLY_US_TOKEN": "token-for-the-bench-9876543210",
    "LOG_LEVEL": "WARNING",
    "PYTHONWARNINGS": "ignore",
}


@dataclass(frozen=True)
class Databases:
    """A server on which databases are made for one run; `url` is of one that is always there."""

    url: str

    def of(self, name: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def make(self, name: str, template: str = "template1") -> str:
        self.drop(name)
        with psycopg.connect(self.url, autocommit=True) as line:
            line.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.of(name)

    def has(self, name: str) -> bool:
        with psycopg.connect(self.url) as line:
            return line.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None

    def version(self) -> str:
        with psycopg.connect(self.url) as line:
            return str(line.execute("SHOW server_version").fetchone()[0]).split()[0]  # type: ignore[index]

    def drop(self, name: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as line:
            line.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def databases() -> Iterator[Databases]:
    """On the server of TEST_DATABASE_URL, or on one of our own."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield Databases(url)
        return
    with throw_away(DURABLE) as running:
        yield Databases(running.get_uri())


def site(url: str, **more: str) -> dict[str, str]:
    """The environment of a process of the site on this database."""
    return {**os.environ, **SITE, "DATABASE_URL": url, **more}


def do(environment: dict[str, str], *command: str) -> str:
    """Run a module of ours, or a command of manage.py, and give back what it printed."""
    found = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
    return found.stdout.decode()


def told(environment: dict[str, str], module: str, *words: str) -> Any:
    """What a module of ours has to say, as JSON on its last line."""
    return json.loads(do(environment, "-m", module, *words).splitlines()[-1])


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def web(
    environment: dict[str, str],
    *,
    workers: int = 2,
    threads: int = 4,
    door: str = "bench.door:application",
    home: Path = Path(sys.executable).parent.parent,
) -> Iterator[int]:
    """The production web server at work, from the virtual environment `home`; the port it listens on."""
    port = free_port()
    command = [str(home / "bin" / "granian"), "--interface", "wsgi", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", str(workers), "--blocking-threads", str(threads)]
    command += ["--respawn-failed-workers", "--log-level", "warning", door]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        wait_for_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}.")
        with closing(socket.socket()) as line:
            if line.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"Nobody listens on port {port}.")


def middle(numbers: Sequence[float]) -> float:
    return percentile(numbers, 50)


def percentile(numbers: Sequence[float], per_cent: int) -> float:
    ordered = sorted(numbers)
    return ordered[min(len(ordered) * per_cent // 100, len(ordered) - 1)]
