"""What the pages' scripts call: jobs begun, confirmed and watched; files to download."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.exceptions import PermissionDeniedException
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import File, ServerSentEvent
from msgspec import Struct

from service.core.backups.archive import CHUNK
from service.core.backups.depot import ALL, Depot
from service.core.errors import KeyBusyError, MalformedError, NotFoundError
from service.core.merge import OnConflict
from service.core.reports import REPORTS
from service.core.tables import by_path
from service.web.auth import ROLE
from service.web.console import copies, loads
from service.web.console.jobs import Job, Jobs, Work
from service.web.downloads import Download, download
from service.web.parameters import TheDatabase
from service.web.reports import CSV, Year
from service.web.uploads import MAX_UPLOAD, received

WATCH_SECONDS = 0.3
FILE = "file"
NAME_BYTES = 100
"""File systems take 255; the file of rejects has a longer name."""
_odd = re.compile(r"[^\w.-]")


class Confirmation(Struct):
    """What was typed."""

    word: str = ""


class Started(Struct):
    """Where to look."""

    job: str


@post("/loads", opt={ROLE: "writer"}, request_max_body_size=MAX_UPLOAD)
async def begin_load(
    request: Request[Any, Any, Any],
    state: State,
    table: FromQuery[str],
    name: FromQuery[str],
    on_conflict: FromQuery[OnConflict] = "reject",
    assume_utc: FromQuery[bool] = False,
) -> Started:
    name = _file_name(name)
    options = {
        "table": by_path(table).path,
        "name": name,
        "on_conflict": on_conflict,
        "assume_utc": str(assume_utc).lower(),
    }
    async with received(request) as file:
        job, folder = await asyncio.to_thread(
            partial(
                state.jobs.create,
                kind="load",
                title=f"Load {name} into {table}",
                user=request.user,
                role="writer",
                options=options,
                preview=True,
            )
        )
        await asyncio.to_thread(_keep, file, folder / FILE / name)
    state.jobs.start(job, _work(state))
    return Started(job.id)


def _file_name(sent: str) -> str:
    """A name of at most NAME_BYTES that the disk takes; its end stays, for it tells the format."""
    name = _odd.sub("_", Path(sent).name).encode()[-NAME_BYTES:].decode(errors="ignore")
    return name.lstrip(".") or "rows.csv"


def _keep(file: IO[bytes], path: Path) -> None:
    path.parent.mkdir()
    file.seek(0)
    with path.open("wb") as copy:
        shutil.copyfileobj(file, copy, CHUNK)


@post("/backups", opt={ROLE: "operator"})
async def begin_backup(
    request: Request[Any, Any, Any], state: State, table: FromQuery[str] = "all"
) -> Started:
    name = table if table == "all" else by_path(table).path
    what = "all tables" if name == "all" else name
    return await _begin(request, state, "backup", f"Back up {what}", {"table": name})


@post("/backups/{name:str}/{kind:str}", opt={ROLE: "operator"})
async def begin_with_backup(
    request: Request[Any, Any, Any],
    state: State,
    name: FromPath[str],
    kind: FromPath[Literal["verify", "restore"]],
) -> Started:
    known = {one.name: one for one in await asyncio.to_thread(_depot(state).list)}
    if name not in known:
        raise NotFoundError(f"There is no backup {name[:100]!r}. Reload the list of backups.")
    title = f"{kind.capitalize()} {name}"
    more = (
        {"word": known[name].tables.replace(ALL, "all"), "preview": True}
        if kind == "restore"
        else {}
    )
    return await _begin(request, state, kind, title, {"backup": name}, **more)


async def _begin(
    request: Request[Any, Any, Any],
    state: State,
    kind: str,
    title: str,
    options: dict[str, str],
    **more: Any,
) -> Started:
    create = partial(state.jobs.create, kind=kind, title=title, user=request.user, role="operator")
    job, _ = await asyncio.to_thread(partial(create, options=options, **more))
    state.jobs.start(job, _work(state))
    return Started(job.id)


@post("/jobs/{job_id:str}/confirm")
async def confirm(
    request: Request[Any, Any, Any],
    state: State,
    job_id: FromPath[str],
    data: JSONBody[Confirmation],
) -> Started:
    """Do for real what was previewed, or once more what failed."""
    job: Job = await asyncio.to_thread(state.jobs.find, job_id)
    if job.role not in request.auth:
        raise PermissionDeniedException(f"This needs the role {job.role}.")
    if job.state not in ("ready", "failed"):
        raise KeyBusyError("This runs already, or is done. Reload the page to see how far it is.")
    if job.state == "failed":
        # What was to be typed is typed anew, with another look at what it is for.
        job.preview = job.preview or bool(job.word)
    else:
        if data.word.strip() != job.word:
            raise MalformedError(f"Type {job.word} to confirm. Nothing was changed.")
        job.preview = False
    state.jobs.start(job, _work(state))
    return Started(job.id)


def _work(state: State) -> Work:
    """What a job does, by its kind."""

    async def work(job: Job, folder: Path) -> None:
        if job.kind == "load":
            path = folder / FILE / job.options["name"]
            await _load(job, path, state)
            return
        with state.metrics.copying(job.kind, dry_run=job.preview):
            match job.kind:
                case "backup":
                    size = await copies.take(job, state.database, state.settings)
                    state.metrics.backup_bytes.inc(size)
                case "verify":
                    await copies.check(job, state.settings)
                case "restore":
                    await copies.bring_back(job, state.database, state.settings)

    return work


async def _load(job: Job, path: Path, state: State) -> None:
    try:
        await loads.load(job, path, state.database, state.idempotency, state.jobs.save)
    finally:
        # Of a load that fails half-way, what was told last is in.
        if not job.preview:
            state.metrics.count_load(row | {"codes": job.codes} for row in job.rows)


@get("/jobs/{job_id:str}/events")
async def events(state: State, job_id: FromPath[str]) -> ServerSentEvent:
    """The job's state whenever it changes, until it runs no more."""
    await asyncio.to_thread(state.jobs.find, job_id)
    return ServerSentEvent(_watched(state.jobs, job_id))


async def _watched(jobs: Jobs, job_id: str) -> AsyncGenerator[str]:
    told = ""
    while True:
        job = await asyncio.to_thread(jobs.find, job_id)
        facts = {"state": job.state, "share": job.share, "rows": job.rows}
        now = msgspec.json.encode(facts).decode()
        if now != told:
            yield now
            told = now
        if job.state != "running":
            return
        await asyncio.sleep(WATCH_SECONDS)


@get("/jobs/{job_id:str}/rejects")
async def rejects_file(state: State, job_id: FromPath[str]) -> File:
    job = await asyncio.to_thread(state.jobs.find, job_id)
    if job.rejects is None:
        raise NotFoundError("This job has no rejects.")
    path = state.jobs.folder(job) / FILE / job.rejects
    return File(path, filename=job.rejects, media_type="text/csv")


@get("/backups/{name:str}", opt={ROLE: "operator"})
async def backup_file(state: State, name: FromPath[str]) -> Download:
    file = await asyncio.to_thread(_depot(state).open, name)
    patience = state.settings.api_download_patience
    return await download(_chunks(file), "application/octet-stream", name, patience)


async def _chunks(file: IO[bytes]) -> AsyncGenerator[bytes]:
    with file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk


@get("/reports/{name:str}")
async def report_file(
    database: TheDatabase, name: FromPath[str], year: Year = None
) -> Response[bytes]:
    for report in REPORTS:
        if name == f"{report.path}.csv":
            body = report.as_csv(await report.rows(database, year)).encode()
            headers = {"Content-Disposition": f'attachment; filename="{name}"'}
            return Response(body, media_type=CSV, headers=headers)
    raise NotFoundError(f"There is no report {name[:100]!r}.")


def _depot(state: State) -> Depot:
    return Depot(state.settings.backup_dir)


ACTIONS = [
    begin_load,
    begin_backup,
    begin_with_backup,
    confirm,
    events,
    rejects_file,
    backup_file,
    report_file,
]
