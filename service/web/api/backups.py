"""Routes for backups, restores and verification."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import IO, Annotated, Any

from litestar import Request, Router, get, post
from litestar.datastructures import State
from litestar.params import FromQuery, QueryParameter

from service.core.backups import backup
from service.core.backups.backup_store import BackupStore, Saved
from service.core.backups.format.codecs import Codec
from service.core.backups.restore import Mode, Restored, restore
from service.core.backups.sources import opened, opened_for
from service.core.backups.verify import Verification, verify
from service.core.tables import by_path
from service.core.threads import in_thread
from service.web.access.basic_auth import ROLE
from service.web.api.downloads import Download, download
from service.web.api.parameters import DryRun, TableName, TheDatabase, TheReader
from service.web.api.uploads import MAX_UPLOAD, received
from service.web.openapi import operations
from service.web.openapi.schemas import Listing, RestoredAll
from service.web.traffic.metrics import Metrics

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
    reader: TheReader, state: State, table: TableName, codec: FromQuery[Codec] = "deflate"
) -> Download:
    if table == "all":
        stream, kind, name = backup.stream_all(reader, codec), "application/zip", "hirebase.zip"
    else:
        one = by_path(table)
        stream = backup.stream_table(reader, one, codec)
        kind, name = "application/avro", f"{one.name}.avro"
    limited = state.long_work.passing(_counted(stream, state.metrics))
    return await download(limited, kind, name, state.settings.api_download_patience)


async def _counted(stream: AsyncGenerator[bytes], metrics: Metrics) -> AsyncGenerator[bytes]:
    with metrics.counting("backup"):
        async with aclosing(stream):
            async for chunk in stream:
                metrics.backup_bytes.inc(len(chunk))
                yield chunk


@post(
    "/backup",
    operation_id="save_backup",
    summary="Back up into the server's BACKUP_DIR",
    operation_class=operations.SAVE,
)
async def save(
    reader: TheReader,
    state: State,
    table: FromQuery[str] = "all",
    codec: FromQuery[Codec] = "deflate",
    keep: Keep = None,
) -> Saved:
    one = None if table == "all" else by_path(table)
    with state.long_work.entered(), state.metrics.counting("backup"):
        saved = await _store(state).save(reader, one, codec, keep)
    state.metrics.backup_bytes.inc(saved.size)
    return saved


@get(
    "/backups",
    operation_id="backups",
    summary="The backups in BACKUP_DIR, oldest first",
    operation_class=operations.BACKUPS,
)
async def listed(state: State) -> Listing:
    return Listing(await in_thread(_store(state).list))


@post(
    "/restore/all",
    operation_id="restore_all",
    summary="Restore the tables from a ZIP of backups, in one transaction",
    status_code=200,
    request_max_body_size=MAX_UPLOAD,
    operation_class=operations.RESTORE_ALL,
)
async def restore_all(
    request: Request[Any, Any, Any],
    database: TheDatabase,
    state: State,
    mode: FromQuery[Mode] = "replace",
    backup: BackupName = None,
    dry_run: DryRun = False,
) -> RestoredAll:
    # Enter the limiter after the upload, which may take a long time.
    async with _file(request, state, backup) as file:
        with state.long_work.entered(), state.metrics.counting("restore", dry_run=dry_run):
            async with opened(file) as sources:
                done = await restore(database, sources, mode, dry_run=dry_run)
    return RestoredAll(all(one.verified for one in done), done)


@post(
    "/restore/{table:str}",
    operation_id="restore",
    summary="Restore a table from an Avro file",
    status_code=200,
    request_max_body_size=MAX_UPLOAD,
    operation_class=operations.RESTORE,
)
async def restore_table(
    request: Request[Any, Any, Any],
    database: TheDatabase,
    state: State,
    table: TableName,
    mode: FromQuery[Mode] = "replace",
    backup: BackupName = None,
    dry_run: DryRun = False,
) -> Restored:
    one = by_path(table)
    async with _file(request, state, backup) as file:
        with state.long_work.entered(), state.metrics.counting("restore", dry_run=dry_run):
            async with opened_for(one, file) as sources:
                done = await restore(database, sources, mode, dry_run=dry_run)
    return done[0]


@post(
    "/verify",
    operation_id="verify",
    summary="Verify a backup from end to end, without changing the tables",
    status_code=200,
    request_max_body_size=MAX_UPLOAD,
    operation_class=operations.VERIFY,
)
async def check(
    request: Request[Any, Any, Any], state: State, backup: BackupName = None
) -> Verification:
    with state.metrics.counting("verify"):
        async with _file(request, state, backup) as file:
            return await verify(file)


@asynccontextmanager
async def _file(
    request: Request[Any, Any, Any], state: State, name: str | None
) -> AsyncIterator[IO[bytes]]:
    if name is None:
        async with received(request) as file:
            yield file
    else:
        with await in_thread(_store(state).open, name) as file:
            yield file


def _store(state: State) -> BackupStore:
    return BackupStore(state.settings.backup_dir)


avro = Router(
    "/avro",
    route_handlers=[send, save, listed, restore_all, restore_table, check],
    tags=["avro"],
    opt={ROLE: "operator"},
)
