"""Files that are made for one answer: in processes of their own, the owners in turn."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from dineuro_bridge.errors import BadFile, DineuroError, DiskFull, ServerStopping
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_server.doors.http import conversion_process
from dineuro_server.doors.http.conversions import Conversions
from tests.support.server import FAST, VOXELS, Server, small, until


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    write_volume(tmp_path / "mask.v3draw", Volume(VOXELS[None]))
    return tmp_path / "mask.v3draw"


def test_the_libraries_of_formats_stay_out_of_the_server(tmp_path: Path) -> None:
    server = Server(tmp_path / "state")
    try:
        with server.client() as client:
            answer = client.post("/v1/trace", params=FAST, content=small(tmp_path / "a.tif"))
            job = answer.headers["location"]
            masks = []
            for suffix in (".v3draw", ".tif", ".v3dpbd"):
                path = tmp_path / f"mask{suffix}"
                path.write_bytes(client.get(f"{job}/mask{suffix}").content)
                masks.append(read_volume(path).voxels)
        assert masks[0].any()
        assert all(np.array_equal(mask, masks[0]) for mask in masks)
        assert "llvmlite" not in Path(f"/proc/{server.process.pid}/maps").read_text()
        spool = tmp_path / "state" / "spool"  # emptied after the answer
        until(lambda: not list(spool.iterdir()), 30, "an empty spool")
    finally:
        server.close()


def test_an_error_of_the_process_is_that_of_the_answer(stored: Path, tmp_path: Path) -> None:
    conversions = Conversions()
    try:
        conversions.convert(stored, tmp_path / "a.tif", (2.0, 1.0, 1.0), 2**30)
        assert read_volume(tmp_path / "a.tif").spacing == pytest.approx((2, 1, 1))
        stored.write_bytes(stored.read_bytes()[:-1])
        with pytest.raises(BadFile, match="truncated"):
            conversions.convert(stored, tmp_path / "a.tif", None, 2**30)
    finally:
        conversions.close()


def test_a_full_disk_is_told_apart(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object, **__: object) -> None:
        raise DineuroError("no room") from OSError(28, "No space left on device")

    monkeypatch.setattr(conversion_process, "write_volume", fill)
    request = {"source": str(stored), "target": "a.tif", "spacing": None, "max_bytes": 2**30}
    assert conversion_process.convert(request)["code"] == DiskFull.code


def test_a_process_that_dies_ends_its_answer_alone(stored: Path, tmp_path: Path) -> None:
    conversions = Conversions()
    errors = list[Exception]()

    def convert() -> None:
        try:
            conversions.convert(stored, tmp_path / "a.v3dpbd", None, 2**30)
        except DineuroError as error:
            errors.append(error)

    thread = threading.Thread(target=convert)
    thread.start()
    until(lambda: bool(conversions._running), 30, "the process")
    next(iter(conversions._running)).kill()
    thread.join()
    assert "ended early" in str(errors[0])
    thread = threading.Thread(target=convert)
    thread.start()
    until(lambda: bool(conversions._running), 30, "the process")
    conversions.close()
    thread.join()
    assert isinstance(errors[1], ServerStopping)
    with pytest.raises(ServerStopping):
        conversions.convert(stored, tmp_path / "a.v3dpbd", None, 2**30)
