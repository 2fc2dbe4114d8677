"""Files in: a body or a form's field, into a temporary file that is gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any

from litestar import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from service.core.errors import MalformedError, StorageError, TooLargeError
from service.core.threads import in_thread

MAX_UPLOAD = 1 << 30
SEGMENTS = 10


@asynccontextmanager
async def received(request: Request[Any, Any, Any]) -> AsyncIterator[IO[bytes]]:
    """What was sent, as a file; MalformedError, TooLargeError, StorageError."""
    with tempfile.TemporaryFile() as file:
        try:
            if request.content_type[0] == "multipart/form-data":
                await _receive_field(request, file)
            else:
                await _receive_body(request, file)
            file.flush()
        except OSError as error:
            raise StorageError(
                f"The upload cannot be kept (TMPDIR): {error.strerror}. Make room there."
            ) from error
        yield file


async def _receive_body(request: Request[Any, Any, Any], file: IO[bytes]) -> None:
    async for chunk in _chunks(request):
        await in_thread(file.write, chunk)


async def _receive_field(request: Request[Any, Any, Any], file: IO[bytes]) -> None:
    """The form's `file`; what else is in it is read and dropped, however large."""
    boundary = request.content_type[1].get("boundary", "")
    found = wanted = False
    try:
        with PushMultipartParser(boundary, max_segment_count=SEGMENTS) as parser:
            async for chunk in _chunks(request):
                for event in parser.parse(chunk):
                    if isinstance(event, MultipartSegment):
                        wanted = event.name == "file"
                        found = found or wanted
                    elif event and wanted:
                        await in_thread(file.write, event)
    except (MultipartError, ValueError) as error:
        raise MalformedError(f"The form cannot be read: {error}") from None
    if not found:
        raise MalformedError("The form has no field `file` with a file in it.")


async def _chunks(request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_UPLOAD:
            raise TooLargeError(f"The file has more than {MAX_UPLOAD} bytes.")
        yield chunk
