"""The authenticator of CURVE connections (ZAP), which outlives every error of a request."""

from __future__ import annotations

import logging

import zmq
from zmq.auth.thread import ThreadAuthenticator

from dineuro_server.access.curve import AllowedKeys

log = logging.getLogger(__name__)


class CurveAuthenticator(ThreadAuthenticator):
    """Admits the connections of allowed keys, from a thread of its own.

    Args:
        context: context of the guarded socket.
        allowed: the admitted keys.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], allowed: AllowedKeys) -> None:
        super().__init__(context)
        self.configure_curve_callback("*", credentials_provider=allowed)

    async def handle_zap_message(self, msg: list[bytes]) -> None:
        """Answer one request; an error refuses its connection and no other one."""
        try:
            await super().handle_zap_message(msg)
        except Exception:
            log.exception("a connection is refused: its key cannot be checked")
            self._send_zap_reply(msg[1], b"500", b"the key cannot be checked")

    def stop(self) -> None:
        """End the thread; does not wait for one that has ended already."""
        pipe: zmq.Socket[bytes] | None = self.pipe
        if pipe is not None and not self.is_alive():
            pipe.close()
            self.pipe = None  # type: ignore[assignment]  # as the base class does
        super().stop()
