"""Volumes at an address: read by range requests from a server on loopback, and one sentence each
for what may be wrong with an address."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import tensorstore
from typer.testing import CliRunner

from dineuro_bridge.errors import DineuroError, FileAccess, UnsupportedFormat
from dineuro_bridge.volumes import ome_zarr, remote
from dineuro_bridge.volumes.formats import open_volume, read_volume
from dineuro_bridge.volumes.remote import RemotePlace, address_of
from dineuro_bridge.volumes.source import NAMED_HERE, Reading
from dineuro_bridge.volumes.volume import Volume
from dineuro_cli.app import app
from tests.support.server import PACKAGES
from tests.support.shapes import line, paint

VOXELS = np.random.default_rng(3).integers(0, 999, (20, 40, 50)).astype(np.uint16)


class Files(BaseHTTPRequestHandler):
    """Gives the files of a folder, also in ranges, and fails where a path asks for it."""

    protocol_version = "HTTP/1.1"
    folder: Path
    asked: list[str]
    ranges: list[str]
    never = threading.Event()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        for word, status in (("closed", 403), ("broken", 503)):
            if word in self.path:
                self.send_error(status)
                return
        if "silent" in self.path:
            self.never.wait(3)
            return
        # An object of Google's store has one name, with its slashes written otherwise.
        place = unquote(self.path.split("?")[0].lstrip("/"))
        file = self.folder / re.sub("^storage/v1/b/([^/]+)/o/", r"\1/", place)
        if not file.is_file():
            self.send_error(404)
            return
        content, status = file.read_bytes(), 200
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        more = {}
        if asked:
            self.ranges.append(self.headers["Range"])
            n = len(content)
            low = int(asked[1]) if asked[1] else n - int(asked[2])
            high = int(asked[2]) + 1 if asked[1] and asked[2] else n
            content, status = content[low:high], 206
            more = {"Content-Range": f"bytes {low}-{min(high, n) - 1}/{n}"}
        self.send_response(status)
        more |= {"Content-Length": str(len(content)), "ETag": '"1"', "X-Goog-Generation": "1"}
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same voxels in all formats that are read from an address."""
    folder = tmp_path_factory.mktemp("remote")
    volume = Volume(VOXELS[None], spacing=(2.0, 0.5, 0.5))
    ome_zarr.write(folder / "new.ome.zarr", volume)
    ome_zarr.write(folder / "old.ome.zarr", volume, zarr="0.4")
    (folder / "several.zarr").mkdir()
    shutil.copytree(folder / "old.ome.zarr", folder / "several.zarr" / "0")
    (folder / "several.zarr" / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
    (folder / "several.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    for name, spec in {
        "cells.n5/s0": {"driver": "n5", "metadata": {
            "dimensions": [50, 40, 20], "blockSize": [16, 16, 16], "dataType": "uint16",
            "compression": {"type": "gzip"}, "axes": ["x", "y", "z"],
            "resolution": [0.5, 0.5, 2.0], "units": ["um", "um", "um"]}},
        "cells.precomputed": {"driver": "neuroglancer_precomputed",
            "multiscale_metadata": {"type": "image", "data_type": "uint16", "num_channels": 1},
            "scale_metadata": {"size": [50, 40, 20], "resolution": [500, 500, 2000],
                               "encoding": "raw", "chunk_size": [16, 16, 16]}},
    }.items():  # fmt: skip
        store = {"driver": "file", "path": f"{folder / name}/"}
        array = tensorstore.open({**spec, "kvstore": store}, create=True).result()
        voxels = VOXELS.transpose(2, 1, 0)
        array.write(voxels[..., None] if array.ndim == 4 else voxels).result()
    (folder / "cells.n5" / "attributes.json").write_text('{"n5": "2.0.0"}')
    return folder


@pytest.fixture
def files(folder: Path) -> Iterator[type[Files]]:
    kind = type("Here", (Files,), {"folder": folder, "asked": [], "ranges": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    kind.address = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield kind
    server.shutdown()
    server.server_close()
    thread.join()
    remote._fetched.cache_clear()


def address(files: type[Files], name: str) -> str:
    return f"{files.address}/{name}"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("new.ome.zarr", "ome-zarr"), ("old.ome.zarr", "ome-zarr"), ("several.zarr", "ome-zarr"),
        ("cells.n5", "n5"), ("cells.n5/s0", "n5"), ("cells.precomputed", "precomputed"),
    ],
)  # fmt: skip
def test_boxes_levels_and_voxel_size_are_those_of_the_files(
    files: type[Files], folder: Path, name: str, kind: str
) -> None:
    box = (5, 7, 3, 31, 30, 19)
    with open_volume(Path(address(files, name)), NAMED_HERE) as source:
        assert source.header.format == kind
        assert np.array_equal(source.read(box)[0], VOXELS[3:19, 7:30, 5:31])
        with open_volume(folder / name) as here:
            assert (source.levels, source.spacing, source.dtype) == (
                here.levels, here.spacing, here.dtype,
            )  # fmt: skip
            last = len(source.levels) - 1
            assert np.array_equal(source.read(level=last), here.read(level=last))
    assert source.spacing == pytest.approx((2.0, 0.5, 0.5))


def test_of_a_shard_only_ranges_are_read(files: type[Files], tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(0, 255, (1, 4, 400, 400)).astype(np.uint8)
    ome_zarr.write(tmp_path / "wide.ome.zarr", Volume(voxels))
    files.folder = tmp_path
    with open_volume(address(files, "wide.ome.zarr"), NAMED_HERE) as source:
        assert np.array_equal(source.read((0, 0, 0, 4, 4, 4)), voxels[..., :4, :4])
    assert len(files.ranges) == 2, "the index of the shard, and one chunk"


def command(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def test_the_commands_read_an_address(files: type[Files], tmp_path: Path) -> None:
    there = address(files, "new.ome.zarr")
    told = command("info", there, "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.output)["shape_zyx"] == list(VOXELS.shape)
    assert (
        command("convert", there, str(tmp_path / "a.tif"), "--roi", "5,7,3,31,30,19").exit_code == 0
    )
    assert np.array_equal(read_volume(tmp_path / "a.tif").voxels[0], VOXELS[3:19, 7:30, 5:31])
    back = command("convert", str(tmp_path / "a.tif"), there)
    assert back.exit_code == 2
    assert "an address is only read" in back.output.replace("\n", " ")
    assert not Path("http:").exists()


def test_a_region_is_traced_and_a_brain_goes_on(files: type[Files], tmp_path: Path) -> None:
    shape = (32, 64, 64)
    voxels = paint([line((8, 32, 16), (56, 32, 16))], shape)
    ome_zarr.write(tmp_path / "line.ome.zarr", Volume(voxels[None], spacing=(1.0, 1.0, 1.0)))
    files.folder = tmp_path
    there = address(files, "line.ome.zarr")
    words = ["trace", there, "--enhancer", "classical", "--roi", "0,0,0,40,64,32"]
    beside = command(*words)
    assert beside.exit_code == 2
    assert "name the place of the swc" in re.sub(r"[\s│]+", " ", beside.output)
    done = command(*words, "-o", str(tmp_path / "out.swc"))
    assert done.exit_code == 0, done.output
    assert "image line.ome.zarr" in (tmp_path / "out.swc").read_text()
    run = ["brain", there, str(tmp_path / "run"), "--workers", "0", "--block", "32"]
    run += ["--enhancer", "classical", "--json"]
    assert command(*run).exit_code == 0
    again = command(*run)
    assert again.exit_code == 0, again.output
    assert json.loads(again.output.splitlines()[-1])["length"] > 30
    run[1:3] = [str(tmp_path / "line.ome.zarr"), str(tmp_path / "here")]
    assert command(*run).exit_code == 0
    trees = [(tmp_path / name / "all.swc").read_bytes() for name in ("run", "here")]
    assert trees[0] == trees[1]


# What may be wrong


def refusal(there: str) -> tuple[str, float]:
    begun = time.monotonic()
    with pytest.raises(DineuroError) as caught:
        open_volume(there, NAMED_HERE)
    assert isinstance(caught.value, FileAccess), caught.value
    return str(caught.value), time.monotonic() - begun


def test_each_fault_of_an_address_has_a_sentence_and_is_told_soon(
    files: type[Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_METADATA_S", 1.0)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{unused.getsockname()[1]}/a.zarr"
    for there, says in [
        (address(files, "nothing.zarr"), "there is no volume at this address"),
        (address(files, "closed.zarr"), "no permission"),
        (address(files, "broken.zarr"), "the host failed, and again at a second try"),
        (address(files, "silent.zarr"), "the host does not answer in time"),
        (refused, "the host refuses the connection"),
        ("http://no-such-host.invalid/a.zarr", "there is no such host"),
    ]:
        text, seconds = refusal(there)
        assert says in text, text
        assert text.startswith(there.rstrip("/")), text
        assert "\n" not in text
        assert seconds < 20


def test_a_chunk_that_may_not_be_read_is_no_background(files: type[Files], tmp_path: Path) -> None:
    shutil.copytree(files.folder / "old.ome.zarr", tmp_path / "a.zarr")
    files.folder = tmp_path
    with open_volume(address(files, "a.zarr"), NAMED_HERE) as source:
        assert source.read((0, 0, 0, 4, 4, 4)).any()
        for chunk in (tmp_path / "a.zarr" / "0").iterdir():
            if chunk.name[0] != ".":
                shutil.rmtree(chunk)
        assert not source.read((0, 0, 0, 4, 4, 4)).any(), "a chunk that is not there is 0"
        files.do_GET = lambda self: self.send_error(403)  # type: ignore[method-assign]
        with pytest.raises(FileAccess, match="no permission"):
            source.read((9, 9, 9, 12, 12, 12))


BUCKETS = """
import sys
from dineuro_bridge.volumes.formats import open_volume
from dineuro_bridge.volumes.source import NAMED_HERE
try:
    with open_volume(sys.argv[1], NAMED_HERE) as source:
        print(source.read((5, 7, 3, 31, 30, 19)).sum())
except OSError as error:
    print(error)
"""


def bucket(there: str, files: type[Files], **more: str) -> str:
    """What a process reads from a bucket, whose host is the server of the test."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("AWS", "GOOGLE"))}
    host = files.address  # type: ignore[attr-defined]
    variables = {"AWS_ENDPOINT_URL": host, "TENSORSTORE_GCS_HTTP_URL": host, "PYTHONPATH": PACKAGES}
    done = subprocess.run(
        [sys.executable, "-c", BUCKETS, there], env=plain | variables | more, text=True,
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_a_public_bucket_is_read_without_keys(files: type[Files], tmp_path: Path) -> None:
    shutil.copytree(files.folder / "new.ome.zarr", tmp_path / "lab" / "new.ome.zarr")
    files.folder = tmp_path
    assert bucket("s3://lab/new.ome.zarr", files, HOME=str(tmp_path)) == str(
        VOXELS[3:19, 7:30, 5:31].sum()
    )
    missing = bucket("s3://nobucket/new.ome.zarr", files, HOME=str(tmp_path))
    assert "s3://nobucket/new.ome.zarr: there is no volume at this address" in missing
    google = bucket("gs://lab/new.ome.zarr", files, HOME=str(tmp_path))
    assert google == str(VOXELS[3:19, 7:30, 5:31].sum())
    closed = bucket("s3://closed/new.ome.zarr", files, HOME=str(tmp_path))
    assert "no permission" in closed


# Who may


def test_an_address_is_opened_only_where_a_person_named_it(
    files: type[Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = address(files, "new.ome.zarr")
    for how in (Reading(), Reading(beside=True, stack_folder=True)):
        with pytest.raises((FileAccess, UnsupportedFormat)):
            open_volume(there, how)
    assert files.asked == []
    assert address_of("/srv/s3:/bucket") is None
    assert address_of(tmp_path) is None
    assert address_of(Path("s3://bucket/a.zarr")) == "s3://bucket/a.zarr"
    assert address_of("https://h/a/") == "https://h/a"
    assert (RemotePlace("gs://b/a.n5") / "s0").parts[-2:] == ("a.n5", "s0")


def test_without_the_library_one_sentence_says_what_to_install(
    files: type[Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(DineuroError, match=r"pip install 'dineuro\[stores\]'"):
        open_volume(address(files, "new.ome.zarr"), NAMED_HERE)
