"""The public contract: the OpenAPI document without its texts, and what it promises."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

TEXTS = {"description", "summary", "title", "example", "examples"}
PARAMETER = ("name", "in", "required", "schema")
Contract = dict[str, Any]


def reduced(document: dict[str, Any]) -> dict[str, Any]:
    """Paths, methods, parameters, request bodies, statuses, media types and schemas; no texts."""
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


def promises(contract: Contract) -> set[str]:
    """Each route, parameter, status, media type, field and value of an enum, in words."""
    return {*_of_routes(contract), *_of_schemas(contract)}


def _of_routes(contract: Contract) -> Iterator[str]:
    for path, item in contract["paths"].items():
        for method, operation in item.items():
            route = f"{method.upper()} {path}"
            yield route
            for one in operation["parameters"]:
                yield f"{route} takes {one['in']} {one['name']}"
            for kind in operation["requestBody"]:
                yield f"{route} takes {kind}"
            for status, content in operation["responses"].items():
                kinds = content if "$ref" not in content else ["a shared reply"]
                yield from (f"{route} replies {status} {kind}" for kind in kinds)


def _of_schemas(contract: Contract) -> Iterator[str]:
    for name, schema in contract["schemas"].items():
        yield from (f"{name} has {field}" for field in schema.get("properties", {}))
        yield from (f"{name} may be {value}" for value in schema.get("enum", []))


def demands(contract: Contract) -> set[str]:
    """What a client must send: parameters of routes, and fields of what is posted."""
    found = set()
    for path, item in contract["paths"].items():
        for method, operation in item.items():
            route = f"{method.upper()} {path}"
            found |= {
                f"{route} needs {p['name']}" for p in operation["parameters"] if p["required"]
            }
            bodies = re.findall(r"#/components/schemas/(\w+)", json.dumps(operation["requestBody"]))
            for name in bodies:
                needed = contract["schemas"][name].get("required", [])
                found |= {f"{route} needs {name}.{field}" for field in needed}
    return found
