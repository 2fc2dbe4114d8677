"""Basic authentication: compared in constant time, before any body is read."""

from __future__ import annotations

import binascii
from base64 import b64decode
from hmac import compare_digest
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

PUBLIC = "public"
"""The opt key of routes that are open to all."""


class BasicAuth(AbstractAuthenticationMiddleware):
    """Lets in who sends API_USER and API_PASS."""

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        """The user's name; 401 for everyone else."""
        settings = connection.app.state.settings
        sent = credentials(connection.headers.get("Authorization", ""))
        wanted = f"{settings.api_user}:{settings.api_pass}".encode()
        if not compare_digest(sent, wanted):
            raise NotAuthorizedException(
                "Send the user name and password of this service by basic authentication.",
                headers={"WWW-Authenticate": 'Basic realm="hirebase", charset="UTF-8"'},
            )
        return AuthenticationResult(user=settings.api_user, auth=None)


def credentials(header: str) -> bytes:
    """`user:password` out of an Authorization header; nothing out of any other."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
