"""Corrected trees of a server's state folder become files for the training."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from dineuro import corrections
from dineuro.corrections import Lesson, find_corrections
from dineuro.evaluation import Row
from dineuro_bridge.errors import FileAccess
from dineuro_bridge.trees.swc import parse_swc, read_swc
from dineuro_bridge.volumes.formats import read_volume
from dineuro_cli import main
from dineuro_server.jobs.corrected import is_state, write_corrected
from tests.support.server import FAST, Server, other


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    fresh = Server(tmp_path_factory.mktemp("corrected") / "state")
    yield fresh
    fresh.close()


@pytest.fixture(scope="module")
def state(server: Server) -> Path:
    """Two corrected volumes, one of them traced twice; others that were not corrected."""
    with server.client() as client:
        first, second = traced(client, 1, "one.tif"), traced(client, 2, "two")
        edit(client, first, 0, op="delete", node=4)
        edit(client, second, 0, op="delete", node=5)
        traced(client, 3, "untouched.tif")
        undone = traced(client, 4, "undone.tif")
        edit(client, undone, 0, op="delete", node=4)
        edit(client, undone, 1, op="undo")
        again = client.post("/v1/retrace", params={"job": first[-32:], "min_length": "5"})
        edit(client, again.headers["location"], 0, op="delete", node=3)
        mask = client.get(f"{first}/mask.tif").content
        of_mask = client.post("/v1/retrace", params={"name": "mask.tif"}, content=mask)
        assert of_mask.status_code == 200, of_mask.text
        edit(client, of_mask.headers["location"], 0, op="delete", node=3)
    return server.log_path.with_suffix("")


def traced(client: httpx.Client, number: int, name: str) -> str:
    answer = client.post("/v1/trace", params=FAST | {"name": name}, content=other(number))
    assert answer.status_code == 200, answer.text
    return answer.headers["location"]


def edit(client: httpx.Client, job: str, revision: int, **operation: Any) -> None:
    answer = client.post(f"{job}/edits", json=operation, headers={"If-Match": f'"{revision}"'})
    assert answer.status_code == 201, answer.text


def test_edited_jobs_become_corrections_while_the_server_runs(
    server: Server, state: Path, tmp_path: Path
) -> None:
    assert is_state(state)
    assert not is_state(tmp_path)
    folder = tmp_path / "run" / "corrected"
    assert write_corrected(state, folder) == ["mask.tif: is left out: a mask was traced"]
    assert write_corrected(state, folder)  # what was there is replaced
    found = find_corrections(folder)
    names = [one.corrected.stem.partition("_")[2] for one in found]
    assert sorted(names) == ["one", "two"]
    two = found[names.index("two")]
    before, after = read_swc(two.traced), read_swc(two.corrected)
    assert len(before) > len(after) == 4
    assert any("delete" in line for line in after.comments)
    assert read_volume(two.volume).voxels.ndim == 4
    # The first volume was edited last as a try, whose tree counts.
    one = found[names.index("one")]
    assert len(read_swc(one.corrected)) == 2
    with server.client() as client:
        job = client.get("/v1/jobs", params={"kind": "retrace"}).json()["jobs"][-1]
        there = parse_swc(client.get(f"{job['links']['self']}/edits/tree.swc").text, "there")
    assert len(there) == 2


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").touch()
    with pytest.raises(FileAccess, match="another version"):
        write_corrected(tmp_path, tmp_path / "out")
    (tmp_path / "jobs.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(FileAccess, match="cannot be read as a state folder"):
        write_corrected(tmp_path, tmp_path / "out")


def test_the_command_learns_from_a_state_folder(
    state: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    taught: list[str] = []

    def learn(_: object, found: list[corrections.Correction], *__: Any, **___: Any) -> Lesson:
        taught.extend(one.corrected.name for one in found)
        return Lesson(tmp_path / "new", (Row("b", "", f1_2=0.1),), (Row("b", "", f1_2=0.2),))

    monkeypatch.setattr(corrections, "learn", learn)
    words = ["--from", "dineuro-s1", "--corrections", state, "-o", tmp_path / "run"]
    monkeypatch.setattr(sys, "argv", ["dineuro", "train", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    assert len(taught) == 2
    shown = capsys.readouterr()
    assert "mask.tif: is left out" in shown.err
    assert shown.out == f"{tmp_path / 'new'}\n"
