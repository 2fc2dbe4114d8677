"""Requires a valid Host header: the framework builds URLs from it, and fails on others."""

from __future__ import annotations

import re

from service.web.asgi import App, Receive, Scope, Send
from service.web.problems import problem

_match = re.compile(
    rb"([A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
).fullmatch
MAX_PORT = 65535
DETAIL = "The header Host is not `name` or `name:port`. Send the host of this service."


class HostHeader:
    """An ASGI application that answers 400 if a Host header is invalid or repeated."""

    def __init__(self, app: App):
        self._app = app
        self._refusal = problem(400, DETAIL, {}, {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] != "http" or _has_valid_host(scope):
            await self._app(scope, receive, send)
            return
        body: bytes = self._refusal.content
        headers = [
            (b"content-type", str(self._refusal.media_type).encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _has_valid_host(scope: Scope) -> bool:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return not hosts or (len(hosts) == 1 and _is_valid(hosts[0]))


def _is_valid(host: bytes) -> bool:
    match = _match(host)
    return match is not None and int(match["port"] or 0) <= MAX_PORT
