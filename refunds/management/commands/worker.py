"""`manage.py worker`: does the jobs. Ctrl-C finishes the ones at work; kill -9 loses nothing."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.crypto import get_random_string

from refunds.worker import PoolWorker, run_clock, supervise
from refunds_site import telemetry


class Command(BaseCommand):
    help = "Send and settle refunds: one poller, a pool of threads and a clock."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--threads", type=int, default=8, help="jobs done at the same time (default 8)")
        parser.add_argument("--interval", type=float, default=0.2, help="seconds between looks for jobs (default 0.2)")
        parser.add_argument("--sweep", type=float, default=60.0, help="seconds between sweeps (default 60)")

    def handle(self, *, threads: int, interval: float, sweep: float, **options: Any) -> None:
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
