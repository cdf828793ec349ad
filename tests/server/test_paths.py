"""Paths over HTTP: found in a process of its own, in voxels of the full volume, and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest

from dineuro_bridge.errors import DineuroError, ServerStopping, TimeLimit
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_server.doors.http.path_finder import PathFinder
from tests.support.server import FAST, VOXELS, Server, small, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("paths") / "state")
    yield server
    assert server.stop() == 0
    server.close()
    assert "an error of DINeuro's own" not in server.log


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def job(client: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job of a region, whose places are still those of the full volume."""
    body = small(tmp_path_factory.mktemp("cell") / "cell.tif")
    answer = client.post("/v1/trace", params=FAST | {"roi": "4,2,1,48,24,16"}, content=body)
    assert answer.status_code == 200, answer.text
    return answer.headers["location"]


def test_a_path_lies_on_the_neurite_and_fits_an_edit(client: httpx.Client, job: str) -> None:
    answer = client.get(f"{job}/path", params={"from": "10,12,8", "to": "38,12,8"})
    assert answer.status_code == 200, answer.text
    record = answer.json()
    path = np.array(record["path"])
    assert path[0, :3].tolist() == [10, 12, 8]
    assert path[-1, :3].tolist() == [38, 12, 8]
    assert np.abs(path[:, 1:3] - [12, 8]).max() < 1.5
    assert (path[:, 3] > 0).all()
    assert record["supported"] > 0.9
    edit = {"op": "extend", "from": 1, "path": record["path"]}
    done = client.post(f"{job}/edits", json=edit, headers={"If-Match": '"0"'})
    assert done.status_code == 201, done.text


@pytest.mark.parametrize(
    ("begin", "to"),
    [("2,12,8", "38,12,8"), ("10,12,8", "10,12"), ("a,b,c", "1,2,3"), ("nan,1,1", "5,5,5"),
     ("10,12,8", "10,12,99"), ("1e300,1,1", "10,12,8")],
)  # fmt: skip
def test_a_place_that_is_none_is_refused(
    client: httpx.Client, job: str, begin: str, to: str
) -> None:
    answer = client.get(f"{job}/path", params={"from": begin, "to": to})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameter"), answer.text


def test_the_libraries_of_the_search_stay_out_of_the_server(
    client: httpx.Client, server: Server, job: str
) -> None:
    client.get(f"{job}/path", params={"from": "10,12,8", "to": "38,12,8"})
    assert "llvmlite" not in Path(f"/proc/{server.process.pid}/maps").read_text()


def test_a_search_that_hangs_or_dies_costs_only_itself(tmp_path: Path) -> None:
    write_volume(tmp_path / "p.v3dpbd", Volume(VOXELS[None]))
    request: dict[str, Any] = {
        "probability": str(tmp_path / "p.v3dpbd"), "origin": [0, 0, 0], "from": [10, 12, 8],
        "to": [38, 12, 8], "threshold": 100, "spacing": None,
    }  # fmt: skip
    finder = PathFinder()
    assert asyncio.run(finder.find("anna", request))["supported"] > 0.9
    finder._limit_s = 1e-6
    with pytest.raises(TimeLimit):
        asyncio.run(finder.find("anna", request))
    finder._limit_s = 20.0
    assert asyncio.run(finder.find("anna", request))["path"]
    assert finder._process is not None
    process = finder._process._popen
    process.kill()
    until(lambda: process.poll() is not None, 10, "the end of the process")
    with pytest.raises(DineuroError, match="has ended"):
        asyncio.run(finder.find("anna", request))
    assert asyncio.run(finder.find("anna", request))["path"]
    finder.close()
    with pytest.raises((ServerStopping, RuntimeError)):
        asyncio.run(finder.find("anna", request))
