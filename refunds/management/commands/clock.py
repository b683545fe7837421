"""`manage.py clock`: the sweep alone, where jobs are done by the workers of another Tasks backend."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.crypto import get_random_string

from refunds.signs import Sign
from refunds.worker import run_clock


class Command(BaseCommand):
    help = "Put in line what is due, and seal the journal; `manage.py worker` has this clock built in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--sweep", type=float, default=60.0, help="seconds between sweeps (default 60)")

    def handle(self, *, sweep: float, **options: Any) -> None:
        self.check(databases=["default"])
        stopped = threading.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda signum, frame: stopped.set())
        self.stdout.write(f"Clock ready: a sweep every {sweep:g} s. Ctrl-C ends it.")
        self.stdout.flush()
        sign = Sign(get_random_string(32), threads=0)
        run_clock(sweep, stopped, sign)
        sign.end()
