"""Uploads: copies a body or a form's field into a temporary file."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import IO, Any

from litestar import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from service.core.errors import MalformedError, TooLargeError
from service.core.temporary_files import check_room, storage_errors, temporary_file
from service.core.threads import in_thread

SEGMENTS = 10


@asynccontextmanager
async def received(request: Request[Any, Any, Any]) -> AsyncIterator[IO[bytes]]:
    """The uploaded file; MalformedError, TooLargeError, StorageError.

    A body that announces more bytes than the limit, or than there is room for, is not read.
    """
    _check_size(request, request.content_length or 0)
    await in_thread(check_room, request.content_length or 0)
    is_form = request.content_type[0] == "multipart/form-data"
    chunks = _file_field(request) if is_form else _chunks(request)
    with temporary_file() as file:
        async with aclosing(chunks):
            async for chunk in chunks:
                with storage_errors():
                    await in_thread(file.write, chunk)
        with storage_errors():
            await in_thread(file.flush)
        yield file


async def _file_field(request: Request[Any, Any, Any]) -> AsyncGenerator[bytes]:
    """The content of the form's field `file`; other fields are read and dropped."""
    boundary = request.content_type[1].get("boundary", "")
    files, in_file = 0, False
    try:
        with PushMultipartParser(boundary, max_segment_count=SEGMENTS) as parser:
            async for chunk in _chunks(request):
                for event in parser.parse(chunk):
                    if isinstance(event, MultipartSegment):
                        in_file = event.name == "file"
                        files += in_file
                    elif event and in_file:
                        yield bytes(event)
    except (MultipartError, ValueError) as error:
        raise MalformedError(f"The form cannot be read: {error}") from None
    if files != 1:
        raise MalformedError(f"The form must have one field `file`; it has {files}.")


async def _chunks(request: Request[Any, Any, Any]) -> AsyncGenerator[bytes]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        _check_size(request, size)
        yield chunk


def _check_size(request: Request[Any, Any, Any], size: int) -> None:
    limit: int = request.app.state.settings.api_max_upload
    if size > limit:
        raise TooLargeError(
            f"The upload has more than {int(limit)} bytes, the limit of this service "
            "(API_MAX_UPLOAD). A backup in BACKUP_DIR may have any size: name it in `?backup=`."
        )
