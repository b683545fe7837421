"""The whole house for a test: sandbox, web server and worker processes, over real sockets and one database."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateways.sandbox import Sandbox
from refunds.accounts import prefix_of
from refunds.models import Account, Payment, Refund
from tests.builders import ACCOUNTS, make_account, make_payment

ROOT = Path(__file__).resolve().parent.parent
QUICK = {
    "GATEWAY_DEADLINE_SECONDS": "1",
    "DATABASE_WAIT_SECONDS": "2",
    "PAYERLY_EU_QUIET_WINDOW_SECONDS": "2",
    "POLL_PACE": "0.1",
}


@dataclass
class House:
    """Everything that `make run` starts; the workers can be killed and started again."""

    sandbox: Sandbox
    url: str
    environment: dict[str, str]
    log: Path
    sweep: str = "0.5"  # seconds between two sweeps of its workers
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "manage.py", "worker", "--sweep", self.sweep, "--interval", "0.05", "--threads", "4"]
        with self.log.open("ab") as log:
            worker = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    def open_doors(self) -> None:
        """Start a worker and wait until it has pinned Payerly's key, so that webhooks are let in."""
        make_account()
        self.start_worker()
        until(lambda: Account.objects.get(slug="payerly-eu").webhook_key)

    def sold(self, gateway: str, captured: int = 5000, number: int = 1, **fields: Any) -> Payment:
        """A captured payment (minor units) that the gateway's ledger knows too."""
        simulator = self.sandbox.simulators[gateway]
        reference = simulator.payment_name(number)
        self.sandbox.payment(reference, captured, simulator.currency, gateway=gateway)
        account = make_account(ACCOUNTS[gateway])
        return make_payment(captured, simulator.currency, reference, account=account, **fields)

    def kill_worker(self) -> None:
        """As a power cut would: no signal handler, no farewell."""
        self.workers[-1].send_signal(signal.SIGKILL)
        self.workers[-1].wait()

    def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self.workers:
            worker.wait(timeout=30)

    def paid(self, refund: Refund) -> list[dict[str, Any]]:
        """What the gateway's own ledger moved for this refund; where it has no key of ours, for its payment."""
        names = (str(refund.key), refund.payment.reference)
        out = [move for move in self.sandbox.ledger() if move["kind"] == "refund"]
        return [move for move in out if move["key"] == names[0]] or [
            move for move in out if move["payment"] == names[1] and not is_ours(move["key"])
        ]

    def asked(self, refund: Refund, method: str) -> list[dict[str, Any]]:
        """The calls about this refund that reached the gateway: PUT is an order, GET a look-up."""
        about = str(refund.key) if method == "PUT" else f"/payments/{refund.payment.reference}/"
        return [call for call in self.sandbox.requests() if call["method"] == method and about in call["path"]]


def is_ours(key: str) -> bool:
    """Whether a key in the ledger is one of ours, and not one that a simulator made up."""
    return len(key) == 36 and Refund.objects.filter(key=key).exists()


def until(what: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for something to be true and return it; a test fails with its last value."""
    ends = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < ends, f"It did not happen in {seconds} s; last seen: {found!r}"
        time.sleep(0.05)
    return found


def until_status(refund: Refund, status: str, seconds: float = 20) -> Refund:
    """Wait until the refund stands there."""
    ends = time.monotonic() + seconds
    while (now := Refund.objects.select_related("payment", "account").get(pk=refund.pk)).status != status:
        story = "\n".join(f"{line.sequence} {line.step}: {line.text}" for line in now.events.all())
        assert time.monotonic() < ends, f"{refund} is {now.status}, not {status}, after {seconds} s:\n{story}"
        time.sleep(0.05)
    return now


@pytest.fixture(scope="session")
def live_server(django_db_setup: None, live_server: Any) -> Any:
    """The web server, once the database has its name: taken for one in memory, all threads would share a connection."""
    return live_server


def point_at(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our accounts, one at each gateway, belong to this sandbox; it may start later."""
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GATEWAY_ACCOUNTS", ",".join(f"{slug}:{name}" for name, slug in ACCOUNTS.items()))
    for gateway in sandbox.simulators:
        for name, value in sandbox.credentials(gateway).items():
            monkeypatch.setenv(f"{prefix_of(ACCOUNTS[gateway])}_{name}", value)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """The sandbox gateways on a free port, thirty times as quick as in the demo, with our account pointed at them."""
    with Sandbox(pace=1 / 30) as sandbox:
        point_at(sandbox, monkeypatch)
        yield sandbox


@pytest.fixture
def house(
    sandbox: Sandbox,
    live_server: Any,
    process_environment: dict[str, str],
    settings: Any,
    tmp_path: Path,
) -> Iterator[House]:
    """Sandbox and web; a test starts its workers."""
    settings.PUBLIC_URL = live_server.url
    settings.POLL_PACE = float(QUICK["POLL_PACE"])
    environment = {**process_environment, "PUBLIC_URL": live_server.url, "DEBUG": "on"}
    for gateway in sandbox.simulators:
        sandbox.callback(gateway, f"{live_server.url}/webhooks/{ACCOUNTS[gateway]}/")
    home = House(sandbox, live_server.url, environment, tmp_path / "workers.log")
    yield home
    home.stop()
    print(home.log.read_text() if home.log.exists() else "")  # shown when the test fails
