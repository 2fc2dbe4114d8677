"""Optional OpenTelemetry: a span for each request, by its route, without its content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service.core.errors import SettingsError
from service.core.settings import Settings
from service.core.threads import in_thread
from service.web.asgi import App, Receive, Scope, Send
from service.web.traffic.request_log import UNKNOWN

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SEND_SECONDS = 5
TRACE_HEADERS = (b"traceparent", b"tracestate")
"""Headers that name the trace of the caller."""


class Traces:
    """Sends spans to OTEL_EXPORTER_OTLP_ENDPOINT, if it is set."""

    def __init__(self, settings: Settings):
        endpoint = settings.otel_exporter_otlp_endpoint
        self._provider = _provider(endpoint) if endpoint else None

    def around(self, app: App) -> App:
        """The application, with tracing if it is configured."""
        return Traced(app, self._provider) if self._provider else app

    async def close(self) -> None:
        """Send the remaining spans."""
        if self._provider:
            await in_thread(self._provider.shutdown)


def _provider(endpoint: str) -> TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT: OpenTelemetry is not installed. Install "
            "hirebase[otel] or requirements-otel.lock, or unset the variable."
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": "hirebase"}))
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=SEND_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


class Traced:
    """An ASGI application with a span around each request."""

    def __init__(self, app: App, provider: TracerProvider):
        self._app = app
        self._tracer = provider.get_tracer("hirebase")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; record its route, method and status."""
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parent = TraceContextTextMapPropagator().extract(_trace_headers(scope))
        with self._tracer.start_as_current_span(
            scope["method"], parent, SpanKind.SERVER, record_exception=False
        ) as span:

            async def send_and_record(message: Any) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            await self._app(scope, receive, send_and_record)
            route = scope.get("path_template") or UNKNOWN
            span.update_name(f"{scope['method']} {route}")
            span.set_attributes({"http.request.method": scope["method"], "http.route": route})


def _trace_headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode(): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in TRACE_HEADERS
    }
