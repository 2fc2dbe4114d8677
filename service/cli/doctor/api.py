"""Checks the API: its certificate, and what answers on its address."""

from __future__ import annotations

import http.client
from datetime import UTC, datetime, timedelta

from cryptography.x509 import load_pem_x509_certificate

from service.cli.doctor.findings import CERTIFICATE_DAYS, Finding, error, ok, warning
from service.core.database.servers.addresses import format_address
from service.core.errors import SettingsError
from service.core.settings import Settings
from service.healthcheck import ask
from service.web.traffic.tls import context


def api(settings: Settings) -> list[Finding]:
    """Check the certificate if there is one, and ask the service, which need not run."""
    return [*certificate(settings), _answer(settings)]


def certificate(settings: Settings) -> list[Finding]:
    """Check the pair of files, and the days on which it is valid; nothing without TLS."""
    file, key = settings.api_tls_cert, settings.api_tls_key
    if file is None or key is None:
        return []
    try:
        context(file, key)
    except SettingsError as problem:
        return [error("api_tls", str(problem), "Correct the file: the service does not start.")]
    leaf, now = load_pem_x509_certificate(file.read_bytes()), datetime.now(UTC)
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    text = f"{file} is valid from {begin:%Y-%m-%d} until {end:%Y-%m-%d}"
    if begin > now:
        remedy = f"Check the clock of this machine. The certificate begins on {begin}."
        return [error("api_tls", text, remedy)]
    if end - now < timedelta(days=CERTIFICATE_DAYS):
        return [(error if end < now else warning)("api_tls", text, "Renew the certificate.")]
    return [ok("api_tls", text)]


def _answer(settings: Settings) -> Finding:
    name = format_address(settings.api_host, settings.api_port)
    try:
        status, body = ask(settings)
    except ConnectionRefusedError:
        return ok("api", f"nothing listens on {name}: the service does not run here")
    except (OSError, http.client.HTTPException) as problem:
        text = f"{name} gives no answer: {problem!s}"
        return error("api", text, "Check API_HOST and API_PORT, and the log of the service.")
    if status == 200 and "ready" in body:
        return ok("api", f"hirebase answers on {name} and is ready")
    if status == 503:
        text = f"The service on {name} is not ready (503)."
        return error("api", text, "Correct the errors above. Else read the log of the service.")
    text = f"Another program answers on {name} ({status})."
    return error("api", text, "Set API_PORT to a free port, or stop that program.")
