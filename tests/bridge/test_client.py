"""The client against the real server, over both doors, and against servers that fail."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import zmq

from dineuro.pipeline.reconstruct import reconstruct
from dineuro_bridge import read_swc, read_volume, write_volume
from dineuro_bridge.client import AsyncClient, Client
from dineuro_bridge.client.asking import Lost, edit_over, edits_over
from dineuro_bridge.client.transport import Deadline
from dineuro_bridge.errors import (
    BadEdit,
    BadFile,
    BadParameter,
    Cancelled,
    FileAccess,
    Forbidden,
    LimitExceeded,
    NotFound,
    Outdated,
    QueueFull,
    ServerGone,
    ServiceError,
    TimeLimit,
    Unauthorized,
    UnsupportedFormat,
)
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import Progress
from dineuro_bridge.protocol import Message, decode, encode
from dineuro_bridge.volumes.terms import RowOrder
from dineuro_bridge.volumes.volume import Volume
from tests.cli.test_cli import run, shell
from tests.support.server import Server, slow
from tests.support.shapes import line, paint

SHAPE = (30, 50, 90)
VOXELS = paint([line((8, 25, 15), (82, 25, 15))], SHAPE)
FAST: dict[str, Any] = {"enhancer": "none"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("client") / "state", zmq="tcp://127.0.0.1:0")
    yield made
    made.close()
    assert "an error of DINeuro's own" not in made.log


@pytest.fixture(params=["http", "tcp"])
def address(server: Server, request: pytest.FixtureRequest) -> str:
    return server.url if request.param == "http" else server.zmq


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "cell.tif"
    write_volume(path, Volume(VOXELS[None], spacing=(1.0, 0.5, 0.5)))
    return path


def test_a_file_comes_back_as_tree_mask_and_report(address: str, stack: Path) -> None:
    steps: list[Progress] = []
    with Client(address) as client:
        result = client.trace(stack, progress=steps.append, reuse=False, **FAST)
    expected = reconstruct(read_volume(stack), TraceOptions(enhancer="none"))
    assert np.array_equal(result.mask.voxels, expected.mask.voxels)
    assert result.mask.spacing == (1.0, 0.5, 0.5)
    assert result.tree.xyz == pytest.approx(expected.tree.xyz, abs=6e-4)
    assert result.report["nodes"] == len(expected.tree)
    assert result.report["input"] == "cell.tif"
    assert result.doubts.startswith("##x,y,z")
    assert result.preview.startswith(b"\x89PNG")
    stages = [step.stage for step in steps]
    assert stages[0] == "upload"
    # A stage that is over in a moment may be passed over; what is told is told in its order.
    order = ["upload", "read", "enhance", "trace", "write", "download"]
    told = list(dict.fromkeys(stages))
    assert told == sorted(told, key=order.index)
    assert set(told) & {"read", "enhance", "trace", "write"}
    assert (
        steps[[s for s, name in enumerate(stages) if name == "upload"][-1]].done
        == stack.stat().st_size
    )


def test_both_doors_give_the_same_for_the_same_bytes(server: Server, stack: Path) -> None:
    results = []
    for place in (server.url, server.zmq):
        with Client(place) as client:
            results.append(client.trace(stack, reuse=False, **FAST))
    one, two = results
    assert one.job != two.job
    assert one.swc == two.swc
    assert np.array_equal(one.mask.voxels, two.mask.voxels)
    assert one.doubts == two.doubts
    assert one.report["sha256"] == two.report["sha256"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_an_array_goes_without_a_file_and_is_the_same_input_at_both_doors(
    server: Server, dtype: str
) -> None:
    voxels = VOXELS.astype(dtype) * 2
    sums = set()
    for place in (server.url, server.zmq):
        with Client(place) as client:
            result = client.trace(voxels, name="cell", **FAST)
        sums.add(result.report["sha256"])
        assert result.report["dtype"] == dtype
        assert result.tree.length > 60
    assert len(sums) == 1


def test_a_volume_brings_its_voxel_size(address: str) -> None:
    with Client(address) as client:
        result = client.trace(Volume(VOXELS[None], spacing=(2.0, 0.5, 0.25)), **FAST)
    assert result.report["settings"]["spacing_um_xyz"] == [0.25, 0.5, 2.0]


def test_what_was_asked_before_is_reused_and_can_be_traced_again(address: str, stack: Path) -> None:
    with Client(address) as client:
        first = client.trace(stack, **FAST)
        again = client.trace(stack, **FAST)
        assert again.reused
        assert again.swc == first.swc
        other = client.retrace(first.job, threshold=90)
        assert other.report["settings"]["threshold"] == 90
        mask = client.enhance(stack, **FAST)
        assert mask.swc == "" == mask.doubts
        assert len(mask.tree) == 0
        assert client.models()[0] == "dineuro-s1"
        with pytest.raises(NotFound):
            client.retrace("0" * 32)


def test_the_server_s_errors_are_the_project_s_own(
    address: str, stack: Path, tmp_path: Path
) -> None:
    with Client(address) as client:
        with pytest.raises(BadParameter, match="threshold"):
            client.trace(stack, threshold=999)
        with pytest.raises(BadParameter, match="colour: is no parameter"):
            client.trace(stack, colour=3)  # type: ignore[call-arg]
        bad = tmp_path / "bad.tif"
        bad.write_bytes(b"II*\0 and nothing else")
        with pytest.raises(BadFile, match=r"bad\.tif"):
            client.trace(bad, **FAST)
        with pytest.raises(FileAccess, match="not_there"):
            client.trace(tmp_path / "not_there.tif")
        with pytest.raises(UnsupportedFormat, match="int64"):
            client.trace(VOXELS.astype(np.int64))
        # And the connection is none the worse for it.
        assert client.trace(stack, **FAST).tree.length > 60


def test_what_the_callback_raises_cancels_the_job(address: str, server: Server) -> None:
    rng = np.random.default_rng(3)
    noise = (rng.random((160, 200, 200)) < 0.3).astype(np.uint8) * 200

    def stop(step: Progress) -> None:
        if step.stage not in ("upload", "wait", "read"):
            raise Cancelled("enough")

    with Client(address) as client, pytest.raises(Cancelled, match="enough"):
        client.trace(noise, progress=stop, reuse=False, enhancer="classical", trees="all")
    until = time.monotonic() + 20
    while httpx.get(f"{server.url}/v1/jobs?limit=1").json()["jobs"][0]["state"] != "cancelled":
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_deadline_is_kept_and_the_job_cancelled(
    address: str, server: Server, tmp_path: Path
) -> None:
    slow(tmp_path / "grid.tif")
    begun = time.monotonic()
    with Client(address) as client, pytest.raises(TimeLimit, match="within the time"):
        client.trace(tmp_path / "grid.tif", deadline_s=2, reuse=False, enhancer="none", trees="all")
    assert time.monotonic() - begun < 30
    until = time.monotonic() + 20
    while httpx.get(f"{server.url}/v1/jobs?limit=1").json()["jobs"][0]["state"] != "cancelled":
        assert time.monotonic() < until
        time.sleep(0.1)


def test_several_at_once_with_asyncio_and_a_cancelled_task(address: str, stack: Path) -> None:
    async def work() -> list[float]:
        async with AsyncClient(address) as one, AsyncClient(address) as two:
            results = await asyncio.gather(one.trace(stack, **FAST), two.trace(VOXELS, **FAST))
            task = asyncio.create_task(one.trace(VOXELS * 2, reuse=False, **FAST))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return [result.tree.length for result in results]

    assert all(length > 60 for length in asyncio.run(work()))


def test_both_clients_edit_a_tree_over_both_doors(
    address: str, server: Server, stack: Path
) -> None:
    tree = "1 1 20 25 15 3 -1\n2 3 25 25 15 1 1\n"

    async def work() -> None:
        async with AsyncClient(address) as client:
            result = await client.trace(stack, reuse=False, **FAST)
            job = result.job
            assert (await client.edits(job)).revision == 0
            edits = await client.edit(job, {"op": "replace", "tree": tree}, 0)
            assert (edits.revision, edits.can_undo) == (1, True)
            assert (edits.operations[0]["nodes"], edits.operations[0]["author"]) == (2, "local")
            assert len(await client.edited_tree(job)) == 2
            with pytest.raises(Outdated, match="revision 1"):
                await client.edit(job, {"op": "undo"}, 0)
            with pytest.raises(BadEdit, match="line 1"):
                await client.edit(job, {"op": "replace", "tree": "1 0 x"}, 1)
            edits = await client.edit(job, {"op": "undo"}, 1)
            with Client(address) as plain:
                assert plain.edits(job) == edits
                assert plain.edits(job, paths=True).operations[0]["tree"] == tree
                assert len(plain.edited_tree(job)) == len(result.tree)
                with pytest.raises(NotFound):
                    plain.edits("0" * 32)
            with Client(server.url) as http:
                assert http.edits(job) == edits

    asyncio.run(work())


class Door:
    """A connection that answers as a test says, and notes what it was asked."""

    def __init__(self, *answers: dict[str, Any] | Exception, **limits: Any) -> None:
        self.limits = {"edits": True, "chunk_bytes": 4} | limits
        self.answers, self.said, self.anew = list(answers), list[Message](), list[bool]()

    def connect(self, deadline: Deadline, *, anew: bool = False) -> None:
        self.anew.append(anew)

    def say(self, message: Message) -> None:
        self.said.append(message)

    def hear(self, deadline: Deadline) -> Message:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        own = {"request": self.said[-1].header["request"], "job": "a", "offset": 0}
        payload = answer.pop("payload", b"")
        return Message(answer.pop("type", "EDITED"), own | answer, payload)


def test_an_answer_in_pieces_is_asked_for_anew_after_another_s_edit() -> None:
    door = Door(
        {"revision": 1, "nbytes": 6, "payload": b"aaaa"},
        {"request": "of another question"},
        {"revision": 2, "nbytes": 6, "payload": b"bb", "offset": 4},
        {"revision": 2, "nbytes": 6, "payload": b"bbbb"},
        Lost(),
        {"revision": 2, "nbytes": 6, "payload": b"bb", "offset": 4},
    )
    assert edits_over(door, "a", "swc") == b"bbbbbb"
    assert [message.header.get("offset", 0) for message in door.said] == [0, 4, 0, 4, 4]
    assert door.anew == [False, False, False, False, True]
    assert {message.header["what"] for message in door.said} == {"swc"}


def test_an_edit_that_a_server_cannot_take_is_not_sent() -> None:
    door = Door()
    with pytest.raises(LimitExceeded, match="4 bytes"):
        edit_over(door, "a", {"op": "undo"}, 0)
    earlier = Door(edits=False)
    with pytest.raises(Forbidden, match="HTTP"):
        edits_over(earlier, "a", "edits")
    assert not door.said
    assert not earlier.said


@pytest.mark.parametrize(
    "answer",
    [
        {"revision": 1, "nbytes": 3, "payload": b"aaaa"},
        {"revision": 1, "nbytes": 10**12, "payload": b"a"},
        {"revision": 1, "nbytes": 0},
    ],
)
def test_an_answer_of_another_size_than_it_says_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(ServiceError):
        edits_over(Door(answer), "a", "edits")


# The command


def test_the_command_writes_the_same_files_as_without_a_server(
    address: str, stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Path] = {}
    for where, words in (("here", []), ("there", ["--server", address])):
        out = tmp_path / where
        code = run(
            monkeypatch, "trace", stack, "-o", out / "t.swc", "--mask", out / "m.tif",
            "--report", out / "r.json", "--doubts", out / "d.marker", "--preview", out / "p.png",
            "--enhancer", "none", *words,
        )  # fmt: skip
        assert code == 0
        asked[where] = out
    for name in ("t.swc", "d.marker", "p.png"):
        assert (asked["here"] / name).read_bytes() == (asked["there"] / name).read_bytes(), name
    masks = [read_volume(asked[where] / "m.tif") for where in asked]
    assert np.array_equal(masks[0].voxels, masks[1].voxels)
    here, there = (json.loads((asked[where] / "r.json").read_text()) for where in asked)
    assert there["input"] == str(stack)
    for told in (here, there):
        for name in ("outputs", "seconds", "settings"):
            del told[name]
    if address.startswith("http"):
        assert there.pop("view").startswith(f"{address}/#/jobs/")  # a server over HTTP has a page
    assert here == there


def test_a_batch_goes_on_after_a_bad_file_and_a_pipe_gets_the_tree(
    address: str, stack: Path
) -> None:
    (stack.parent / "bad.tif").write_bytes(b"nothing")
    done = shell("trace", stack.parent, "--server", address, "--enhancer", "none")
    assert done.returncode == 1
    assert "bad.tif" in done.stderr
    assert len(read_swc(stack.with_name("cell_dineuro.swc"))) > 10
    piped = shell("trace", stack, "--server", address, "--enhancer", "none", "-o", "-")
    assert piped.stdout == stack.with_name("cell_dineuro.swc").read_text()


def test_grades_in_columns_and_addresses_that_are_none_are_refused(
    server: Server, stack: Path
) -> None:
    eswc = shell("trace", stack, "--server", server.zmq, "-o", stack.with_suffix(".eswc"))
    assert eswc.returncode == 2
    assert "--report" in eswc.stderr
    wrong = shell("trace", stack, "--server", "lab:5599")
    assert wrong.returncode == 3
    assert "tcp://HOST:PORT" in wrong.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    gone = shell("trace", stack, "--server", nobody)
    assert gone.returncode == 8
    assert "does not answer" in gone.stderr
    assert not stack.with_name("cell_dineuro.swc").exists()


# Servers that fail


class Played:
    """An HTTP server that answers by a script: a function of the request's number."""

    def __init__(self, script: Callable[[int, BaseHTTPRequestHandler], None]) -> None:
        seen: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                seen.append(f"{self.command} {self.path.partition('?')[0]}")
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                script(len(seen), self)

            do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - so the library wants it

            def log_message(self, *_: object) -> None:
                return

        self.seen = seen
        self.keys: list[str] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def answer(handler: BaseHTTPRequestHandler, status: int, body: object, **headers: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def test_a_full_queue_is_asked_again_after_a_while_and_not_for_ever(stack: Path) -> None:
    keys = []

    def script(_: int, handler: BaseHTTPRequestHandler) -> None:
        keys.append(handler.headers["Idempotency-Key"])
        full = {"code": "queue_full", "detail": "the queue is full", "retry_after": 1}
        answer(handler, 503, full, Retry_After="1")

    played = Played(script)
    with Client(played.url, patience_s=1.5) as client, pytest.raises(QueueFull):
        client.trace(stack)
    played.close()
    assert len(played.seen) == 2
    assert len(set(keys)) == 1  # the same request, which can become one job only


def test_lost_connections_are_made_anew_and_events_go_on_where_they_were(stack: Path) -> None:
    failed = {"state": "failed", "code": "bad_volume", "detail": "x"}
    events = [
        b'event: progress\nid: 1\ndata: {"stage":"trace","done":1,"total":2}\n\n',
        f"event: state\nid: 2\ndata: {json.dumps(failed)}\n\n".encode(),
    ]
    lasts: list[str | None] = []

    def script(number: int, handler: BaseHTTPRequestHandler) -> None:
        if number == 1:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
        elif handler.command == "POST":
            answer(handler, 202, {}, Location="/v1/jobs/abc")
        elif handler.path.endswith("/events"):
            lasts.append(handler.headers["Last-Event-ID"])
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(events[len(lasts) - 1])
            handler.close_connection = True
        else:
            answer(handler, 200, {"state": "failed"})

    played = Played(script)
    steps: list[Progress] = []
    with Client(played.url) as client, pytest.raises(Exception, match="x") as caught:
        client.trace(stack, progress=steps.append)
    played.close()
    assert type(caught.value).__name__ == "BadVolume"
    assert lasts == ["0", "1"]
    assert Progress("trace", 1, 2) in steps


def test_an_answer_that_is_no_problem_is_an_error_all_the_same(stack: Path) -> None:
    played = Played(lambda _, handler: answer(handler, 502, b"<html>Bad Gateway"))
    with Client(played.url) as client, pytest.raises(ServiceError, match="status 502"):
        client.trace(stack)
    played.close()


def test_a_zeromq_server_that_is_silent_or_forgets_is_noticed(stack: Path) -> None:
    context = zmq.Context()
    door: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
    port = door.bind_to_random_port("tcp://127.0.0.1")
    hellos = []
    stopped = threading.Event()

    def play() -> None:
        """Welcomes, and then knows nobody."""
        while not stopped.is_set():
            if not door.poll(50):
                continue
            identity, *frames = door.recv_multipart()
            kind = decode(frames).type
            if kind == "HELLO":
                hellos.append(identity)
                told: dict[str, Any] = {
                    "protocol": 1, "server": "x", "max_bytes": 10**9, "chunk_bytes": 1000,
                    "credit": 8, "heartbeat_s": 0.1, "idle_s": 1, "models": [],
                }  # fmt: skip
                door.send_multipart([identity, *encode(Message("WELCOME", told))])
            elif kind == "SUBMIT":
                error = {"code": "unauthorized", "detail": "HELLO comes first"}
                door.send_multipart([identity, *encode(Message("ERROR", error))])

    thread = threading.Thread(target=play)
    thread.start()
    with Client(f"tcp://127.0.0.1:{port}") as client, pytest.raises(ServerGone):
        client.trace(stack)
    stopped.set()
    thread.join()
    assert len(set(hellos)) == 5  # each time over another connection
    door.close(0)
    context.term()


def test_a_token_that_is_wrong_is_told(tmp_path: Path, stack: Path) -> None:
    def script(_: int, handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers["Authorization"])
        answer(handler, 401, {"code": "unauthorized", "detail": "the token is not known"})

    seen: list[str] = []
    played = Played(script)
    with Client(played.url, token="secret") as client, pytest.raises(Unauthorized):
        client.trace(stack)
    assert seen == ["Bearer secret"]
    file = tmp_path / "token"
    file.write_text("from a file\n")
    done = shell("trace", stack, "--server", played.url, "--token-file", file)
    assert done.returncode == 8
    assert "cell.tif: the token is not known" in done.stderr
    assert seen[1] == "Bearer from a file"
    played.close()


def test_a_curve_key_made_by_the_command_lets_in_and_a_missing_one_does_not(
    tmp_path: Path, stack: Path
) -> None:
    keys = tmp_path / "keys"
    made = shell("keys", "curve", "anna", "--keys", keys)
    assert made.returncode == 0
    secret, public = made.stdout.split()
    server = Server(tmp_path / "state", zmq="tcp://127.0.0.1:0", keys=keys)
    try:
        words = ["trace", stack, "--server", server.zmq, "--enhancer", "none"]
        assert shell(*words, "--key", secret, "--server-key", public).returncode == 0
        assert len(read_swc(stack.with_name("cell_dineuro.swc"))) > 10
        half = shell(*words, "--key", secret)
        assert half.returncode == 3
        assert "give both" in half.stderr
        wrong = shell(*words, "--key", secret, "--server-key", stack)
        assert wrong.returncode == 6
        assert "contains no" in wrong.stderr
        without = shell(*words)
        assert without.returncode == 8
        assert "does not answer" in without.stderr
    finally:
        server.close()


def test_send_writes_what_vaa3d_opens_with_one_drag(address: str, tmp_path: Path) -> None:
    lopsided = paint([line((8, 10, 15), (82, 40, 15))], SHAPE)
    stack = tmp_path / "cell.tif"
    write_volume(stack, Volume(lopsided[None]))
    done = shell("send", stack, "--server", address, "--enhancer", "none")
    assert done.returncode == 0, done.stderr
    written = sorted(p.name for p in tmp_path.iterdir())
    assert written == [
        "cell.tif", "cell_dineuro.ano", "cell_dineuro.swc", "cell_doubts.marker",
        "cell_mask.v3draw",
    ]  # fmt: skip
    assert (tmp_path / "cell_dineuro.ano").read_text().splitlines() == [
        "GRAYIMG=cell.tif",
        "MASKIMG=cell_mask.v3draw",
        "SWCFILE=cell_dineuro.swc",
        "MARKERFILE=cell_doubts.marker",
    ]
    # Vaa3D shows the TIFF's last row on top; mask and tree are as it shows them.
    mask = read_volume(tmp_path / "cell_mask.v3draw").voxels[0] > 0
    shown = read_volume(stack, row_order="vaa3d").voxels[0] > 0
    assert np.array_equal(mask, shown)
    xyz = read_swc(tmp_path / "cell_dineuro.swc").xyz.round().astype(int)
    assert mask[xyz[:, 2], xyz[:, 1], xyz[:, 0]].all()
    assert "# row_order vaa3d\n" in (tmp_path / "cell_dineuro.swc").read_text()


def test_the_row_order_of_a_volume_goes_with_it(
    address: str, server: Server, tmp_path: Path
) -> None:
    lopsided = paint([line((8, 10, 15), (82, 40, 15))], SHAPE)
    write_volume(tmp_path / "cell.tif", Volume(lopsided[None]))
    orders: tuple[RowOrder, ...] = ("file", "vaa3d")
    for order in orders:
        volume = read_volume(tmp_path / "cell.tif", row_order=order)
        for door in (address, server.url):
            with Client(door) as client:
                result = client.trace(volume, **FAST)
            assert f"# row_order {order}\n" in result.swc
            assert result.report["settings"]["row_order"] == result.mask.row_order == order
            assert np.array_equal(result.mask.voxels > 0, volume.voxels > 0)


def test_send_to_a_folder_and_what_is_no_volume(server: Server, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    for name in ("a", "b"):
        write_volume(here / f"{name}.v3draw", Volume(VOXELS[None]))
    words = ["--server", server.zmq, "--enhancer", "none"]
    done = shell("send", here, "-o", there, *words)
    assert done.returncode == 0, done.stderr
    assert len(list(there.iterdir())) == 8
    assert "GRAYIMG=../here/a.v3draw" in (there / "a_dineuro.ano").read_text()
    (here / "a.v3draw").write_bytes(b"no volume")
    bad = shell("send", here / "a.v3draw", *words)
    assert bad.returncode == 3
    assert "a.v3draw" in bad.stderr
    assert len(list(here.iterdir())) == 2


def test_a_linker_file_beside_a_local_result(tmp_path: Path) -> None:
    stack = tmp_path / "cell.v3draw"
    write_volume(stack, Volume(VOXELS[None]))
    done = shell("trace", stack, "--enhancer", "none", "--ano", tmp_path / "x.ano")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.ano").read_text() == "GRAYIMG=cell.v3draw\nSWCFILE=cell_dineuro.swc\n"
    wrong = shell("trace", stack, "--enhancer", "none", "--ano", tmp_path / "x.txt")
    assert wrong.returncode == 2
