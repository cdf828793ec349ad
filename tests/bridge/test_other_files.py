"""A file that names other files: none of them is opened, unless it is part of a set beside it."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dineuro_bridge.errors import BadFile, DineuroError
from dineuro_bridge.volumes.formats import open_volume, read_header, read_volume
from dineuro_bridge.volumes.source import Reading
from tests.support.tiffs import ome_xml, run_xml, write_described

STACK = np.random.default_rng(6).integers(0, 255, (6, 8, 9)).astype(np.uint8)
SHAPE = (6, 8, 9)
BESIDE = Reading(beside=True)

_paths: list[str] = []
_watching = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event == "open":
        _paths.append(os.fsdecode(arguments[0]) if arguments[0] is not None else "")


sys.addaudithook(_hook)


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[list[str]]:
    """The paths that are opened while a test runs."""
    global _watching
    write_described(tmp_path / "first.tif", STACK, "")
    read_volume(tmp_path / "first.tif")  # imports are done
    _paths.clear()
    _watching = True
    yield _paths
    _watching = False


def random_xml(rng: random.Random, names: list[str]) -> str:
    """OME-XML whose runs and companions name files at random."""
    runs, plane = "", 0
    while plane < SHAPE[0]:
        count = rng.randint(1, SHAPE[0] - plane)
        name = rng.choice([None, *names])
        page = rng.choice([0, plane, rng.randint(-2, 9)])
        runs += run_xml(plane, page, rng.choice([count, 0, -1, 10**6]), name, rng.choice("abc"))
        plane += count
    head = ""
    if rng.random() < 0.2:
        companion = rng.choice(names)
        head = f'<BinaryOnly MetadataFile="{companion}" UUID="urn:uuid:a"/>'
    uuid = rng.choice([None, "a", "b"])
    return ome_xml(SHAPE, "" if rng.random() < 0.1 else runs, uuid=uuid, head=head)


def read_or_refused(path: Path, how: Reading) -> tuple[set[bytes], str]:
    """The planes of a volume, or the message of its refusal."""
    try:
        with open_volume(path, how) as source:
            return {plane.tobytes() for plane in source.read()[0]}, ""
    except DineuroError as error:
        return set(), str(error)


@pytest.mark.parametrize("how", [Reading(), BESIDE], ids=["upload", "command line"])
def test_of_many_files_that_name_others_none_opens_one(
    how: Reading, tmp_path: Path, paths: list[str]
) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    secret = tmp_path / "secret.ome.tif"
    write_described(secret, STACK, ome_xml(SHAPE, run_xml(0, 0, 6), uuid="b"))
    os.mkfifo(folder / "pipe.tif")
    (folder / "link.tif").symlink_to(secret)
    names = [
        str(secret), "../secret.ome.tif", "..\\secret.ome.tif", f"./../{secret.name}",
        "/etc/passwd", "/dev/zero", "pipe.tif", "link.tif", "gone.tif", ".", "", "a/b.tif", "http://x.org/a.tif",
        "upload.companion.ome", "C:\\a.tif",
    ]  # fmt: skip
    (folder / "upload.companion.ome").write_text("<OME/>")
    rng = random.Random(5)
    path = folder / "upload.tif"
    read = 0
    for _ in range(1000):
        pages = rng.choice([1, 3, 6])
        write_described(path, STACK[:pages], random_xml(rng, names))
        paths.clear()
        planes, message = read_or_refused(path, how)
        # What is read is what the file holds, and nothing else.
        assert planes <= {plane.tobytes() for plane in STACK[:pages]}
        assert message == "" or message.startswith(str(path))
        assert str(secret) not in message
        read += not message
        assert set(paths) == {str(path)}
    assert 50 < read < 950


def test_a_processed_copy_is_read_itself_and_not_its_original(tmp_path: Path) -> None:
    runs = "".join(run_xml(i, i, 1, "orig.ome.tif", "aa") for i in range(6))
    write_described(tmp_path / "orig.ome.tif", STACK, ome_xml(SHAPE, runs))
    write_described(tmp_path / "denoised.ome.tif", STACK // 2, ome_xml(SHAPE, runs))
    for how in (Reading(), BESIDE):
        volume = read_volume(tmp_path / "denoised.ome.tif", how=how)
        assert np.array_equal(volume.voxels[0], STACK // 2)
        assert volume.spacing == (1.0, 0.2, 0.2)


def test_a_renamed_file_keeps_the_order_that_its_xml_tells(tmp_path: Path) -> None:
    runs = "".join(run_xml(i, 5 - i, 1, "before.ome.tif", "aa") for i in range(6))
    for uuid in ("aa", None):
        write_described(tmp_path / "after.ome.tif", STACK, ome_xml(SHAPE, runs, uuid=uuid))
        assert np.array_equal(read_volume(tmp_path / "after.ome.tif").voxels[0], STACK[::-1])


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path]:
    runs = run_xml(0, 0, 2, "a.ome.tif", "aa") + run_xml(2, 0, 4, "b.ome.tif", "bb")
    for name, uuid, planes in (("a", "aa", STACK[:2]), ("b", "bb", STACK[2:])):
        write_described(tmp_path / f"{name}.ome.tif", planes, ome_xml(SHAPE, runs, uuid=uuid))
    return tmp_path / "a.ome.tif", tmp_path / "b.ome.tif"


def test_a_set_in_one_folder_is_read_together_if_that_is_allowed(parts: tuple[Path, Path]) -> None:
    for path, other in (parts, parts[::-1]):
        volume = read_volume(path, how=BESIDE)
        assert np.array_equal(volume.voxels[0], STACK)
        assert any(other.name in text and "read together" in text for text in volume.warnings)
        with open_volume(path, BESIDE) as source:
            assert source.details["files"] == f"{path.name}, {other.name}"
            assert np.array_equal(source.read((1, 1, 1, 5, 4, 4))[0], STACK[1:4, 1:4, 1:5])
        with pytest.raises(BadFile, match=rf"promises 6 planes.* others are in {other.name}"):
            read_header(path)


@pytest.mark.parametrize("fault", ["gone", "uuid", "size", "short", "link"])
def test_a_part_that_does_not_fit_is_refused_with_the_reason(
    fault: str, parts: tuple[Path, Path], tmp_path: Path
) -> None:
    path, other = parts
    text = ome_xml(SHAPE, "", uuid="bb")
    message = {
        "gone": "is missing", "uuid": "another UUID", "size": "another size",
        "short": "lacks 3 of 6", "link": "is missing",
    }[fault]  # fmt: skip
    if fault == "gone":
        other.unlink()
    elif fault == "uuid":
        write_described(other, STACK[2:], ome_xml(SHAPE, "", uuid="cc"))
    elif fault == "size":
        write_described(other, STACK[2:, 1:], text)
    elif fault == "short":
        write_described(other, STACK[2:3], text)
    else:
        (tmp_path / "elsewhere").mkdir()
        other.symlink_to(other.rename(tmp_path / "elsewhere" / other.name))
    with pytest.raises(BadFile, match=message) as caught:
        read_volume(path, how=BESIDE)
    assert str(caught.value).startswith(str(path))


def test_metadata_in_a_companion_file_are_named_and_the_pages_read(tmp_path: Path) -> None:
    head = '<BinaryOnly MetadataFile="../all.companion.ome" UUID="urn:uuid:a"/>'
    path = tmp_path / "a.ome.tif"
    write_described(path, STACK, f'<OME xmlns="http://www.openmicroscopy.org">{head}</OME>')
    volume = read_volume(path)
    assert np.array_equal(volume.voxels[0], STACK)
    assert volume.spacing is None
    assert "all.companion.ome" in volume.warnings[0]
