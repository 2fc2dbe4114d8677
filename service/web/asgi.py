"""The types of an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]


Receive = Callable[[], Awaitable[Any]]


Send = Callable[[Any], Awaitable[None]]


App = Callable[[Scope, Receive, Send], Awaitable[None]]
