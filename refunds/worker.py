"""The worker process: one poller takes jobs, a pool of threads does them, a clock sweeps."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.db import Error, close_old_connections, connection
from django.utils import timezone
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult

from refunds import history, services

log = logging.getLogger(__name__)

KEEP_JOBS = timedelta(days=1)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


class PoolWorker(Worker):
    """The library's poller, handing each claimed job to a pool of `threads` and claiming no more than they can do."""

    def __init__(self, threads: int, interval: float, worker_id: str) -> None:
        super().__init__(
            queue_names=["default"],
            interval=interval,
            batch=False,
            backend_name="default",
            startup_delay=False,
            max_tasks=None,
            worker_id=worker_id,
            excluded_queue_names=[],
        )
        self.free = threading.Semaphore(threads)
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="job")

    def run_task(self, db_task_result: DBTaskResult) -> None:
        """Called by the poller with a job it has claimed."""
        self.free.acquire()
        self.pool.submit(self._run_in_thread, db_task_result)

    def _run_in_thread(self, job: DBTaskResult) -> None:
        try:
            super().run_task(job)
        except Error:
            log.exception("A job could not be finished; its refund comes due again by itself")
        except Exception:
            log.exception("A job went wrong")  # it would vanish in the pool
        finally:
            close_old_connections()
            self.free.release()

    def stop(self) -> None:
        """Take no more jobs; the ones at work are finished."""
        self.running = False

    def finish(self) -> None:
        self.pool.shutdown(wait=True)


def supervise(work: Callable[[], None], stopped: threading.Event) -> None:
    """Do `work` until it ends by itself, beginning again with growing pauses when the database throws it out.

    What has worked for longer than the last pause begins with the shortest again.
    """
    pause = FIRST_PAUSE
    while not stopped.is_set():
        began = time.monotonic()
        try:
            work()
            return
        except Error as trouble:
            if time.monotonic() - began > pause:
                pause = FIRST_PAUSE
            log.warning("The database is away (%s); trying again in %.1f s.", type(trouble).__name__, pause)
            connection.close()
            stopped.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


def run_clock(every: float, stopped: threading.Event) -> None:
    """Sweep at once and then every `every` seconds; whoever is alive does it, and doing it twice is harmless."""
    while not stopped.is_set():
        try:
            supervise(_tick, stopped)
        except Exception:
            log.exception("A sweep went wrong; the next one tries again")  # the clock must never stand still
        stopped.wait(every)
    connection.close()


def _tick() -> None:
    close_old_connections()
    if n_found := services.sweep():
        log.info("The sweep found %d due.", n_found)
    history.set_checkpoint()
    DBTaskResult.objects.finished().filter(finished_at__lt=timezone.now() - KEEP_JOBS).delete()
    services.tidy()
    services.sweep_notices()  # the last, so that it stands in nobody's way
