"""Errors as problem details (RFC 9457): one shape for every reply that is no success."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from service.core import errors

log = logging.getLogger("hirebase.web")

STATUS: dict[type[Exception], int] = {
    errors.MalformedError: 400,
    errors.BatchSizeError: 422,
    errors.TooLargeError: 413,
    errors.UnsupportedError: 415,
    errors.KeyReusedError: 422,
    errors.KeyBusyError: 409,
    errors.BackupError: 422,
    errors.RowsRefused: 422,
    errors.OrphansError: 409,
    errors.TransactionTooLarge: 422,
    errors.NotFoundError: 404,
    errors.StorageError: 507,
    errors.UnavailableError: 503,
    errors.ContentionError: 503,
    errors.DatabaseError: 500,
}
AGAIN = (errors.UnavailableError, errors.ContentionError, errors.KeyBusyError)
RETRY_SECONDS = "2"
INTERNAL = (
    "Something went wrong on our side. Try again; if it stays, tell the operator when it was."
)


CLIENT_GONE = 499
"""As nginx has it: for the log and the metrics, as nobody is there to read it."""


class ClientGone(Exception):
    """The client went away in the middle of its body."""


class Problem(msgspec.Struct, kw_only=True):
    """The body of an error: what kind, which status, what happened and what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def of_ours(request: Request[Any, Any, Any], error: errors.HirebaseError) -> Response[bytes]:
    """An error of the core."""
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return of_anything(request, error)
    headers = {"Retry-After": RETRY_SECONDS} if isinstance(error, AGAIN) else {}
    return problem(status, str(error), headers, error.extras)


def of_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """An error of the framework: no such route or method, a body too large, a bad parameter."""
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return of_anything(request, error)
    extras = {"errors": error.extra} if isinstance(error.extra, list) else {}
    return problem(error.status_code, error.detail, dict(error.headers or {}), extras)


def of_anything(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A mistake of ours: told to the log, not to the client."""
    log.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
    return problem(500, INTERNAL, {}, {})


def of_gone(_request: Request[Any, Any, Any], _error: ClientGone) -> Response[bytes]:
    """No mistake of ours, and nobody to tell."""
    return Response(b"", status_code=CLIENT_GONE)


def problem(
    status: int, detail: str, headers: dict[str, str], extras: dict[str, Any]
) -> Response[bytes]:
    """A reply in the shape of RFC 9457, with what helps beside it."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return Response(
        msgspec.json.encode({**msgspec.structs.asdict(body), **extras}),
        status_code=status,
        media_type="application/problem+json",
        headers=headers,
    )


HANDLERS: dict[int | type[Exception], Any] = {
    errors.HirebaseError: of_ours,
    HTTPException: of_http,
    ClientGone: of_gone,
    Exception: of_anything,
}
