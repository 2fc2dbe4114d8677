"""Protects browsers: refuses requests from other sites, lets pages load only their own files."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

from litestar.datastructures import Headers
from litestar.exceptions import PermissionDeniedException
from litestar.types import Scope

SAFE = ("GET", "HEAD", "OPTIONS")
CONSOLE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONSOLE_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_inline = re.compile(rb"<(script|style)\b[^>]*>(.+?)</\1>", re.DOTALL)


def refuse_other_sites(scope: Scope) -> None:
    """403 for a change that a page of another site requests.

    A browser sends the credentials of this service with every request, and headers that name the
    requesting site. Other clients do not send these headers, and are accepted.
    """
    if scope.get("method") in SAFE:
        return
    headers = Headers.from_scope(scope)
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    ours = (
        site in ("same-origin", "none")
        if site
        else origin is None or origin.partition("://")[2] == headers.get("Host")
    )
    if not ours:
        raise PermissionDeniedException(
            "A page of another site sent this request. Use the pages of this service, or a client "
            "that is not a browser."
        )


def policy_of(page: bytes) -> str:
    """A policy for a page that others wrote. It allows exactly the inline scripts and styles."""
    sources: dict[bytes, list[str]] = {b"script": ["'self'"], b"style": ["'self'"]}
    for kind, text in _inline.findall(page):
        sources[kind].append(f"'sha256-{b64encode(sha256(text).digest()).decode()}'")
    return (
        f"default-src 'none'; script-src {' '.join(sources[b'script'])}; "
        f"style-src {' '.join(sources[b'style'])}; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
