"""HTTP/1.1 as uvicorn speaks it, with a bound on heads, chunk headers and trailers."""

from __future__ import annotations

from itertools import chain

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.web.problems import problem

MAX_HEAD = 1 << 16
"""Bytes of a request line and its headers together."""
PIECE = 1 << 15
"""Bytes that are parsed at once: by so much more than the bound an unfinished head is kept."""
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

    The parser tells of a header when it is complete, if ever. So bytes are counted that came in
    since it last got through a head, a chunk's header or part of a body.
    """

    _pending = 0
    _refused = False

    def data_received(self, data: bytes) -> None:
        """Parse what came in; drop it once the connection is refused or closed."""
        for at in range(0, len(data), PIECE):
            if self._refused or self.transport.is_closing():
                return
            piece = data[at : at + PIECE]
            self._pending += len(piece)
            super().data_received(piece)
            if self._pending > MAX_HEAD:
                self._refuse()

    def on_headers_complete(self) -> None:
        """Begin the request, if its head is within the bound."""
        self._pending = 0
        if self._refused:
            return
        texts = sum(map(len, chain.from_iterable(self.headers)))
        if len(self.url) + texts + len(": \r\n") * (len(self.headers) + 1) > MAX_HEAD:
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
