"""Everything that `make run` starts, as processes of their own, with bad lines between them; and what they leave."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import IO

from gateways import registry
from gateways.sandbox.desk import Desk
from gateways.sandbox.simulator import SimulatedGateway, simulators
from gateways.sandbox.stories import STORIES
from refunds.accounts import prefix_of
from refunds.models import Payment
from tests.builders import ACCOUNTS, make_account, make_payment
from tests.gateways.conftest import listener
from tests.soak.chaos import Post, Weather
from tests.soak.found import read_only
from tests.soak.history import History

ROOT = Path(__file__).resolve().parent.parent.parent
PACE = 0.2  # of the sandbox's stories
PAYMENTS = 24  # for each gateway
N_WORKERS = 2
SETTINGS = {
    "DEBUG": "on",
    "LOG_LEVEL": "INFO",
    "POLL_PACE": "0.1",
    "GATEWAY_DEADLINE_SECONDS": "1",
    "PAYERLY_EU_QUIET_WINDOW_SECONDS": "3",
    "WEB_WORKERS": "2",
    "PYTHONUNBUFFERED": "1",
}
# A worker's claim is good for thrice a call and the database's wait, and a killed one's comes back after that.
WORKER_SETTINGS = {"DATABASE_WAIT_SECONDS": "4", "LEASE_SECONDS": "15"}


@dataclass
class Ground:
    """`with Ground(...) as ground:` runs sandbox, web and two workers; what they say goes into `folder`."""

    folder: Path
    database_url: str
    seed: str
    url: str = ""
    sandbox_url: str = ""
    weather: list[Weather] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    workers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    started_at: dict[int, float] = field(default_factory=dict)
    people: list[subprocess.Popen[bytes]] = field(default_factory=list)
    everything: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.history = History(self.folder / "history.jsonl")
        self.state = self.folder / "sandbox"
        self.simulators: dict[str, SimulatedGateway] = simulators(Desk(None, PACE))

    def __enter__(self) -> Ground:
        try:
            self._start()
        except BaseException:
            self.everything.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.everything.close()

    @property
    def ledger(self) -> Path:
        return self.state / "ledger.sqlite3"

    # --- starting ---

    def _start(self) -> None:
        self.environment = {**os.environ, **SETTINGS}
        self._start_sandbox()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.post = Post(self.url, self.history, Random(f"{self.seed} post"))
        self.environment["PUBLIC_URL"] = public = self.everything.enter_context(listener(self.post.behave))
        self._configure_accounts()
        self._tell_the_sandbox(public)
        self._start_web(port)
        for number in range(N_WORKERS):
            self.start_worker(number)
        self.everything.callback(lambda: [self._end(worker) for worker in self.workers.values()])

    def _start_sandbox(self) -> None:
        port = free_port()
        self.sandbox_url = f"http://127.0.0.1:{port}"
        self.run("sandbox", ["-m", "gateways.sandbox", "--port", str(port), "--state", self.state, "--pace", PACE])
        until_it_answers(f"{self.sandbox_url}/health")

    def _configure_accounts(self) -> None:
        self.environment["GATEWAY_ACCOUNTS"] = ",".join(f"{slug}:{name}" for name, slug in ACCOUNTS.items())
        self.secrets = {"SECRET_KEY": os.environ["SECRET_KEY"]}
        for gateway, simulator in self.simulators.items():
            upstream, prefix = self.sandbox_url + simulator.base, prefix_of(ACCOUNTS[gateway])
            one = Weather(gateway, upstream, history=self.history, chance=Random(f"{self.seed} {gateway}"))
            one.url = self.everything.enter_context(listener(one.behave)) + simulator.base
            self.weather.append(one)
            given = simulator.credentials()
            self.environment |= {f"{prefix}_{name}": value for name, value in {"URL": one.url, **given}.items()}
            kind = registry.gateway_class(gateway)
            self.secrets |= {f"{prefix}_{name}": given[name] for name in kind.secrets if given.get(name)}

    def _tell_the_sandbox(self, public: str) -> None:
        for gateway in self.simulators:
            self.control("callback", {"gateway": gateway, "url": f"{public}/webhooks/{ACCOUNTS[gateway]}/"})

    def _start_web(self, port: int) -> None:
        """The production server, exactly as the Procfile starts it."""
        lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        environment = {**self.environment_for("soak-web"), "PORT": str(port), "PATH": path}
        with self.log("web") as log:
            web = subprocess.Popen(
                ["sh", "-c", f"exec {lines['web']}"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        self.everything.callback(self._end, web)
        until_it_answers(f"{self.url}/accounts/login/")

    def start_worker(self, number: int) -> None:
        command = [sys.executable, "manage.py", "worker", "--sweep", "1", "--interval", "0.1", "--threads", "4"]
        environment = {**self.environment_for("soak-worker"), **WORKER_SETTINGS}
        self.started_at[number] = time.monotonic()
        with self.log(f"worker-{number}") as log:
            self.workers[number] = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def kill_worker(self, number: int, age: float) -> bool:
        """If it is that old (seconds); another one is started, as a supervisor would."""
        if time.monotonic() - self.started_at[number] < age:
            return False
        self.workers[number].send_signal(signal.SIGKILL)
        self.workers[number].wait()
        self.start_worker(number)
        return True

    def start_person(self, scene: Path, name: str) -> None:
        with self.log("people") as log:
            command = [sys.executable, "-m", "tests.soak.people", scene, name]
            self.people.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log))
        self.everything.callback(self._end, self.people[-1])

    def run(self, name: str, arguments: list[object]) -> None:
        with self.log(name) as log:
            command = [sys.executable, *map(str, arguments)]
            process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        self.everything.callback(self._end, process)

    def log(self, name: str) -> IO[bytes]:
        return (self.folder / f"{name}.log").open("ab")

    def environment_for(self, name: str) -> dict[str, str]:
        """On PostgreSQL each process says who it is, so that its connections can be told apart."""
        url = self.database_url
        if url.startswith("postgres"):
            url += f"{'&' if '?' in url else '?'}application_name={name}"
        return {**self.environment, "DATABASE_URL": url}

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # --- the gateways ---

    def control(self, what: str, told: dict[str, object]) -> None:
        body = json.dumps(told).encode()
        with urllib.request.urlopen(f"{self.sandbox_url}/control/{what}", body, timeout=30) as answer:
            answer.read()

    def keys(self) -> list[tuple[str, str]]:
        with closing(read_only(self.ledger)) as rows:
            return rows.execute("SELECT gateway, key FROM refund WHERE is_executed").fetchall()

    def n_to_come(self) -> int:
        """Steps of stories that are still to be told."""
        with closing(read_only(self.ledger)) as rows:
            return rows.execute("SELECT COUNT(*) FROM step WHERE NOT is_done").fetchone()[0]

    def sell(self) -> list[dict[str, object]]:
        """Payments at every gateway. Every second one is known there as far larger, so that only we keep the limit."""
        sold = []
        for gateway, slug in ACCOUNTS.items():
            account, simulator = make_account(slug), self.simulators.get(gateway)
            for number in range(PAYMENTS):
                whole = gateway == "examplepay"
                captured = 10_000 + 100 * number + sorted(STORIES)[number % len(STORIES)] if whole else 60_000
                reference = simulator.payment_name(number) if simulator else f"transfer-{number}"
                currency = simulator.currency if simulator else "EUR"
                payment = make_payment(captured, currency, reference, account=account)
                if simulator:
                    known = captured if whole or number % 2 else captured * 100
                    about = {"gateway": gateway, "payment": reference, "minor": known, "currency": currency}
                    self.control("payment", about)
                sold.append({"pk": payment.pk, "gateway": gateway, "whole": whole})
        assert Payment.objects.count() == len(sold)
        return sold


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def until_it_answers(url: str, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30):
                return
        except OSError:
            assert time.monotonic() < ends, f"{url} did not answer in {seconds} s."
            time.sleep(0.2)
