"""Refuses excess batches at the lowest cost, because an overloaded service refuses most of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from service.core.tables import TABLES
from service.web.asgi import App, Receive, Refusal, Scope, Send
from service.web.problems import RETRY_SECONDS
from service.web.traffic.limiter import Limiter

PATHS = {f"/{table.path}" for table in TABLES}
SMALL_BYTES = 4096
"""The largest body of a small batch. A row takes about 100 bytes."""
SMALL = 0.25
"""The part of a place that a small batch takes, because small batches share transactions."""

_few_digits = re.compile(rb"[0-9]{1,9}").fullmatch


def shedding(app: App, limiter: Limiter) -> App:
    """The application behind a limit: 503 for batches while the limiter has no place.

    The limit applies before credentials are checked and before the body is read.
    """
    refusal = Refusal(503, str(limiter.refusal), (b"retry-after", RETRY_SECONDS.encode()))

    async def shed(scope: Scope, receive: Receive, send: Send) -> None:
        refused = _is_batch(scope) and limiter.refuses(size_of(scope["headers"]))
        if refused:
            scope["path_template"] = _path(scope)
        await (refusal if refused else app)(scope, receive, send)

    return shed


def size_of(headers: Iterable[tuple[bytes, bytes]]) -> float:
    """The part of a place that a request takes, by its headers."""
    given = dict(headers)
    # The size of a body that is compressed or sent in chunks is not known yet.
    unknown = b"content-encoding" in given or b"transfer-encoding" in given
    length = given.get(b"content-length", b"0")
    if unknown or not _few_digits(length):
        return 1.0
    return SMALL if int(length) <= SMALL_BYTES else 1.0


def _is_batch(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] == "POST" and _path(scope) in PATHS


def _path(scope: Scope) -> str:
    return str(scope["path"]).rstrip("/")
