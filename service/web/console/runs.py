"""The runs of jobs in this process, each with a heartbeat."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

from service.core.errors import (
    ContentionError,
    DatabaseError,
    HirebaseError,
    RowsRefused,
    UnavailableError,
)
from service.web.console.jobs import STOPPED, Job, Jobs, State, row_verdict
from service.web.traffic.limiter import Limiter

log = logging.getLogger("hirebase.console")

PROGRESS_SECONDS = 0.5
"""Shortest time between two writes of the progress."""
HEARTBEAT_SECONDS = 2.0
"""Time between two heartbeats of a run without progress."""
RETRY_SECONDS = 1.0
TIDY_SECONDS = 600
STOP_SECONDS = 5
"""Longest time that a stop waits for the runs to write their end."""

BROKEN = (
    "The service failed unexpectedly. Try again. If it fails again, tell the operator the time "
    "of the failure: the log has the reason."
)
WAITING = "Waiting for other backups, restores, verifications, loads or exports to end."

Work = Callable[[Job], Awaitable[None]]


class Runs:
    """Runs jobs; the table of jobs has their state."""

    def __init__(self, jobs: Jobs):
        self._jobs = jobs
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, job: Job, work: Work) -> None:
        """Run a new job."""
        await self._jobs.add(job)
        self._start(job, work)

    async def restart(self, job: Job, work: Work, *, preview: bool) -> None:
        """Run a job that is ready or has failed; KeyBusyError if another run has claimed it."""
        self._start(await self._jobs.claim(job, preview=preview), work)

    async def close(self) -> None:
        """Stop all runs and write that they were stopped."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    def _start(self, job: Job, work: Work) -> None:
        task = asyncio.create_task(self._run(job, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, job: Job, work: Work) -> None:
        running = asyncio.ensure_future(work(job))
        heartbeats = asyncio.create_task(self._send_heartbeats(job, running))
        try:
            state = await _outcome(job, running)
        finally:
            heartbeats.cancel()
        await self._finish(job, state)

    async def _send_heartbeats(self, job: Job, running: asyncio.Future[None]) -> None:
        """Write progress and heartbeats; cancel the work if another run has claimed the job."""
        written, at = "", 0.0
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            with _logged(job):
                current = job.message + job.progress()
                if current == written and time.monotonic() - at < HEARTBEAT_SECONDS:
                    continue
                written, at = current, time.monotonic()
                if not await self._jobs.heartbeat(job):
                    log.warning("job %s: another run has claimed it, this run stops", job.id)
                    running.cancel()
                    return

    async def _finish(self, job: Job, state: State) -> None:
        """Write the end of a run; retry while the database is not available."""
        while True:
            try:
                if not await self._jobs.finish(job, state):
                    log.warning("job %s: another run has claimed it, this end is dropped", job.id)
                return
            except (UnavailableError, ContentionError) as error:
                log.warning("job %s: its end cannot be written yet: %s", job.id, error)
            except Exception:  # a retry fails too; without heartbeats, the job counts as failed
                log.exception("job %s: its end cannot be written", job.id)
                return
            await asyncio.sleep(RETRY_SECONDS)


@contextmanager
def _logged(job: Job) -> Iterator[None]:
    """Log any error and continue: without heartbeats another replica would claim the job."""
    try:
        yield
    except DatabaseError as error:
        log.warning("job %s: the heartbeat failed: %s", job.id, error)
    except Exception:  # a bug must not end the heartbeats
        log.exception("job %s: the heartbeat failed", job.id)


async def _outcome(job: Job, running: asyncio.Future[None]) -> State:
    try:
        await running
    except HirebaseError as error:
        job.message = str(error)
        if isinstance(error, RowsRefused):
            job.failures = [
                row_verdict(one.position, one.record, one.errors) for one in error.rejects
            ]
    except asyncio.CancelledError:
        job.message = STOPPED
    except Exception as error:  # no caller awaits the run
        log.exception("a %s failed", job.kind, exc_info=error)
        job.message = BROKEN
    else:
        return "ready" if job.preview else "done"
    return "failed"


@asynccontextmanager
async def slot(limiter: Limiter, job: Job) -> AsyncIterator[None]:
    """Wait for a free slot of the limiter, and keep it."""
    with ExitStack() as stack:
        while not _entered(limiter, stack):
            job.message = WAITING
            await asyncio.sleep(RETRY_SECONDS)
        job.message = ""
        yield


def _entered(limiter: Limiter, stack: ExitStack) -> bool:
    try:
        stack.enter_context(limiter.place())
    except UnavailableError:
        return False
    return True
