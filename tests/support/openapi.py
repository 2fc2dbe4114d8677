"""Parts of the OpenAPI document."""

from __future__ import annotations

from typing import Any


def resolve(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """A part of the document, or the part that it refers to."""
    if "$ref" not in value:
        return value
    for name in value["$ref"].removeprefix("#/").split("/"):
        document = document[name]
    return document


def bodies(document: dict[str, Any], path: str, method: str, status: int) -> dict[str, Any]:
    """The content of a reply by media type."""
    replies = document["paths"][path][method]["responses"]
    found: dict[str, Any] = resolve(document, replies[str(status)])["content"]
    return found
