"""The OpenAPI document at /schema/openapi.json, and its page at /schema."""

from __future__ import annotations

import re
from typing import Any, cast

from litestar import Litestar, Response, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIHeader,
    OpenAPIResponse,
    OpenAPIType,
    Reference,
    Schema,
    SecurityScheme,
)
from litestar.params import FromPath
from litestar.response import File
from swagger_ui_bundle import swagger_ui_path

from service import __version__
from service.core.errors import NotFoundError
from service.core.tables import TABLES
from service.core.writes.corrections.rule import Rule
from service.web.access.cross_site import policy_of
from service.web.openapi.operations import DocumentedOperation, problem_content, problem_name
from service.web.openapi.schemas import schemas, without_required
from service.web.problems import Problem, problem

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui-standalone-preset.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
"""Files of the page, from an installed package. It loads nothing from other servers."""

PROBLEMS = {
    400: "The body or a parameter is malformed, or a parameter is unknown.",
    401: "Credentials are missing or wrong.",
    403: "The user lacks the role that this route needs.",
    404: "There is no such row or table.",
    409: "The request conflicts with another request or with other rows. Nothing was changed.",
    412: "The row has changed since the client read it. Nothing was changed.",
    413: "The body is too large.",
    415: "The media type or the encoding of the body is not supported.",
    422: "The content breaks a rule. Nothing was changed.",
    500: "An error in the service.",
    429: "Too many attempts to sign in. Try again after Retry-After seconds.",
    503: "The database is unavailable or busy. Try again after Retry-After seconds.",
    507: "A folder of the server is not usable or is full. The operator has to act.",
}
HEADERS = {
    401: ("WWW-Authenticate", OpenAPIType.STRING),
    429: ("Retry-After", OpenAPIType.INTEGER),
    503: ("Retry-After", OpenAPIType.INTEGER),
}


PAGE = SwaggerRenderPlugin(
    path="/",
    js_url="/schema/assets/swagger-ui-bundle.js",
    css_url="/schema/assets/swagger-ui.css",
    standalone_preset_js_url="/schema/assets/swagger-ui-standalone-preset.js",
    favicon='<link rel="icon" href="/schema/assets/favicon-32x32.png">',
)


@get("/assets/{name:str}")
async def asset(name: FromPath[str]) -> File:
    """A file of Swagger UI."""
    if name not in ASSETS:
        raise NotFoundError(f"There is no {name!r} here.")
    return File(
        swagger_ui_path / name,
        media_type=ASSETS[name],
        content_disposition_type="inline",
        headers={"Cache-Control": "private, max-age=86400"},
    )


def complete(app: Litestar) -> None:
    """Add the schemas that the operations refer to."""
    document = app.openapi_schema
    operations = [
        operation
        for item in (document.paths or {}).values()
        for operation in (item.get, item.post, item.patch, item.delete)
        if isinstance(operation, DocumentedOperation)
    ]
    replies = [reply for operation in operations for reply in operation.replies.values()]
    shapes = [reply.shape for reply in replies if reply.shape]
    rows = [shape for table in TABLES for shape in (table.row, without_required(table))]
    ours = schemas({Problem, Rule, *shapes, *rows})
    document.components.schemas = cast(
        "dict[str, Schema]", {**document.components.schemas, **_portable(ours)}
    )


def _portable(schema: Any) -> Any:
    """A schema whose patterns work in JavaScript and can be encoded as JSON."""
    if isinstance(schema, list):
        return [_portable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _pattern(value) if key == "pattern" else _portable(value)
        for key, value in schema.items()
    }


def _pattern(python: str) -> str:
    # JSON cannot hold lone surrogates, and in JavaScript they would match halves of emoji.
    kept = python.replace("\ud800-\udfff", "").replace(r"\Z", "$")
    return re.sub(r"[^ -~]", lambda match: f"\\u{ord(match[0]):04x}", kept)


def _response(status: int, text: str) -> OpenAPIResponse:
    headers: dict[str, OpenAPIHeader | Reference] = {}
    if status in HEADERS:
        name, kind = HEADERS[status]
        headers[name] = OpenAPIHeader(schema=Schema(type=kind))
    return OpenAPIResponse(
        text,
        headers=headers or None,
        content=problem_content(),
    )


def _finish(response: Response[Any]) -> Response[Any]:
    """Replace Litestar's own 404 page by a problem; add a policy to HTML pages."""
    if response.status_code == 404:
        return problem(404, "Not Found", {}, {})
    if response.media_type == "text/html":
        page = response.content
        body = page if isinstance(page, bytes) else str(page).encode()
        response.set_header("Content-Security-Policy", policy_of(body))
    return response


def config() -> OpenAPIConfig:
    """The configuration for one application. Litestar adds routes to its router."""
    responses = {problem_name(status): _response(status, text) for status, text in PROBLEMS.items()}
    return OpenAPIConfig(
        title="hirebase",
        version=__version__,
        description="A company's hiring history in MySQL: batches, reports, Avro backups.",
        components=Components(
            security_schemes={"basic": SecurityScheme(type="http", scheme="basic")},
            responses={**responses},
        ),
        security=[{"basic": []}],
        openapi_router=Router(
            "/schema", route_handlers=[asset], include_in_schema=False, after_request=_finish
        ),
        render_plugins=[PAGE, JsonRenderPlugin()],
    )
