"""Errors as problem details (RFC 9457): the one shape of every reply that reports an error."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, Literal, get_args, get_origin

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from structlog.contextvars import get_contextvars

from service.core import errors

log = logging.getLogger("hirebase.web")

STATUS: dict[type[Exception], int] = {
    errors.MalformedError: 400,
    errors.BatchSizeError: 422,
    errors.TooLargeError: 413,
    errors.UnsupportedError: 415,
    errors.KeyReusedError: 422,
    errors.KeyBusyError: 409,
    errors.ParameterError: 400,
    errors.BackupError: 422,
    errors.RowsRefused: 422,
    errors.MissingParentsError: 409,
    errors.OrphansError: 409,
    errors.TransactionTooLarge: 422,
    errors.NotFoundError: 404,
    errors.ChangedError: 412,
    errors.ClosedRejectError: 409,
    errors.StorageError: 507,
    errors.ShutdownError: 503,
    errors.UnavailableError: 503,
    errors.ContentionError: 503,
    errors.TableBusyError: 503,
    errors.DatabaseError: 500,
}
PHRASES = {413: "Request Entity Too Large", 422: "Unprocessable Entity"}
"""Names that Python 3.13 changed. Titles and the OpenAPI document have the same in every Python."""
RETRY_SECONDS = "2"
RETRY_AFTER: dict[type[Exception], str] = {
    errors.UnavailableError: RETRY_SECONDS,
    errors.ContentionError: RETRY_SECONDS,
    errors.KeyBusyError: RETRY_SECONDS,
    errors.ShutdownError: RETRY_SECONDS,
    errors.TableBusyError: "10",  # a restore takes longer than a lock
}
INTERNAL = (
    "Something went wrong in the service. Try again. If it fails again, tell the operator the id "
    "of this request, {request_id}: the log has the reason."
)
MAX_TEXT = 1000
"""Characters of a text in a problem: it may repeat what the client sent."""

CLIENT_GONE = 499
"""For the log and the metrics, as in nginx. No client receives it."""


class ClientGone(Exception):
    """The client disconnected before the end of its request body."""


class Problem(msgspec.Struct, kw_only=True):
    """The body of an error: the kind of error, the status, what happened and what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def of_core_error(request: Request[Any, Any, Any], error: errors.HirebaseError) -> Response[bytes]:
    """An error of the core."""
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return of_unexpected(request, error)
    seconds = next((RETRY_AFTER[kind] for kind in type(error).__mro__ if kind in RETRY_AFTER), None)
    headers = {"Retry-After": seconds} if seconds else {}
    return problem(status, str(error), headers, error.extras)


def of_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """An error of the framework: no such route or method, a body too large, a bad parameter."""
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return of_unexpected(request, error)
    parameters = error.extra if isinstance(error.extra, list) else []
    detail = error.detail
    if parameters and detail.startswith("Validation failed"):  # it only repeats the URL
        parameters = [_as_sent(_with_choices(request, one)) for one in parameters]
        detail = " ".join(f"Parameter {one['key']!r}: {one['message']}." for one in parameters)
    extras = {"errors": [_shorten_values(one) for one in parameters]} if parameters else {}
    return problem(error.status_code, detail, dict(error.headers or {}), extras)


def _with_choices(request: Request[Any, Any, Any], parameter: dict[str, Any]) -> dict[str, Any]:
    """An error of a parameter. If only some texts are allowed, it names them."""
    fields = request.route_handler.parsed_fn_signature.parameters
    field = fields.get(str(parameter.get("key")))
    kinds = [field.annotation, *field.args] if field else []
    texts = [text for kind in kinds if get_origin(kind) is Literal for text in get_args(kind)]
    return parameter | {"message": f"must be one of {', '.join(texts)}"} if texts else parameter


def _shorten_values(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: _shorten(value) for name, value in fields.items()}


def _as_sent(parameter: dict[str, Any]) -> dict[str, Any]:
    """An error of a parameter with its public name: some names are taken inside the framework."""
    return parameter | {"key": str(parameter.get("key", "")).rstrip("_")}


def _shorten(value: Any) -> Any:
    long = isinstance(value, str) and len(value) > MAX_TEXT
    return f"{value[: MAX_TEXT - 1]}…" if long else value


def of_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """An error in the service itself. The log has the reason, the reply does not."""
    # The path as a literal: it may hold line ends and escape sequences.
    log.error("%s %r failed", request.method, request.scope["path"], exc_info=error)
    request_id = get_contextvars().get("request_id", "unknown")
    return problem(500, INTERNAL.format(request_id=request_id), {}, {})


def of_client_gone(_request: Request[Any, Any, Any], _error: ClientGone) -> Response[bytes]:
    """An empty reply, because the client has disconnected."""
    return Response(b"", status_code=CLIENT_GONE)


def phrase(status: int) -> str:
    """The name of a status."""
    return PHRASES.get(status) or HTTPStatus(status).phrase


def problem(
    status: int, detail: str, headers: dict[str, str], extras: dict[str, Any]
) -> Response[bytes]:
    """A reply in the shape of RFC 9457, with further fields for programs."""
    body = Problem(title=phrase(status), status=status, detail=_shorten(detail))
    return Response(
        msgspec.json.encode({**msgspec.structs.asdict(body), **extras}),
        status_code=status,
        media_type="application/problem+json",
        headers=headers,
    )


HANDLERS: dict[int | type[Exception], Any] = {
    errors.HirebaseError: of_core_error,
    HTTPException: of_http,
    ClientGone: of_client_gone,
    Exception: of_unexpected,
}
