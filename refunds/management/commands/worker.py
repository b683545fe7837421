"""`manage.py worker`: does the jobs. Ctrl-C finishes the ones at work; kill -9 loses nothing."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils.crypto import get_random_string
from django_tasks import task_backends
from django_tasks_db import DatabaseBackend

from refunds.worker import PoolWorker, run_clock, supervise
from refunds_site import telemetry


class Command(BaseCommand):
    help = "Send and settle refunds: one poller, a pool of threads and a clock."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--threads", type=int, default=settings.WORKER_THREADS, help="jobs done at the same time (WORKER_THREADS)"
        )
        parser.add_argument("--interval", type=float, default=0.2, help="seconds between looks for jobs (default 0.2)")
        parser.add_argument("--sweep", type=float, default=60.0, help="seconds between sweeps (default 60)")

    def handle(self, *, threads: int, interval: float, sweep: float, **options: Any) -> None:
        if not isinstance(task_backends["default"], DatabaseBackend):
            raise CommandError(f"{settings.TASKS_BACKEND} has workers of its own: start those, and `manage.py clock`.")
        check_pool(threads)
        self.check(databases=["default"])
        telemetry.start()
        stopped = threading.Event()
        worker = PoolWorker(threads, interval, worker_id=get_random_string(32))

        def stop(signum: int, frame: object) -> None:
            stopped.set()
            worker.stop()

        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, stop)
        clock = threading.Thread(target=run_clock, args=(sweep, stopped, worker.sign), name="clock", daemon=True)
        clock.start()
        self.stdout.write(f"Worker ready: {threads} threads, a sweep every {sweep:g} s. Ctrl-C ends it.")
        self.stdout.flush()
        supervise(worker.run, stopped)
        worker.finish()
        self.stdout.write("Worker ended; no job was left half done.")


def check_pool(threads: int) -> None:
    """Raises CommandError where jobs would wait for a connection while others are out on a call with theirs."""
    pool = connection.settings_dict["OPTIONS"].get("pool")
    if pool and pool["max_size"] < threads + 2:
        raise CommandError(
            f"{threads} threads, the poller and the clock need {threads + 2} connections, and the pool has "
            f"{pool['max_size']}: set DATABASE_POOL={threads + 2}, or leave it out."
        )
