"""A server on the same machine reads the plugin's file itself, where it serves its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.plugin.test_sent_files import imagej, run, traced
from tests.support.host import STACK, Build, Host, menu
from tests.support.server import Server


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("by_path")
    (folder / "served").mkdir()
    (folder / "beside").mkdir()
    return folder


@pytest.fixture(scope="module")
def server(lab: Path) -> Iterator[Server]:
    made = Server(lab / "state", zmq="tcp://127.0.0.1:0", roots=lab / "served")
    yield made
    made.close()


def blobs(lab: Path) -> int:
    return len([path for path in (lab / "state" / "blobs").rglob("*") if path.is_file()])


def test_the_menu_and_the_command_line_send_a_path(build: Build, server: Server, lab: Path) -> None:
    folder = lab / "served" / build.name
    folder.mkdir()
    # Above 1 MiB, where the fingerprint covers pieces alone.
    wide = np.tile(STACK, (1, 3, 2)).astype(np.uint16) * 200
    path = imagej(folder / "wide é.tif", wide)
    assert path.stat().st_size > 2**20
    small = imagej(folder / "cell.tif", STACK)
    (folder / "link.tif").symlink_to(small)
    before = blobs(lab)
    host = run(build, server, folder, small)
    assert "The server read the file itself, not the image in the window." in host.messages()
    steps = {
        "func": "enhance_trace", "in": [str(path), str(folder / "link.tif")],
        "p": [f"server={server.zmq}", "enhancer=classical"],
    }  # fmt: skip
    host = Host(build, folder, [steps])
    assert host.done.stderr.count("the server read the file itself") == 2
    assert blobs(lab) == before, "a file was sent"
    for name in ("wide é", "cell"):
        expected = traced(server, folder / f"{name}.tif").swc
        assert (folder / f"{name}_dineuro.swc").read_text() == expected


def test_a_file_elsewhere_is_sent(build: Build, server: Server, lab: Path) -> None:
    folder = lab / "beside" / build.name
    folder.mkdir()
    path = imagej(folder / "cell.tif", STACK)
    host = run(build, server, folder, path)
    assert "The file was sent, not the image in the window." in host.messages()
    assert (folder / "cell_dineuro.swc").read_text() == traced(server, path).swc


def test_the_test_of_the_connection_says_so(build: Build, server: Server, tmp_path: Path) -> None:
    host = Host(build, tmp_path, [menu(server.zmq, 4, test=True)])
    assert "reads files by their path" in host.step(0)["answer"]
