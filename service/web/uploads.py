"""Files in: a body or a form's field, into a temporary file that is gone afterwards."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any

from litestar import Request
from litestar.datastructures import UploadFile

from service.core.errors import MalformedError, TooLargeError

MAX_UPLOAD = 1 << 30
IN_MEMORY = 1 << 20


@asynccontextmanager
async def received(request: Request[Any, Any, Any]) -> AsyncIterator[IO[bytes]]:
    """What was sent, as a file; MalformedError, TooLargeError."""
    with tempfile.TemporaryFile() as file:
        if request.content_type[0] == "multipart/form-data":
            await _receive_field(request, file)
        else:
            await _receive_body(request, file)
        yield file


async def _receive_body(request: Request[Any, Any, Any], file: IO[bytes]) -> None:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_UPLOAD:
            raise TooLargeError(f"The file has more than {MAX_UPLOAD >> 30} GiB.")
        await asyncio.to_thread(file.write, chunk)


async def _receive_field(request: Request[Any, Any, Any], file: IO[bytes]) -> None:
    upload = (await request.form()).get("file")
    if not isinstance(upload, UploadFile):
        raise MalformedError("The form has no field `file` with a file in it.")
    while chunk := await upload.read(IN_MEMORY):
        await asyncio.to_thread(file.write, chunk)
