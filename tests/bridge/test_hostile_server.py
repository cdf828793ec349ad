"""The client against a server that is none, or means it harm: a sentence, and no hang."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from dineuro_bridge.client import Client
from dineuro_bridge.errors import DineuroError, ServiceError, TimeLimit, error_for
from dineuro_bridge.protocol import Message, decode, encode
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_cli.terminal import complain

VOXELS = np.zeros((1, 4, 4, 4), np.uint8)
WELCOME = {
    "protocol": 1, "server": "0", "max_bytes": 2**30, "chunk_bytes": 1024, "credit": 8,
    "heartbeat_s": 5, "idle_s": 60, "models": ["m"],
}  # fmt: skip
PARTS = {
    "report": b'{"settings": {"spacing_um_xyz": null, "row_order": "file"}, "input": "x"}',
    "preview": b"png",
    "mask": bytes(64),
}
ESCAPE = "\x1b]0;owned\x07\x1b[2J\r\ndineuro: done"
Answer = Callable[[Message], list[Message]]


class Router:
    """A ZeroMQ server that answers each message as it is told."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self.address = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ended.is_set():
            if self._socket.poll(50):
                identity, *frames = self._socket.recv_multipart()
                for message in self._answer(decode(frames)):
                    self._socket.send_multipart([identity, *encode(message)])
        self._socket.close()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture
def router() -> Iterator[Callable[[Answer], Router]]:
    routers: list[Router] = []

    def start(answer: Answer) -> Router:
        routers.append(Router(answer))
        return routers[-1]

    yield start
    for one in routers:
        one.close()


def script(**changes: Any) -> Answer:
    """A whole job, with some of its answers changed."""
    parts: dict[str, Any] = {name: {"nbytes": len(data)} for name, data in PARTS.items()}
    parts["mask"]["shape"] = [1, 4, 4, 4]
    parts |= changes.get("parts", {})
    request = ""

    def answer(message: Message) -> list[Message]:
        nonlocal request
        header = message.header
        if message.type == "HELLO":
            return [Message("WELCOME", WELCOME | changes.get("welcome", {}))]
        if message.type == "SUBMIT":
            request = header["request"]
            accept = {"request": request, "transfer": "t", "next": 0, "credit": 8}
            return [Message("ACCEPT", accept | changes.get("accept", {}))]
        if message.type == "CHUNK":
            queued = Message("QUEUED", {"request": request, "job": "j", "reused": False})
            return [*changes.get("chunk", [queued] if header["seq"] == 3 else [])]
        if message.type == "ATTACH":
            result = Message("RESULT", {"job": "j", "parts": parts, "reused": False})
            return [*changes.get("attach", [result])]
        if message.type == "FETCH":
            piece = {"job": "j", "part": header["part"], "offset": header["offset"]}
            return [Message("CHUNK", piece, changes.get("payload", PARTS[header["part"]]))]
        return [Message("PONG")] if message.type == "PING" else []

    return answer


PROGRESS = {"job": "j", "state": "running", "stage": ESCAPE, "done": 1, "total": 2}
ERROR = {"code": "bad_file", "detail": ESCAPE, "job": "j"}


@pytest.mark.parametrize(
    "changes",
    [
        {"welcome": {"chunk_bytes": 0}},
        {"welcome": {"chunk_bytes": -5}},
        {"welcome": {"chunk_bytes": 2**60}},
        {"welcome": {"credit": 0}},
        {"welcome": {"heartbeat_s": 0}},
        {"welcome": {"heartbeat_s": 1e300}},
        {"accept": {"credit": 1}, "chunk": [Message("CREDIT", {"transfer": "t", "n": -1})]},
        {"parts": {"mask": 5}},
        {"parts": {"mask": {"nbytes": 64, "shape": [1, 4, 4, 5]}}},
        {"parts": {"mask": {"nbytes": 64, "shape": ["a"]}}},
        {"parts": {"report": {}}},
        {"parts": {"report": {"nbytes": 3}}},
        {"payload": b""},
        {"payload": b"x" * 5000},
        {"attach": [Message("ERROR", ERROR)]},
        {"attach": [Message("PROGRESS", PROGRESS), Message("ERROR", ERROR)]},
    ],
)  # fmt: skip
def test_a_wrong_zeromq_server_is_said_to_be_one(
    router: Callable[[Answer], Router], changes: dict[str, Any]
) -> None:
    server = router(script(**changes))
    stages: list[str] = []
    voxels = np.zeros((1, 16, 16, 16), np.uint8)  # four chunks
    with Client(server.address) as client, pytest.raises(DineuroError) as raised:
        client.trace(voxels, progress=lambda step: stages.append(step.stage), deadline_s=60)
    assert not isinstance(raised.value, TimeLimit)
    for text in (str(raised.value), *stages):
        assert text.isprintable(), text


def test_a_right_server_is_understood(router: Callable[[Answer], Router]) -> None:
    with Client(router(script()).address) as client:
        result = client.trace(np.zeros((1, 16, 16, 16), np.uint8), deadline_s=60)
    assert result.mask.voxels.shape == (1, 4, 4, 4)


class Web(ThreadingHTTPServer):
    """An HTTP server with one answer for every path."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - names of the base class

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server_address[1]}"


PLACE = {"Location": "/v1/jobs/1"}
PROBLEM = json.dumps({"code": "bad_file", "detail": ESCAPE, "id": "1"}).encode()


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {}, b"<html>a router's page</html>"),
        (200, PLACE, b"<html>a router's page</html>"),
        (200, PLACE, b"[" * 100_000),
        (200, PLACE, b"data: []\n\n"),
        (200, PLACE, b'event: progress\ndata: {"stage": 5}\n\n'),
        (200, PLACE, b'event: state\ndata: {"state": "failed", "code": 5, "detail": 7}\n\n'),
        (422, {}, PROBLEM),
        (500, {}, b"\xff"),
        (404, {}, b'{"code": ["x"], "detail": {}}'),
    ],
)
def test_a_wrong_http_server_is_said_to_be_one(
    status: int, headers: dict[str, str], body: bytes, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("dineuro_bridge.client.http._TRIES", 1)
    write_volume(tmp_path / "a.tif", Volume(VOXELS))
    with Web(status, headers, body) as web:
        with Client(web.address) as client, pytest.raises(DineuroError) as raised:
            client.trace(tmp_path / "a.tif", deadline_s=60)
        web.shutdown()
    assert str(raised.value).isprintable()


def test_what_a_callback_raises_passes_through(router: Callable[[Answer], Router]) -> None:
    server = router(script())

    def fail(_: Any) -> None:
        raise ValueError("mine")

    with Client(server.address) as client, pytest.raises(ValueError, match="mine") as raised:
        client.trace(VOXELS, progress=fail, deadline_s=60)
    assert not isinstance(raised.value, ServiceError)


def test_a_server_s_control_characters_reach_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert str(error_for("bad_file", ESCAPE)).isprintable()
    complain(ESCAPE)
    assert capsys.readouterr().err.rstrip("\n").isprintable()
