"""A server that hostile clients attack: how it is started, asked, and watched meanwhile."""

from __future__ import annotations

import http.client
import json
import re
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import zmq
import zmq.auth

from benchmarks.hostile_messages import HttpInput
from benchmarks.service import Running, server
from dineuro_bridge.protocol import Message, decode, encode
from dineuro_server.access.curve import make_client_keys
from dineuro_server.access.tokens import add_token

#: Seconds between two signs of life, and for one of them.
_PAUSE_S, _PATIENCE_S = 0.1, 30.0
HELLO = Message("HELLO", {"protocol": 1})


@dataclass(slots=True)
class Outcome:
    """What a server did with its bad inputs.

    Attributes:
        inputs: how many were sent over each door.
        answers: how many answers of each class or code, by door.
        jobs: how many jobs ended in each state or with each code.
        slowest_s: longest time to a sign of life, by door.
        memory: bytes of the server's process at the start, at most and at the end.
        descriptors: at the start and at the end.
        spool: files that were left in the spool.
        alive: whether both doors answer at the end.
        suspects: inputs whose answer or job tells of a fault of the server.
    """

    inputs: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Counter[str]] = field(
        default_factory=lambda: {"HTTP": Counter(), "ZeroMQ": Counter()}
    )
    jobs: Counter[str] = field(default_factory=Counter)
    slowest_s: dict[str, float] = field(default_factory=lambda: {"HTTP": 0.0, "ZeroMQ": 0.0})
    memory: tuple[int, int, int] = (0, 0, 0)
    descriptors: tuple[int, int] = (0, 0)
    spool: int = 0
    alive: bool = False
    suspects: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Target:
    """A running server, and what admits a client to it."""

    running: Running
    token: str = ""
    keys: tuple[bytes, bytes, bytes] | None = None

    def connect(self) -> socket.socket:
        """A connection to the HTTP door."""
        place = urlsplit(self.running.doors["HTTP"])
        return socket.create_connection((place.hostname or "", place.port or 0), timeout=10)

    def dealer(self) -> zmq.Socket[bytes]:
        """A connection to the ZeroMQ door, without HELLO."""
        peer: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        peer.linger = 0
        if self.keys is not None:
            peer.curve_serverkey, peer.curve_publickey, peer.curve_secretkey = self.keys
        peer.connect(self.running.doors["ZeroMQ"])
        return peer


@contextmanager
def target(
    *, locked: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator[Target]:
    """Run a server; a locked one requires a token and a key."""
    with tempfile.TemporaryDirectory(prefix="dineuro-hostile-") as folder:
        settings: dict[str, object] = {"devices": "cpu", "warm": "false", "max_gib": 0.25}
        # Enough room for all jobs: a full queue is answered with 503, which is right.
        settings |= {"max_queue": 10**6, "owner_jobs": 10**6}
        token, keys = "", None
        if locked:
            tokens, place = Path(folder) / "tokens", Path(folder) / "keys"
            token = f"Bearer {add_token(tokens, 'anna')}"
            secret, public = make_client_keys(place, "anna")
            own, private = zmq.auth.load_certificate(secret)
            assert private is not None
            keys = (zmq.auth.load_certificate(public)[0], own, private)
            settings |= {"tokens": tokens, "keys": place}
        with server(environment, **settings) as running:
            yield Target(running, token, keys)


def exchange(where: Target, request: HttpInput) -> tuple[str, str]:
    """The status of the answer, and the job that it names."""
    head = b""
    with where.connect() as connection, suppress(ConnectionError):
        connection.sendall(request.data)
        if not request.has_answer:
            return "left", ""
        try:
            while b"\r\n\r\n" not in head and (piece := connection.recv(4096)):
                head += piece
        except TimeoutError:
            return "none within 10 s", ""
    status = re.match(rb"HTTP/1.1 (\d{3})", head)
    location = re.search(rb"\nlocation: /v1/jobs/(\w+)", head)
    return status[1].decode() if status else "closed", location[1].decode() if location else ""


def get(where: Target, path: str) -> Any:
    """The JSON at a path of the HTTP door."""
    connection = http.client.HTTPConnection(urlsplit(where.running.doors["HTTP"]).netloc)
    connection.request("GET", path, headers={"Authorization": where.token} if where.token else {})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def watch_http(where: Target, outcome: Outcome, ended: threading.Event) -> None:
    """Ask the HTTP door for a sign of life again and again, and keep the longest time."""
    place = urlsplit(where.running.doors["HTTP"])
    while not ended.wait(_PAUSE_S):
        begun = time.monotonic()
        connection = http.client.HTTPConnection(place.netloc, timeout=_PATIENCE_S)
        with suppress(OSError):
            connection.request("GET", "/livez")
            connection.getresponse().read()
        connection.close()
        spent = time.monotonic() - begun
        outcome.slowest_s["HTTP"] = max(outcome.slowest_s["HTTP"], spent)


def watch_zmq(where: Target, outcome: Outcome, ended: threading.Event) -> None:
    """The same over ZeroMQ, with HELLO and PING."""
    peer = where.dealer()
    while not ended.wait(_PAUSE_S):
        for message in (encode(HELLO), encode(Message("PING"))):
            begun = time.monotonic()
            peer.send_multipart(message)
            if peer.poll(int(1000 * _PATIENCE_S)):
                peer.recv_multipart()
            spent = time.monotonic() - begun
            outcome.slowest_s["ZeroMQ"] = max(outcome.slowest_s["ZeroMQ"], spent)
    peer.close()


def is_alive(where: Target) -> bool:
    """Whether both doors answer."""
    peer = where.dealer()
    peer.send_multipart(encode(HELLO))
    welcome = bool(peer.poll(5000)) and decode(peer.recv_multipart()).type == "WELCOME"
    peer.close()
    return welcome and bool(get(where, "/livez")["status"] == "ok")
