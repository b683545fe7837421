"""Much at once: a million payments in, a million refunds out, ten thousand approved and sent. Rows per second, and
whether memory stays flat: what a process holds after a tenth of the rows, and at its peak.
"""

from __future__ import annotations

import csv
import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

from bench import ground, pages, workers

MANY = int(os.environ.get("BENCH_ROWS", "1000000"))
APPROVED = int(os.environ.get("BENCH_APPROVED", "10000"))
THREADS = 20
COLUMNS = "account,payment_reference,order,amount,currency,captured_at,customer_name,customer_email,method,disputed"


def run(server: ground.Databases) -> dict[str, Any]:
    """After the pages: it exports from their largest database."""
    return {"import": _import(server), "export": _export(server), "approve and send": _approve_and_send(server)}


class Memory:
    """Megabytes of a process and its children, looked at several times a second."""

    def __init__(self, pid: int) -> None:
        self.seen: list[float] = []
        self.process, self.over = psutil.Process(pid), threading.Event()

    @contextmanager
    def watched(self) -> Iterator[Memory]:
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield self
        finally:
            self.over.set()
            watcher.join()

    def _watch(self) -> None:
        while not self.over.wait(0.2):
            try:
                family = [self.process, *self.process.children(recursive=True)]
                self.seen.append(sum(one.memory_info().rss for one in family) / 1e6)
            except psutil.NoSuchProcess:
                return

    def told(self) -> dict[str, float]:
        tenth = self.seen[max(len(self.seen) // 10, 1) : max(len(self.seen) // 5, 2)]
        return {"MB after a tenth": max(tenth), "MB at the peak": max(self.seen)}


def _import(server: ground.Databases) -> dict[str, float]:
    environment = ground.site(server.make("bench_import"))
    for command in (["migrate", "--verbosity", "0"], ["createcachetable"], ["sync_accounts"]):
        ground.do(environment, "manage.py", *command)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "payments.csv"
        _write_payments(file)
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "manage.py", "import_payments", str(file)],
            cwd=ground.ROOT, env=environment, stdout=subprocess.PIPE,
        )  # fmt: skip
        with Memory(process.pid).watched() as memory:
            said = process.communicate()[0].decode()
        seconds = time.perf_counter() - began
    server.drop("bench_import")
    if f"New payments: {MANY}" not in said:
        raise RuntimeError(said[-500:])
    return {"rows": MANY, "rows per second": MANY / seconds, **memory.told()}


def _write_payments(file: Path) -> None:
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS.split(","))
        for n in range(MANY):
            person = f"Anna {n:x} Nowak", f"anna.{n % 300_000}@customer.example"
            writer.writerow(
                ["payerly-eu", f"pay-{n}", f"SO-{n}", "49.90", "EUR", "2026-11-01T10:00:00Z", *person, "card", ""]
            )


def _export(server: ground.Databases) -> dict[str, float]:
    """From the largest database of the pages, through the web server, as a person would take it."""
    size = min(max(pages.SIZES), MANY)
    environment = ground.site(server.of(f"bench_{size}"), EXPORT_MOST_ROWS="1000000")
    cookie = ground.told(environment, "bench.pages", "cookies")["finance-0"]
    token = "t" * 32
    form = urlencode({"table": "refunds", "format": "csv", "csrfmiddlewaretoken": token})
    headers = {"Cookie": f"{cookie}; desk-csrf={token}", "Content-Type": "application/x-www-form-urlencoded"}
    with ground.web(environment, workers=1) as port:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        with Memory(_listener(port)).watched() as memory:
            began = time.perf_counter()
            line.request("POST", "/admin/refunds/refund/export/", form, headers)
            answer = line.getresponse()
            n_lines = sum(piece.count(b"\r\n") for piece in iter(lambda: answer.read(1 << 20), b""))
            seconds = time.perf_counter() - began
    if n_lines != size + 1:
        raise RuntimeError(f"{answer.status}: {n_lines} lines of {size + 1}")
    return {"rows": size, "rows per second": size / seconds, **memory.told()}


def _listener(port: int) -> int:
    found = next(one for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == port and one.pid)
    parent = psutil.Process(found.pid)
    while parent.parent() and "granian" in " ".join(parent.parent().cmdline()):
        parent = parent.parent()
    return int(parent.pid)


def _approve_and_send(server: ground.Databases) -> dict[str, float]:
    """By the approver's own step, one after the other, while one worker of 20 threads sends what is approved."""
    gateway = ground.free_port()
    environment = ground.site(
        server.make("bench_bulk"), PAYERLY_EU_URL=f"http://127.0.0.1:{gateway}/payerly/v1", POLL_PACE="100"
    )
    ground.do(environment, "-m", "bench.bulk", "fill")
    command = [sys.executable, "manage.py", "worker", "--threads", str(THREADS)]
    with workers.simulator(gateway):
        worker = subprocess.Popen(command, cwd=ground.ROOT, env=environment, stdout=subprocess.DEVNULL)
        with Memory(worker.pid).watched() as memory:
            began = time.perf_counter()
            approving = ground.told(environment, "bench.bulk", "approve")
            sent_at = began
            while ground.told(environment, "bench.bulk", "sent") < APPROVED:
                time.sleep(1)
            sent_at = time.perf_counter()
            worker.terminate()
            worker.wait(60)
    server.drop("bench_bulk")
    return {
        "rows": APPROVED,
        "approved per second": APPROVED / approving,
        "sent per second, approving included": APPROVED / (sent_at - began),
        **memory.told(),
    }


# --- in a process of the site ---


def fill() -> None:
    from django.core.management import call_command

    from bench import history

    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    history.write(APPROVED, {"requested": APPROVED}, "payerly-eu")


def approve() -> float:
    from django.contrib.auth.models import User

    from refunds import services
    from refunds.models import Refund

    approver = User.objects.get(username="approvers-0")
    waiting = list(Refund.objects.filter(status="requested").order_by("pk").values_list("pk", "version"))
    began = time.perf_counter()
    for pk, version in waiting:
        services.approve_refund(pk, by=approver, seen=version)
    return time.perf_counter() - began


def sent() -> int:
    from refunds.models import Refund

    return Refund.objects.filter(status="processing").count()


DOES: dict[str, Callable[[], Any]] = {"fill": fill, "approve": approve, "sent": sent}


def main() -> None:
    import json

    import django

    django.setup()
    print(json.dumps(DOES[sys.argv[1]]()))


if __name__ == "__main__":
    main()
