"""Streams out: closed with the connection, broken off visibly when they fail."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from litestar.response.streaming import ASGIStreamingResponse

from service.core.prefetch import buffered

if TYPE_CHECKING:
    from litestar.types import Send


class Download(ASGIStreamingResponse):
    """A stream whose source is closed as soon as its reader is gone, or it ends."""

    __slots__ = ()

    async def _stream(self, send: Send) -> None:
        async with aclosing(self.iterator):  # type: ignore[type-var]
            await super()._stream(send)


async def download(
    source: AsyncGenerator[bytes], media_type: str, name: str, patience: float
) -> Download:
    """An attachment. What fails before the first piece is an error like any other.

    patience: seconds until it is given up where the client takes nothing.
    """
    pieces = buffered(source, patience)
    first = await anext(pieces)
    return Download(
        iterator=_joined(first, pieces),
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _joined(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        if first:
            yield first
        async for piece in rest:
            yield piece
