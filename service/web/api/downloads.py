"""Downloads. They end with the connection. An error aborts the transfer, so clients notice it."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from litestar import Request
from litestar.response.streaming import ASGIStreamingResponse

from service.core.prefetch import buffered
from service.core.threads import in_thread
from service.web.traffic.methods import is_head

if TYPE_CHECKING:
    from litestar.types import Receive, Scope, Send


GZIP_LEVEL = 1
"""The next levels take twice the time and make files a tenth smaller."""


class Download(ASGIStreamingResponse):
    """A stream. Its source is closed as soon as the client disconnects or the stream ends.

    source: the generator to close, if it is another than the iterator.
    """

    __slots__ = ("_source",)

    def __init__(
        self,
        *,
        iterator: AsyncGenerator[bytes],
        source: AsyncGenerator[bytes] | None = None,
        **options: Any,
    ):
        super().__init__(iterator=iterator, **options)
        self._source = source or iterator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The client may disconnect before the first chunk is read. A generator that was never
        # started closes nothing.
        async with aclosing(self._source):
            await super().__call__(scope, receive, send)


async def download(
    request: Request[Any, Any, Any],
    source: AsyncGenerator[bytes],
    media_type: str,
    name: str,
    idle_timeout: float,
    headers: Mapping[str, str] | None = None,
) -> Download:
    """An attachment. An error before the first chunk becomes an error reply.

    idle_timeout: seconds after which the download ends if the client reads nothing.
    """
    if is_head(request.scope):
        await source.aclose()  # before its first step, so it reads nothing
    chunks = buffered(source, idle_timeout)
    first = await anext(chunks, b"")
    return Download(
        iterator=_joined(first, chunks),
        source=chunks,
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"', **(headers or {})},
    )


async def gzipped(source: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The chunks of a source as one gzip member; the first one may be empty."""
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=16 + zlib.MAX_WBITS)
    async with aclosing(source):
        async for chunk in source:
            yield await in_thread(compressor.compress, chunk)
    yield compressor.flush()


async def _joined(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk
