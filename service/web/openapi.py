"""The OpenAPI document."""

from __future__ import annotations

from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from service import __version__

openapi = OpenAPIConfig(
    title="hirebase",
    version=__version__,
    description="A company's hiring history in MySQL: batches in, Avro backups out and back in.",
    components=Components(security_schemes={"basic": SecurityScheme(type="http", scheme="basic")}),
    security=[{"basic": []}],
    path="/schema",
    render_plugins=[JsonRenderPlugin()],
)
