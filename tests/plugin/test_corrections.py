"""A tree that was corrected in Vaa3D, on its way to the server."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from dineuro_bridge import read_markers, read_swc, write_swc
from dineuro_bridge.client import Client
from dineuro_bridge.protocol import decode, encode
from dineuro_bridge.trees.tree import Tree
from tests.support.golden import dnp1 as golden
from tests.support.host import (
    MENU,
    NEURON,
    STACK,
    Build,
    Host,
    menu,
    same_nodes,
    stack_file,
    without_twins,
)
from tests.support.server import Server

SEND: dict[str, Any] = {"menu": MENU[3]}
#: A branch that nobody traced; its end lies beside the neurite of `STACK` and not on it.
BRANCH: list[list[float]] = [[50, 31, 15], [50, 40, 15], [52.5, 47, 16]]
_NUMBERS = itertools.count()


def broken() -> np.ndarray[Any, Any]:
    """Neurites with a wide gap, beyond which the trace leaves out what it is not sure of."""
    voxels = NEURON.astype(float)
    voxels[:, :, 45:59] = 0
    voxels[:, 40:47, 30:] *= 0.3
    noise = np.random.default_rng(5).normal(20, 4, voxels.shape)
    return np.clip(noise + voxels * 0.4, 0, 255).astype(np.uint8)


BROKEN = broken()


def traced(
    build: Build,
    server: Server,
    folder: Path,
    *steps: dict[str, Any],
    voxels: np.ndarray[Any, Any] = STACK,
    **fields: Any,
) -> Host:
    """A run on a stack that no other test has, so that its job is a new one."""
    voxels = voxels.copy()
    voxels[0, 0, 0] = next(_NUMBERS)
    fields = {"enhancer": "classical", "mask": False, **fields}
    path = stack_file(folder, voxels)
    return Host(build, folder, [{"open": str(path)}, menu(server.zmq, fields=fields), *steps])


def later(build: Build, folder: Path, *steps: dict[str, Any]) -> Host:
    """A later session with the same image."""
    return Host(build, folder, [{"open": str(folder / "cell.v3draw")}, *steps])


def read_swc_of(host: Host, folder: Path) -> Tree:
    assert host.done.returncode == 0, host.done.stderr
    return read_swc(folder / "cell_dineuro.swc")


def job_of(server: Server) -> str:
    with server.client() as http:
        return str(http.get("/v1/jobs").json()["jobs"][0]["id"])


def places_of(path: list[list[float]]) -> set[tuple[float, ...]]:
    return {(float(x), float(y), float(z)) for x, y, z in path}


def places(tree: Tree) -> set[tuple[float, ...]]:
    return {tuple(row) for row in np.round(tree.xyz, 3).tolist()}


def test_a_corrected_tree_becomes_the_server_s(
    build: Build, server: Server, tmp_path: Path
) -> None:
    gone, other = (5, 8, 6), (60, 55, 24)
    steps: list[dict[str, Any]] = [
        SEND,
        {"delete": gone},
        {"draw": BRANCH},
        {"retype": [*other, 2]},
        {**SEND, "pictures": str(tmp_path)},
        SEND,
    ]
    host = traced(build, server, tmp_path, *steps, colour="confidence")
    with Client(server.zmq) as client:
        job = job_of(server)
        edits, tree = client.edits(job), client.edited_tree(job)
    before = places(read_swc(tmp_path / "cell_dineuro.swc"))
    assert "The server has this tree already" in host.messages(2)
    said = host.messages(6)
    after = places(tree)
    drawn = places_of(BRANCH)
    assert f"{len(after) - 3} nodes stay, 3 are new, {len(before - after)} are gone" in said
    assert "pieces" not in said
    assert "revision 1" in said
    assert "The server has this tree already" in host.messages(7)
    assert after - before == drawn
    assert len(before - after) > 5
    assert all(np.linalg.norm(np.array(place) - gone) < 40 for place in before - after)
    # One tree, whose types are those of before where nobody changed them.
    assert np.count_nonzero(tree.parents < 0) == 1
    assert tree.types[0] == 1
    # The window shows it too, because a drawn branch was linked.
    assert "Drawn branches that were linked to the neurite beside them: 1" in said
    same_nodes(without_twins(host.tree(0)), tree)
    end = np.linalg.norm(tree.xyz - other, axis=1).argmin()
    assert tree.types[end] == 2
    assert {int(kind) for kind, at in zip(tree.types, tree.xyz, strict=True)
            if tuple(at) in drawn} == {3}  # fmt: skip
    assert [edit["op"] for edit in edits.operations] == ["replace"]
    assert edits.operations[0]["author"] == "local"
    assert (tmp_path / "dineuro_send.png").stat().st_size > 1000


def test_another_editor_is_named_before_his_edits_are_replaced(
    build: Build, server: Server, tmp_path: Path
) -> None:
    traced(build, server, tmp_path, {"delete": (5, 8, 6)}, SEND)
    job = job_of(server)
    with Client(server.zmq) as client:
        client.edit(job, {"op": "undo"}, 1)
        other = client.edited_tree(job)
    write_swc(tmp_path / "mine.swc", other)
    # In another session the tree comes from a file.
    edit: list[dict[str, Any]] = [{"load": str(tmp_path / "mine.swc")}, {"draw": BRANCH}]
    host = later(build, tmp_path, *edit, {**SEND, "no": True})
    assert "edited on the server meanwhile: 1 edit, the last one by local" in host.messages(3)
    with Client(server.zmq) as client:
        assert client.edits(job).revision == 2
        host = later(build, tmp_path, *edit, SEND)
        assert "3 are new, 0 are gone" in host.messages(3)
        assert places(client.edited_tree(job)) - places(other) == places_of(BRANCH)
        assert client.edits(job).revision == 3


def proofread(folder: Path, wrong: set[int], *edit: dict[str, Any]) -> list[dict[str, Any]]:
    """Steps that decide about all places, and send the tree of the folder."""
    count = len(read_markers(folder / "cell_dineuro_doubts.marker"))
    press = ["reject" if number in wrong else "accept" for number in range(1, count + 1)]
    return [
        {"load": str(folder / "cell_dineuro.swc")},
        {"menu": MENU[2]},
        {"proofread": True, "press": press},
        *edit,
        SEND,
        SEND,
    ]


def test_decisions_are_sent_with_the_tree(build: Build, server: Server, tmp_path: Path) -> None:
    before = read_swc_of(traced(build, server, tmp_path, voxels=BROKEN), tmp_path)
    job = job_of(server)
    marks = read_markers(tmp_path / "cell_dineuro_doubts.marker")
    kinds = [mark.name.split()[1] for mark in marks]
    end, segment = kinds.index("end") + 1, kinds.index("segment") + 1
    host = later(build, tmp_path, *proofread(tmp_path, {end, segment}))
    with Client(server.zmq) as client:
        edits, tree = client.edits(job), client.edited_tree(job)
    answers = dict.fromkeys(range(1, len(kinds) + 1), "accepted")
    assert edits.doubts == answers | {end: "rejected", segment: "rejected"}
    assert f"that were sent: {len(kinds)}" in host.messages(4)
    assert "The image shows the tree that the server has now" in host.messages(4)
    assert "The server has this tree already" in host.messages(5)
    # The window shows the tree with the piece beyond the gap, and without the segment.
    assert places(tree) - places(before)
    assert places(before) - places(tree)
    same_nodes(without_twins(host.tree(0)), tree)


def test_a_wrong_place_that_was_corrected_by_hand_is_not_corrected_twice(
    build: Build, server: Server, tmp_path: Path
) -> None:
    before = read_swc_of(traced(build, server, tmp_path, voxels=BROKEN), tmp_path)
    job = job_of(server)
    marks = read_markers(tmp_path / "cell_dineuro_doubts.marker")
    end = next(mark for mark in marks if "end" in mark.name)
    drawn: list[list[float]] = [
        [round(end.x + step), round(end.y), round(end.z)] for step in (1, 8, 16)
    ]
    steps = proofread(tmp_path, {int(end.name.split()[0])}, {"draw": drawn})
    host = later(build, tmp_path, *steps)
    assert "3 are new, 0 are gone" in host.messages(5)
    with Client(server.zmq) as client:
        tree = client.edited_tree(job)
        assert client.edits(job).doubts[int(end.name.split()[0])] == "rejected"
    assert places(tree) - places(before) == places_of(drawn)


@contextlib.contextmanager
def old_server() -> Iterator[str]:
    """The address of a server of before the edits."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    door = context.socket(zmq.ROUTER)
    port = door.bind_to_random_port("tcp://127.0.0.1")
    over = threading.Event()

    def play() -> None:
        welcome = golden.GOOD["welcome of a server that reads files by path"]
        while not over.is_set():
            if door.poll(50):
                identity, *frames = door.recv_multipart()
                if decode(frames).type == "HELLO":
                    door.send_multipart([identity, *encode(welcome)])

    player = threading.Thread(target=play)
    player.start()
    yield f"tcp://127.0.0.1:{port}"
    over.set()
    player.join()
    door.close(0)
    context.term()


def test_what_cannot_be_sent_is_named(build: Build, server: Server, tmp_path: Path) -> None:
    stack_file(tmp_path)
    hand: dict[str, Any] = {"trace": [[1, 1, 1], [5, 2, 3], [9, 4, 4]]}
    assert Host(build, tmp_path, [SEND]).messages(0) == "Open the image first."
    host = later(build, tmp_path, SEND, hand, SEND)
    assert "has no traced tree" in host.messages(1)
    assert "was traced by DINeuro on this computer" in host.messages(3)
    many: list[list[float]] = [[x / 10, y / 10, 5] for x in range(600) for y in range(100)]
    loop = [[30, 31, 15], [30, 35, 15], [40, 35, 15], [40, 31, 15], [30, 31, 15]]
    steps: list[dict[str, Any]] = [
        {"draw": loop}, SEND, {"delete": [30, 35, 15]},
        {"draw": [[5, 5, 5], [500, 5, 5]]}, SEND, {"delete": [500, 5, 5]},
        {"draw": many}, SEND, hand, {**SEND, "no": True},
    ]  # fmt: skip
    host = traced(build, server, tmp_path, *steps)
    job = job_of(server)
    assert "has a loop at the node (" in host.messages(3)
    assert "the node at (500, 5, 5) lies outside the volume" in host.messages(6)
    assert "this server accepts at most 2097152" in host.messages(9)
    assert "over HTTP" in host.messages(9)
    assert "It may be the tree of another image" in host.messages(11)
    with server.client() as http:
        assert http.get(f"/v1/jobs/{job}/edits").json()["revision"] == 0
        assert http.delete(f"/v1/jobs/{job}").status_code < 300
    load = {"load": str(tmp_path / "cell_dineuro.swc")}
    with old_server() as address:
        host = later(build, tmp_path, load, SEND, {**SEND, "fields": {"server": address}})
    assert "The server no longer has the job" in host.messages(2)
    assert f"{address}: this server takes no corrected trees" in host.messages(3)
    assert "Update the server" in host.messages(3)
