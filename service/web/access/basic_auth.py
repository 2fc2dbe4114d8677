"""Basic authentication and roles, looked at before any body is read."""

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
"""The opt key of routes that are open to all."""
ROLE = "role"
"""The opt key of the role that a route asks for; reader where it names none."""


class BasicAuth(AbstractAuthenticationMiddleware):
    """Lets in the users that may do what the route does."""

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        """The user's name and roles; 401, 403 or 429 for everyone else."""
        user = await user_of(connection)
        role = connection.route_handler.opt.get(ROLE, "reader")
        if role not in user.roles:
            raise PermissionDeniedException(f"This needs the role {role}, which {user.name} lacks.")
        refuse_other_sites(connection)
        return AuthenticationResult(user=user.name, auth=user.roles)


async def user_of(connection: ASGIConnection[Any, Any, Any, Any]) -> User:
    """Who asks; 401 or 429 for those who are nobody here."""
    users: Users = connection.app.state.users
    sent = credentials(connection.headers.get("Authorization", ""))
    address = connection.client.host if connection.client else ""
    name, _, password = sent.partition(b":")
    try:
        # No credentials are no guess: every first request of a browser comes like that.
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
    """`user:password` out of an Authorization header; nothing out of any other."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
