"""Every route of the service, read from the application, so that tests include new ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from litestar.routes import HTTPRoute

from service.core.settings import Settings
from service.web.api.parameters import PARAMETERS, REPEATABLE
from service.web.app import create_app

# Values that exist, so that a refusal has the reason that the test expects.
DEFAULTS = {
    "table": "departments",
    "kind": "verify",
    "row_id": "1",
    "reject_id": "1",
    "name": "jobs",
    "upload_id": "0123456789abcdef",
    "number": "0",
}


@dataclass(frozen=True)
class Endpoint:
    """A method of a route, and the names of its parameters; several: those with several values."""

    method: str
    template: str
    query: tuple[str, ...]
    headers: tuple[str, ...]
    several: tuple[str, ...] = ()

    @property
    def placeholders(self) -> list[str]:
        """Names of the parameters in its path."""
        return re.findall(r"{(\w+):", self.template)

    def path(self, **values: str) -> str:
        """A path with these values; other parameters get a default."""
        values_by_name = DEFAULTS | values
        return re.sub(
            r"{(\w+):\w+}", lambda match: values_by_name.get(match[1], "x"), self.template
        )

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def endpoints() -> Iterator[Endpoint]:
    """All endpoints except OPTIONS, which the framework answers."""
    for route in create_app(Settings(api_pass="unused")).routes:
        assert isinstance(route, HTTPRoute)
        for method, (handler, model) in sorted(route.route_handler_map.items()):
            if method != "OPTIONS":
                yield Endpoint(
                    method,
                    route.path,
                    (*_names(model.expected_query_params), *handler.opt.get(PARAMETERS, ())),
                    _names(model.expected_header_params),
                    handler.opt.get(REPEATABLE, ()),
                )


def _names(parameters: Any) -> tuple[str, ...]:
    return tuple(sorted(parameter.field_alias for parameter in parameters))


ENDPOINTS = list(endpoints())
