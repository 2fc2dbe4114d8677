"""Routes that the scripts of the pages call: begin, confirm and watch jobs; download files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.exceptions import PermissionDeniedException
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import File, ServerSentEvent
from msgspec import Struct

from service.core.backups.backup_store import ALL
from service.core.backups.format.zip_archive import CHUNK
from service.core.errors import MalformedError, NotFoundError, UnavailableError
from service.core.reports import REPORTS
from service.core.rules.raw_json import decode_body, json_text
from service.core.tables import by_path
from service.core.threads import in_thread
from service.core.writes.merge import OnConflict
from service.web.access.basic_auth import ROLE
from service.web.api.downloads import Download, download
from service.web.api.parameters import InjectedReader
from service.web.api.reports import CSV, DepartmentId, Year
from service.web.console import backup_jobs
from service.web.console.jobs import Job, Kind
from service.web.console.loads import load, uploads
from service.web.console.loads.files import (
    LoadFile,
    LoadOptions,
    existing,
    move,
    title_of,
    uploaded_name,
)
from service.web.console.runs import Work, slot
from service.web.console.summaries import WATCH_SECONDS, Summaries
from service.web.traffic.methods import is_head

SENT = "what this page sends"
At = Annotated[int, QueryParameter(ge=0)]


class NewLoad(Struct):
    """A load of files that were uploaded: the table of each by its number."""

    upload: str
    tables: dict[int, str]
    on_conflict: OnConflict = "reject"
    assume_utc: bool = False

    def options(self, folder: Path) -> LoadOptions:
        """The options of the job, parents first; NotFoundError, MalformedError."""
        if not self.tables:
            raise MalformedError("Choose at least one file.")
        files = [
            LoadFile(number, by_path(table).path, uploaded_name(folder, number))
            for number, table in sorted(self.tables.items())
        ]
        files.sort(key=lambda file: file.order)
        return LoadOptions(files, self.on_conflict, self.assume_utc)


@post("/loads", opt={ROLE: "writer"})
async def begin_load(request: Request[Any, Any, Any], state: State) -> dict[str, str]:
    """Check the files that were uploaded, each for its table, parents first."""
    asked = decode_body(await request.body(), NewLoad, SENT)
    upload = state.jobs.upload_folder(asked.upload)
    options = await in_thread(asked.options, upload)
    job = Job(
        kind="load",
        title=title_of(options.files),
        user=request.user,
        role="writer",
        options=msgspec.to_builtins(options),
        preview=True,
    )
    folder = state.jobs.folder(job.id)
    await in_thread(move, upload, folder)
    try:
        await state.runs.begin(job, _work(state))
    except BaseException:  # so that the user can begin again without another upload
        await in_thread(move, folder, upload)
        raise
    return {"job": job.id}


@post("/backups", opt={ROLE: "operator"})
async def begin_backup(
    request: Request[Any, Any, Any], state: State, table: FromQuery[str] = "all"
) -> dict[str, str]:
    name = table if table == "all" else by_path(table).path
    title = f"Back up {'all tables' if name == 'all' else name}"
    return await _begin(state, "backup", title, request.user, {"table": name})


@post("/backups/{name:str}/{kind:str}", opt={ROLE: "operator"})
async def begin_with_backup(
    request: Request[Any, Any, Any],
    state: State,
    name: FromPath[str],
    kind: FromPath[Literal["verify", "restore"]],
) -> dict[str, str]:
    backups = {one.name: one for one in await in_thread(state.backup_store.list)}
    if name not in backups:
        raise NotFoundError(f"There is no backup {name[:100]!r}. Reload the list of backups.")
    word = backups[name].tables.replace(ALL, "all") if kind == "restore" else ""
    title = f"{kind.capitalize()} {name}"
    return await _begin(state, kind, title, request.user, {"backup": name}, word)


async def _begin(
    state: State, kind: Kind, title: str, user: str, options: dict[str, str], word: str = ""
) -> dict[str, str]:
    """Begin a job. A job with a word to type begins with a preview."""
    job = Job(kind=kind, title=title, user=user, role="operator", options=options)
    job.word, job.preview = word, bool(word)
    await state.runs.begin(job, _work(state))
    return {"job": job.id}


@post("/jobs/{job_id:str}/confirm")
async def confirm(
    request: Request[Any, Any, Any],
    state: State,
    job_id: FromPath[str],
) -> dict[str, str]:
    """Run a job after its preview, or run a failed job again."""
    typed = decode_body(await request.body(), dict[str, str], SENT)
    job: Job = await state.jobs.find(job_id)
    if job.role not in request.auth:
        raise PermissionDeniedException(
            f"This job needs the role {job.role}. Ask the operator for it."
        )
    if job.state == "ready" and typed.get("word", "").strip() != job.word:
        raise MalformedError(f"Type {job.word} to confirm. Nothing was changed.")
    if job.kind == "load":
        for source in LoadOptions.of(job).sources(state.jobs, job):
            await existing(source.path)
    # A job with a word to type gets a new preview, so that the user confirms the current state.
    preview = job.state == "failed" and (job.preview or bool(job.word))
    await state.runs.restart(job, _work(state), preview=preview)
    return {"job": job.id}


def _work(state: State) -> Work:
    """The work of a job, by its kind."""

    async def work(job: Job) -> None:
        async with slot(state.long_work, job):
            await _WORK[job.kind](job, state)

    return work


_WORK = {
    "backup": backup_jobs.back_up,
    "verify": backup_jobs.verify_backup,
    "restore": backup_jobs.restore_backup,
    "load": load.load,
}


@get("/jobs/{job_id:str}/events")
async def events(state: State, job_id: FromPath[str]) -> ServerSentEvent:
    """An event for each change of a job, until it is no longer running."""
    return ServerSentEvent(_changes(state.summaries, job_id, await state.jobs.summary(job_id)))


async def _changes(
    summaries: Summaries, job_id: str, summary: dict[str, Any]
) -> AsyncGenerator[str]:
    sent = ""
    while True:
        event = json_text(summary)
        if event != sent:
            yield event
            sent = event
        if summary["state"] != "running":
            return
        await asyncio.sleep(WATCH_SECONDS)
        # While the database is not available, the last summary stays.
        with suppress(UnavailableError):
            summary = await summaries.recent(job_id)


@get("/jobs/{job_id:str}/rejects")
async def rejects_file(state: State, job_id: FromPath[str], file: At = 0) -> File:
    """The rejects of a file of a load; file: its position among the files."""
    job = await state.jobs.find(job_id)
    name = job.rows[file].get("rejects_file") if file < len(job.rows) else None
    if job.kind != "load" or name is None:
        raise NotFoundError("This file has no rejects.")
    source = LoadOptions.of(job).sources(state.jobs, job)[file]
    path = await existing(source.path.with_name(name))
    return File(path, filename=name, media_type="text/csv")


@get("/backups/{name:str}", opt={ROLE: "operator"})
async def backup_file(
    request: Request[Any, Any, Any], state: State, name: FromPath[str]
) -> Download:
    file = await in_thread(state.backup_store.open, name)
    if is_head(request.scope):
        file.close()
    idle_timeout = state.settings.api_download_idle_timeout
    return await download(request, _chunks(file), "application/octet-stream", name, idle_timeout)


async def _chunks(file: IO[bytes]) -> AsyncGenerator[bytes]:
    with file:
        while chunk := await in_thread(file.read, CHUNK):
            yield chunk


@get("/reports/{name:str}")
async def report_file(
    reader: InjectedReader,
    name: FromPath[str],
    year: Year = None,
    department_id: DepartmentId = None,
) -> Response[bytes]:
    for report in REPORTS:
        if name == f"{report.path}.csv":
            body = report.as_csv(await report.rows(reader, year, department_id)).encode()
            headers = {"Content-Disposition": f'attachment; filename="{name}"'}
            return Response(body, media_type=CSV, headers=headers)
    raise NotFoundError(f"There is no report {name[:100]!r}.")


ACTIONS = [
    uploads.upload,
    begin_load,
    begin_backup,
    begin_with_backup,
    confirm,
    events,
    rejects_file,
    backup_file,
    report_file,
]
