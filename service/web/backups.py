"""Backups out, restores in."""

from __future__ import annotations

import asyncio
import tempfile
from typing import IO, Any

from litestar import Request, Router, get, post
from litestar.datastructures import UploadFile
from litestar.params import FromQuery
from litestar.response import Stream

from service.core import backup, restore
from service.core.avro import Codec
from service.core.errors import MalformedError
from service.core.restore import Mode, Restored
from service.core.tables import by_path
from service.web import operations
from service.web.parameters import DryRun, TableName, TheDatabase

MAX_UPLOAD = 1 << 30
IN_MEMORY = 1 << 20


@get(
    "/backup/{table:str}",
    operation_id="backup",
    summary="A table as Avro; all as a ZIP",
    operation_class=operations.BACKUP,
)
async def download(
    database: TheDatabase, table: TableName, codec: FromQuery[Codec] = "deflate"
) -> Stream:
    if table == "all":
        return _attachment(backup.stream_all(database, codec), "application/zip", "hirebase.zip")
    found = by_path(table)
    return _attachment(
        backup.stream_table(database, found, codec), "application/avro", f"{found.name}.avro"
    )


@post(
    "/restore/{table:str}",
    operation_id="restore",
    summary="Make a table what an Avro file says",
    status_code=200,
    request_max_body_size=MAX_UPLOAD,
    operation_class=operations.RESTORE,
)
async def upload(
    request: Request[Any, Any, Any],
    database: TheDatabase,
    table: TableName,
    mode: FromQuery[Mode] = "replace",
    dry_run: DryRun = False,
) -> Restored:
    found = by_path(table)
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
        await _receive(request, file)
        return await restore.restore(database, found, file, mode, dry_run=dry_run)


def _attachment(content: Any, media_type: str, name: str) -> Stream:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Stream(content, media_type=media_type, headers=headers)


async def _receive(request: Request[Any, Any, Any], file: IO[bytes]) -> None:
    if request.content_type[0] == "multipart/form-data":
        await _receive_field(request, file)
        return
    async for chunk in request.stream():
        await asyncio.to_thread(file.write, chunk)


async def _receive_field(request: Request[Any, Any, Any], file: IO[bytes]) -> None:
    upload = (await request.form()).get("file")
    if not isinstance(upload, UploadFile):
        raise MalformedError("The form has no field `file` with a file in it.")
    while chunk := await upload.read(IN_MEMORY):
        await asyncio.to_thread(file.write, chunk)


avro = Router("/avro", route_handlers=[download, upload], tags=["avro"])
