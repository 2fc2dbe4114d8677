"""python -m service.healthcheck: ends with 0 if the service with these settings is ready, else 1.

It is for container engines. It asks the service on this machine, also over TLS.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from contextlib import closing

from service.core.errors import SettingsError
from service.core.settings import Settings

SECONDS = 4
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # an address to connect to


def main() -> int:
    """The exit code."""
    try:
        status, body = ask(Settings.from_environment(os.environ))
    except (SettingsError, OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write(body)
    return int(status != http.HTTPStatus.OK)


def ask(settings: Settings) -> tuple[int, str]:
    """(status, body) of the service's /health/ready; OSError, HTTPException."""
    with closing(_connection_to(settings)) as connection:
        connection.request("GET", "/health/ready")
        reply = connection.getresponse()
        return reply.status, reply.read(1000).decode(errors="replace")


def _connection_to(settings: Settings) -> http.client.HTTPConnection:
    host = LOOPBACK.get(settings.api_host, settings.api_host)
    if settings.api_tls_cert is None:
        return http.client.HTTPConnection(host, settings.api_port, timeout=SECONDS)
    # The peer is this machine, and no secret is sent. So any certificate will do.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, settings.api_port, timeout=SECONDS, context=context)


if __name__ == "__main__":
    sys.exit(main())
