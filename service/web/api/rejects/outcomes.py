"""Routes that close rejects, and their summary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.datastructures import State

from service.core.database.statements import Transaction
from service.core.errors import MalformedError
from service.core.rules import formats
from service.core.rules.fields import CONTROL
from service.core.tables import Table, by_name, by_path
from service.core.writes.corrections import outcomes
from service.core.writes.corrections.outcomes import LONGEST_REASON, Outcome, Summary
from service.core.writes.corrections.rule import Corrected, correct_all, rule_of
from service.core.writes.idempotency import Reply
from service.web.access.basic_auth import ROLE
from service.web.api.batches import check_media_type, header_of, key_of, once, response
from service.web.api.parameters import DryRun, InjectedReader, RowId
from service.web.asgi import EncodedResponse
from service.web.openapi import reject_outcomes as documented
from service.web.traffic.load_shedding import size_of

SECONDS = 600
"""The deadline of a summary. MySQL needs about 12 s of processor time for a million rejects."""
Work = Callable[[Transaction], Awaitable[Outcome]]


@get(
    "/summary",
    operation_id="summarize_rejects",
    summary="The open rejects by table, source, day and code",
    operation_class=documented.SUMMARY,
)
async def summary(reader: InjectedReader, state: State) -> Summary:
    with state.long_work.place():
        async with reader.snapshot(SECONDS) as snapshot:
            return await outcomes.summary(snapshot.fetch)


@post(
    "/{reject_id:int}/correction",
    operation_id="correct_reject",
    summary="Insert the corrected record of a reject, and close it",
    operation_class=documented.CORRECTION,
    request_max_body_size=formats.MAX_BYTES,
    opt={ROLE: "writer"},
)
async def correction(
    request: Request[Any, Any, Any], state: State, reject_id: RowId
) -> EncodedResponse:
    body = await _body(request)
    work = partial(outcomes.correct, key=reject_id, body=body, user=request.user)
    return await _closed(request, state, work, 201, f"{reject_id}/correction", body)


@post(
    "/{reject_id:int}/dismissal",
    operation_id="dismiss_reject",
    summary="Close a reject without a row, with a reason",
    operation_class=documented.DISMISSAL,
    status_code=200,
    request_max_body_size=formats.MAX_BYTES,
    opt={ROLE: "writer"},
)
async def dismissal(
    request: Request[Any, Any, Any], state: State, reject_id: RowId
) -> EncodedResponse:
    body = await _body(request)
    reason = _reason(body)
    work = partial(outcomes.dismiss, key=reject_id, reason=reason, user=request.user)
    return await _closed(request, state, work, 200, f"{reject_id}/dismissal", body)


@post(
    "/corrections",
    operation_id="correct_rejects",
    summary="Correct the rejects that have the same wrong value, by one rule",
    operation_class=documented.CORRECTIONS,
    status_code=200,
    request_max_body_size=formats.MAX_BYTES,
    opt={ROLE: "writer"},
)
async def corrections(
    request: Request[Any, Any, Any], state: State, dry_run: DryRun = False
) -> EncodedResponse:
    body = await _body(request)
    chosen = rule_of(body)

    async def write(transaction: Transaction) -> Reply:
        done = await correct_all(transaction, chosen, request.user, dry_run=dry_run)
        return Reply(200, msgspec.json.encode(done))

    key = None if dry_run else key_of(request, "POST /rejects/corrections", (), body)
    with state.batch_limiter.place():
        reply = await once(state, key, write, dry_run=dry_run)
    if not (reply.replayed or dry_run):
        done = msgspec.json.decode(reply.body, type=Corrected)
        state.metrics.closed_rejects.labels("corrected").inc(done.corrected)
        _count_inserted(request, state, by_path(chosen.table), done.corrected)
    return response(reply)


async def _body(request: Request[Any, Any, Any]) -> bytes:
    check_media_type(request, "application/json")
    return formats.decompress(header_of(request, "Content-Encoding"), await request.body())


async def _closed(
    request: Request[Any, Any, Any],
    state: State,
    work: Work,
    status: int,
    path: str,
    body: bytes,
) -> EncodedResponse:
    async def write(transaction: Transaction) -> Reply:
        return Reply(status, msgspec.json.encode(await work(transaction)))

    key = key_of(request, f"POST /rejects/{path}", (), body)
    with state.batch_limiter.place(size_of(request.scope["headers"])):
        reply = await once(state, key, write)
    if not reply.replayed:
        outcome = msgspec.json.decode(reply.body, type=Outcome)
        state.metrics.closed_rejects.labels(outcome.state).inc()
        if outcome.table:
            _count_inserted(request, state, by_name(outcome.table), 1)
    return response(reply)


def _count_inserted(request: Request[Any, Any, Any], state: State, table: Table, rows: int) -> None:
    state.metrics.inserted.labels(table.name).inc(rows)
    state.row_counts.add("api", request.user, table, rows)


def _reason(body: bytes) -> str:
    """The reason in a body; MalformedError."""
    try:
        text = msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = {}
    reason = text.get("reason", "")
    valid = list(text) == ["reason"] and reason.strip() and len(reason) <= LONGEST_REASON
    if not valid or CONTROL.search(reason):
        raise MalformedError(
            f'The body must be {{"reason": "…"}}, a text of 1 to {LONGEST_REASON} characters '
            "without control characters."
        )
    return reason
