"""A folder of single slices as one stack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from dineuro.files.outputs import find_inputs
from dineuro.files.provenance import sha256_of
from dineuro_bridge.errors import BadVolume, FileAccess
from dineuro_bridge.volumes.formats import open_volume, read_volume
from dineuro_bridge.volumes.source import Reading
from dineuro_bridge.volumes.volume import Volume

STACK = np.random.default_rng(2).integers(0, 999, (12, 7, 9)).astype(np.uint16)
AS_STACK = Reading(stack_folder=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "slices"
    place.mkdir()
    for number, plane in enumerate(STACK, start=1):
        tifffile.imwrite(place / f"z{number}.tif", plane)  # z10 sorts before z2
    (place / "notes.txt").write_text("no slice")
    return place


def test_slices_are_in_the_natural_order_of_their_names(folder: Path) -> None:
    assert np.array_equal(read_volume(folder, how=AS_STACK).voxels[0], STACK)
    with open_volume(folder, AS_STACK) as source:
        assert source.details["files"] == "z1.tif to z12.tif"
        assert np.array_equal(source.read((2, 1, 3, 5, 4, 11))[0], STACK[3:11, 1:4, 2:5])
    with pytest.raises(FileAccess, match="is a folder"):
        read_volume(folder.rename(folder.with_name("slices.tif")))


def test_slices_of_channels_are_a_volume_of_channels(folder: Path) -> None:
    for path in folder.glob("*.tif"):
        planes = np.stack([tifffile.imread(path)] * 2)
        tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "CYX"})
    assert np.array_equal(read_volume(folder, how=AS_STACK).voxels, np.stack([STACK, STACK]))


def test_slices_that_make_no_stack_are_refused(folder: Path) -> None:
    tifffile.imwrite(folder / "z13.tif", STACK[0, 1:])
    with pytest.raises(BadVolume, match=r"z13\.tif: is .* all slices of a stack are alike"):
        read_volume(folder, how=AS_STACK)
    tifffile.imwrite(folder / "z13.tif", STACK, photometric="minisblack")
    with pytest.raises(BadVolume, match=r"z13\.tif: has 12 slices"):
        read_volume(folder, how=AS_STACK)
    for path in folder.glob("*.tif"):
        path.unlink()
    with pytest.raises(BadVolume, match="holds 0 slices"):
        read_volume(folder, how=AS_STACK)


def test_a_folder_of_slices_is_offered_as_a_stack_in_one_sentence(folder: Path) -> None:
    with pytest.raises(BadVolume, match=r"slices: holds 12 single slices: pass --stack-folder"):
        find_inputs([str(folder)])
    assert find_inputs([str(folder)], stack_folders=True) == [folder]
    for path in folder.glob("*.tif"):
        tifffile.imwrite(path, STACK, photometric="minisblack")
    assert len(find_inputs([str(folder)])) == 12


def test_the_digest_of_a_folder_is_that_of_its_slices(folder: Path) -> None:
    volume = Volume(STACK[None])
    before = sha256_of(folder, volume)
    assert before == sha256_of(folder, volume)
    tifffile.imwrite(folder / "z7.tif", STACK[0])
    assert sha256_of(folder, volume) != before
