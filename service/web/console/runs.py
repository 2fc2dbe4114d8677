"""The runs of jobs in this process, each with a heartbeat."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

import msgspec

from service.core.errors import (
    ContentionError,
    DatabaseError,
    HirebaseError,
    RowsRefused,
    UnavailableError,
)
from service.web.console.jobs import STOPPED, Job, Jobs, State
from service.web.traffic.limiter import Limiter

log = logging.getLogger("hirebase.console")

PROGRESS_SECONDS = 0.5
"""Progress is written this often at most."""
BEAT_SECONDS = 2.0
"""A run without progress has a heartbeat this often."""
AGAIN_SECONDS = 1.0
TIDY_SECONDS = 600
STOP_SECONDS = 5
"""So long a stop waits for runs to write that they were stopped."""

BROKEN = "Something went wrong on our side. Try again; if it stays, tell the operator when it was."
WAITING = "Waiting for a place: other backups, restores or loads are running."

Work = Callable[[Job], Awaitable[None]]


class Runs:
    """Runs jobs; what becomes of them is in the table."""

    def __init__(self, jobs: Jobs):
        self._jobs = jobs
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, job: Job, work: Work) -> None:
        """Run a new job."""
        await self._jobs.add(job)
        self._start(job, work)

    async def again(self, job: Job, work: Work, *, preview: bool) -> None:
        """Run a job that is ready or has failed; KeyBusyError where another was quicker."""
        self._start(await self._jobs.claim(job, preview=preview), work)

    async def close(self) -> None:
        """Stop what runs, and say so in the table."""
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
        doing = asyncio.ensure_future(work(job))
        beating = asyncio.create_task(self._beat(job, doing))
        try:
            state = await _outcome(job, doing)
        finally:
            beating.cancel()
        await self._finish(job, state)

    async def _beat(self, job: Job, doing: asyncio.Future[None]) -> None:
        """Write progress and heartbeats; stop the work once the job is another's."""
        told, at = "", 0.0
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            with _supervised(job):
                now = job.message + job.progress()
                if now == told and time.monotonic() - at < BEAT_SECONDS:
                    continue
                told, at = now, time.monotonic()
                if not await self._jobs.beat(job):
                    log.warning("job %s was taken over: this run of it stops", job.id)
                    doing.cancel()
                    return

    async def _finish(self, job: Job, state: State) -> None:
        """Write how it ended, as soon as the database takes it."""
        while True:
            try:
                if not await self._jobs.finish(job, state):
                    log.warning("job %s was taken over: the end of this run is not kept", job.id)
                return
            except (UnavailableError, ContentionError) as error:
                log.warning("the end of job %s cannot be written yet: %s", job.id, error)
            except Exception:  # it would be refused again; without heartbeats the job has failed
                log.exception("the end of job %s cannot be written", job.id)
                return
            await asyncio.sleep(AGAIN_SECONDS)


@contextmanager
def _supervised(job: Job) -> Iterator[None]:
    """Log what fails and go on: without heartbeats another replica would take the job over."""
    try:
        yield
    except DatabaseError as error:
        log.warning("the heartbeat of job %s failed: %s", job.id, error)
    except Exception:  # as above, whatever it is
        log.exception("the heartbeat of job %s failed", job.id)


async def _outcome(job: Job, doing: asyncio.Future[None]) -> State:
    try:
        await doing
    except HirebaseError as error:
        job.message = str(error)
        if isinstance(error, RowsRefused):
            job.failures = msgspec.to_builtins([one.as_failure() for one in error.rejects])
    except asyncio.CancelledError:
        job.message = STOPPED
    except Exception as error:  # nobody awaits it: its state is where it is told
        log.exception("a %s failed", job.kind, exc_info=error)
        job.message = BROKEN
    else:
        return "ready" if job.preview else "done"
    return "failed"


@asynccontextmanager
async def place(gate: Limiter, job: Job) -> AsyncIterator[None]:
    """A place among the long work; waits for one."""
    with ExitStack() as inside:
        while not _entered(gate, inside):
            job.message = WAITING
            await asyncio.sleep(AGAIN_SECONDS)
        job.message = ""
        yield


def _entered(gate: Limiter, inside: ExitStack) -> bool:
    try:
        inside.enter_context(gate.entered())
    except UnavailableError:
        return False
    return True
