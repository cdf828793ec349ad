"""Sources: boxes of voxels as they lie in the file, and what a new format needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dineuro.files.outputs import find_inputs
from dineuro_bridge.errors import BadFile, BadParameter, FileAccess, UnsupportedFormat
from dineuro_bridge.files import atomic_output
from dineuro_bridge.volumes import formats
from dineuro_bridge.volumes.formats import open_volume, read_header, read_volume, write_volume
from dineuro_bridge.volumes.source import Format, Source
from dineuro_bridge.volumes.terms import Roi
from dineuro_bridge.volumes.volume import Header, Volume
from dineuro_cli import main

VOXELS = np.random.default_rng(4).integers(0, 60000, (2, 5, 6, 7)).astype(np.uint16)
PLAIN: dict[str, Any] = {"photometric": "minisblack", "metadata": None}


def write_pages(path: Path, planes: NDArray[Any], **options: Any) -> None:
    """One page after the other, and not in one piece."""
    with tifffile.TiffWriter(path) as writer:
        for plane in planes:
            writer.write(plane, contiguous=False, **(PLAIN | options))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, NDArray[Any]]]:
    """One file of each way in which voxels may lie, with what it holds."""
    folder = tmp_path_factory.mktemp("sources")
    pairs = []
    for name in ("a.v3draw", "a.v3dpbd", "a.tif"):
        write_volume(folder / name, Volume(VOXELS))
        pairs.append((folder / name, VOXELS))
    write_volume(folder / "deflate.tif", Volume(VOXELS), compress=True)
    pairs.append((folder / "deflate.tif", VOXELS))
    write_pages(folder / "pages.tif", VOXELS[1])
    pairs.append((folder / "pages.tif", VOXELS[1:]))
    write_pages(folder / "tiles.tif", VOXELS[0], tile=(16, 16), compression="lzw")
    pairs.append((folder / "tiles.tif", VOXELS[:1]))
    ome: dict[str, Any] = {"ome": True, "metadata": {"axes": "ZCYX"}, "photometric": "minisblack"}
    tifffile.imwrite(folder / "zc.ome.tif", VOXELS.swapaxes(0, 1), compression="zlib", **ome)
    pairs.append((folder / "zc.ome.tif", VOXELS))
    big = VOXELS.swapaxes(0, 1).astype(">u2")
    tifffile.imwrite(folder / "big.tif", big, imagej=True, metadata={"axes": "ZCYX"})
    pairs.append((folder / "big.tif", VOXELS))
    tifffile.imwrite(folder / "bits.tif", VOXELS[0] > 30000, **PLAIN)
    pairs.append((folder / "bits.tif", (VOXELS[:1] > 30000) * np.uint8(255)))
    planar = VOXELS.swapaxes(0, 1)
    tifffile.imwrite(folder / "planar.tif", planar, planarconfig="separate", **PLAIN)
    pairs.append((folder / "planar.tif", VOXELS))
    return pairs


@given(st.data())
def test_every_box_holds_what_the_whole_volume_holds_there(
    files: list[tuple[Path, NDArray[Any]]], data: st.DataObject
) -> None:
    path, voxels = data.draw(st.sampled_from(files))
    low, high = [], []
    for size in voxels.shape[:0:-1]:
        low.append(data.draw(st.integers(0, size - 1)))
        high.append(data.draw(st.integers(low[-1] + 1, size)))
    (x0, y0, z0), (x1, y1, z1) = low, high
    with open_volume(path) as source:
        assert (source.shape, source.dtype) == (voxels.shape, voxels.dtype)
        assert source.levels == (voxels.shape,)
        box = source.read((x0, y0, z0, x1, y1, z1))
        assert box.dtype == voxels.dtype
        assert np.array_equal(box, voxels[:, z0:z1, y0:y1, x0:x1])
        assert np.array_equal(source.read(), voxels)


def test_a_box_of_a_tiff_decodes_only_its_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pages(tmp_path / "a.tif", VOXELS[0], compression="zlib")
    decoded = []
    decode = tifffile.TiffPage.asarray

    def counted(page: tifffile.TiffPage, *args: Any, **options: Any) -> Any:
        decoded.append(page.index)
        return decode(page, *args, **options)

    monkeypatch.setattr(tifffile.TiffPage, "asarray", counted)
    monkeypatch.setattr(tifffile.TiffFrame, "asarray", counted)
    with open_volume(tmp_path / "a.tif") as source:
        assert np.array_equal(source.read((0, 0, 2, 7, 6, 4)), VOXELS[:1, 2:4])
    assert sorted(decoded) == [2, 3]


def test_a_box_of_raw_voxels_is_a_part_of_the_memory_map(tmp_path: Path) -> None:
    for name in ("a.v3draw", "a.tif"):
        write_volume(tmp_path / name, Volume(VOXELS))
        with open_volume(tmp_path / name) as source:
            box = source.read((1, 1, 1, 3, 3, 3))
        assert isinstance(box, np.memmap)
        assert np.array_equal(box, VOXELS[:, 1:3, 1:3, 1:3])  # the map outlives the source


@pytest.mark.parametrize("box", [(0, 0, 0, 8, 6, 5), (-1, 0, 0, 7, 6, 5), (3, 0, 0, 3, 6, 5)])
def test_a_box_outside_the_volume_and_an_unknown_level_are_refused(
    box: Roi, files: list[tuple[Path, NDArray[Any]]]
) -> None:
    for path, _ in files:
        with open_volume(path) as source:
            with pytest.raises(BadParameter, match=rf"{path.name}: region .*x1 <= 7"):
                source.read(box)
            with pytest.raises(BadParameter, match=rf"{path.name}: has no level 1; it has 1"):
                source.read(level=1)


class NumpySource(Source):
    """A `.npy` file: all that a module of a further format needs to define."""

    def __init__(self, path: Path | str) -> None:
        self._array = np.load(path, mmap_mode="r")
        super().__init__(path, Header("numpy", self._array.shape, self._array.dtype))

    def _read(self, box: Roi, level: int) -> NDArray[Any]:
        x0, y0, z0, x1, y1, z1 = box
        return np.asarray(self._array[:, z0:z1, y0:y1, x0:x1])


def write_numpy(path: Path | str, volume: Volume) -> None:
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        np.save(file, volume.voxels)


NUMPY = Format(
    name="numpy",
    suffixes=(".npy",),
    sniff=lambda _, start: start.startswith(b"\x93NUMPY"),
    open=lambda path, _: NumpySource(path),
    write=write_numpy,
)


class FolderSource(Source):
    """A folder of two levels, each an array of its own."""

    def __init__(self, path: Path | str) -> None:
        self._arrays = [np.load(Path(path) / f"{level}.npy") for level in (0, 1)]
        levels = tuple(array.shape for array in self._arrays)
        super().__init__(path, Header("pyramid", levels[0], self._arrays[0].dtype), levels)

    def _read(self, box: Roi, level: int) -> NDArray[Any]:
        x0, y0, z0, x1, y1, z1 = box
        return np.asarray(self._arrays[level][:, z0:z1, y0:y1, x0:x1])


PYRAMID = Format(
    name="pyramid",
    suffixes=(".pyramid",),
    sniff=lambda path, _: (path / "0.npy").exists(),
    open=lambda path, _: FolderSource(path),
    folder=True,
)


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["dineuro", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0


@pytest.fixture
def _two_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, NUMPY, PYRAMID))


@pytest.mark.usefixtures("_two_more")
def test_a_format_in_the_registry_is_read_written_listed_and_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, back = tmp_path / "a.npy", tmp_path / "a.v3draw"
    write_volume(path, Volume(VOXELS))
    assert np.array_equal(read_volume(path).voxels, VOXELS)
    assert read_header(path).format == "numpy"
    assert find_inputs([str(tmp_path)]) == [path]
    with pytest.raises(UnsupportedFormat, match=r"known are \.tif .*\.npy \.pyramid"):
        read_volume(tmp_path / "a.xyz")
    path.rename(tmp_path / "a.tif")
    with pytest.raises(BadFile, match=r"is a numpy file under the suffix \.tif"):
        read_volume(tmp_path / "a.tif")
    (tmp_path / "a.tif").rename(path)

    run(monkeypatch, "info", path, "--json")
    record = json.loads(capsys.readouterr().out)
    assert (record["format"], record["shape_zyx"]) == ("numpy", [5, 6, 7])
    run(monkeypatch, "convert", path, back)
    path.unlink()
    run(monkeypatch, "convert", back, path)
    assert np.array_equal(read_volume(path).voxels, VOXELS)


@pytest.mark.usefixtures("_two_more")
def test_a_volume_may_be_a_folder_with_several_levels(tmp_path: Path) -> None:
    path = tmp_path / "brain.pyramid"
    with pytest.raises(FileAccess, match="is no folder"):
        read_volume(path)
    path.mkdir()
    np.save(path / "0.npy", VOXELS)
    np.save(path / "1.npy", VOXELS[:, ::2, ::2, ::2])
    assert np.array_equal(read_volume(path).voxels, VOXELS)
    assert find_inputs([str(tmp_path)]) == [path]
    with open_volume(path) as source:
        assert source.levels == ((2, 5, 6, 7), (2, 3, 3, 4))
        assert np.array_equal(source.read((1, 0, 0, 3, 3, 2), 1), VOXELS[:, :4:2, ::2, 2:6:2])
    with pytest.raises(UnsupportedFormat, match="only read"):
        write_volume(path, Volume(VOXELS))
