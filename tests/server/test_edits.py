"""Edits of a job's tree over HTTP: the log, its revisions, two editors, a killed server."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest

from dineuro_bridge.client import AsyncClient, Client
from dineuro_bridge.errors import BadEdit, BadParameter, LimitExceeded, NotFound, Outdated
from dineuro_bridge.trees.swc import parse_swc
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_server.jobs import edit_log
from tests.support.server import FAST, Server, small
from tests.support.shapes import line, paint


@pytest.fixture
def cell(tmp_path: Path) -> bytes:
    return small(tmp_path / "cell.tif")


@pytest.fixture
def job(client: httpx.Client, cell: bytes) -> str:
    """The address of a job of its own for each test."""
    return traced(client, cell)


def traced(client: httpx.Client, cell: bytes, **more: str) -> str:
    answer = client.post("/v1/trace", params=FAST | more, content=cell)
    assert answer.status_code == 200, answer.text
    location: str = answer.headers["location"]
    return location


def edit(client: httpx.Client, job: str, revision: int, **operation: Any) -> httpx.Response:
    headers = {"If-Match": f'"{revision}"'}
    if "begin" in operation:
        operation["from"] = operation.pop("begin")
    return client.post(f"{job}/edits", json=operation, headers=headers)


def edited(client: httpx.Client, job: str, revision: int, **operation: Any) -> dict[str, Any]:
    """The record after an edit that fits."""
    answer = edit(client, job, revision, **operation)
    assert answer.status_code == 201, answer.text
    assert answer.headers["etag"] == f'"{revision + 1}"'
    record: dict[str, Any] = answer.json()
    return record


def rows(text: str) -> dict[int, list[float]]:
    """The nodes of an SWC by their ids."""
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {int(line[0]): [float(word) for word in line[1:]] for line in lines}


def test_edits_are_logged_with_author_and_time_and_change_the_tree(
    client: httpx.Client, job: str
) -> None:
    empty = client.get(f"{job}/edits")
    assert empty.headers["etag"] == '"0"'
    assert empty.json() == {
        "revision": 0, "can_undo": False, "can_redo": False, "operations": [], "doubts": {},
        "moot": [],
    }  # fmt: skip
    original = client.get(f"{job}/swc").text
    assert rows(client.get(f"{job}/edits/tree").text) == rows(original)
    assert client.get(f"{job}/edits/tree.swc").text == original
    before = rows(original)
    last = max(before)
    x, y, z = before[last][1:4]
    record = edited(
        client, job, 0, op="extend", begin=last, path=[[x, y, z, 1], [x, y + 2, z, 1.5]]
    )
    record = edited(client, job, 1, op="cut", node=last)
    assert record["can_undo"]
    assert [one["op"] for one in record["operations"]] == ["extend", "cut"]
    first = record["operations"][0]
    assert (first["author"], first["from"], first["points"]) == ("anna", last, 2)
    assert first["time"].endswith("Z")
    assert "path" not in first
    full = client.get(f"{job}/edits", params={"paths": "true"}).json()
    assert full["operations"][0]["path"] == [[x, y, z, 1], [x, y + 2, z, 1.5]]
    after = rows(client.get(f"{job}/edits/tree").text)
    assert after[last + 1] == [before[last][0], x, y + 2, z, 1.5, last]
    assert after[last][-1] == -1
    assert client.get(f"{job}/swc").text == original
    record = edited(client, job, 2, op="undo")
    assert record["can_redo"]
    assert [one["in_force"] for one in record["operations"]] == [True, False, False]
    record = edited(client, job, 3, op="redo")
    assert [one["in_force"] for one in record["operations"]] == [True, True, False, False]


def test_the_comments_of_the_edited_tree_tell_what_was_changed(
    client: httpx.Client, job: str
) -> None:
    edited(client, job, 0, op="cut", node=3)
    edited(client, job, 1, op="type", node=3, type=2, scope="subtree")
    edited(client, job, 2, op="delete", node=2)
    edited(client, job, 3, op="undo")
    answer = client.get(f"{job}/edits/tree.swc")
    assert answer.headers["content-disposition"].endswith("cell_edited.swc")
    tree = parse_swc(answer.text)
    told = [line for line in tree.comments if line.startswith("edit")]
    assert told[0] == "edited revision 4, edits in force: 1 cut, 1 type"
    assert told[1].startswith("edit 1: cut node 3, by anna, 20")
    assert told[2].startswith("edit 2: type node 3 type 2 scope subtree, by anna, ")
    assert len(told) == 3
    assert any(line.startswith("image_sha256") for line in tree.comments)
    # Other programs get nodes from 1 on; the page gets the ids that edits use.
    edited(client, job, 4, op="delete", node=1)
    assert min(rows(client.get(f"{job}/edits/tree").text)) == 3
    assert min(rows(client.get(f"{job}/edits/tree.swc").text)) == 1


def test_a_join_takes_a_path_with_its_ends_and_a_wrong_one_changes_nothing(
    client: httpx.Client, job: str
) -> None:
    edited(client, job, 0, op="cut", node=3)
    nodes = rows(client.get(f"{job}/edits/tree").text)
    answer = edit(client, job, 1, op="join", begin=3, to=2, path=[[1000, 0, 0, 1]])
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_edit")
    assert "outside the volume" in answer.json()["detail"]
    assert client.get(f"{job}/edits").json()["revision"] == 1
    path = [nodes[3][1:5], nodes[2][1:5]]
    edited(client, job, 1, op="join", begin=3, to=2, path=path)
    again = rows(client.get(f"{job}/edits/tree").text)
    assert again == rows(client.get(f"{job}/swc").text)


def test_a_second_editor_gets_the_present_record(
    client: httpx.Client, server: Server, tokens: dict[str, str], job: str
) -> None:
    edited(client, job, 0, op="cut", node=3)
    with server.client(tokens["anna"]) as other:
        answer = edit(other, job, 0, op="cut", node=4)
    assert (answer.status_code, answer.headers["etag"]) == (412, '"1"')
    problem = answer.json()
    assert problem["code"] == "outdated"
    assert problem["current"]["operations"][0]["node"] == 3
    assert client.get(f"{job}/edits").json() == problem["current"]


def test_of_many_editors_at_once_none_loses_an_edit(
    server: Server, tokens: dict[str, str], client: httpx.Client, job: str
) -> None:
    """Each one repeats its edit on the present revision until the server has taken it."""

    def extend(editor: int) -> int:
        refused, revision = 0, 0
        with server.client(tokens["anna"]) as own:
            for number in range(5):
                path = [[editor + 0.25, number, 1, 1]]
                while (
                    answer := edit(own, job, revision, op="extend", begin=1, path=path)
                ).is_error:
                    assert answer.status_code == 412, answer.text
                    revision, refused = answer.json()["current"]["revision"], refused + 1
                revision = answer.json()["revision"]
        return refused

    with ThreadPoolExecutor(4) as editors:
        refused = sum(editors.map(extend, range(4)))
    assert refused > 0
    record = client.get(f"{job}/edits", params={"paths": "true"}).json()
    assert record["revision"] == len(record["operations"]) == 20
    places = {tuple(one["path"][0][:2]) for one in record["operations"]}
    assert places == {(editor + 0.25, number) for editor in range(4) for number in range(5)}
    before = len(rows(client.get(f"{job}/swc").text))
    assert len(rows(client.get(f"{job}/edits/tree").text)) == before + 20


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({}, '{"op": "undo"}', 428, "no_revision"),
        ({"If-Match": "*"}, '{"op": "undo"}', 400, "bad_request"),
        ({"If-Match": 'W/"0"'}, '{"op": "undo"}', 400, "bad_request"),
        ({"If-Match": '"0"'}, "{", 400, "bad_request"),
        ({"If-Match": '"0"'}, "[" * 100_000, 400, "bad_request"),
        ({"If-Match": '"0"'}, "\xff", 400, "bad_request"),
        ({"If-Match": '"0"'}, '{"op": "undo"}', 422, "bad_edit"),
        ({"If-Match": '"0"'}, '{"op": "cut", "node": 1e400}', 422, "bad_edit"),
        ({"If-Match": '"0"'}, '{"op": "cut", "node": 99999}', 422, "bad_edit"),
        ({"If-Match": '"0"'}, '{"op": "replace", "tree": "1 0 4"}', 422, "bad_edit"),
        ({"If-Match": '"0"'}, " " * (2**23 + 1), 413, "too_large"),
    ],
)
def test_a_wrong_request_is_refused(
    client: httpx.Client, job: str, headers: dict[str, str], body: str, status: int, code: str
) -> None:
    answer = client.post(f"{job}/edits", content=body.encode("latin-1"), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_only_the_owner_edits_and_only_a_done_job_with_a_tree(
    server: Server, tokens: dict[str, str], client: httpx.Client, cell: bytes, job: str
) -> None:
    with server.client(tokens["ben"]) as other, server.client() as nobody:
        for address in ("edits", "edits/tree", "edits/tree.swc"):
            assert other.get(f"{job}/{address}").status_code == 404
            assert nobody.get(f"{job}/{address}").status_code == 401
        assert edit(other, job, 0, op="cut", node=3).status_code == 404
        assert edit(nobody, job, 0, op="cut", node=3).status_code == 401
    answer = client.post("/v1/enhance", params=FAST, content=cell)
    assert client.get(f"{answer.headers['location']}/edits").status_code == 404
    answer = edit(client, answer.headers["location"], 0, op="cut", node=3)
    assert answer.status_code == 404
    assert client.get(f"{job}/edits").json()["revision"] == 0


def test_a_tree_in_micrometres_is_edited_in_voxels(client: httpx.Client, cell: bytes) -> None:
    plain, scaled = traced(client, cell), traced(client, cell, units="um")
    assert client.get(f"{plain}/swc").text != client.get(f"{scaled}/swc").text
    expected, got = (rows(client.get(f"{job}/edits/tree").text) for job in (plain, scaled))
    assert np.allclose([*expected.values()], [*got.values()], atol=0.01)
    assert "coordinates x y z, voxel," in client.get(f"{scaled}/edits/tree.swc").text


def test_the_edits_go_with_their_job_and_count_in_its_bytes(
    client: httpx.Client, server: Server, job: str
) -> None:
    before = client.get(job).json()
    edited(client, job, 0, op="extend", begin=1, path=[[1, 2, 3, 1]] * 1000)
    after = client.get(job).json()
    assert after["result_bytes"] > before["result_bytes"] + 10_000
    assert after["expires"] > before["expires"]
    database = server.log_path.with_suffix("") / "jobs.sqlite"

    def stored() -> int:
        with contextlib.closing(sqlite3.connect(database)) as db:
            query = "SELECT count(*) FROM edits WHERE job = ?"
            return int(db.execute(query, (job.rsplit("/", 1)[1],)).fetchone()[0])

    assert stored() == 1
    assert client.delete(job).status_code == 200
    assert stored() == 0
    assert edit(client, job, 1, op="undo").status_code == 404


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(
    tmp_path: Path, cell: bytes
) -> None:
    state = tmp_path / "killed" / "state"
    state.parent.mkdir()
    server = Server(state)
    acknowledged = list[tuple[int, float]]()
    try:
        with server.client() as client:
            job = traced(client, cell)
        enough = threading.Event()

        def edit_on() -> None:
            with server.client() as client, contextlib.suppress(httpx.TransportError):
                for number in range(100_000):
                    x = number % 40 + 0.5
                    record = edited(client, job, number, op="extend", begin=1, path=[[x, 1, 1, 1]])
                    acknowledged.append((record["revision"], x))
                    if number == 30:
                        enough.set()

        editor = threading.Thread(target=edit_on)
        editor.start()
        assert enough.wait(60)
        server.kill()
        editor.join()
        server = Server(state)
        with server.client() as client:
            record = client.get(f"{job}/edits", params={"paths": "true"}).json()
            stored = [(one["revision"], one["path"][0][0]) for one in record["operations"]]
            assert stored[: len(acknowledged)] == acknowledged
            assert len(stored) - len(acknowledged) in (0, 1)  # one may have been under way
            tree = client.get(f"{job}/edits/tree").text
            assert len(rows(tree)) == len(rows(client.get(f"{job}/swc").text)) + len(stored)
            edited(client, job, record["revision"], op="undo")
    finally:
        server.close()


def test_a_replaced_tree_survives_the_server_and_is_undone(tmp_path: Path, cell: bytes) -> None:
    state = tmp_path / "state"
    server = Server(state)
    with server.client() as client:
        job = traced(client, cell)
        before, swc = client.get(f"{job}/edits/tree").text, client.get(f"{job}/swc").text
        other = "1 1 20 20 10 3 -1\n2 3 25 20 10 1 1\n"
        record = edited(client, job, 0, op="replace", tree=other)
        assert record["operations"][0] == record["operations"][0] | {"op": "replace", "nodes": 2}
        assert "tree" not in record["operations"][0]
        assert edit(client, job, 0, op="replace", tree=other).status_code == 412
        wrong = edit(client, job, 1, op="replace", tree="1 1 20 20 10 3 -1\n2 3 x 20 10 1 1")
        assert "line 2" in wrong.json()["detail"]
    server.kill()
    server = Server(state)
    try:
        with server.client() as client:
            found = list(rows(client.get(f"{job}/edits/tree").text).values())
            assert [row[1:5] for row in found] == [[20, 20, 10, 3], [25, 20, 10, 1]]
            assert client.get(f"{job}/swc").text == swc
            assert "replace 2 nodes" in client.get(f"{job}/edits/tree.swc").text
            edited(client, job, 1, op="undo")
            assert rows(client.get(f"{job}/edits/tree").text) == rows(before)
    finally:
        server.close()


# Beneath the door


def test_the_number_of_edits_and_their_bytes_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dineuro_server.jobs.records import JobSpec
    from dineuro_server.jobs.store import JobStore

    store = JobStore(tmp_path / "state")
    job = store.add(JobSpec("trace", "anna", None, None, {}), "key", 1.0)
    monkeypatch.setattr(edit_log, "MOST_EDITS", 2)
    for revision in range(2):
        store.edits.append(job.id, revision, "anna", {"op": "cut", "node": 1}, 1.0)
    with pytest.raises(LimitExceeded, match="has 2 edits"):
        store.edits.append(job.id, 2, "anna", {"op": "undo"}, 1.0)
    monkeypatch.setattr(edit_log, "MOST_EDITS", 10)
    monkeypatch.setattr(edit_log, "MOST_BYTES", 70)
    with pytest.raises(LimitExceeded):
        store.edits.append(job.id, 2, "anna", {"op": "cut", "node": 12345}, 1.0)
    assert store.edits.revision(job.id) == 2
    store.close()


def test_a_state_folder_without_edits_is_upgraded(tmp_path: Path) -> None:
    from dineuro_server.jobs.database import Database

    Database(tmp_path / "jobs.sqlite").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as db:
        db.executescript(
            "DROP TABLE edits; ALTER TABLE jobs DROP COLUMN place; PRAGMA user_version = 2;"
        )
    database = Database(tmp_path / "jobs.sqlite")
    assert database.rows("SELECT count(*) FROM edits")[0][0] == 0
    database.close()


def test_a_rejected_end_gets_the_piece_that_the_trace_left_out(
    client: httpx.Client, tmp_path: Path
) -> None:
    """A branch points at the side of the trunk from 22 voxels away. The tree is in µm."""
    lines = [line((6, 10, 10), (114, 10, 10)), line((60, 34, 10), (60, 67, 10))]
    image = tmp_path / "gap.tif"
    write_volume(image, Volume(paint(lines, (20, 70, 120))[None]))
    how = {"enhancer": "none", "units": "um", "spacing": "0.5,0.5,0.5"}
    job = traced(client, image.read_bytes(), **how)
    before, swc = client.get(f"{job}/edits/tree").text, client.get(f"{job}/swc").text
    doubts = client.get(f"{job}/report").json()["doubts"]
    number = next(at for at, doubt in enumerate(doubts, 1) if doubt["kind"] == "end")
    assert doubts[number - 1]["piece"] == 1
    piece = rows(client.get(f"{job}/pieces").text)
    assert piece[1][2] == pytest.approx(33, abs=2.5)
    edited(client, job, 0, op="reject", doubt=number)
    after = rows(client.get(f"{job}/edits/tree").text)
    new = [after[name] for name in after if name not in rows(before)]
    assert len(new) > len(piece)
    assert max(node[2] for node in new) == pytest.approx(67, abs=2.5)
    assert client.get(f"{job}/swc").text == swc
    edited(client, job, 1, op="undo")
    assert rows(client.get(f"{job}/edits/tree").text) == rows(before)


# The Python client


def test_the_client_submits_attaches_and_edits(
    server: Server, tokens: dict[str, str], tmp_path: Path
) -> None:
    image = tmp_path / "sent.tif"
    small(image)
    with Client(server.url, token=tokens["anna"]) as client:
        job = client.submit(image, enhancer="classical")
        stages = list[str]()
        result = client.attach(job, progress=lambda step: stages.append(step.stage))
        assert (result.job, len(result.tree) > 3) == (job, True)
        assert client.jobs(limit=1)[0]["id"] == job
        assert client.rename(job, "cell 3")["parameters"]["name"] == "cell 3"
        assert client.jobs(limit=1)[0]["parameters"]["name"] == "cell 3"
        with pytest.raises(BadParameter, match="name"):
            client.rename(job, 5000 * "x")
        assert repr(result).startswith(f"TraceResult(job {job}, Tree({len(result.tree)} nodes")
        assert (result._repr_png_() or b"").startswith(b"\x89PNG")
        assert client.edits(job).revision == 0
        edits = client.edit(job, {"op": "delete", "node": 4}, 0)
        assert (edits.revision, edits.can_undo, edits.operations[0]["author"]) == (1, True, "anna")
        assert client.edits(job, paths=True) == edits
        assert len(client.edited_tree(job)) == 3
        with pytest.raises(Outdated, match="revision 1"):
            client.edit(job, {"op": "undo"}, 0)
        with pytest.raises(BadEdit, match="no such node"):
            client.edit(job, {"op": "cut", "node": 4}, 1)
        with pytest.raises(NotFound):
            client.edits("../../metrics")
    with Client("tcp://127.0.0.1:1") as client, pytest.raises(BadParameter, match="over HTTP"):
        client.jobs()


def test_the_client_for_asyncio_submits_attaches_and_renames(
    server: Server, tokens: dict[str, str], tmp_path: Path
) -> None:
    small(tmp_path / "later.tif")

    async def work() -> None:
        async with AsyncClient(server.url, token=tokens["anna"]) as client:
            job = await client.submit(tmp_path / "later.tif", enhancer="classical")
            result = await client.attach(job)
            assert (result.job, len(result.tree) > 3) == (job, True)
            await client.rename(job, "later, renamed")
            listed = (await client.jobs(limit=1))[0]
            assert (listed["id"], listed["parameters"]["name"]) == (job, "later, renamed")

    asyncio.run(work())


def test_the_tree_is_measured_before_and_after_its_edits(client: httpx.Client, job: str) -> None:
    before = client.get(f"{job}/measurements").json()
    assert before["unit"] == "um"
    assert before["tips"] >= 1
    assert before["length"] == client.get(f"{job}/report").json()["measurements"]["length"]
    assert client.get(f"{job}/measurements", params={"edited": "true"}).json() == before
    edited(client, job, 0, op="delete", node=5)
    after = client.get(f"{job}/measurements", params={"edited": "true"}).json()
    assert 0 < after["length"] < before["length"]
    assert client.get(f"{job}/measurements").json() == before
