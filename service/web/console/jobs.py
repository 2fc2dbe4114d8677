"""Jobs of the console: their state in the database, so that every replica sees and follows them."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

import sql
from service.core.database.transactions import Database, Row
from service.core.errors import KeyBusyError, NotFoundError
from service.core.threads import in_thread
from service.web.access.users import Role
from sql import chunks

KEPT_SECONDS = 24 * 3600
SILENT_SECONDS = 20
"""A job whose run has had no heartbeat for so long has lost its process."""
BEAT_TIMEOUT = 5.0
"""Seconds for a heartbeat: it must not wait for as long as a request may."""
STOPPED = "The service stopped while this ran. Start it again from here."
TAKEN = "This runs already, or is done. Reload the page to see how far it is."
CLAIMABLE = ("ready", "failed")
MESSAGE = 2000
"""Characters of a message that are kept."""

SQL = sql.statements("console_jobs")
FIXED = ("id", "kind", "title", "user", "role", "options", "word")
RESULT = ("failures", "verdicts", "rejects")

_id = re.compile(r"[0-9a-f]{16}").fullmatch
State = Literal["running", "ready", "done", "failed"]


def token() -> str:
    """A new name that nobody guesses: of a job, or of a run."""
    return secrets.token_hex(8)


class Progress(Struct, kw_only=True):
    """What changes while a job runs."""

    done: int = 0
    total: int = 0
    rows: list[dict[str, Any]] = []
    codes: dict[str, int] = {}
    """Of a load: how many errors of which code."""

    @property
    def share(self) -> int:
        """Per cent, as far as that can be told."""
        return min(100, 100 * self.done // self.total) if self.total else 0

    def progress(self) -> str:
        """This as JSON."""
        return _encoded(self, Progress.__struct_fields__)


class Job(Progress, kw_only=True):
    """A job. Those with a preview run twice: `ready` is in between, until somebody confirms."""

    id: str = msgspec.field(default_factory=token)
    kind: Literal["load", "backup", "verify", "restore"]
    title: str
    user: str
    role: Role
    options: dict[str, str]
    word: str = ""
    preview: bool = False
    state: State = "running"
    run: str = msgspec.field(default_factory=token)
    message: str = ""
    started: float = 0.0
    silent: bool = False
    """It should run, but its run has no heartbeat: then it counts as failed."""
    failures: list[dict[str, Any]] = []
    verdicts: list[dict[str, Any]] = []
    """Of a preview: the first rows, each with its errors or none."""
    rejects: str | None = None

    def again(self, run: str, *, preview: bool) -> Job:
        """The same job for another run: nothing of it is done yet."""
        kept = {name: getattr(self, name) for name in FIXED}
        return Job(**kept, run=run, preview=preview)


class Jobs:
    """The table of jobs, and a folder each for those that have files; both are kept for a day."""

    def __init__(self, database: Database, folder: Path):
        self._database = database
        self._folder = folder

    def folder(self, job_id: str) -> Path:
        """Where a job's files are, on all replicas that share REJECTS_DIR."""
        return self._folder / job_id

    async def add(self, job: Job) -> None:
        """Put a new job into the table; its run is the caller's."""
        fixed = (job.id, job.kind, job.title, job.user, job.role, _json(job.options), job.word)
        state = (job.preview, job.state, job.run, job.message, job.progress(), "{}")
        await self._execute("insert", *fixed, *state)

    async def claim(self, job: Job, *, preview: bool) -> Job:
        """The job as a new run of the caller's; KeyBusyError where another was quicker."""
        run, stored = token(), "running" if job.silent else job.state
        seen = (job.id, job.run, stored, SILENT_SECONDS)
        if job.state not in CLAIMABLE or not await self._execute("claim", run, preview, *seen):
            raise KeyBusyError(TAKEN)
        return job.again(run, preview=preview)

    async def find(self, job_id: str) -> Job:
        """A job as it is now; NotFoundError."""
        for row in await self._fetch("find", job_id):
            return _job(row)
        raise NotFoundError("There is no such job; they are kept for a day.")

    async def latest(self, count: int) -> list[Job]:
        """The newest first, without their results."""
        return [_job(row) for row in await self._fetch("latest", count)]

    async def follow(self, job_id: str) -> dict[str, Any]:
        """State, message and progress; NotFoundError."""
        for state, message, progress, silent in await self._fetch("follow", job_id):
            told = msgspec.json.decode(progress, type=Progress)
            return {
                "state": "failed" if silent else state,
                "share": told.share,
                "rows": told.rows,
                "message": message,
            }
        raise NotFoundError("There is no such job; they are kept for a day.")

    async def beat(self, job: Job) -> bool:
        """Say that the run is alive, and how far it is; False where the job is another's now."""
        said = (job.message[:MESSAGE], job.progress(), job.id, job.run)
        return bool(await self._execute("heartbeat", *said, timeout=BEAT_TIMEOUT))

    async def finish(self, job: Job, state: State) -> bool:
        """Say how the run ended; False where the job is another's now."""
        told = (job.message[:MESSAGE], job.progress(), _encoded(job, RESULT))
        return bool(await self._execute("finish", state, *told, job.id, job.run))

    async def tidy(self) -> None:
        """Remove what is older than a day: jobs with their folders, and folders without a job."""
        for (job_id,) in await self._database.fetch(SQL["old"], (KEPT_SECONDS,)):
            if await self._execute("forget", job_id, KEPT_SECONDS):
                await in_thread(partial(shutil.rmtree, self.folder(job_id), ignore_errors=True))
        for names in chunks(await in_thread(self._old_folders)):
            known = await self._database.fetch(sql.with_in_list(SQL["known"], len(names)), names)
            for name in {*names} - {name for (name,) in known}:
                await in_thread(partial(shutil.rmtree, self.folder(name), ignore_errors=True))

    def _old_folders(self) -> list[str]:
        """Old enough that their job would be in the table if there were one."""
        now, paths = time.time(), self._folder.glob("*/")
        return [
            path.name
            for path in paths
            if _id(path.name) and now - path.stat().st_mtime > KEPT_SECONDS
        ]

    async def _fetch(self, name: str, value: Any) -> list[Row]:
        if isinstance(value, str) and not _id(value):
            return []
        return await self._database.fetch(SQL[name], (SILENT_SECONDS, value))

    async def _execute(self, name: str, *values: Any, timeout: float | None = None) -> int:
        return await self._database.run(
            lambda transaction: transaction.execute(SQL[name], values), timeout
        )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _encoded(job: Struct, names: tuple[str, ...]) -> str:
    return _json({name: getattr(job, name) for name in names})


def _job(row: Row) -> Job:
    (*fixed, progress, result, started, silent) = row
    names = (*FIXED, "preview", "state", "run", "message")
    facts = dict(zip(names, fixed, strict=True))
    facts |= msgspec.json.decode(progress) | msgspec.json.decode(result)
    facts |= {"options": msgspec.json.decode(facts["options"]), "preview": bool(facts["preview"])}
    facts |= {"started": started / 1e6, "silent": bool(silent)}
    if silent:
        facts |= {"state": "failed", "message": STOPPED}
    return msgspec.convert(facts, Job)
