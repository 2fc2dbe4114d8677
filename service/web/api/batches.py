"""A posted batch: decode, validate, write once, reply."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import msgspec
from litestar import Request
from litestar.datastructures import State

from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import UnsupportedError
from service.core.rules import formats
from service.core.rules.batch import Batch
from service.core.tables import Table
from service.core.writes import ingest
from service.core.writes.group_commit import GroupCommit
from service.core.writes.idempotency import Key, Keys, Reply, Work, check_key, hash_of
from service.core.writes.ingest import Mode, Verdict
from service.core.writes.insert import is_small
from service.core.writes.rejects import RejectOrigin
from service.web.asgi import EncodedResponse

FINGERPRINT_HEADERS = ("Content-Type", "Prefer")
"""Headers that must be equal if a key is used again. The body is compared after decompression."""
REPLAYED = (b"idempotency-replayed", b"true")
MINIMAL_APPLIED = (b"preference-applied", b"return=minimal")


@dataclass
class Post:
    """A batch that a client posts to a table, and its options."""

    table: Table
    request: Request[Any, Any, Any]
    body: bytes
    mode: Mode
    dry_run: bool
    _verdict: Verdict = field(init=False)

    async def answer(self, state: State) -> EncodedResponse:
        """The verdict. For a repeated request with a key, the reply to the first one."""
        with state.metrics.validated.time():
            plain = formats.decompress(header_of(self.request, "Content-Encoding"), self.body)
            batch = formats.parse_body(self.table, header_of(self.request, "Content-Type"), plain)
        with state.metrics.written.time():
            reply = await self._once(state, self._key(plain), batch)
        if not reply.replayed:
            state.metrics.count(self.table, self._verdict)
            state.row_counts.add("api", self.request.user, self.table, self._verdict.inserted)
        return self._response(reply)

    async def _once(self, state: State, key: Key | None, batch: Batch) -> Reply:
        alone = partial(once, state, key, partial(self._write, batch), dry_run=self.dry_run)
        if self.dry_run or not is_small(batch):
            return await alone()
        group_commit: GroupCommit = state.group_commit
        return await group_commit.write(batch, key, self._written, alone)

    def _written(self, ids: Sequence[int]) -> Reply:
        self._verdict = Verdict(len(ids), len(ids), list(ids), [])
        return self._reply(self._verdict)

    async def _write(self, batch: Batch, transaction: Transaction) -> Reply:
        origin = RejectOrigin("api", f"POST /{self.table.path}")
        self._verdict = await ingest.ingest(
            transaction, batch, origin, self.mode, dry_run=self.dry_run
        )
        return self._reply(self._verdict)

    def _key(self, plain: bytes) -> Key | None:
        if self.dry_run:
            return None
        return key_of(self.request, f"POST /{self.table.path}", FINGERPRINT_HEADERS, plain)

    @cached_property
    def _minimal(self) -> bool:
        preferences = header_of(self.request, "Prefer").lower().split(",")
        return "return=minimal" in {preference.strip() for preference in preferences}

    def _reply(self, verdict: Verdict) -> Reply:
        body = {
            "received": verdict.received,
            "inserted": verdict.inserted,
            "failed": len(verdict.rejects),
            "ids": verdict.ids,
            "failures": [reject.as_failure() for reject in verdict.rejects],
        }
        if self._minimal:
            del body["ids"]
        return Reply(200 if self.dry_run else _status(verdict), msgspec.json.encode(body))

    def _response(self, reply: Reply) -> EncodedResponse:
        return response(reply, *([MINIMAL_APPLIED] if self._minimal else []))


async def once(state: State, key: Key | None, write: Work, *, dry_run: bool = False) -> Reply:
    """Write in a transaction. With a key, a repeated request gets the reply to the first one."""
    keys: Keys = state.idempotency
    if key:
        return await keys.once(key, write)
    database: Database = state.database
    # With several servers, the next one can tell whether a COMMIT was done.
    confirm = database.several and not dry_run
    return await (keys.confirmed(write) if confirm else database.run(write))


def response(reply: Reply, *headers: tuple[bytes, bytes]) -> EncodedResponse:
    """A reply, which says if it is the one to an earlier request."""
    replayed = [REPLAYED] if reply.replayed else []
    return EncodedResponse(reply.status, reply.body, "application/json", *headers, *replayed)


def key_of(
    request: Request[Any, Any, Any], route: str, headers: Iterable[str], plain: bytes
) -> Key | None:
    """The idempotency key of a request, if it has one; MalformedError.

    headers: those that must be equal if the key is used again; plain: the decompressed body.
    """
    if "Idempotency-Key" not in request.headers:
        return None
    text = header_of(request, "Idempotency-Key")
    check_key(text)
    values = (header_of(request, name) for name in headers)
    return Key(request.user, route, text, hash_of(request.url.query, *values, plain))


def check_media_type(request: Request[Any, Any, Any], *known: str) -> None:
    """UnsupportedError if the body has another media type than these."""
    kind = header_of(request, "Content-Type").partition(";")[0].strip().lower()
    if kind not in ("", *known):
        raise UnsupportedError(f"{kind[:100]} is not supported. Send {' or '.join(known)}.")


def header_of(request: Request[Any, Any, Any], name: str) -> str:
    """The lines of a header as one: HTTP allows to split a list."""
    return ",".join(request.headers.getall(name, []))


def _status(verdict: Verdict) -> int:
    if not verdict.rejects:
        return 201
    return 207 if verdict.inserted else 422
