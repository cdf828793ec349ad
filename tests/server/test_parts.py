"""A part of a result is one record and one function: a part that a test adds is everywhere."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dineuro.files.parts import WRITERS, check_names
from dineuro_bridge.client import Client
from dineuro_bridge.errors import BadParameter
from dineuro_bridge.parts import PARTS, Option, Part
from dineuro_server.doors.http.negotiation import ZIP, offers
from dineuro_server.jobs.kinds import KINDS
from tests.support.server import FAST, PACKAGES, Server, small

NODES = Part(
    name="nodes",
    ending="_nodes.txt",
    description="The number of the tree's nodes.",
    content="text",
    needs_tree=True,
    stored="nodes.txt",
    media_types={".txt": "text/x-nodes"},
    option=Option(metavar="N.txt", help="The number of nodes."),
)
#: Python runs this module at every start: in the server, in its workers, in the command line.
ADDITION = f"""
from dineuro.files.parts import WRITERS
from dineuro_bridge.parts import PARTS, Option, Part

PARTS["nodes"] = {NODES!r}
WRITERS["nodes"] = lambda path, outcome: path.write_text(str(len(outcome.tree)))
"""


@pytest.fixture(scope="module")
def addition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("addition")
    (folder / "sitecustomize.py").write_text(ADDITION)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, addition: Path) -> Iterator[Server]:
    state = tmp_path_factory.mktemp("parts") / "state"
    server = Server(state, modules=addition, zmq="tcp://127.0.0.1:0", wait_s=300)
    yield server
    server.close()
    assert "an error of DINeuro's own" not in server.log


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    small(tmp_path / "cell.tif")
    return tmp_path / "cell.tif"


def test_a_local_run_writes_the_added_part(addition: Path, stack: Path) -> None:
    modules = os.pathsep.join((str(addition), PACKAGES))
    command = [sys.executable, "-c", "from dineuro_cli import main; main()", "trace", str(stack)]
    options = ["--nodes", "n.txt", "--report", "r.json", "--enhancer", "classical"]
    done = subprocess.run(
        [*command, *options],
        cwd=stack.parent,
        env=os.environ | {"PYTHONPATH": modules},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((stack.parent / "r.json").read_text())
    assert (stack.parent / "n.txt").read_text() == str(report["nodes"])
    assert report["outputs"]["nodes"] == "n.txt"


def test_a_server_gives_the_added_part_over_http(server: Server, stack: Path) -> None:
    with server.client() as client:
        client.timeout = 300
        post = client.post("/v1/trace", params=FAST, content=stack.read_bytes())
        job = client.get(post.headers["location"]).json()
        answer = client.get(job["links"]["nodes"])
        nodes = str(client.get(job["links"]["report"]).json()["nodes"])
        assert (answer.status_code, answer.text) == (200, nodes)
        assert answer.headers["content-type"] == "text/x-nodes; charset=utf-8"
        assert 'filename="cell_nodes.txt"' in answer.headers["content-disposition"]
        archive = client.get(job["links"]["self"] + "/results.zip").content
        with zipfile.ZipFile(io.BytesIO(archive)) as results:
            assert results.read("cell_nodes.txt").decode() == nodes
        paths = client.get("/openapi.json").json()["paths"]
        route = paths["/v1/jobs/{job_id}/nodes"]["get"]
        assert route["description"] == NODES.description
        assert "text/x-nodes" in route["responses"]["200"]["content"]


def test_a_job_without_a_tree_has_no_added_part(server: Server, stack: Path) -> None:
    with server.client() as client:
        client.timeout = 300
        post = client.post("/v1/enhance", params=FAST, content=stack.read_bytes())
        job = client.get(post.headers["location"]).json()
        assert "nodes" not in job["links"]
        answer = client.get(job["links"]["self"] + "/nodes")
        assert answer.status_code == 404
        assert "the kind enhance has no nodes" in answer.json()["detail"]


@pytest.mark.parametrize("door", ["http", "zmq"])
def test_a_client_fetches_the_added_part(
    server: Server, stack: Path, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARTS, "nodes", NODES)
    with Client(server.url if door == "http" else server.zmq) as client:
        result = client.trace(stack, enhancer="classical")
    assert result.files["nodes"].decode() == str(len(result.tree))


def test_every_part_has_a_function_and_a_place_of_its_own() -> None:
    in_memory = {name for name, part in PARTS.items() if part.in_blocks != "alone"}
    assert set(WRITERS) == in_memory
    stored = [part.stored for part in PARTS.values() if part.stored]
    assert len(set(stored)) == len(stored)
    for name, part in PARTS.items():
        assert part.name == name
        assert part.suffix in part.suffixes
        assert not part.stored or part.suffix == Path(part.stored).suffix
        assert part.file_name("cell") == "cell" + part.ending
    with pytest.raises(BadParameter, match="picture: is no part"):
        check_names({"picture": Path("a.png")})


def test_a_submission_offers_the_parts_of_its_kind() -> None:
    masks = ["application/x-v3draw", "image/tiff", "application/x-v3dpbd"]
    tree = ["text/plain", ZIP, "application/json", *masks, "image/png"]
    assert list(offers(KINDS["trace"])) == list(offers(KINDS["retrace"])) == tree
    assert list(offers(KINDS["enhance"])) == [*masks, ZIP, "application/json", "image/png"]
