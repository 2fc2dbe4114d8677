"""Valid and invalid requests, generated from the OpenAPI document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import BaseSchema, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.core.database.transactions import Database
from service.core.settings import Settings
from service.web.app import create_app
from tests.support import engine
from tests.support.hires import add_parents
from tests.support.program import Service

PASSWORD = "schema-password"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def as_bytes(_: Any, value: Any) -> bytes:
    """Formats that the document describes as text or bytes."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


def as_msgpack(_: Any, value: Any) -> bytes:
    """MessagePack; invalid bytes if MessagePack has no such value."""
    try:
        return msgspec.msgpack.encode(value)
    except (TypeError, OverflowError, UnicodeEncodeError):
        return b"\xc1"


schemathesis.serializer("text/csv", "application/x-ndjson", "application/avro", "application/zip")(
    as_bytes
)
schemathesis.serializer("application/msgpack")(as_msgpack)


@pytest.fixture(scope="module")
async def served(migrated: Settings) -> AsyncIterator[Service]:
    """The service in a separate process, on the database of the tests."""
    variables = engine.environment(migrated) | {
        "API_USER": "admin",
        "API_PASS": PASSWORD,
        "LOG_LEVEL": "error",
    }
    del variables["API_PORT"]
    service = await Service.started(**variables)
    yield service
    await service.end()


def document() -> BaseSchema:
    """The document of the service, which needs no database."""
    app = create_app(Settings(api_pass=PASSWORD))
    return schemathesis.openapi.from_dict(json.loads(json.dumps(app.openapi_schema.to_schema())))


FOUND = [found.ok() for found in document().get_all_operations() if isinstance(found, Ok)]
OPERATIONS = {operation.label: operation for operation in FOUND}
TAKING = [
    label
    for label, operation in OPERATIONS.items()
    if operation.body or any(operation.iter_parameters())
]
CASES = [
    *((GenerationMode.POSITIVE, label) for label in OPERATIONS),
    *((GenerationMode.NEGATIVE, label) for label in TAKING),
]


@pytest.mark.parametrize(("mode", "label"), CASES)
async def test_no_request_breaks_the_service(
    mode: GenerationMode, label: str, served: Service, database: Database
) -> None:
    await add_parents(database, range(1, 4))
    address = f"http://127.0.0.1:{served.port}"

    @settings(
        max_examples=10,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def call(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(
            base_url=address, auth=("admin", PASSWORD), checks=CHECKS, timeout=30
        )

    await asyncio.to_thread(call)
