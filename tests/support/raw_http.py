"""Requests as bytes over a socket."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import httpx

from tests.conftest import PASSWORD, USER

CREDENTIALS = b"Authorization: Basic " + b64encode(f"{USER}:{PASSWORD}".encode()) + b"\r\n"
HEAD = b"GET /departments HTTP/1.1\r\nHost: test\r\n" + CREDENTIALS
POST = (
    b"POST /departments HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n" + CREDENTIALS
)
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
ROW = b'{"department":"Sales"}'


async def exchange(server: httpx.AsyncClient, *pieces: bytes, repeat: int = 1) -> bytes:
    """Send chunks; return everything until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.base_url.port)
    try:
        first, *others = pieces
        writer.write(first)
        reading = asyncio.create_task(reader.read())
        try:
            for _ in range(repeat):
                for piece in others:
                    writer.write(piece)
                    await writer.drain()
        except ConnectionError:
            pass
        return await asyncio.wait_for(reading, 20)
    except ConnectionResetError:
        return b""
    finally:
        writer.transport.abort()


def statuses(replies: bytes) -> list[int]:
    return [int(one[:3]) for one in replies.split(b"HTTP/1.1 ")[1:]]


def padded(size: int) -> bytes:
    """A whole request whose head has so many bytes."""
    close = b"Connection: close\r\n"
    left = size - len(HEAD) - len(close) - len(b"X-Pad: \r\n\r\n")
    return HEAD + close + b"X-Pad: " + b"x" * left + b"\r\n\r\n"
