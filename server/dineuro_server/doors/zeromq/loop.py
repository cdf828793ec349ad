"""One ROUTER socket and the thread that serves it; it waits for nobody.

Whatever comes is handed to `heard`, which must be quick. What others have to say to the loop, from
whatever thread, goes through `later`: into an inbox whose bell wakes the loop.
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
from zmq.auth.thread import ThreadAuthenticator

from dineuro_bridge.errors import FileAccess
from dineuro_bridge.protocol import CREDIT, HEADER_BYTES, Message, encode
from dineuro_server.access.curve import AllowedKeys, server_keys

#: Messages that may wait for a client that does not read; more, and it is taken for gone.
_WAITING = 256
#: The loop looks at its clocks so often.
_TICK_S = 0.5

log = logging.getLogger(__name__)


class RouterLoop(threading.Thread):
    """Listens from its making on, answers from `start` on, until `close`.

    Args:
        address: tcp://HOST:PORT; port 0 takes a free one.
        keys: folder of CURVE keys; None lets in who can reach it.
        chunk_bytes: the largest payload.

    Attributes:
        address: that is listened at.
        allowed: who may come in; None where nobody is asked.

    Raises:
        FileAccess: the address cannot be used, or a key cannot be read.
    """

    def __init__(self, address: str, keys: Path | None, chunk_bytes: int) -> None:
        super().__init__(name="zeromq", daemon=True)
        self.allowed = None if keys is None else AllowedKeys(keys)
        self._context = zmq.Context()
        self._authenticator: ThreadAuthenticator | None = None
        self._socket = self._context.socket(zmq.ROUTER)
        self._inbox: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._closing = threading.Event()
        try:
            self._open(address, keys, chunk_bytes)
        except BaseException:
            self._let_go()
            raise

    # What a door has to say

    def heard(self, identity: bytes, frames: list[zmq.Frame]) -> None:
        """A message, without its identity's frame; it must not raise."""
        raise NotImplementedError

    def ticked(self) -> None:
        """Called now and then."""
        raise NotImplementedError

    def gone(self, identity: bytes) -> None:
        """A client that does not read, or is not there any more."""
        raise NotImplementedError

    def release(self) -> None:
        """The loop has ended, or never begun."""
        raise NotImplementedError

    # What it may do

    def later(self, call: Callable[[], object]) -> None:
        """To be done by the loop; from any thread."""
        self._inbox.put(call)
        self._ring()

    def send(self, identity: bytes, message: Message) -> None:
        """Without waiting: who does not read is taken for gone. From the loop's thread alone."""
        try:
            self._socket.send_multipart([identity, *encode(message)], zmq.NOBLOCK, copy=False)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise
            self.gone(identity)

    def close(self) -> None:
        """End; waits."""
        self._closing.set()
        self._ring()
        if self.is_alive():
            self.join()
        else:
            self._end()

    # The loop

    def run(self) -> None:
        """Until `close`."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._bell, zmq.POLLIN)
        looked = time.monotonic()
        try:
            while not self._closing.is_set():
                poller.poll(int(_TICK_S * 1000))
                self._empty_inbox()
                self._receive()
                if time.monotonic() - looked > _TICK_S:
                    looked = time.monotonic()
                    self.ticked()
        except Exception:
            log.exception("the ZeroMQ door has ended: an error of DINeuro's own")
        finally:
            self._end()

    def _open(self, address: str, keys: Path | None, chunk_bytes: int) -> None:
        door = self._socket
        door.setsockopt(zmq.ROUTER_MANDATORY, 1)
        door.setsockopt(zmq.LINGER, 0)
        door.setsockopt(zmq.SNDHWM, _WAITING)
        door.setsockopt(zmq.RCVHWM, 4 * CREDIT)
        door.setsockopt(zmq.MAXMSGSIZE, max(chunk_bytes, HEADER_BYTES) + 1024)
        door.setsockopt(zmq.IPV6, 1 if "[" in address else 0)
        if keys is not None:
            public, secret = server_keys(keys)
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
            self._authenticator.configure_curve_callback("*", credentials_provider=self.allowed)
            door.curve_publickey, door.curve_secretkey, door.curve_server = public, secret, True
        try:
            door.bind(address)
        except zmq.ZMQError as error:
            raise FileAccess(
                f"{address}: cannot be listened at: {error.strerror}: choose another with --zmq"
            ) from error
        self.address: str = door.getsockopt_string(zmq.LAST_ENDPOINT)

    def _ring(self) -> None:
        try:
            self._ringer.send(b"!")
        except OSError:  # it rings already, or the door is closed
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
            call()

    def _receive(self) -> None:
        """What lies there, but not for ever: the clocks go on."""
        for _ in range(8 * CREDIT):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self.heard(frames[0].bytes, frames[1:])

    def _end(self) -> None:
        self.release()
        self._let_go()

    def _let_go(self) -> None:
        self._socket.close(0)
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.term()
        self._bell.close()
        self._ringer.close()
