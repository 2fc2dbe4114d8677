"""Downloads: the source is closed, however early the client leaves."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest
from litestar import Request

from service.web.api.downloads import download

REQUEST = Request[Any, Any, Any](cast("Any", {"type": "http"}))


class Left(Exception):
    """The connection is closed."""


@pytest.mark.parametrize("sent", range(5))
@pytest.mark.parametrize("first", [b"", b"1"])
async def test_the_source_is_closed_whenever_the_client_leaves(first: bytes, sent: int) -> None:
    closed = []

    async def source() -> AsyncGenerator[bytes]:
        try:
            yield first
            while True:
                yield b"more"
        finally:
            closed.append(True)

    messages: list[Any] = []

    async def send(message: Any) -> None:
        if len(messages) == sent:
            raise Left
        messages.append(message)

    async def receive() -> Any:
        import asyncio

        await asyncio.sleep(60)

    response = await download(REQUEST, source(), "application/avro", "x.avro", 60)
    with pytest.raises(BaseException):  # noqa: B017, PT011 - a task group wraps it
        await response(cast("Any", {"type": "http"}), receive, send)
    assert closed


async def test_an_empty_source_is_an_empty_download() -> None:
    async def source() -> AsyncGenerator[bytes]:
        return
        yield b""

    response = await download(REQUEST, source(), "application/avro", "x.avro", 60)
    assert [chunk async for chunk in response.iterator] == []
