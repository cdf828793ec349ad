"""HTTP connections with bounds: their number, and the size and the time of a request's head.

The server library bounds none of these. Without bounds a client without a token could fill the
memory with a head that does not end, or all descriptors with connections that send nothing.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

#: Connections at the same time.
MAX_CONNECTIONS = 1000
#: Bytes of a request's head, or of anything else that is no body.
HEAD_BYTES = 2**16
#: Time for a request's head, and for a client that does not read its answer (seconds).
HEAD_S, UNREAD_S = 10.0, 120.0

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
_CLOSE = b"Content-Length: 0\r\nConnection: close\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """One HTTP connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._since = 0.0
        self._unparsed = 0
        self._head_timer: TimerHandle | None = None
        self._unread_timer: TimerHandle | None = None

    @property
    def _is_idle(self) -> bool:
        """Whether no request is in progress."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for the connection by ending the oldest idle one, or refuse it."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._start_head_timer()
        if len(self.connections) > MAX_CONNECTIONS:
            others = [one for one in self.connections if isinstance(one, BoundedProtocol)]
            idle = [one for one in others if one is not self and one._is_idle]
            if idle:
                min(idle, key=lambda one: one._since).transport.abort()
            else:
                self._refuse(_BUSY)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._stop_head_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes, and end the connection if its head grows too large."""
        if self._is_idle and self._head_timer is None:
            self._start_head_timer()
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Begin a request: its head is complete."""
        self._unparsed = 0
        self._stop_head_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take bytes of the body, which the upload bounds."""
        self._unparsed = 0
        super().on_body(body)

    def pause_writing(self) -> None:
        """Start the time for a client that does not read."""
        super().pause_writing()
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the time for a client that does not read."""
        super().resume_writing()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._end_without_head)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_without_head(self) -> None:
        self._head_timer = None
        if self._is_idle:
            self.transport.abort()

    def _refuse(self, status_line: bytes) -> None:
        self.transport.write(status_line + _CLOSE)
        self.transport.close()
