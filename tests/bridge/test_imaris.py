"""Imaris files as the public specification describes them, and files that are none."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dineuro.files.outputs import find_inputs
from dineuro_bridge.errors import (
    BadFile,
    BadParameter,
    BadVolume,
    DineuroError,
    MissingDependency,
    UnsupportedFormat,
)
from dineuro_bridge.volumes import ome_zarr_writer
from dineuro_bridge.volumes.formats import (
    open_volume,
    read_header,
    read_volume,
    write_source,
    write_volume,
)
from dineuro_bridge.volumes.source import Reading
from dineuro_bridge.volumes.volume import Volume
from dineuro_cli import main
from dineuro_server.jobs import header_process

h5py = pytest.importorskip("h5py")
pytest.importorskip("zarr")

VOXELS = np.random.default_rng(8).integers(0, 60000, (2, 5, 30, 21)).astype(np.uint16)


def letters(text: object) -> NDArray[Any]:
    """A text as Imaris stores it: an array of letters."""
    return np.array([letter.encode() for letter in str(text)], "S1")


def imaris(path: Path, points: list[NDArray[Any]], **image: object) -> Path:
    """Write time points (C, Z, Y, X) in two levels, padded to whole chunks of 4 x 16 x 16."""
    with h5py.File(path, "w") as file:
        root = {"DataSetDirectoryName": "DataSet", "DataSetInfoDirectoryName": "DataSetInfo",
                "ImarisDataSet": "ImarisDataSet", "ImarisVersion": "5.5.0"}  # fmt: skip
        for name, text in root.items():
            file.attrs[name] = letters(text)
        channels, depth, height, width = points[0].shape
        extents = {"X": width, "Y": height, "Z": depth, "Unit": "um"}
        extents |= {f"ExtMin{n}": 10 for n in range(3)}
        extents |= {f"ExtMax{n}": 10 + length for n, length in
                    enumerate((0.25 * width, 0.25 * height, 2 * depth))}  # fmt: skip
        for name, value in (extents | image).items():
            file.require_group("DataSetInfo/Image").attrs[name] = letters(value)
        for channel in range(channels):
            file.require_group(f"DataSetInfo/Channel {channel}").attrs["Name"] = letters(
                f"GFP {channel}"
            )
        for level, step in enumerate((1, 2)):
            for time, voxels in enumerate(points):
                for channel, coarse in enumerate(voxels[:, :, ::step, ::step]):
                    put(file, f"{level}/{time}/{channel}", coarse)
    return path


def put(file: Any, place: str, voxels: NDArray[Any]) -> None:
    level, time, channel = place.split("/")
    group = file.create_group(f"DataSet/ResolutionLevel {level}/TimePoint {time}/Channel {channel}")
    for axis, length in zip("ZYX", voxels.shape, strict=True):
        group.attrs[f"ImageSize{axis}"] = letters(length)
    room = [(0, -n % c) for n, c in zip(voxels.shape, (4, 16, 16), strict=True)]
    padded = np.pad(voxels, room, constant_values=77)
    group.create_dataset("Data", data=padded, chunks=(4, 16, 16), compression="gzip")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return imaris(tmp_path / "a.ims", [VOXELS])


def shorten(file: Any) -> None:
    """Give one channel fewer slices than the other."""
    del file[CHANNEL]
    put(file, "0/0/1", VOXELS[1, :3])


CHANNEL = "DataSet/ResolutionLevel 0/TimePoint 0/Channel 1"


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["dineuro", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_levels_channels_and_spacing_are_read_and_the_padding_is_cut(path: Path) -> None:
    with open_volume(path) as source:
        assert source.levels == ((2, 5, 30, 21), (2, 5, 15, 11))
        assert source.spacing == pytest.approx((2, 0.25, 0.25))
        assert source.dtype == np.uint16
        assert source.details["channel names"] == "GFP 0, GFP 1"
        assert source.details["level 0"] == "21 x 30 x 5, chunks of 16 x 16 x 4, 0.25 x 0.25 x 2 µm"
        assert np.array_equal(source.read(), VOXELS)
        assert np.array_equal(source.read((3, 14, 2, 21, 30, 5)), VOXELS[:, 2:5, 14:30, 3:21])
        coarse = VOXELS[:, :, ::2, ::2]
        assert np.array_equal(source.read((1, 2, 3, 9, 8, 4), 1), coarse[:, 3:4, 2:8, 1:9])
    assert find_inputs([str(path.parent)]) == [path]


def test_a_box_reads_only_its_chunks(path: Path) -> None:
    """A chunk outside of the box is damaged, and that of the box is not."""
    with h5py.File(path, "r+") as file:
        voxels = file[CHANNEL]["Data"]
        voxels.id.write_direct_chunk((4, 16, 16), b"no deflated voxels")
    with open_volume(path) as source:
        assert np.array_equal(source.read((0, 0, 0, 16, 16, 4)), VOXELS[:, :4, :16, :16])
        with pytest.raises(BadFile, match=r"a\.ims: level 0: damaged: .*copy the file again"):
            source.read()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.uint32])
def test_samples_keep_their_type(dtype: type, tmp_path: Path) -> None:
    voxels: NDArray[Any] = (VOXELS % 250).astype(dtype)
    volume = read_volume(imaris(tmp_path / "a.ims", [voxels]))
    assert volume.voxels.dtype == dtype
    assert np.array_equal(volume.voxels, voxels)


def test_the_unit_of_the_extents_counts_and_one_that_is_no_length_is_told(tmp_path: Path) -> None:
    millimetres = {f"ExtMax{n}": 10 + 0.001 * length for n, length in enumerate((21, 30, 5))}
    in_mm = imaris(tmp_path / "a.ims", [VOXELS], Unit="mm", **millimetres)
    assert read_header(in_mm).spacing == pytest.approx((1, 1, 1))
    odd = read_header(imaris(tmp_path / "b.ims", [VOXELS], Unit="parsec"))
    assert odd.spacing is None
    assert "the unit 'parsec' and is not used" in odd.warnings[0]
    flat = read_header(imaris(tmp_path / "c.ims", [VOXELS], ExtMax1=10))
    assert (flat.spacing, len(flat.warnings)) == (None, 1)


def test_time_points_are_refused_or_slices(tmp_path: Path) -> None:
    series = imaris(tmp_path / "a.ims", [VOXELS[:, z : z + 1] for z in range(5)])
    with pytest.raises(BadVolume, match="time series of 5 volumes"):
        read_volume(series)
    assert np.array_equal(read_volume(series, how=Reading("t")).voxels, VOXELS)
    several = imaris(tmp_path / "b.ims", [VOXELS, VOXELS])
    with pytest.raises(BadParameter, match=r"2 time point\(s\) of 5 slice"):
        read_volume(several, how=Reading("t"))


def test_the_command_line_tells_and_converts_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "info", path, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["format"], record["channels"]) == ("imaris", 2)
    assert record["spacing_um_xyz"] == pytest.approx([0.25, 0.25, 2])
    made = path.with_name("b.tif")
    assert run(monkeypatch, "convert", path, made, "--roi", "2,3,1,21,30,5") == 0
    volume = read_volume(made)
    assert np.array_equal(volume.voxels, VOXELS[:, 1:5, 3:30, 2:21])
    assert volume.spacing == pytest.approx((2, 0.25, 0.25))
    assert run(monkeypatch, "convert", made, path) == 2


def test_it_becomes_an_ome_zarr_without_being_in_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ome_zarr_writer, "_BOX_BYTES", 2**20)  # one shard at a time
    voxels = np.zeros((384, 320, 320), np.uint8)
    voxels[::3, ::5] = 7
    with h5py.File(path, "r+") as file:
        del file["DataSet"]
        group = file.create_group(f"{CHANNEL[:-1]}0")
        group.create_dataset("Data", data=voxels, chunks=(32, 64, 64), compression=1)
    tracemalloc.start()
    try:
        with open_volume(path) as source:
            write_source(path.with_name("b.zarr"), source, max_bytes=2**20)
        assert tracemalloc.get_traced_memory()[1] < voxels.nbytes * 0.7
    finally:
        tracemalloc.stop()
    assert np.array_equal(read_volume(path.with_name("b.zarr")).voxels[0], voxels)


def test_links_and_voxels_in_other_files_are_not_followed(tmp_path: Path) -> None:
    """Each file names voxels of another one, which would be read if the link were followed."""
    imaris(tmp_path / "other.ims", [VOXELS])
    bare = (5, 30, 21)
    (tmp_path / "bare").write_bytes(bytes(2 * 5 * 30 * 21))

    def linked(name: str) -> tuple[Path, Any]:
        place = imaris(tmp_path / name, [VOXELS])
        file = h5py.File(place, "r+")
        return place, file

    made = []
    for name, target in (("Data", f"{CHANNEL}/Data"), (None, CHANNEL)):
        place, file = linked(f"external{name}.ims")
        where = CHANNEL if name is None else f"{CHANNEL}/{name}"
        del file[where]
        file[where] = h5py.ExternalLink("other.ims", target)
        made.append((place, file))
    place, file = linked("root.ims")
    del file["DataSet"]
    file["away"] = h5py.ExternalLink("other.ims", "/")
    file.attrs["DataSetDirectoryName"] = letters("away/DataSet")
    made.append((place, file))
    place, file = linked("virtual.ims")
    del file[CHANNEL]["Data"]
    layout = h5py.VirtualLayout(bare, np.uint16)
    layout[:] = h5py.VirtualSource("other.ims", f"{CHANNEL}/Data", (8, 32, 32))[:5, :30, :21]
    file[CHANNEL].create_virtual_dataset("Data", layout)
    made.append((place, file))
    place, file = linked("raw.ims")
    del file[CHANNEL]["Data"]
    file[CHANNEL].create_dataset(
        "Data", bare, np.uint16, external=[(str(tmp_path / "bare"), 0, 2 * 5 * 30 * 21)]
    )
    made.append((place, file))
    for place, file in made:
        file.close()
        with pytest.raises(DineuroError, match=r"not followed|elsewhere|other files|no file of Im"):
            open_volume(place)


def test_files_that_are_damaged_or_of_others_are_refused_with_a_reason(
    path: Path, tmp_path: Path
) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadFile, match=r"a\.ims: damaged: .*truncated"):
        open_volume(path)
    path.write_bytes(b"no HDF5 at all" * 9)
    with pytest.raises(BadFile, match=r"is no \.ims file"):
        open_volume(path)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["voxels"] = VOXELS
    with pytest.raises(UnsupportedFormat, match="HDF5 files are not read"):
        open_volume(other)
    with pytest.raises(BadFile, match="without the group DataSet"):
        open_volume(other.rename(tmp_path / "other.ims"))
    renamed = imaris(tmp_path / "b.ims", [VOXELS]).rename(tmp_path / "b.h5")
    with pytest.raises(UnsupportedFormat, match=r"is a imaris file .* rename it to \.ims"):
        open_volume(renamed)
    write_volume(tmp_path / "c.tif", Volume(VOXELS))
    with pytest.raises(BadFile, match=r"is a tiff file under the suffix \.ims"):
        open_volume((tmp_path / "c.tif").rename(tmp_path / "c.ims"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[CHANNEL].attrs.__setitem__("ImageSizeX", letters(99)), "states 99 voxels"),
        (lambda f: f[CHANNEL].attrs.__setitem__("ImageSizeX", letters("x")), "damaged: invalid"),
        (lambda f: f.__delitem__(CHANNEL), "lacks a channel"),
        (lambda f: f[CHANNEL].__delitem__("Data"), "has no voxels"),
        (lambda f: f["DataSet"].__delitem__("ResolutionLevel 0"), "no level"),
        (shorten, "differ in size"),
    ],
)
def test_contradictions_are_damage(change: Any, message: str, path: Path) -> None:
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(BadFile, match=rf"a\.ims: .*{message}"):
        open_volume(path)


def test_without_the_library_the_error_names_the_extra(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependency, match=r"needs h5py: pip install 'dineuro\[imaris\]'"):
        open_volume(path)


def test_a_server_reads_it_by_its_path_and_never_from_an_upload(path: Path) -> None:
    upload = path.rename(path.with_name("upload.part"))
    request = {"path": str(upload), "max_bytes": 2**30, "roi": None}
    refused = header_process.answer(request | {"by_path": False})
    assert refused["code"] == "unsupported_format"
    assert "not read from an upload" in refused["detail"]
    assert header_process.answer(request | {"by_path": True})["suffix"] == ".ims"
