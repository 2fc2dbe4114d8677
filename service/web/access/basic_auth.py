"""Basic authentication and roles, checked before a body is read."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import (
    NotAuthorizedException,
    PermissionDeniedException,
    TooManyRequestsException,
)
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from service.web.access.cross_site import refuse_other_sites
from service.web.access.users import TooManyAttempts, User, Users

PUBLIC = "public"
"""The opt key of routes that need no credentials."""
ROLE = "role"
"""The opt key of the role that a route needs. The default is reader."""


class BasicAuth(AbstractAuthenticationMiddleware):
    """Accepts requests of users that have the role of the route."""

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        """The name and roles of the user; else 401, 403 or 429."""
        user = await user_of(connection)
        role = connection.route_handler.opt.get(ROLE, "reader")
        if role not in user.roles:
            raise PermissionDeniedException(f"This needs the role {role}, which {user.name} lacks.")
        refuse_other_sites(connection)
        return AuthenticationResult(user=user.name, auth=user.roles)


async def user_of(connection: ASGIConnection[Any, Any, Any, Any]) -> User:
    """The user that sent the request; 401 or 429 without valid credentials."""
    users: Users = connection.app.state.users
    sent = credentials(connection.headers.get("Authorization", ""))
    address = connection.client.host if connection.client else ""
    name, _, password = sent.partition(b":")
    try:
        # Missing credentials are not an attempt: a browser sends its first request without them.
        user = await users.find(name.decode(errors="replace"), password, address) if sent else None
    except TooManyAttempts as error:
        headers = {"Retry-After": str(error.seconds)}
        raise TooManyRequestsException(str(error), headers=headers) from None
    if user is None:
        raise NotAuthorizedException(
            "Send the user name and password of this service by basic authentication.",
            headers={"WWW-Authenticate": 'Basic realm="hirebase", charset="UTF-8"'},
        )
    return user


def credentials(header: str) -> bytes:
    """`user:password` from an Authorization header; empty if the header is invalid."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
