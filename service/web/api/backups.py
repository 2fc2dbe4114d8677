"""Routes for backups, restores and verification."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from typing import IO, Annotated, Any

from litestar import Request, Router, get, post
from litestar.datastructures import State
from litestar.params import FromQuery, QueryParameter

from service.core.backups import backup
from service.core.backups.backup_store import Saved
from service.core.backups.format.codecs import Codec
from service.core.backups.preview import preview
from service.core.backups.restore import restore
from service.core.backups.restored import Mode, Restored, count_restored
from service.core.backups.sources import Source, opened, opened_for
from service.core.backups.verify import Verification, verify
from service.core.progress import Progress, in_log
from service.core.tables import TABLES, by_path
from service.core.threads import in_thread
from service.web.access.basic_auth import ROLE
from service.web.api.downloads import Download, download
from service.web.api.parameters import DryRun, InjectedReader, TableName
from service.web.api.uploads import received
from service.web.openapi import operations
from service.web.openapi.schemas import Listing, RestoredAll

BackupName = Annotated[
    str | None,
    QueryParameter(name="backup", description="a backup on the server, instead of a body"),
]
Keep = Annotated[
    int | None, QueryParameter(ge=1, description="how many backups of this kind to keep")
]


@get(
    "/backup/{table:str}",
    operation_id="backup",
    summary="A table as Avro; all as a ZIP",
    operation_class=operations.BACKUP,
)
async def send(
    request: Request[Any, Any, Any],
    reader: InjectedReader,
    state: State,
    table: TableName,
    codec: FromQuery[Codec] = "deflate",
) -> Download:
    stream: Callable[[Progress], AsyncGenerator[bytes]]
    if table == "all":
        stream = partial(backup.stream_all, reader, codec, TABLES)
        kind, name = "application/zip", "hirebase.zip"
    else:
        one = by_path(table)
        stream = partial(backup.stream_table, reader, one, codec)
        kind, name = "application/avro", f"{one.name}.avro"
    idle_timeout = state.settings.api_download_idle_timeout
    return await download(request, _limited(stream, state), kind, name, idle_timeout)


async def _limited(
    stream: Callable[[Progress], AsyncGenerator[bytes]], state: State
) -> AsyncGenerator[bytes]:
    """The chunks of a backup. It counts as long work until its end."""
    with state.long_work.place(), state.metrics.counting("backup"), in_log() as progress:
        async with aclosing(stream(progress)) as chunks:
            async for chunk in chunks:
                state.metrics.backup_bytes.inc(len(chunk))
                yield chunk


@post(
    "/backup",
    operation_id="save_backup",
    summary="Back up into the server's BACKUP_DIR",
    operation_class=operations.SAVE,
)
async def save(
    reader: InjectedReader,
    state: State,
    table: FromQuery[str] = "all",
    codec: FromQuery[Codec] = "deflate",
    keep: Keep = None,
) -> Saved:
    one = None if table == "all" else by_path(table)
    with state.long_work.place(), state.metrics.counting("backup"), in_log() as progress:
        saved: Saved = await state.backup_store.save(reader, one, codec, keep, progress)
    state.metrics.backup_bytes.inc(saved.size)
    return saved


@get(
    "/backups",
    operation_id="backups",
    summary="The backups in BACKUP_DIR, oldest first",
    operation_class=operations.BACKUPS,
)
async def listed(state: State) -> Listing:
    return Listing(await in_thread(state.backup_store.list))


@post(
    "/restore/all",
    operation_id="restore_all",
    summary="Restore the tables from a ZIP of backups, all or none",
    status_code=200,
    request_max_body_size=None,
    operation_class=operations.RESTORE_ALL,
)
async def restore_all(
    request: Request[Any, Any, Any],
    state: State,
    mode: FromQuery[Mode] = "replace",
    backup: BackupName = None,
    dry_run: DryRun = False,
) -> RestoredAll:
    async with _file(request, state, backup) as file:
        done = await _restore(request, state, opened(file), mode, dry_run=dry_run)
    return RestoredAll(all(one.verified for one in done), done)


@post(
    "/restore/{table:str}",
    operation_id="restore",
    summary="Restore a table from an Avro file",
    status_code=200,
    request_max_body_size=None,
    operation_class=operations.RESTORE,
)
async def restore_table(
    request: Request[Any, Any, Any],
    state: State,
    table: TableName,
    mode: FromQuery[Mode] = "replace",
    backup: BackupName = None,
    dry_run: DryRun = False,
) -> Restored:
    one = by_path(table)
    async with _file(request, state, backup) as file:
        done = await _restore(request, state, opened_for(one, file), mode, dry_run=dry_run)
    return done[0]


async def _restore(
    request: Request[Any, Any, Any],
    state: State,
    opening: AbstractAsyncContextManager[list[Source]],
    mode: Mode,
    *,
    dry_run: bool,
) -> list[Restored]:
    """Restore a complete upload. While the upload arrives, it does not count as long work."""
    work = preview if dry_run else restore
    counting = state.metrics.counting("restore", dry_run=dry_run)
    with state.long_work.place(), counting, in_log() as progress:
        async with opening as sources:
            tables = await work(state.database, sources, mode, progress)
    if not dry_run:
        count_restored(state.row_counts, request.user, tables)
    return tables


@post(
    "/verify",
    operation_id="verify",
    summary="Verify a backup from end to end, without changing the tables",
    status_code=200,
    request_max_body_size=None,
    operation_class=operations.VERIFY,
)
async def check(
    request: Request[Any, Any, Any], state: State, backup: BackupName = None
) -> Verification:
    async with _file(request, state, backup) as file:
        with state.long_work.place(), state.metrics.counting("verify"), in_log() as progress:
            return await verify(file, progress)


@asynccontextmanager
async def _file(
    request: Request[Any, Any, Any], state: State, name: str | None
) -> AsyncIterator[IO[bytes]]:
    if name is None:
        async with received(request) as file:
            yield file
    else:
        with await in_thread(state.backup_store.open, name) as file:
            yield file


avro = Router(
    "/avro",
    route_handlers=[send, save, listed, restore_all, restore_table, check],
    tags=["avro"],
    opt={ROLE: "operator"},
)
