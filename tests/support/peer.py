"""A peer of the ZeroMQ door that says what a test wants, and small volumes for it."""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from typing import Any

import zmq

from dineuro_bridge import protocol
from dineuro_bridge.protocol import Message, decode, encode
from dineuro_server.doors.zeromq.door import Limits
from tests.support.shapes import line, paint

SHAPE = (16, 24, 48)
VOXELS = paint([line((8, 12, 8), (40, 12, 8))], SHAPE)
RAW = {"format": "raw", "shape": [1, *SHAPE], "dtype": "uint8"}
FAST = {"enhancer": "none", "name": "cell.v3draw"}
#: Small chunks, so that small volumes have many; nobody is taken for gone while another works.
LIMITS = Limits(chunk_bytes=1024, heartbeat_s=60, idle_s=60)
_NUMBERS = itertools.count()


class Peer:
    """One DEALER socket that sends what a test says."""

    def __init__(
        self, address: str, hello: bool = True, keys: Any = None, identity: bytes = b""
    ) -> None:
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        if identity:
            self.socket.setsockopt(zmq.ROUTING_ID, identity)
        if keys is not None:
            server, public, secret = keys
            self.socket.curve_serverkey = server
            self.socket.curve_publickey, self.socket.curve_secretkey = public, secret
        self.socket.connect(address)
        if hello:
            self.say("HELLO", protocol=1, client="test")
            self.welcome = self.hear("WELCOME").header

    def say(self, type_: str, payload: bytes = b"", /, **header: Any) -> None:
        self.socket.send_multipart(encode(Message(type_, header, payload)))

    def frames(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames)

    def any(self, seconds: float = 60) -> Message:
        """The next message; who waits says so now and then."""
        until = time.monotonic() + seconds
        while not self.socket.poll(100):
            assert time.monotonic() < until, "nothing was said"
            self.say("PING")
        return decode(self.socket.recv_multipart())

    def hear(self, *kinds: str, seconds: float = 60) -> Message:
        """The next message that is one of these kinds."""
        until = time.monotonic() + seconds
        while True:
            message = self.any(until - time.monotonic())
            if message.type in kinds:
                return message
            assert message.type in ("PROGRESS", "CREDIT", "PONG"), message

    def turned_away(self) -> bool:
        """Whether a HELLO is not answered. A handshake refused before it leaves it no way out."""
        with contextlib.suppress(zmq.Again):
            self.socket.send_multipart(encode(Message("HELLO", {"protocol": 1})), zmq.DONTWAIT)
        return self.silent(0.5)

    def silent(self, seconds: float = 0.3) -> bool:
        return not self.socket.poll(int(1000 * seconds))

    def submit(self, data: bytes, **more: Any) -> Message:
        request = f"r{next(_NUMBERS)}-{random.random()}"
        submit = {"request": request, "kind": "trace", "nbytes": len(data), "params": FAST}
        submit = {**submit, "volume": RAW, **more}
        self.say("SUBMIT", **submit)
        while (message := self.any()).header.get("request", submit["request"]) != submit[
            "request"
        ] or (message.type in ("PONG", "PROGRESS", "RESULT", "CREDIT")):
            pass
        return message

    def upload(self, transfer: str, data: bytes, start: int = 0, most: int = 10**9) -> None:
        """Chunks within the credit."""
        credit = protocol.CREDIT
        size = LIMITS.chunk_bytes
        for seq in range(start, min(-(-len(data) // size), most)):
            if not credit:
                credit += self.hear("CREDIT").header["n"]
            self.say("CHUNK", data[seq * size : (seq + 1) * size], transfer=transfer, seq=seq)
            credit -= 1

    def result(self, data: bytes, **more: Any) -> Message:
        """A volume sent, and its RESULT."""
        accepted = self.submit(data, **more)
        assert accepted.type == "ACCEPT", accepted
        self.upload(accepted.header["transfer"], data)
        self.hear("QUEUED")
        return self.hear("RESULT")

    def fetch(self, job: str, part: str, nbytes: int, start: int = 0) -> bytes:
        whole = b""
        while start + len(whole) < nbytes:
            self.say("FETCH", job=job, part=part, offset=start + len(whole),
                     nbytes=LIMITS.chunk_bytes)  # fmt: skip
            chunk = self.hear("CHUNK")
            assert chunk.header["offset"] == start + len(whole)
            whole += bytes(chunk.payload)
        return whole

    def close(self) -> None:
        self.socket.close()


def other() -> bytes:
    """Another volume every time."""
    voxels = VOXELS.copy()
    voxels[0, 0, :4] = list(next(_NUMBERS).to_bytes(4, "little"))
    return voxels.tobytes()
