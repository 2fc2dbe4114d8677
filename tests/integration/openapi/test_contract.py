"""The public contract: the OpenAPI document without its texts equals a stored copy.

After an intended change, `python -m tests.integration.openapi.test_contract` rewrites the copy.
"""

from __future__ import annotations

import json
from typing import Any

from service.core.settings import Settings
from service.web.app import create_app
from tests.support.program import ROOT

STORED = ROOT / "tests" / "fixtures" / "openapi.json"
TEXTS = {"description", "summary", "title", "example", "examples"}
PARAMETER = ("name", "in", "required", "schema")


def contract() -> dict[str, Any]:
    """Paths, methods, parameters, request bodies, statuses, media types and schemas."""
    document = json.loads(json.dumps(create_app(Settings(api_pass="x")).openapi_schema.to_schema()))
    components = document["components"]
    return {
        "paths": {
            path: {method: _operation(operation) for method, operation in item.items()}
            for path, item in document["paths"].items()
        },
        "responses": {name: _content(one) for name, one in components["responses"].items()},
        "schemas": {name: _schema(one) for name, one in components["schemas"].items()},
    }


def _operation(operation: dict[str, Any]) -> dict[str, Any]:
    parameters = operation.get("parameters", [])
    return {
        "parameters": sorted(
            ({name: _schema(one.get(name)) for name in PARAMETER} for one in parameters),
            key=lambda one: (one["in"], one["name"]),
        ),
        "requestBody": _content(operation.get("requestBody", {})),
        "responses": {status: _content(reply) for status, reply in operation["responses"].items()},
        "security": operation.get("security"),
    }


def _content(body: dict[str, Any]) -> dict[str, Any]:
    """The schemas of a body by media type, or the reference to a response."""
    if "$ref" in body:
        return body
    return {kind: _schema(one.get("schema")) for kind, one in body.get("content", {}).items()}


def _schema(schema: Any) -> Any:
    """A schema without texts. The names of properties are no texts, whatever they are."""
    if isinstance(schema, list):
        return [_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: {key: _schema(part) for key, part in value.items()}
        if name == "properties"
        else _schema(value)
        for name, value in schema.items()
        if name not in TEXTS
    }


def test_the_contract_is_the_stored_one() -> None:
    assert contract() == json.loads(STORED.read_text("utf-8"))


if __name__ == "__main__":
    STORED.write_text(f"{json.dumps(contract(), indent=1, sort_keys=True)}\n", "utf-8")
