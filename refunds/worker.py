"""The worker process: one poller takes jobs, a pool of threads does them, a clock sweeps."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from django.db import Error, close_old_connections, connection, transaction
from django.utils import timezone
from django_tasks import TaskResultStatus
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult

from refunds import history, services
from refunds.metrics import tallies
from refunds.signs import Sign

log = logging.getLogger(__name__)

RUNNING, WELL_DONE = {"status": TaskResultStatus.RUNNING}, {"status": TaskResultStatus.SUCCESSFUL}  # of a job
GATHER = 0.01  # seconds in which more threads come free: one claim for all of them
LONGEST_SILENCE = 1.0  # seconds without a look at the database while all threads are busy
KEEP_JOBS = timedelta(days=1)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


class PoolWorker(Worker):
    """The library's worker with a poller that claims as many jobs at once as there are threads for, and no more."""

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
        self.sign = Sign(worker_id, threads)
        self.at_work: set[object] = set()
        self.free = threading.Semaphore(threads)
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="job")
        self.done: deque[UUID] = deque()  # jobs that went well, and whose rows do not say so yet

    def run(self) -> None:
        """Until it is stopped. Raises Error when the database is away, and can then be run again."""
        while self.running:
            close_old_connections()
            n_free, jobs = self._free_threads(), list[DBTaskResult]()
            try:
                jobs = self._look_for_jobs(n_free if self.running else 0)  # it may have been stopped meanwhile
            finally:
                self._give_back(n_free - len(jobs))
            for job in jobs:
                self.run_task(job)
            if not jobs and self.batch:
                return
            if not jobs and self.running:
                time.sleep(self.interval)

    @property
    def running(self) -> bool:
        """Asked before each look for jobs, which makes it the poller's own sign of life."""
        if self._running:
            self.sign.poll(len(self.at_work))
        return self._running

    @running.setter
    def running(self, is_running: bool) -> None:
        self._running = is_running

    def run_task(self, db_task_result: DBTaskResult) -> None:
        """Called by the poller with a job it has claimed, for which it holds a thread.

        So a claimed job is always at work: none waits here while another worker is idle, and a stop loses none.
        """
        self.at_work.add(db_task_result.pk)
        self.pool.submit(self._run_in_thread, db_task_result)

    def stop(self) -> None:
        """Take no more jobs; the ones at work are finished."""
        self.running = False

    def finish(self) -> None:
        self.pool.shutdown(wait=True)
        with suppress(Error):  # then they stay behind as running, which harms nobody
            self._look_for_jobs(0)
        self.sign.end()

    def _free_threads(self) -> int:
        """Hold all threads that are free; where none is, those that become so in the next moment, or none."""
        if not self.free.acquire(blocking=False):
            if not self.free.acquire(timeout=LONGEST_SILENCE):
                return 0
            time.sleep(GATHER)
        n_free = 1
        while self.free.acquire(blocking=False):
            n_free += 1
        return n_free

    def _give_back(self, n_threads: int) -> None:
        for _ in range(n_threads):
            self.free.release()

    def _look_for_jobs(self, most: int) -> list[DBTaskResult]:
        """Claim up to `most` jobs that are due, and write down which ones are done: one transaction for all of them."""
        done = list(self.done)
        with transaction.atomic():
            if done:
                DBTaskResult.objects.filter(pk__in=done).update(**WELL_DONE, finished_at=timezone.now())
            jobs = self._claim(most) if most else []
        for _ in done:
            self.done.popleft()
        return jobs

    def _claim(self, most: int) -> list[DBTaskResult]:
        """SQLite has one writer at a time; on PostgreSQL each poller skips what another one is just claiming."""
        ready = DBTaskResult.objects.ready().filter(backend_name=self.backend_name, queue_name__in=self.queue_names)
        jobs = list(ready.select_for_update(skip_locked=True)[:most])
        if jobs:
            claimed = {**RUNNING, "started_at": timezone.now(), "worker_ids": [self.worker_id]}
            DBTaskResult.objects.filter(pk__in=[job.pk for job in jobs]).update(**claimed)
            for job in jobs:
                vars(job).update(claimed)
        return jobs

    def _run_in_thread(self, job: DBTaskResult) -> None:
        job.set_successful = lambda return_value: self.done.append(job.pk)  # no commit for each: the poller's next
        try:
            super().run_task(job)
        except Error:
            log.exception("A job could not be finished; its refund comes due again by itself")
        except Exception:
            log.exception("A job went wrong")  # it would vanish in the pool
        finally:
            close_old_connections()
            self.at_work.discard(job.pk)
            self.free.release()


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


def run_clock(every: float, stopped: threading.Event, sign: Sign) -> None:
    """Sweep at once and then every `every` seconds; whoever is alive does it, and doing it twice is harmless."""
    while not stopped.is_set():
        try:
            supervise(lambda: _tick(sign), stopped)
        except Exception:
            log.exception("A sweep went wrong; the next one tries again")  # the clock must never stand still
        stopped.wait(every)
    connection.close()


def _tick(sign: Sign) -> None:
    close_old_connections()
    if n_found := services.sweep():
        log.info("The sweep found %d due.", n_found)
    sign.sweep()
    history.set_checkpoint()
    forget_old_jobs()
    services.tidy()
    services.sweep_notices()  # late, so that it stands in nobody's way
    tallies.count()


def forget_old_jobs() -> None:
    """Those that ended a day ago, and those that died with their worker: what they were about came due again."""
    old = timezone.now() - KEEP_JOBS
    DBTaskResult.objects.finished().filter(finished_at__lt=old).delete()
    DBTaskResult.objects.running().filter(started_at__lt=old).delete()
