"""HTTP/1.1 as uvicorn speaks it, with a bound on heads, chunk headers and trailers."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.web.problems import problem

MAX_HEAD = 1 << 16
"""Bytes of a request line and its headers together."""
LINGER_SECONDS = 1
"""So long a client may read why it was refused: a connection closed on unread bytes is reset."""


def _reply() -> bytes:
    detail = f"The request line and the headers have more than {MAX_HEAD} bytes. Send fewer."
    refusal = problem(431, detail, {}, {})
    head = (
        "HTTP/1.1 431 Request Header Fields Too Large\r\n"
        f"content-type: {refusal.media_type}\r\ncontent-length: {len(refusal.content)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + refusal.content


REFUSAL = _reply()


class BoundedHttp(HttpToolsProtocol):
    """Refuses heads of more than MAX_HEAD bytes: httptools and uvicorn keep them without end.

    The parser tells of a header when it is complete. So two counts are kept: of the head as told,
    and of the bytes that came in since the parser last got through a head, a chunk or a body.
    Trailers count as their request's head.
    """

    _head = _pending = 0
    _refused = False

    def data_received(self, data: bytes) -> None:
        """Parse what came in; drop it once the connection is refused."""
        if self._refused:
            return
        self._pending += len(data)
        super().data_received(data)
        if self._pending > MAX_HEAD or self._head > MAX_HEAD:
            self._refuse()

    def on_message_begin(self) -> None:
        """A request begins, and its count."""
        self._head = len(" HTTP/1.1\r\n\r\n")
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Part of the address."""
        self._head += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer; kept while they are within the bound."""
        self._head += len(name) + len(value) + len(": \r\n")
        if self._head <= MAX_HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request, if its head is within the bound."""
        self._pending = 0
        if self._refused:
            return
        if self._head > MAX_HEAD:
            self._refuse()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Part of the body: bounded by those who read it."""
        self._pending = 0
        if not self._refused:
            super().on_body(body)

    def on_chunk_header(self) -> None:
        """A chunk's size and extensions are over."""
        self._pending = 0

    def on_message_complete(self) -> None:
        """The request is over, trailers included."""
        self._pending = 0
        if not self._refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP; nothing where the connection has its answer already."""
        if not self._refused:
            super().send_400_response(msg)

    def _refuse(self) -> None:
        """Answer 431 and hang up, unless an earlier request has yet to be answered."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self.logger.warning("A request was refused: its head has more than %d bytes.", MAX_HEAD)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.write(REFUSAL)
            self._hang_up()
        elif cycle.more_body:
            self._break_off(cycle)
        else:
            cycle.keep_alive = False  # hangs up behind the answers that are due

    def _break_off(self, cycle: RequestResponseCycle) -> None:
        """End a request within its body: its application finds the client gone."""
        cycle.disconnected = True
        cycle.message_event.set()
        if not cycle.response_started:
            self.transport.write(REFUSAL)
        self._hang_up()

    def _hang_up(self) -> None:
        self._unset_keepalive_if_required()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)
