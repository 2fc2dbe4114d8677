"""Jobs of the console: their state is in the database, so every replica sees and resumes them.

States of a job; `claim` and `finish` change them, each in one UPDATE that names the state before:

    (new) --> running --finish--> done          the work is complete
                 |---finish--> ready            the preview is complete
                 |---finish--> failed           an error, or the service stopped
                 '---claim---> running          no heartbeat for SILENT_SECONDS: shown as failed
    ready  --claim--> running                   a user confirmed the preview
    failed --claim--> running                   a user tries again

Every claim sets a new run token. A run writes heartbeats and its end only while the row has its
token, so a run that lost its job changes nothing. `done` is final; after KEPT_SECONDS the job is
deleted, with its files.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

import sql
from service.core.database.statements import Row, Transaction, fetch_among
from service.core.database.transactions import Database
from service.core.errors import KeyBusyError, NotFoundError
from service.core.rules.fields import Error
from service.core.rules.raw_json import json_text, text_of
from service.core.threads import in_thread
from service.web.access.users import Role

KEPT_SECONDS = 24 * 3600
SILENT_SECONDS = 20
"""If a running job has no heartbeat for this long, its process is gone."""
HEARTBEAT_TIMEOUT = 5.0
"""The deadline of a heartbeat in seconds; it is shorter than that of a request."""
STOPPED = "The service stopped while this job ran. Start the job again here."
BUSY = "This job is already running or done. Reload the page to see its progress."
UNKNOWN_JOB = "There is no such job. Jobs are deleted after a day."
CLAIMABLE = ("ready", "failed")
MESSAGE = 2000
"""Most characters of a stored message."""
RECORD = 500
"""Most characters of a stored record, and of each of its error messages."""
ERRORS = 10
"""Most errors stored of one record."""

SQL = sql.statements("console_jobs")
FIXED = ("id", "kind", "title", "user", "role", "options", "word")
RESULT = ("failures", "verdicts")

UPLOAD = "u"
"""The name of an upload's folder begins with this letter, so it is not the folder of a job."""

_id = re.compile(r"[0-9a-f]{16}").fullmatch
_folder = re.compile(rf"{UPLOAD}?[0-9a-f]{{16}}").fullmatch
Kind = Literal["load", "backup", "verify", "restore"]
State = Literal["running", "ready", "done", "failed"]


def token() -> str:
    """A new random name of a job or a run."""
    return secrets.token_hex(8)


def clipped(text: str, characters: int) -> str:
    """The text, cut after so many characters."""
    return text if len(text) <= characters else f"{text[:characters]}…"


def row_verdict(line: int, record: Any, errors: Sequence[Error]) -> dict[str, Any]:
    """A row as a page shows it. The record is a text, because it may be invalid JSON."""
    reasons = [
        {"code": error.code, "message": clipped(error.message, RECORD)} for error in errors[:ERRORS]
    ]
    if len(errors) > ERRORS:
        more = f"{len(errors) - ERRORS} more errors"
        reasons.append({"code": errors[ERRORS].code, "message": more})
    return {"index": line, "record": clipped(text_of(record), RECORD), "errors": reasons}


class JobProgress(Struct, kw_only=True):
    """What changes while a job runs."""

    done: int = 0
    total: int = 0
    rows: list[dict[str, Any]] = []
    """A table of the result: of a load, a row for each file."""

    @property
    def share(self) -> int:
        """Per cent; 0 if the total is not known."""
        return min(100, 100 * self.done // self.total) if self.total else 0

    def progress(self) -> str:
        """The progress as JSON."""
        return _fields(self, JobProgress.__struct_fields__)


class Job(JobProgress, kw_only=True):
    """A job. A job with a preview runs twice; in between it is `ready` until a user confirms."""

    id: str = msgspec.field(default_factory=token)
    kind: Kind
    title: str
    user: str
    role: Role
    options: dict[str, Any]
    word: str = ""
    preview: bool = False
    state: State = "running"
    run: str = msgspec.field(default_factory=token)
    message: str = ""
    started: float = 0.0
    silent: bool = False
    """The database says that it is running, but it has no heartbeat: it counts as failed."""
    failures: list[dict[str, Any]] = []
    verdicts: list[dict[str, Any]] = []
    """The first rows of a preview, each with its errors."""

    def restarted(self, run: str, *, preview: bool) -> Job:
        """The same job for a new run, without results."""
        fixed = {name: getattr(self, name) for name in FIXED}
        return Job(**fixed, run=run, preview=preview)


class Jobs:
    """The table of jobs, and a folder for each job with files; both are kept for a day.

    An upload also has a folder. When its load begins, this becomes the folder of the job.

    Heartbeats use a separate database: the pool may be in use for longer than SILENT_SECONDS.
    """

    def __init__(self, database: Database, heartbeats: Database, folder: Path):
        self._database = database
        self._heartbeats = heartbeats
        self._folder = folder

    def folder(self, job_id: str) -> Path:
        """The folder of a job's files; all replicas share REJECTS_DIR."""
        return self._folder / job_id

    def upload_folder(self, upload_id: str) -> Path:
        """The folder of an upload; NotFoundError if that is no id."""
        if not _id(upload_id):
            raise NotFoundError("There is no such upload. Reload the page and choose the files.")
        return self.folder(UPLOAD + upload_id)

    async def add(self, job: Job) -> None:
        """Insert a new job; the caller runs it."""
        fixed = (job.id, job.kind, job.title, job.user, job.role, json_text(job.options), job.word)
        state = (job.preview, job.state, job.run, job.message, job.progress(), "{}")
        await self._execute(self._database, "insert", *fixed, *state)

    async def claim(self, job: Job, *, preview: bool) -> Job:
        """The job for a new run by the caller; KeyBusyError if another run has claimed it."""
        run, stored = token(), "running" if job.silent else job.state
        if job.state not in CLAIMABLE:
            raise KeyBusyError(BUSY)
        expected = (job.id, job.run, stored, SILENT_SECONDS)
        if not await self._execute(self._database, "claim", run, preview, *expected):
            raise KeyBusyError(BUSY)
        return job.restarted(run, preview=preview)

    async def find(self, job_id: str) -> Job:
        """The current job; NotFoundError."""
        for row in await self._fetch("find", job_id):
            return _job(row)
        raise NotFoundError(UNKNOWN_JOB)

    async def latest(self, count: int) -> list[Job]:
        """The newest first, without their results."""
        return [_job(row) for row in await self._fetch("latest", count)]

    async def summary(self, job_id: str) -> dict[str, Any]:
        """State, message and progress; NotFoundError."""
        for state, message, stored, silent in await self._fetch("summary", job_id):
            progress = msgspec.json.decode(stored, type=JobProgress)
            return {
                "state": "failed" if silent else state,
                "share": progress.share,
                "rows": progress.rows,
                "message": message,
            }
        raise NotFoundError(UNKNOWN_JOB)

    async def heartbeat(self, job: Job) -> bool:
        """Write the progress of a run; False if another run has claimed the job."""
        values = (job.message[:MESSAGE], job.progress(), job.id, job.run)
        return bool(
            await self._heartbeats.run(
                lambda transaction: transaction.execute(SQL["heartbeat"], values),
                HEARTBEAT_TIMEOUT,
                idempotent=True,
            )
        )

    async def finish(self, job: Job, state: State) -> bool:
        """Write the end of a run; False if another run has claimed the job."""
        values = (job.message[:MESSAGE], job.progress(), _fields(job, RESULT))
        run = (job.id, job.run)
        return bool(await self._execute(self._heartbeats, "finish", state, *values, *run))

    async def tidy(self) -> None:
        """Delete jobs older than a day with their folders, and old folders without a job."""
        for (job_id,) in await self._database.fetch(SQL["old"], (KEPT_SECONDS,)):
            if await self._database.run(partial(_forget, job_id)):
                await in_thread(partial(shutil.rmtree, self.folder(job_id), ignore_errors=True))
        folders = {*await in_thread(self._old_folders)}
        existing = await fetch_among(self._database.fetch, SQL["existing"], folders)
        for name in folders - {name for (name,) in existing}:
            await in_thread(partial(shutil.rmtree, self.folder(name), ignore_errors=True))

    def _old_folders(self) -> list[str]:
        """Old folders. If a folder belongs to a job, the table already has this job."""
        old = time.time() - KEPT_SECONDS
        names = []
        for path in self._folder.glob("*/"):
            # Another process may remove the folder at the same time.
            with suppress(FileNotFoundError):
                if _folder(path.name) and path.stat().st_mtime < old:
                    names.append(path.name)
        return names

    async def _fetch(self, name: str, value: Any) -> list[Row]:
        if isinstance(value, str) and not _id(value):
            return []
        return await self._database.fetch(SQL[name], (SILENT_SECONDS, value))

    async def _execute(self, database: Database, name: str, *values: Any) -> int:
        return await database.run(lambda transaction: transaction.execute(SQL[name], values))


async def _forget(job_id: str, transaction: Transaction) -> int:
    """Delete an old job, and the checkpoints of its load, which nobody can resume any more."""
    deleted = await transaction.execute(SQL["forget"], (job_id, KEPT_SECONDS))
    if deleted:
        for origin in await transaction.fetch(SQL["checkpoints"], (f"%/{job_id}/%",)):
            await transaction.execute(SQL["forget_checkpoints"], origin)
    return deleted


def _fields(struct: Struct, names: tuple[str, ...]) -> str:
    return json_text({name: getattr(struct, name) for name in names})


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
