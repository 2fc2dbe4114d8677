"""uvicorn's HTTP/1.1 protocol, with the limits that uvicorn lacks, and with replies in order."""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from http import HTTPStatus
from itertools import chain
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.web.asgi import Refusal

MAX_HEAD = 1 << 16
"""Bytes of a request line and its headers together."""
MAX_PIPELINED = 16
"""Requests of a connection that wait for the reply to an earlier one."""
HEAD_SECONDS = 20.0
"""Time to send a head. An idle connection between two requests ends earlier (keep-alive)."""
CHUNK = 1 << 15
"""Bytes parsed in one call. An unfinished head can exceed MAX_HEAD by this much."""
LINGER_SECONDS = 1
"""Time to read a refusal. A connection that is closed with unread bytes is reset."""


CLOSE = (b"connection", b"close")
TOO_LARGE = Refusal(
    431, f"The request line and the headers have more than {MAX_HEAD} bytes. Send fewer.", CLOSE
)
NOT_HTTP = Refusal(400, "The request breaks the syntax of HTTP/1.1. Correct it.", CLOSE)


class BoundedHttp(HttpToolsProtocol):
    """Limits heads, the time to send one, and pipelined requests.

    httptools reports a header only when it is complete, and keeps an unfinished one without limit.
    So this class counts the bytes since the last complete head, chunk header or part of a body.
    """

    _pending = 0
    _refused = False
    _head_timer: TimerHandle | None = None
    _running: RequestResponseCycle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # uvicorn's
        """Start the time limit for the first head."""
        super().connection_made(transport)
        self._limit_head_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the running request as well, because uvicorn notifies only the latest one."""
        self._stop_head_timer()
        if self._running and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes; drop them after a refusal."""
        self._unset_keepalive_if_required()
        for at in range(0, len(data), CHUNK):
            self._parse(data[at : at + CHUNK])
        # A request that came with its whole head has begun by now.
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self._limit_head_time()

    def _parse(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._pending += len(data)
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self._refuse(NOT_HTTP)
        except HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        if self._pending > MAX_HEAD:
            self._refuse(TOO_LARGE)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Parse a request a second time, without its Upgrade header.

        httptools takes everything after such a head for another protocol: it loses the body and
        the next request.
        """
        start = (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        headers = (header for header in self.headers if header[0] != b"upgrade")
        head = [b"%b %b HTTP/%b\r\n" % start, *(b"%b: %b\r\n" % header for header in headers)]
        self.parser = HttpRequestParser(self)
        self._parse(b"".join([*head, b"\r\n", rest]))

    def on_headers_complete(self) -> None:
        """Begin the request, unless its head or the queue is too large."""
        self._pending = 0
        self._stop_head_timer()
        if self._refused:
            return
        texts = sum(map(len, chain.from_iterable(self.headers)))
        if len(self.url) + texts + len(": \r\n") * (len(self.headers) + 1) > MAX_HEAD:
            self._refuse(TOO_LARGE)
        elif self.parser.get_method() == b"CONNECT":
            self._refuse(NOT_HTTP)
        elif len(self.pipeline) >= MAX_PIPELINED:
            # The connection ends after the replies that are due. The client repeats the others.
            self._refused, self.cycle.keep_alive = True, False
        elif not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Part of the body. Its readers limit it."""
        self._pending = 0
        if not self._refused:
            super().on_body(body)

    def on_chunk_header(self) -> None:
        """The end of a chunk's size and extensions."""
        self._pending = 0

    def on_message_complete(self) -> None:
        """The end of a request, with its trailers."""
        self._pending = 0
        if not self._refused and not self.parser.should_upgrade():
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _limit_head_time(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, refusal: Refusal) -> None:
        """Reply and hang up, after the replies to earlier requests."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self.logger.warning("Refused a request: %s", refusal.detail)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self._hang_up(refusal)
        elif not cycle.more_body:
            cycle.keep_alive = False  # its reply is the last one
        elif self.pipeline:
            self.pipeline[0] = (cycle, cast("Any", refusal))  # its request has not begun
        else:
            self._break_off(cycle, refusal)

    def _break_off(self, cycle: RequestResponseCycle, refusal: Refusal) -> None:
        """End the running request within its body. Its application sees a disconnected client."""
        cycle.disconnected = True
        cycle.message_event.set()
        self._hang_up(None if cycle.response_started else refusal)

    def _hang_up(self, refusal: Refusal | None) -> None:
        self._unset_keepalive_if_required()
        if refusal:
            self.transport.write(_encoded(refusal))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def _encoded(refusal: Refusal) -> bytes:
    start = f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n".encode()
    lines = (b"%b: %b\r\n" % header for header in refusal.headers)
    return b"".join([start, *lines, b"\r\n", refusal.body])
