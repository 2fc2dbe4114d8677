"""The OpenAPI document, as a client reads it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from service.core.settings import Settings
from service.web.app import create_app


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document, out of JSON."""
    schema = create_app(Settings(api_pass="unused")).openapi_schema
    text = json.dumps(schema.to_schema(), ensure_ascii=False)
    found: dict[str, Any] = msgspec.json.decode(text.encode())
    return found
