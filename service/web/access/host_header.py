"""Requires a valid Host header: the framework builds URLs from it, and fails on others."""

from __future__ import annotations

import re

from service.web.asgi import App, Receive, Refusal, Scope, Send

_match = re.compile(
    rb"([A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
).fullmatch
MAX_PORT = 65535
DETAIL = "The header Host is not `name` or `name:port`. Send the host of this service."


def with_valid_host(app: App) -> App:
    """The application behind a check: 400 if a Host header is invalid or repeated."""
    refusal = Refusal(400, DETAIL)

    async def check(scope: Scope, receive: Receive, send: Send) -> None:
        refused = scope["type"] == "http" and not _has_valid_host(scope)
        await (refusal if refused else app)(scope, receive, send)

    return check


def _has_valid_host(scope: Scope) -> bool:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return not hosts or (len(hosts) == 1 and _is_valid(hosts[0]))


def _is_valid(host: bytes) -> bool:
    match = _match(host)
    return match is not None and int(match["port"] or 0) <= MAX_PORT
