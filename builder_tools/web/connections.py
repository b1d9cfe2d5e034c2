"""Connections that keep the server waiting: how many are allowed, and for how long.

A connection that never completes a request costs nothing to open but holds a file handle; without
a limit, about a thousand of them block the server. Here each has a time limit, and if there are too
many, the one that has waited longest makes room for the newest. Whoever asks and then does not read
the answer is hung up as well: the job that makes it would wait for them, and all others for it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from builder_tools.web.guard import SLOWEST_BYTES, STALL_S

HEADERS_S = 10.0
"""Time within which all headers of a request must arrive."""
MOST_CONNECTIONS = 500


def most_connections() -> int:
    """Return the most connections to hold at once.

    It is half of what the system lets this process open, at most `MOST_CONNECTIONS`.
    """
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return MOST_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, soft // 2)


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 protocol of uvicorn that limits how long it waits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._end: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        if len(self.connections) >= most_connections():
            others = [one for one in self.connections if isinstance(one, ImpatientProtocol)]
            waiting = [one for one in others if one.is_waiting()]
            if waiting:
                longest = min(waiting, key=lambda one: one._end.when() if one._end else 0.0)
                longest.transport.abort()
                self.connections.discard(longest)
            else:
                transport.abort()
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.is_waiting():
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_holding()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Stop sending to a client that does not read, and hang up if it goes on like that."""
        super().pause_writing()
        self._stop_holding()
        longest_s = STALL_S + self.transport.get_write_buffer_size() / SLOWEST_BYTES
        self._unread = self.loop.call_later(longest_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_holding()
        super().resume_writing()

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Hand the connection over to a WebSocket, whose handshake has a time limit, too."""
        super().handle_websocket_upgrade(event)
        self._stop_holding()
        self.loop.call_later(HEADERS_S, self._check_handshake, self.transport.get_protocol())

    def send_400_response(self, msg: str) -> None:
        """Reject an invalid request, and tell the code reading its body that no more will come."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()
                return
        super().send_400_response(msg)

    def _check_handshake(self, socket: Any) -> None:
        if not socket.handshake_complete:
            self.transport.abort()

    def is_waiting(self) -> bool:
        """Return whether no request is being answered and none has fully arrived."""
        is_ours = self.transport.get_protocol() is self  # else it became a WebSocket
        return is_ours and (self.cycle is None or self.cycle.response_complete)

    def _wait(self) -> None:
        if self._end is None and not self.transport.is_closing():
            self._end = self.loop.call_later(HEADERS_S, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None

    def _stop_holding(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _hang_up(self) -> None:
        self._end = None
        if self.is_waiting():
            self.transport.abort()
