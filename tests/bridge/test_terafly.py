"""Folders of TeraFly, written as Vaa3D lays them out, and folders with faults."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from dineuro.files.outputs import find_inputs
from dineuro_bridge.errors import BadFile, BadVolume, FileAccess, UnsupportedFormat
from dineuro_bridge.volumes import terafly
from dineuro_bridge.volumes.formats import open_volume, read_header, read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_cli import main
from dineuro_server.jobs.headers import HeaderReader
from dineuro_server.jobs.places import Places
from dineuro_server.jobs.roots import Roots

#: z, y, x; the last tile along each axis is shorter than the others.
VOXELS = np.random.default_rng(12).integers(1, 60000, (7, 30, 22)).astype(np.uint16)
COARSE = VOXELS[:, ::2, ::2]
LENGTHS = ([4, 3], [12, 12, 6], [10, 10, 2])
SPACING = (2.0, 0.5, 0.25)
#: The middle tile of the finest level: slices 4 to 6, rows 12 to 23, columns 10 to 19.
MIDDLE = "000060/000060_000025/000060_000025_000080.tif"


def parts(lengths: list[int], step: float) -> list[tuple[int, int, str]]:
    """First voxel, length and offset in 0.1 µm of the tiles along an axis."""
    firsts = accumulate(lengths[:-1], initial=0)
    return [(a, n, f"{round(10 * a * step):06d}") for a, n in zip(firsts, lengths, strict=True)]


def level(
    path: Path,
    voxels: NDArray[Any],
    lengths: tuple[list[int], ...] = LENGTHS,
    spacing: tuple[float, float, float] = SPACING,
    *,
    mdata: bool = True,
    suffix: str = ".tif",
    **how: Any,
) -> Path:
    """Write one level, with the metadata of Vaa3D or without."""
    depth, height, width = voxels.shape
    folder = path / f"RES({height}x{width}x{depth})"
    along = [parts(axis, step) for axis, step in zip(lengths, spacing, strict=True)]
    steps = spacing[1], spacing[2], spacing[0]
    record = struct.pack(
        "<f3i9f3I2H", 2, 1, 2, 3, *steps, *steps, 0, 0, 0, height, width, depth,
        len(lengths[1]), len(lengths[2]),
    )  # fmt: skip
    for y, rows, row in along[1]:
        for x, columns, column in along[2]:
            place = f"{row}/{row}_{column}"
            record += struct.pack("<5I2i", rows, columns, depth, len(lengths[0]), 1, y, x)
            record += named(place)
            for z, slices, offset in along[0]:
                name = f"{row}_{column}_{offset}{suffix}"
                block = voxels[z : z + slices, y : y + rows, x : x + columns]
                write_tile(folder / place / name, block, **how)
                record += named(name) + struct.pack("<Ii", slices, z)
            record += struct.pack("<I", voxels.itemsize)
    if mdata:
        (folder / "mdata.bin").write_bytes(record)
    return folder


def named(name: str) -> bytes:
    return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"


def write_tile(file: Path, block: NDArray[Any], **how: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".tif":
        tifffile.imwrite(file, block, photometric="minisblack", metadata=None, **how)
    else:
        write_volume(file, Volume(block[None]))


def folder(path: Path, **how: Any) -> Path:
    level(path, VOXELS, **how)
    level(path, COARSE, ([7], [15], [6, 5]), (2.0, 1.0, 0.5), **how)
    return path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tiles in the order of their opening."""
    names: list[str] = []
    genuine = terafly._open_tile

    def counted(place: Path) -> Any:
        names.append(place.name)
        return genuine(place)

    monkeypatch.setattr(terafly, "_open_tile", counted)
    return names


@pytest.mark.parametrize(
    "how",
    [{}, {"compression": "zlib"}, {"compression": "lzw", "predictor": True}, {"byteorder": ">"},
     {"mdata": False}, {"suffix": ".v3draw"}, {"suffix": ".v3draw", "mdata": False}],
)  # fmt: skip
def test_every_box_is_that_of_the_whole(tmp_path: Path, how: dict[str, Any]) -> None:
    if how.get("compression") == "lzw":
        pytest.importorskip("imagecodecs")
    path = folder(tmp_path / "brain", **how)
    with open_volume(path) as source:
        assert source.levels == ((1, 7, 30, 22), (1, 7, 15, 11))
        assert source.dtype == np.uint16
        assert np.array_equal(source.read()[0], VOXELS)
        assert np.array_equal(source.read(level=1)[0], COARSE)
        random = np.random.default_rng(3)
        for at, voxels in enumerate((VOXELS, COARSE) * 20):
            ends = [sorted(random.choice(n + 1, 2, replace=False)) for n in voxels.shape]
            (z0, z1), (y0, y1), (x0, x1) = ends
            box = (int(x0), int(y0), int(z0), int(x1), int(y1), int(z1))
            assert np.array_equal(source.read(box, at % 2)[0], voxels[z0:z1, y0:y1, x0:x1])
    assert find_inputs([str(tmp_path)]) == [path]


def test_a_box_opens_its_tiles_alone(tmp_path: Path, opened: list[str]) -> None:
    path = folder(tmp_path / "brain")
    with open_volume(path) as source:
        assert len(opened) == 2  # one for each level
        opened.clear()
        source.read((10, 12, 4, 20, 24, 7))
        assert opened == [Path(MIDDLE).name]
        opened.clear()
        source.read((9, 12, 4, 11, 24, 7))
        assert len(opened) == 2
        opened.clear()
        source.read()
        assert len(opened) == 18


def test_without_metadata_few_tiles_are_opened(tmp_path: Path, opened: list[str]) -> None:
    level(tmp_path, VOXELS[:, :24], ([1] * 7, [2] * 12, [11, 11]), mdata=False)
    with open_volume(tmp_path):
        assert len(opened) <= 7 + 12 + 2 + 1


def test_the_spacing_is_that_of_the_metadata(tmp_path: Path) -> None:
    header = read_header(folder(tmp_path / "a"))
    assert header.spacing == SPACING
    assert header.warnings == ()
    fine, coarse = header.details["level 0"], header.details["level 1"]
    assert fine == "22 x 30 x 7, 18 tiles of at most 10 x 12 x 4, 0.25 x 0.5 x 2 µm"
    assert coarse == "11 x 15 x 7, 2 tiles of at most 6 x 15 x 7, 0.5 x 1 x 2 µm"
    header = read_header(folder(tmp_path / "b", mdata=False))
    assert header.spacing is None
    assert header.warnings == ("mdata.bin is missing: the voxel size is unknown",)


@pytest.mark.parametrize("with_names", [True, False])
@pytest.mark.parametrize("mdata", [True, False])
def test_a_missing_tile_is_0_and_told(tmp_path: Path, mdata: bool, with_names: bool) -> None:
    path = folder(tmp_path / "brain", mdata=mdata)
    fine = path / "RES(30x22x7)"
    (fine / MIDDLE).unlink()
    if mdata and not with_names:  # as Vaa3D names a tile that it did not write
        record = (fine / "mdata.bin").read_bytes()
        name = Path(MIDDLE).name
        (fine / "mdata.bin").write_bytes(record.replace(named(name), named("NULL.tif")))
    expected = VOXELS.copy()
    expected[4:, 12:24, 10:20] = 0
    with open_volume(path) as source:
        assert np.array_equal(source.read()[0], expected)
        told = "tiles are missing, and their voxels are 0: 1 of 18 at level 0"
        assert source.header.warnings[-1] == told
        assert (source.spacing == SPACING) == mdata
        assert not source.is_stored((10, 12, 4, 20, 24, 7))
        assert source.is_stored((9, 12, 4, 20, 24, 7))


def test_a_row_that_is_missing_is_0_only_where_the_metadata_tell_its_place(tmp_path: Path) -> None:
    path = folder(tmp_path / "brain")
    for tile in (path / "RES(30x22x7)" / "000060").rglob("*.tif"):
        tile.unlink()
    expected = VOXELS.copy()
    expected[:, 12:24] = 0
    assert np.array_equal(read_volume(path).voxels[0], expected)
    (path / "RES(30x22x7)" / "mdata.bin").unlink()
    with pytest.raises(BadFile, match=r"RES\(30x22x7\): its tiles have 18 voxels along y.* 30"):
        read_volume(path)


@pytest.mark.parametrize("mdata", [True, False])
def test_page_counts_in_the_header_are_not_believed(tmp_path: Path, mdata: bool) -> None:
    """The tag PageNumber of each page claims another number of pages than there are."""
    lie = [(297, "H", 2, (0, 200), True)]
    path = folder(tmp_path / "brain", mdata=mdata, extratags=lie)
    with tifffile.TiffFile(path / "RES(30x22x7)" / MIDDLE) as file:
        assert file.pages.first.tags[297].value == (0, 200)
    assert np.array_equal(read_volume(path).voxels[0], VOXELS)


def rewrite(file: Path, at: int, data: bytes) -> None:
    whole = bytearray(file.read_bytes())
    whole[at : at + len(data)] = data
    file.write_bytes(whole)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda f: rewrite(f, 0, struct.pack("<f", 1)), "another version"),
        (lambda f: rewrite(f, 4, struct.pack("<i", 7)), "damaged"),
        (lambda f: rewrite(f, 28, struct.pack("<f", np.nan)), "no voxel size"),
        (lambda f: rewrite(f, 52, struct.pack("<I", 31)), "another layout"),
        (lambda f: rewrite(f, 68, struct.pack("<I", 11)), "another layout"),
        (lambda f: rewrite(f, 193, struct.pack("<I", 11)), "another layout"),  # the second tile
        (lambda f: f.write_bytes(f.read_bytes()[:-9]), "damaged"),
        (lambda f: f.write_bytes(f.read_bytes() + b"\0"), "another layout"),
        (lambda f: f.write_bytes(b""), "damaged"),
        (lambda f: f.write_bytes(f.read_bytes().replace(b"000060_", b"000061_")), "all tiles"),
        (lambda f: rewrite(f, 64, b"\xff\xff\xff\xff"), "damaged"),
    ],
)  # fmt: skip
def test_metadata_that_are_not_understood_are_told_and_not_used(
    tmp_path: Path, harm: Callable[[Path], None], told: str
) -> None:
    path = folder(tmp_path / "brain")
    harm(path / "RES(30x22x7)" / "mdata.bin")
    volume = read_volume(path)
    assert np.array_equal(volume.voxels[0], VOXELS)
    assert volume.spacing is None
    assert told in volume.warnings[0], volume.warnings
    assert "voxel size is unknown" in volume.warnings[0]


def test_faults_name_the_file_and_the_reason(tmp_path: Path) -> None:
    def harmed(name: str, **how: Any) -> Path:
        return folder(tmp_path / name, **how) / "RES(30x22x7)"

    fine = harmed("type")
    write_tile(fine / MIDDLE, VOXELS[4:, 12:24, 10:20].astype(np.uint8))
    with pytest.raises(BadVolume, match=f"{MIDDLE}: has 1 channel.* of uint8, and .* of uint16"):
        read_volume(fine.parent)
    fine = harmed("cut")
    (fine / MIDDLE).write_bytes((fine / MIDDLE).read_bytes()[:-60])
    with pytest.raises(BadFile, match=f"{MIDDLE}: truncated"):
        read_volume(fine.parent)
    with open_volume(fine.parent) as source:  # another tile is not concerned
        assert np.array_equal(source.read((0, 0, 0, 10, 30, 7))[0], VOXELS[:, :, :10])
    fine = harmed("short")
    write_tile(fine / MIDDLE, VOXELS[4:6, 12:24, 10:20])
    with pytest.raises(BadFile, match=f"{MIDDLE}: has 10 x 12 x 2 voxels.* 10 x 12 x 3: it was"):
        read_volume(fine.parent)
    fine = harmed("empty")
    (fine / MIDDLE).write_bytes(b"")
    with pytest.raises(BadFile, match=f"{MIDDLE}: the file is empty"):
        read_volume(fine.parent)
    fine = harmed("twice")
    (fine / MIDDLE).with_suffix(".v3draw").write_bytes(b"")
    with pytest.raises(BadFile, match="its place has the tile"):
        read_volume(fine.parent)
    fine = harmed("moved")
    (fine / MIDDLE).rename(fine / "000000" / "000000_000000" / Path(MIDDLE).name)
    with pytest.raises(BadFile, match="lies in the folder of another place"):
        read_volume(fine.parent)
    (tmp_path / "none" / "RES(30x22x7)").mkdir(parents=True)
    with pytest.raises(BadFile, match=r"RES\(30x22x7\): holds no tile"):
        read_volume(tmp_path / "none")
    (tmp_path / "none" / "RES(30x22x7)" / "CH_0").mkdir()
    with pytest.raises(UnsupportedFormat, match="CH_0: channels and time points are not read"):
        read_volume(tmp_path / "none")
    fine = harmed("order")
    rewrite(fine / "mdata.bin", 4, struct.pack("<3i", 2, 1, 3))
    with pytest.raises(UnsupportedFormat, match=r"its folders are X/X_Y"):
        read_volume(fine.parent)


def test_a_tile_that_goes_away_while_the_volume_is_open_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path / "brain")
    with open_volume(path) as source:
        (path / "RES(30x22x7)" / MIDDLE).unlink()
        with pytest.raises(FileAccess, match=f"{MIDDLE}: cannot be read"):
            source.read()


def test_a_server_reads_it_by_its_path_and_follows_no_link(tmp_path: Path) -> None:
    path = folder(tmp_path / "data" / "brain")
    with closing(HeaderReader()) as reader:
        places = Places(Roots([tmp_path / "data"], tmp_path / "state"), reader, 2**30, 2**31)
        found = places.find(str(path), None, None)
        assert (found.suffix, found.is_folder) == (".terafly", True)
        tile = path / "RES(30x22x7)" / MIDDLE
        tile.rename(tmp_path / "outside.tif")
        tile.symlink_to(tmp_path / "outside.tif")
        with pytest.raises(UnsupportedFormat, match="which is a link"):
            places.find(str(path), None, None)


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["dineuro", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_info_and_a_region_s_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    voxels = np.random.default_rng(1).integers(0, 9, (24, 48, 60)).astype(np.uint8)
    voxels[11:14, 23:26, 4:56] = 200
    path = tmp_path / "brain"
    level(path, voxels, ([12, 12], [24, 24], [30, 30]), (1.0, 1.0, 1.0))
    assert run(monkeypatch, "info", path) == 0
    assert "8 tiles of at most 30 x 24 x 12" in " ".join(capsys.readouterr().out.split())
    made = tmp_path / "tree.swc"
    words = ("--roi", "20,10,2,60,40,22", "--enhancer", "classical", "--report")
    assert run(monkeypatch, "trace", path, "-o", made, *words, tmp_path / "r.json") == 0
    nodes = np.loadtxt(made)
    assert nodes[:, 2].min() < 24
    assert nodes[:, 2].max() > 54
    assert np.abs(nodes[:, 3] - 24).max() <= 1
    assert json.loads((tmp_path / "r.json").read_text())["shape_zyx"] == [24, 48, 60]
