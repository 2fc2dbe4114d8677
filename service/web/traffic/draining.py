"""Draining: a service that is about to stop still answers, and sends its clients elsewhere."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable
from types import FrameType
from typing import Any

from service.core.errors import ShutdownError
from service.web.asgi import App, Receive, Scope, Send

CLOSE = (b"connection", b"close")


class Draining:
    """Begins at SIGTERM and ends with the service, `seconds` later."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._begun = False

    def check(self) -> None:
        """ShutdownError if the service is about to stop."""
        if self._begun:
            raise ShutdownError(
                "The service is shutting down. Use another replica, or try again later."
            )

    def begin_at_sigterm(self) -> None:
        """Call this in the event loop. The handler that is set now then runs `seconds` late.

        SIGINT still stops the service at once. Another SIGTERM changes nothing, because workers get
        it twice: from their parent, and from whoever sent it to all processes.
        """
        loop = asyncio.get_running_loop()
        stop: Any = signal.getsignal(signal.SIGTERM)

        def stop_later() -> None:
            loop.call_later(self._seconds, stop, signal.SIGTERM, None)

        def begin(_number: int, _frame: FrameType | None) -> None:
            if not self._begun:
                self._begun = True
                loop.call_soon_threadsafe(stop_later)

        signal.signal(signal.SIGTERM, begin)

    def closing_connections(self, app: App) -> App:
        """An ASGI application whose replies close their connections while the service drains."""

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            def send_closing(message: Any) -> Awaitable[None]:
                if self._begun and message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], CLOSE]
                return send(message)

            await app(scope, receive, send_closing)

        return wrapped
