"""The limits that a client needs to know."""

from __future__ import annotations

from litestar import get
from litestar.datastructures import State

from service.core.rules import batch, fields, formats
from service.core.writes import idempotency, ingest
from service.web.api.rejects.routes import PAGE_BYTES, SHOWN
from service.web.openapi import operations
from service.web.traffic.http_protocol import MAX_HEAD


@get(
    "/limits",
    operation_id="limits",
    summary="The limits that a client needs to know",
    operation_class=operations.LIMITS,
    tags=["limits"],
)
async def limits(state: State) -> dict[str, int]:
    return {
        "batch_rows": batch.MAX_ROWS,
        "request_head_bytes": MAX_HEAD,
        "body_bytes": formats.MAX_BYTES,
        "inflated_body_bytes": formats.MAX_BYTES,
        "verdict_bytes": ingest.MAX_VERDICT,
        "page_rows": batch.MAX_ROWS,
        "reject_page_bytes": PAGE_BYTES,
        "reject_characters": SHOWN,
        "id": fields.MAX_ID,
        "text_characters": fields.MAX_TEXT,
        "upload_bytes": int(state.settings.api_max_upload),
        "idempotency_key_characters": idempotency.MAX_CHARACTERS,
        "idempotency_key_seconds": state.settings.idempotency_hours * 3600,
    }
