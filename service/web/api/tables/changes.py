"""`GET`, `PATCH` and `DELETE` of a single row. An ETag prevents lost updates."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from litestar import Request
from litestar.datastructures import State

from service.core.database.statements import Transaction
from service.core.errors import ChangedError
from service.core.rules import formats
from service.core.rules.batch import Row
from service.core.tables import Table
from service.core.writes import correct
from service.core.writes.idempotency import Reply
from service.web.api.batches import check_media_type, header_of, key_of, once, response
from service.web.asgi import EncodedResponse

MEDIA_TYPES = ("application/json", "application/merge-patch+json")
FINGERPRINT_HEADERS = ("If-Match",)
"""Headers that must be equal if an idempotency key is used again."""


def row_reply(table: Table, row: Row) -> EncodedResponse:
    """A row and its ETag."""
    return _response(Reply(200, _encoded(table, row)))


@dataclass
class Change:
    """A change of one row that a client asks for."""

    table: Table
    row_id: int
    request: Request[Any, Any, Any]

    async def patch(self, state: State, sent: bytes) -> EncodedResponse:
        """Change some fields; the row as it is afterwards. sent: the body, maybe compressed."""
        check_media_type(self.request, *MEDIA_TYPES)
        body = formats.decompress(header_of(self.request, "Content-Encoding"), sent)

        async def work(transaction: Transaction) -> Row:
            user = self.request.user
            return await correct.change(
                transaction, self.table, self.row_id, body, user, self._check
            )

        return await self._done(state, work, body, "changed")

    async def delete(self, state: State) -> EncodedResponse:
        """Delete the row; the row as it was."""

        async def work(transaction: Transaction) -> Row:
            user = self.request.user
            return await correct.remove(transaction, self.table, self.row_id, user, self._check)

        return await self._done(state, work, b"", "deleted")

    async def _done(
        self,
        state: State,
        work: Callable[[Transaction], Awaitable[Row]],
        body: bytes,
        action: Literal["changed", "deleted"],
    ) -> EncodedResponse:
        async def write(transaction: Transaction) -> Reply:
            return Reply(200, _encoded(self.table, await work(transaction)))

        route = f"{self.request.method} /{self.table.path}/{self.row_id}"
        key = key_of(self.request, route, FINGERPRINT_HEADERS, body)
        reply = await once(state, key, write)
        if not reply.replayed:
            state.metrics.corrected.labels(self.table.name, action).inc()
        return _response(reply)

    def _check(self, row: Row) -> None:
        """ChangedError if the client expects another row; one that names no ETag expects none."""
        if "If-Match" not in self.request.headers:
            return
        expected = {one.strip() for one in header_of(self.request, "If-Match").split(",")}
        if not expected & {"*", etag_of(self.table, row)}:
            raise ChangedError(
                f"Row {self.row_id} of {self.table.path} has changed since it was read. Nothing "
                "was changed. Read it again, and send its new ETag."
            )


def etag_of(table: Table, row: Row) -> str:
    """The ETag of a row."""
    return _etag(_encoded(table, row))


def _encoded(table: Table, row: Row) -> bytes:
    return msgspec.json.encode(table.as_object(row))


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _response(reply: Reply) -> EncodedResponse:
    return response(reply, (b"etag", _etag(reply.body).encode()))
