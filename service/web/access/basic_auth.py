"""Basic authentication and roles, checked before a body is read."""

from __future__ import annotations

import binascii
from base64 import b64decode

from litestar.datastructures import Headers
from litestar.exceptions import (
    NotAuthorizedException,
    PermissionDeniedException,
    TooManyRequestsException,
)
from litestar.types import ASGIApp, Receive, Scope, Send

from service.web.access.cross_site import refuse_other_sites
from service.web.access.users import Role, TooManyAttempts, User, Users

PUBLIC = "public"
"""The opt key of routes that need no credentials."""
ROLE = "role"
"""The opt key of the role that a route needs. The default is reader."""


def with_credentials(app: ASGIApp) -> ASGIApp:
    """A handler that only users with the role of its route can call; else 401, 403 or 429."""

    async def check(scope: Scope, receive: Receive, send: Send) -> None:
        opt = scope["route_handler"].opt
        if not opt.get(PUBLIC):
            user = await user_of(scope)
            _check_role(user, opt.get(ROLE, "reader"))
            refuse_other_sites(scope)
            scope["user"], scope["auth"] = user.name, user.roles
        await app(scope, receive, send)

    return check


async def user_of(scope: Scope) -> User:
    """The user that sent the request; 401 or 429 without valid credentials."""
    users: Users = scope["litestar_app"].state.users
    sent = credentials(Headers.from_scope(scope).get("Authorization", ""))
    address, _ = scope["client"] or ("", 0)
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


def _check_role(user: User, role: Role) -> None:
    if role not in user.roles:
        raise PermissionDeniedException(
            f"This needs the role {role}, which {user.name} lacks. Ask the operator for it."
        )


def credentials(header: str) -> bytes:
    """`user:password` from an Authorization header; empty if the header is invalid."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
