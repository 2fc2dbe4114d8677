"""The routes of a table: batches in, lists and single rows out."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.params import FromQuery

from service.core import bodies, intake
from service.core.database import Transaction
from service.core.errors import NotFoundError
from service.core.fields import MAX_ID
from service.core.idempotency import Key, Reply, check_key, hash_of
from service.core.intake import Mode, Verdict
from service.core.store import Origin
from service.core.tables import Table
from service.web import operations
from service.web.parameters import PAGE, After, DryRun, Limit, RowId, TheDatabase, TheKeys

PART_OF_THE_REQUEST = ("Content-Type", "Prefer")
"""Headers that another use of the same key must share; the body counts as inflated."""


def routes(table: Table) -> Router:
    """`POST`, `GET` and `GET /{id}` of one table."""
    origin = Origin("api", f"POST /{table.path}")

    @post(
        "/",
        operation_id=f"insert_{table.path}",
        summary=f"Insert 1–1000 {table.path}",
        operation_class=operations.inserts(table),
        request_max_body_size=bodies.MAX_BYTES,
    )
    async def insert(
        request: Request[Any, Any, Any],
        database: TheDatabase,
        keys: TheKeys,
        mode: FromQuery[Mode] = "partial",
        dry_run: DryRun = False,
    ) -> Response[bytes]:
        body = await request.body()
        plain = bodies.inflate(request.headers.get("Content-Encoding", ""), body)
        judged = bodies.read(table, request.headers.get("Content-Type", ""), plain)
        minimal = _wants_minimal(request)

        async def work(transaction: Transaction) -> Reply:
            verdict = await intake.take(transaction, judged, origin, mode, dry_run=dry_run)
            return _reply(verdict, dry_run=dry_run, minimal=minimal)

        key = None if dry_run else _key(request, plain)
        reply = await (keys.once(key, work) if key else database.run(work))
        return _response(reply, minimal=minimal)

    @get(
        "/",
        operation_id=f"list_{table.path}",
        summary=f"List {table.path} by id",
        operation_class=operations.lists(table),
    )
    async def page(database: TheDatabase, after: After = 0, limit: Limit = PAGE) -> dict[str, Any]:
        rows = await database.fetch(table.sql["page"], (after, limit))
        following = rows[-1][0] if len(rows) == limit else None
        return {"rows": [table.as_object(row) for row in rows], "next": following}

    @get(
        "/{row_id:int}",
        operation_id=f"get_{table.path}",
        summary=f"One of {table.path}",
        operation_class=operations.shows(table),
    )
    async def one(database: TheDatabase, row_id: RowId) -> dict[str, Any]:
        rows = await database.fetch(table.sql["find"], (row_id,)) if row_id <= MAX_ID else ()
        if not rows:
            raise NotFoundError(f"There is no row {row_id} in {table.path}.")
        return table.as_object(rows[0])

    return Router(f"/{table.path}", route_handlers=[insert, page, one], tags=[table.path])


def _key(request: Request[Any, Any, Any], body: bytes) -> Key | None:
    text = request.headers.get("Idempotency-Key")
    if text is None:
        return None
    check_key(text)
    headers = (request.headers.get(name, "") for name in PART_OF_THE_REQUEST)
    fingerprint = hash_of(request.url.query, *headers, body)
    return Key(request.user, f"{request.method} {request.url.path.rstrip('/')}", text, fingerprint)


def _wants_minimal(request: Request[Any, Any, Any]) -> bool:
    preferences = request.headers.get("Prefer", "").lower().split(",")
    return "return=minimal" in {preference.strip() for preference in preferences}


def _reply(verdict: Verdict, *, dry_run: bool, minimal: bool) -> Reply:
    body = {
        "received": verdict.received,
        "inserted": verdict.inserted,
        "failed": len(verdict.rejects),
        "ids": verdict.ids,
        "failures": [reject.as_failure() for reject in verdict.rejects],
    }
    if minimal:
        del body["ids"]
    return Reply(200 if dry_run else _status(verdict), msgspec.json.encode(body))


def _response(reply: Reply, *, minimal: bool) -> Response[bytes]:
    headers = {"Idempotency-Replayed": "true"} if reply.replayed else {}
    if minimal:
        headers["Preference-Applied"] = "return=minimal"
    return Response(
        reply.body, status_code=reply.status, media_type="application/json", headers=headers
    )


def _status(verdict: Verdict) -> int:
    if not verdict.rejects:
        return 201
    return 207 if verdict.inserted else 422
