"""Spans for OpenTelemetry: their content, and none without a collector."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from service.core.database.transactions import Database
from service.core.errors import SettingsError
from service.core.settings import Settings
from service.web.app import create_app
from tests.conftest import calling

SECRET = "NobodyReadsThis"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """A server on a loopback port that keeps the bodies it receives."""

    def __init__(self) -> None:
        self.port = 0
        self.bodies: list[bytes] = []

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and reply."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"post /v1/traces ")
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        self.bodies.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    def spans(self) -> list[Any]:
        """The received spans."""
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

        found = []
        for body in self.bodies:
            request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
            found += [
                span
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        return found


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    server = await asyncio.start_server(collector.receive, "127.0.0.1", 0)
    collector.port = server.sockets[0].getsockname()[1]
    yield collector
    server.close()


async def test_a_request_is_a_span_without_its_content(
    collector: Collector, migrated: Settings, database: Database
) -> None:
    pytest.importorskip("opentelemetry.sdk")
    endpoint = f"http://127.0.0.1:{collector.port}"
    settings = msgspec.structs.replace(migrated, otel_exporter_otlp_endpoint=endpoint)
    async with calling(settings) as client:
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Any": SECRET}
        await client.post("/jobs", json={"job": SECRET}, headers=headers)
        await client.get(f"/rejects?x={SECRET}")
        await client.get("/jobs/2147483647")
        await client.get(f"/{SECRET}")
    spans = {span.name: span for span in collector.spans()}
    assert spans.keys() == {"POST /jobs", "GET /rejects", "GET /jobs/{row_id}", "GET (none)"}
    statuses = {
        name: value.int_value
        for name, span in spans.items()
        for value in (found.value for found in span.attributes if "status_code" in found.key)
    }
    assert statuses == {
        "POST /jobs": 201,
        "GET /rejects": 400,
        "GET /jobs/{row_id}": 404,
        "GET (none)": 404,
    }
    assert spans["POST /jobs"].trace_id.hex() == TRACE
    assert spans["POST /jobs"].parent_span_id.hex() == SPAN
    sent = b"".join(collector.bodies)
    assert not [word for word in (SECRET, settings.api_pass, "2147483647") if word.encode() in sent]


def test_missing_packages_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    package = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT: .*otel\.lock"):
        create_app(Settings(api_pass="x", otel_exporter_otlp_endpoint="http://127.0.0.1:1"))


async def test_opentelemetry_is_not_imported_unless_configured() -> None:
    code = (
        "import sys; from service.core.settings import Settings; "
        "from service.web.app import create_app; create_app(Settings(api_pass='x')); "
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
