"""Refunds per second from approved to processing, by workers at a gateway that answers after 300 ms.

Each case is measured on a fresh copy of one database; its ratio is to threads / latency, which no worker can pass.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

import psutil

ROOT = Path(__file__).resolve().parent.parent
LATENCY = 0.3  # seconds
SECONDS = float(os.environ.get("BENCH_SECONDS", "12"))  # of full speed that a case gets work for
MOST_REFUNDS = 2400
LONGEST = 120  # seconds of one case
CASES = ((1, 20), (2, 20), (4, 20), (1, 50))  # processes, and threads of each
ON_SQLITE = ((1, 20), (1, 50))
GROUND = "ground"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: %s\r\nContent-Length: %d\r\n\r\n%s"
SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "refunds_site.settings",
    "READ_DOT_ENV": "off",
    "SECRET_KEY": "only-for-the-bench-" + "0123456789abcdef" * 4,
    "DEBUG": "off",
    "PUBLIC_URL": "https://refunds.example",
    "GATEWAY_ACCOUNTS": "payerly-eu:payerly",
    "PAYERLY_EU_TOKEN": "token-for-the-bench-0123456789",
    "POLL_PACE": "100",  # nobody asks again while we measure
    "LOG_LEVEL": "INFO",
}


# --- the gateway: Payerly's answer to an order, after 300 ms ---


async def serve(port: int) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=1000)
    async with server:
        await server.serve_forever()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            await asyncio.sleep(LATENCY)
            told = json.dumps(shown(lines[0].split()[1].rpartition("/")[2], body)).encode()
            keeps = headers.get("connection") != "close"
            writer.write(ANSWER % (b"keep-alive" if keeps else b"close", len(told), told))
            await writer.drain()
            if not keeps:
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def shown(key: str, body: bytes) -> dict[str, Any]:
    asked = json.loads(body) if body else {}
    about = {"refundId": key, "paymentId": asked.get("paymentId", ""), "txnId": f"tx{key[-12:]}"}
    status = {"value": "PENDING", "description": "", "changedAt": "2026-11-01T12:00:00Z"}
    return {"type": "REFUND", "object": {**about, "amount": asked.get("amount"), "status": status}}


# --- the work: refunds that the desk's own services have approved ---


def prepare(number: int) -> None:
    """Approve so many refunds, each of a payment of its own, with their jobs in line."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import transaction

    from tests.builders import alice, approved, make_account, make_payment

    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    make_account("payerly-eu", webhook_key="pinned")
    alice()
    for first in range(0, number, 50):
        with transaction.atomic():
            for n in range(first, min(first + 50, number)):
                approved(make_payment(5000, reference=f"payment-{n}"), 1000)


# --- one case ---


@dataclass
class Case:
    """What was measured; `cpu_ms` is of one refund, by process; `memory_mb` the largest worker's at its peak."""

    database: str
    processes: int
    threads: int
    per_second: float = 0.0
    of_the_limit: float = 0.0
    memory_mb: float = 0.0
    cpu_ms: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        cpu = ", ".join(f"{name} {ms:.1f}" for name, ms in self.cpu_ms.items())
        return (
            f"{self.database}: {self.processes} x {self.threads} threads: {self.per_second:.1f} refunds/s, "
            f"{self.of_the_limit:.0%} of threads/latency, {self.memory_mb:.0f} MB; CPU ms per refund: {cpu}"
        )


def measure(case: Case, environment: dict[str, str], servers: Sequence[psutil.Process], simulator: int) -> Case:
    """Let the workers at it, and look at the middle of what they did."""
    command = [sys.executable, "manage.py", "worker", "--threads", str(case.threads)]
    wanted = min(round(SECONDS * case.processes * case.threads / LATENCY), MOST_REFUNDS)
    with tempfile.TemporaryFile() as log, started(case.processes, command, environment, log) as workers:
        groups = {"worker": workers, "simulator": [psutil.Process(simulator)], "database": servers}
        at_first, cpu_at_first = wait_for(wanted // 5, environment, workers), cpu_of(groups)  # by now all have started
        done, cpu = wait_for(wanted, environment, workers), cpu_of(groups)
        case.memory_mb = max(peak_mb(worker.pid) for worker in workers)
    middle = done[wanted // 5 : -wanted // 5]  # neither the start nor the end, when threads have nothing left to do
    case.per_second = (len(middle) - 1) / (middle[-1] - middle[0])
    case.of_the_limit = case.per_second / (case.processes * case.threads / LATENCY)
    n_meanwhile = len(done) - len(at_first)
    case.cpu_ms = {name: (cpu[name] - cpu_at_first[name]) * 1000 / n_meanwhile for name in groups if groups[name]}
    return case


@contextmanager
def started(
    number: int, command: Sequence[str], environment: dict[str, str], log: IO[bytes]
) -> Iterator[list[psutil.Process]]:
    processes = [subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) for _ in range(number)]
    try:
        yield [psutil.Process(process.pid) for process in processes]
    except TimeoutError as error:
        log.seek(0)
        sys.exit(f"{error}\n{log.read()[-2000:].decode(errors='replace')}")
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_for(wanted: int, environment: dict[str, str], workers: Sequence[psutil.Process]) -> list[float]:
    """When each answer was heard, in seconds, once so many were. Raises TimeoutError."""
    ends = time.monotonic() + LONGEST
    while len(done := finished(environment["DATABASE_URL"])) < wanted:
        if time.monotonic() > ends or any(worker.status() == psutil.STATUS_ZOMBIE for worker in workers):
            raise TimeoutError(f"Only {len(done)} of {wanted} were sent.")
        time.sleep(0.5)
    return done


def finished(url: str) -> list[float]:
    sql = "SELECT finished_at FROM refunds_attempt WHERE outcome = 'answered' ORDER BY finished_at"
    if url.startswith("sqlite"):
        import sqlite3
        from datetime import datetime

        with sqlite3.connect(url.removeprefix("sqlite:///"), timeout=20) as line:
            return [datetime.fromisoformat(row[0]).timestamp() for row in line.execute(sql)]
    import psycopg

    with psycopg.connect(url) as line:
        return [row[0].timestamp() for row in line.execute(sql)]


def cpu_of(groups: Mapping[str, Sequence[psutil.Process]]) -> dict[str, float]:
    """Seconds of each group so far, with those of the children, also of those that have ended."""
    spent = dict.fromkeys(groups, 0.0)
    for name, processes in groups.items():
        for one in [one for process in processes for one in (process, *process.children(recursive=True))]:
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                spent[name] += times.user + times.system + times.children_user + times.children_system
    return spent


def peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


# --- all cases ---


@contextmanager
def simulator(port: int) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-m", "bench.workers", "--simulator", str(port)], cwd=ROOT) as process:
        time.sleep(0.5)
        try:
            yield process.pid
        finally:
            process.kill()


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def on_postgresql(environment: dict[str, str], gateway: int, cases: Sequence[tuple[int, int]]) -> list[Case]:
    from tests.postgres import server

    found = []
    with server(("max_connections = 400", "synchronous_commit = on")) as running:
        running.psql(f"CREATE DATABASE {GROUND};")
        ground = urlunsplit(urlsplit(running.get_uri())._replace(path=f"/{GROUND}"))
        fill(environment | {"DATABASE_URL": ground}, cases)
        for number, (processes, threads) in enumerate(cases):
            running.psql(f"CREATE DATABASE case_{number} TEMPLATE {GROUND};")
            there = environment | {"DATABASE_URL": ground.replace(f"/{GROUND}", f"/case_{number}", 1)}
            servers = [psutil.Process(running.get_pid())]
            found.append(tell(measure(Case("PostgreSQL", processes, threads), there, servers, gateway)))
    return found


def on_sqlite(environment: dict[str, str], gateway: int, cases: Sequence[tuple[int, int]]) -> list[Case]:
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ground = Path(folder) / "ground.sqlite3"
        fill(environment | {"DATABASE_URL": f"sqlite:///{ground}"}, cases)
        for number, (processes, threads) in enumerate(cases):
            copy = shutil.copy(ground, Path(folder) / f"case-{number}.sqlite3")
            there = environment | {"DATABASE_URL": f"sqlite:///{copy}"}
            found.append(tell(measure(Case("SQLite", processes, threads), there, [], gateway)))
    return found


def fill(environment: dict[str, str], cases: Sequence[tuple[int, int]]) -> None:
    largest = max(processes * threads for processes, threads in cases)
    number = min(round(SECONDS * largest / LATENCY), MOST_REFUNDS) + largest
    command = [sys.executable, "-m", "bench.workers", "--prepare", str(number)]
    subprocess.run(command, cwd=ROOT, env={**environment, "LOG_LEVEL": "WARNING"}, check=True)


def tell(case: Case) -> Case:
    print(case, flush=True)
    return case


def run(databases: Sequence[str] = ("postgresql", "sqlite"), cases: Sequence[tuple[int, int]] = ()) -> dict[str, Any]:
    """Measure all cases. Returns {"latency_s", "cases": [the fields of Case]}."""
    port = free_port()
    environment = {**os.environ, **SETTINGS, "PAYERLY_EU_URL": f"http://127.0.0.1:{port}/payerly/v1"}
    found: list[Case] = []
    with simulator(port) as gateway:
        if "postgresql" in databases:
            found += on_postgresql(environment, gateway, cases or CASES)
        if "sqlite" in databases:
            found += on_sqlite(environment, gateway, cases or ON_SQLITE)
    return {"latency_s": LATENCY, "cases": [vars(case) for case in found]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulator", type=int, metavar="PORT")
    parser.add_argument("--prepare", type=int, metavar="NUMBER")
    parser.add_argument("--on", action="append", choices=("postgresql", "sqlite"), default=[])
    parser.add_argument("--case", action="append", default=[], metavar="PROCESSESxTHREADS")
    asked = parser.parse_args()
    if asked.simulator:
        asyncio.run(serve(asked.simulator))
    elif asked.prepare:
        prepare(asked.prepare)
    else:
        pairs = [case.split("x") for case in asked.case]
        cases = [(int(processes), int(threads)) for processes, threads in pairs]
        print(json.dumps(run(asked.on or ("postgresql", "sqlite"), cases), indent=2))


if __name__ == "__main__":
    main()
