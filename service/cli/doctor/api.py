"""Checks what answers on the address of the API."""

from __future__ import annotations

import http.client

from service.cli.doctor.findings import Finding, error, ok
from service.core.database.servers.addresses import format_address
from service.core.settings import Settings

SECONDS = 5
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not listened on
"""Where to reach a service that listens on all addresses."""


def api(settings: Settings) -> Finding:
    """Ask the service whether it is ready. It need not run."""
    host = ANYWHERE.get(settings.api_host, settings.api_host)
    name = format_address(host, settings.api_port)
    try:
        status, body = _ask(host, settings.api_port)
    except ConnectionRefusedError:
        return ok("api", f"nothing listens on {name}: the service does not run here")
    except (OSError, http.client.HTTPException) as problem:
        text = f"{name} gives no answer: {problem!s}"
        return error("api", text, "Check API_HOST and API_PORT, and the log of the service.")
    if status == 200 and b"ready" in body:
        return ok("api", f"hirebase answers on {name} and is ready")
    if status == 503:
        text = f"The service on {name} is not ready (503)."
        return error("api", text, "Correct the errors above. Else read the log of the service.")
    text = f"Another program answers on {name} ({status})."
    return error("api", text, "Set API_PORT to a free port, or stop that program.")


def _ask(host: str, port: int) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", "/health/ready")
        reply = connection.getresponse()
        return reply.status, reply.read(1000)
    finally:
        connection.close()
