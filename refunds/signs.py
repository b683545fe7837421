"""Signs of life: each worker says now and then that it polls and sweeps; whoever reads them knows that one is alive."""

from __future__ import annotations

import logging
import os
import platform
import time
from datetime import timedelta

from django.db import Error
from django.utils import timezone

from refunds.models import WorkerSign

log = logging.getLogger("refunds")

EVERY = 10.0  # seconds between two writes
KEPT = timedelta(days=1)


class Sign:
    """The row of this worker. A database that is away costs a sign, never the work."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.threads = name, threads
        self.host, self.pid = platform.node()[:100], os.getpid()
        self.started_at = timezone.now()
        self._written = -EVERY

    def poll(self, n_at_work: int) -> None:
        """The poller is about to look for jobs."""
        if time.monotonic() - self._written >= EVERY:
            self._written = time.monotonic()
            self._write(n_at_work=n_at_work, polled_at=timezone.now())

    def sweep(self) -> None:
        """The clock has swept; signs of workers that are gone for long are taken away with it."""
        now = timezone.now()
        if WorkerSign.objects.filter(name=self.name).update(swept_at=now) == 0:
            self._write(polled_at=self.started_at, swept_at=now)
        WorkerSign.objects.filter(polled_at__lt=now - KEPT).delete()

    def end(self) -> None:
        """A worker that ended in peace is missed by nobody."""
        try:
            WorkerSign.objects.filter(name=self.name).delete()
        except Error as trouble:
            log.warning("The sign of this worker could not be taken away: %s", type(trouble).__name__)

    def _write(self, **now: object) -> None:
        born = {"host": self.host, "pid": self.pid, "threads": self.threads, "started_at": self.started_at}
        try:
            WorkerSign.objects.update_or_create(name=self.name, defaults=now, create_defaults={**born, **now})
        except Error as trouble:
            log.warning("The sign of this worker could not be written: %s", type(trouble).__name__)
