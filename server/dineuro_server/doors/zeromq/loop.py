"""One ROUTER socket and the thread that serves it; the thread never waits for a peer.

Each message goes to `on_message`, which must return quickly. Other threads hand calls to the loop
by `call_soon`; a socket pair wakes the loop for them.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import zmq

from dineuro_bridge.errors import FileAccess
from dineuro_bridge.protocol import CREDIT, HEADER_BYTES, Message, encode
from dineuro_server.access.curve import AllowedKeys, exposures, server_keys
from dineuro_server.doors.zeromq.authenticator import CurveAuthenticator

#: Messages that may wait for a peer that does not read; at more the peer counts as gone.
_WAITING = 256
#: Longest time between two ticks (seconds).
_TICK_S = 0.5
#: Longest time between two looks at memory that peers hold up (seconds).
_BUSY_TICK_S = 0.02
#: A connection has to finish its handshake, and then to answer, within these times (seconds).
_HANDSHAKE_S, _PING_EVERY_S, _PING_TIMEOUT_S = 10, 20, 60

log = logging.getLogger(__name__)


class RouterLoop(threading.Thread):
    """Listens from its construction on and answers from `start` on, until `close`.

    Args:
        address: tcp://HOST:PORT; port 0 takes a free port.
        keys: folder of CURVE keys; None admits every peer.
        chunk_bytes: size of the largest payload.

    Attributes:
        address: the address with its actual port.
        allowed: the admitted keys; None if every peer is admitted.

    Raises:
        FileAccess: the address cannot be used, or a key cannot be read.
    """

    def __init__(self, address: str, keys: Path | None, chunk_bytes: int) -> None:
        super().__init__(name="zeromq", daemon=True)
        self.allowed = None if keys is None else AllowedKeys(keys)
        self._context = zmq.Context()
        self._authenticator: CurveAuthenticator | None = None
        self._socket = self._context.socket(zmq.ROUTER)
        self._inbox: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._closing = threading.Event()
        try:
            self._open(address, keys, chunk_bytes)
        except BaseException:
            self._release()
            raise

    # Hooks

    def on_message(self, identity: bytes, frames: list[zmq.Frame]) -> None:
        """Handle a message, without the frame of its identity; must not raise."""
        raise NotImplementedError

    def on_tick(self) -> None:
        """Do what is due; called at every tick. The loop goes on after an error."""
        raise NotImplementedError

    def on_turn(self) -> bool:
        """Called after each turn of the loop; returns whether the next one is due soon."""
        raise NotImplementedError

    def on_gone(self, identity: bytes) -> None:
        """Forget a peer that does not read, or is not connected any more."""
        raise NotImplementedError

    def on_end(self) -> None:
        """Release everything; called once, after the loop or instead of it."""
        raise NotImplementedError

    # For the door

    def call_soon(self, call: Callable[[], object]) -> None:
        """Have the loop's thread make a call, whose error ends nothing; from any thread."""
        self._inbox.put(call)
        self._ring()

    @property
    def healthy(self) -> bool:
        """Whether the door answers, and admits those who may come in."""
        return self.is_alive() and (self._authenticator is None or self._authenticator.is_alive())

    def send(self, identity: bytes, message: Message) -> zmq.MessageTracker | None:
        """Send without waiting; a peer that does not read counts as gone. For the loop's thread.

        Returns:
            The tracker of the message's memory; None if the peer is gone.
        """
        frames = [identity, *encode(message)]
        try:
            return self._socket.send_multipart(frames, zmq.NOBLOCK, copy=False, track=True)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise
            self.on_gone(identity)
            return None

    def close(self) -> None:
        """End the loop; blocks until it has ended."""
        self._closing.set()
        self._ring()
        if self.is_alive():
            self.join()
        else:
            self._end()

    # The loop

    def run(self) -> None:
        """Serve the socket until `close` is called."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._bell, zmq.POLLIN)
        last_tick = time.monotonic()
        try:
            soon = False
            while not self._closing.is_set():
                poller.poll(int(1000 * (_BUSY_TICK_S if soon else _TICK_S)))
                self._empty_inbox()
                self._receive()
                soon = self.on_turn()
                if time.monotonic() - last_tick > _TICK_S:
                    last_tick = time.monotonic()
                    _outlive(self.on_tick)
        except Exception:
            log.exception("the ZeroMQ door has ended: an error of DINeuro's own")
        finally:
            self._end()

    def _open(self, address: str, keys: Path | None, chunk_bytes: int) -> None:
        router = self._socket
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.LINGER, 0)
        router.setsockopt(zmq.SNDHWM, _WAITING)
        router.setsockopt(zmq.HANDSHAKE_IVL, 1000 * _HANDSHAKE_S)
        # A peer that does not read does not answer either: its connection ends with its memory.
        router.setsockopt(zmq.HEARTBEAT_IVL, 1000 * _PING_EVERY_S)
        router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 1000 * _PING_TIMEOUT_S)
        router.setsockopt(zmq.RCVHWM, 4 * CREDIT)
        router.setsockopt(zmq.MAXMSGSIZE, max(chunk_bytes, HEADER_BYTES) + 1024)
        router.setsockopt(zmq.IPV6, 1 if "[" in address else 0)
        if keys is not None and self.allowed is not None:
            public, secret = server_keys(keys)
            for sentence in exposures(keys):
                log.warning("%s", sentence)
            self._authenticator = CurveAuthenticator(self._context, self.allowed)
            self._authenticator.start()
            router.curve_publickey, router.curve_secretkey, router.curve_server = (
                public,
                secret,
                True,
            )
        try:
            router.bind(address)
        except zmq.ZMQError as error:
            raise FileAccess(
                f"{address}: cannot be listened at: {error.strerror}: choose another with --zmq"
            ) from error
        self.address: str = router.getsockopt_string(zmq.LAST_ENDPOINT)

    def _ring(self) -> None:
        try:
            self._ringer.send(b"!")
        except OSError:  # the buffer is full of earlier rings, or the loop has ended
            return

    def _empty_inbox(self) -> None:
        try:
            self._bell.recv(4096)
        except BlockingIOError:
            return
        while True:
            try:
                call = self._inbox.get_nowait()
            except queue.Empty:
                return
            _outlive(call)

    def _receive(self) -> None:
        """Handle the messages that have arrived, in bounded number, so that ticks stay on time."""
        for _ in range(8 * CREDIT):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self.on_message(frames[0].bytes, frames[1:])

    def _end(self) -> None:
        self.on_end()
        self._release()

    def _release(self) -> None:
        self._socket.close(0)
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.term()
        self._bell.close()
        self._ringer.close()


def _outlive(call: Callable[[], object]) -> None:
    """Make a call that no message waits for; its error goes into the log and ends nothing.

    A locked store, or a folder of keys that cannot be read for a moment, must not end the door.
    """
    try:
        call()
    except Exception:
        log.exception("the ZeroMQ door goes on after an error")
