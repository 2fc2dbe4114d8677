"""A posted batch: read, judged, written once, answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.datastructures import State

from service.core.database.transactions import Transaction
from service.core.rules import formats
from service.core.tables import Table
from service.core.writes import ingest
from service.core.writes.idempotency import Key, Reply, check_key, hash_of
from service.core.writes.ingest import Mode, Verdict
from service.core.writes.rejects import RejectOrigin

PART_OF_THE_REQUEST = ("Content-Type", "Prefer")
"""Headers that another use of the same key must share; the body counts as inflated."""


@dataclass(frozen=True)
class Post:
    """What a client posted to a table, and how it wants it done."""

    table: Table
    request: Request[Any, Any, Any]
    body: bytes
    mode: Mode
    dry_run: bool

    async def answer(self, state: State) -> Response[bytes]:
        """The verdict, or the one that this request had when it came first."""
        metrics, told = state.metrics, []
        with metrics.batch.labels("judge").time():
            plain = formats.decompress(self._header("Content-Encoding"), self.body)
            judged = formats.parse_body(self.table, self._header("Content-Type"), plain)

        async def work(transaction: Transaction) -> Reply:
            origin = RejectOrigin("api", f"POST /{self.table.path}")
            verdict = await ingest.ingest(
                transaction, judged, origin, self.mode, dry_run=self.dry_run
            )
            told.append(verdict)
            return self._reply(verdict)

        key = self._key(plain)
        with metrics.batch.labels("write").time():
            reply = await (state.idempotency.once(key, work) if key else state.database.run(work))
        if not reply.replayed:
            metrics.count(self.table, told[-1])
        return self._response(reply)

    def _header(self, name: str) -> str:
        """All lines of a header, as the one that they are short for."""
        return ",".join(self.request.headers.getall(name, []))

    def _key(self, plain: bytes) -> Key | None:
        text = self.request.headers.get("Idempotency-Key")
        if text is None or self.dry_run:
            return None
        check_key(text)
        headers = map(self._header, PART_OF_THE_REQUEST)
        fingerprint = hash_of(self.request.url.query, *headers, plain)
        return Key(self.request.user, f"POST /{self.table.path}", text, fingerprint)

    @property
    def _minimal(self) -> bool:
        preferences = self._header("Prefer").lower().split(",")
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

    def _response(self, reply: Reply) -> Response[bytes]:
        headers = {"Idempotency-Replayed": "true"} if reply.replayed else {}
        if self._minimal:
            headers["Preference-Applied"] = "return=minimal"
        return Response(
            reply.body, status_code=reply.status, media_type="application/json", headers=headers
        )


def _status(verdict: Verdict) -> int:
    if not verdict.rejects:
        return 201
    return 207 if verdict.inserted else 422
