"""Work that takes long: its state in files, so that every worker knows it and a reload shows it."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from service.core.errors import HirebaseError, NotFoundError, RowsRefused
from service.web.users import Role

log = logging.getLogger("hirebase.console")

KEPT_SECONDS = 24 * 3600
BEAT_SECONDS = 2.0
"""A job that runs says so this often."""
SILENT_SECONDS = 20
"""One that has said nothing for so long has ended with its process."""

STOPPED = "The service stopped while this ran. Start it again from here."
BROKEN = "Something went wrong on our side. Try again; if it stays, tell the operator when it was."

_id = re.compile(r"[0-9a-f]{16}").fullmatch
State = Literal["running", "ready", "done", "failed"]


class Job(Struct, kw_only=True):
    """A job. Those with a preview run twice: `ready` is in between, until somebody confirms."""

    id: str
    kind: Literal["load", "backup", "verify", "restore"]
    title: str
    user: str
    role: Role
    options: dict[str, str]
    word: str = ""
    state: State = "running"
    preview: bool = False
    started: float
    updated: float
    done: int = 0
    total: int = 0
    message: str = ""
    rows: list[dict[str, Any]] = []
    codes: dict[str, int] = {}
    """Of a load: how many errors of which code."""
    failures: list[dict[str, Any]] = []
    verdicts: list[dict[str, Any]] = []
    """Of a preview: the first rows, each with its errors or none."""
    rejects: str | None = None

    @property
    def share(self) -> int:
        """Per cent, as far as that can be told."""
        return min(100, 100 * self.done // self.total) if self.total else 0


Work = Callable[[Job, Path], Awaitable[None]]


class Jobs:
    """Jobs in a folder each, for a day."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._tasks: set[asyncio.Task[None]] = set()

    def create(self, **fields: Any) -> tuple[Job, Path]:
        """A job that does not run yet, and the folder for what it needs."""
        self._forget_old()
        now = time.time()
        job = Job(id=secrets.token_hex(8), started=now, updated=now, **fields)
        folder = self._folder / job.id
        folder.mkdir(parents=True, mode=0o700)
        return job, folder

    def start(self, job: Job, work: Work) -> None:
        """Let it run; what becomes of it is in its state."""
        job.state, job.message, job.started = "running", "", time.time()
        self.save(job)
        task = asyncio.create_task(self._run(job, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def find(self, job_id: str) -> Job:
        """A job as it is now; NotFoundError."""
        try:
            if not _id(job_id):
                raise FileNotFoundError
            job = msgspec.json.decode((self._folder / job_id / "job.json").read_bytes(), type=Job)
        except (OSError, msgspec.DecodeError):
            raise NotFoundError("There is no such job; they are kept for a day.") from None
        if job.state == "running" and time.time() - job.updated > SILENT_SECONDS:
            job.state, job.message = "failed", STOPPED
        return job

    def folder(self, job: Job) -> Path:
        """Where its files are."""
        return self._folder / job.id

    def latest(self, count: int) -> list[Job]:
        """The newest first."""
        found = []
        for path in self._folder.glob("*/job.json"):
            with suppress(NotFoundError):
                found.append(self.find(path.parent.name))
        return sorted(found, key=lambda job: -job.started)[:count]

    def save(self, job: Job) -> None:
        """Put its state where all find it, at once or not at all."""
        job.updated = time.time()
        folder = self._folder / job.id
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(msgspec.json.encode(job))
        Path(file.name).replace(folder / "job.json")

    async def close(self) -> None:
        """End what runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, job: Job, work: Work) -> None:
        beat = asyncio.create_task(self._beat(job))
        state: State = "failed"
        try:
            await work(job, self._folder / job.id)
            state = "ready" if job.preview else "done"
        except HirebaseError as error:
            job.message = str(error)
            if isinstance(error, RowsRefused):
                job.failures = msgspec.to_builtins([one.as_failure() for one in error.rejects])
        except asyncio.CancelledError:
            job.message = STOPPED
        except Exception as error:  # nobody awaits it: its state is where it is told
            log.exception("a %s failed", job.kind, exc_info=error)
            job.message = BROKEN
        finally:
            beat.cancel()
            job.state = state
            self.save(job)

    async def _beat(self, job: Job) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self.save(job)

    def _forget_old(self) -> None:
        for path in self._folder.glob("*/job.json"):
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(path.parent, ignore_errors=True)
