"""OME-Zarr by its metadata alone, written by hand: no test here needs the library."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from dineuro.files.outputs import find_inputs
from dineuro_bridge.errors import (
    BadFile,
    BadParameter,
    BadVolume,
    DineuroError,
    FileAccess,
    MissingDependency,
    UnsupportedFormat,
)
from dineuro_bridge.volumes.formats import is_volume, open_volume, read_header, read_volume
from dineuro_bridge.volumes.source import Reading
from dineuro_bridge.volumes.volume import Header

AXES = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]


def put(path: Path, record: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


def array_2(path: Path, shape: tuple[int, ...], dtype: str = "<u2", **fields: Any) -> None:
    record = {
        "zarr_format": 2, "shape": shape, "chunks": [4] * len(shape), "dtype": dtype,
        "compressor": None, "fill_value": 0, "order": "C", "filters": None,
        "dimension_separator": "/",
    }  # fmt: skip
    put(path / ".zarray", record | fields)


def array_3(path: Path, shape: tuple[int, ...], dtype: str = "uint16", **fields: Any) -> None:
    record = {
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4] * len(shape)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0, "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    }  # fmt: skip
    put(path / "zarr.json", record | fields)


def datasets(*scales: Any) -> list[dict[str, Any]]:
    return [
        {"path": str(at), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        for at, scale in enumerate(scales)
    ]


def group_2(path: Path, **image: Any) -> None:
    fields = {"version": "0.4", "axes": AXES, "datasets": datasets([1, 0.5, 0.25])} | image
    put(path / ".zgroup", {"zarr_format": 2})
    put(path / ".zattrs", {"multiscales": [fields]})


def group_3(path: Path, **image: Any) -> None:
    ome = {"version": "0.5", "multiscales": [{"axes": AXES, "datasets": datasets([1, 0.5, 0.25])}]}
    ome["multiscales"][0] |= image  # type: ignore[index, operator]
    record = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    put(path / "zarr.json", record)


def make(path: Path, shape: tuple[int, ...] = (5, 6, 7), dtype: str = "<u2", **image: Any) -> Path:
    group_2(path, **image)
    array_2(path / "0", shape, dtype)
    return path


def header(path: Path, **image: Any) -> Header:
    return read_header(make(path, **image))


def refused(kind: type[DineuroError], path: Path, text: str, how: Reading | None = None) -> None:
    with pytest.raises(kind, match=text) as caught:
        read_header(path, how or Reading())
    assert type(caught.value) is kind
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", ["a.ome.zarr", "a.zarr", "brain", "a.tif"])
def test_a_folder_is_known_by_its_metadata_whatever_its_name_is(
    name: str, version: int, tmp_path: Path
) -> None:
    path = tmp_path / name
    (group_2 if version == 2 else group_3)(path)
    (array_2 if version == 2 else array_3)(path / "0", (5, 6, 7))
    found = read_header(path)
    assert (found.format, found.shape, str(found.dtype)) == ("ome-zarr", (1, 5, 6, 7), "uint16")
    assert found.spacing == (1.0, 0.5, 0.25)
    assert found.details["version"] == ("0.4" if version == 2 else "0.5")
    assert read_header(path, Reading(stack_folder=True)).format == "ome-zarr"
    assert is_volume(path)
    assert find_inputs([str(path)]) == find_inputs([str(tmp_path)]) == [path]


def test_levels_chunks_shards_and_spacing_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.ome.zarr"
    group_3(path, datasets=datasets([1, 0.5, 0.5], [1, 1, 1]))
    inner = {"name": "sharding_indexed", "configuration": {"chunk_shape": [2, 4, 4], "codecs": []}}
    array_3(path / "0", (5, 12, 14), codecs=[inner])
    array_3(path / "1", (5, 6, 7))
    monkeypatch.setattr(sys, "argv", ["dineuro", "info", str(path)])
    from dineuro_cli import main

    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert "14 x 12 x 5, chunks of 4 x 4 x 2 in shards of 4 x 4 x 4, 0.5 x 0.5 x 1 µm" in told
    assert "7 x 6 x 5, chunks of 4 x 4 x 4, 1 x 1 x 1 µm" in told
    with open_volume(path) as source:
        assert source.levels == ((1, 5, 12, 14), (1, 5, 6, 7))
        with pytest.raises(BadParameter, match="has no level 2; it has 2"):
            source.read(level=2)


@pytest.mark.parametrize(
    ("unit", "factor"), [("micrometer", 1), ("nanometer", 1e-3), ("millimeter", 1e3), ("um", 1)]
)
def test_the_spacing_is_in_micrometres(unit: str, factor: float, tmp_path: Path) -> None:
    axes = [axis | {"unit": unit} for axis in AXES]
    scale = [size / factor for size in (1.5, 0.5, 0.25)]
    found = header(tmp_path / "a", axes=axes, datasets=datasets(scale))
    assert found.spacing == pytest.approx((1.5, 0.5, 0.25))


def test_the_scale_of_all_levels_multiplies_that_of_each(tmp_path: Path) -> None:
    common = [
        {"type": "scale", "scale": [2, 2, 2]},
        {"type": "translation", "translation": [1] * 3},
    ]
    assert header(tmp_path / "a", coordinateTransformations=common).spacing == (2.0, 1.0, 0.5)


@pytest.mark.parametrize(
    ("unit", "scale", "said"),
    [
        (None, [1, 1, 1], None),
        (None, [2, 1, 0.5], "0.5 x 1 x 2 .* has no unit and is not used"),
        ("parsec", [2, 1, 1], "has the unit 'parsec' and is not used"),
        ("millimeter", [1, 1, 1], "is implausible"),
    ],
)
def test_without_a_plausible_unit_there_is_no_voxel_size(
    unit: str | None, scale: list[float], said: str | None, tmp_path: Path
) -> None:
    axes = [{"name": name, "unit": unit} if unit else {"name": name} for name in "zyx"]
    found = header(tmp_path / "a", axes=axes, datasets=datasets(scale))
    assert found.spacing is None
    warnings = [text for text in found.warnings if "no chunk" not in text]
    assert len(warnings) == (said is not None)
    if said is not None:
        assert re.search(said, warnings[0])


@pytest.mark.parametrize(
    ("axes", "shape", "seen"),
    [
        ("tczyx", (1, 2, 5, 6, 7), (2, 5, 6, 7)),
        ("czyx", (2, 5, 6, 7), (2, 5, 6, 7)),
        ("tzyx", (1, 5, 6, 7), (1, 5, 6, 7)),
        ("cyx", (2, 6, 7), (2, 1, 6, 7)),
        ("yx", (6, 7), (1, 1, 6, 7)),
        ("xyz", (7, 6, 5), (1, 5, 6, 7)),
        ("zyxc", (5, 6, 7, 2), (2, 5, 6, 7)),
    ],
)
def test_axes_are_taken_by_their_names(
    axes: str, shape: tuple[int, ...], seen: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "a"
    assert header(path, shape=shape, axes=list(axes), datasets=[{"path": "0"}]).shape == seen


def test_older_versions_have_five_axes_without_names(tmp_path: Path) -> None:
    path = make(tmp_path / "a", (1, 2, 5, 6, 7), datasets=[{"path": "0"}], axes=None)
    assert read_header(path).shape == (2, 5, 6, 7)


def test_a_time_series_is_refused_unless_its_points_are_slices(tmp_path: Path) -> None:
    five: dict[str, Any] = {"axes": list("tczyx"), "datasets": [{"path": "0"}]}
    series = make(tmp_path / "a", (3, 1, 5, 6, 7), **five)
    refused(BadVolume, series, "time series of 3 volumes")
    refused(BadParameter, series, "z_axis t: it has 3", Reading("t"))
    flat = make(tmp_path / "b", (3, 2, 1, 6, 7), **five)
    refused(BadVolume, flat, "time series of 3 volumes")
    assert read_header(flat, Reading("t")).shape == (2, 3, 6, 7)
    refused(BadParameter, make(tmp_path / "c"), "z_axis t: it has 1", Reading("t"))


def test_channels_are_named(tmp_path: Path) -> None:
    path = make(tmp_path / "a", (2, 5, 6, 7), axes=list("czyx"), datasets=[{"path": "0"}])
    record = json.loads((path / ".zattrs").read_text())
    put(path / ".zattrs", record | {"omero": {"channels": [{"label": "GFP"}, {"label": "\x1bx"}]}})
    assert read_header(path).details["channel names"] == "GFP, x"


def test_metadata_of_both_versions_are_told(tmp_path: Path) -> None:
    path = make(tmp_path / "a")
    put(path / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {}})
    found = read_header(path)
    assert found.shape == (1, 5, 6, 7)
    assert any("those of 2 are read" in text for text in found.warnings)
    group_3(path)
    assert any("those of 3 are read" in text for text in read_header(path).warnings)


def test_a_group_of_one_image_stands_for_it_and_one_of_several_names_them(tmp_path: Path) -> None:
    put(tmp_path / "a" / ".zgroup", {"zarr_format": 2})
    make(tmp_path / "a" / "0")
    assert read_header(tmp_path / "a").shape == (1, 5, 6, 7)
    make(tmp_path / "a" / "1")
    refused(BadFile, tmp_path / "a", r"holds 2 images: name one of them: \S+a/0 \S+a/1$")
    assert read_header(tmp_path / "a" / "1").shape == (1, 5, 6, 7)


def test_without_multiscales_an_array_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    put(path / ".zgroup", {"zarr_format": 2})
    refused(BadFile, path, "no multiscales.*holds no array")
    array_2(path / "raw" / "x", (5, 6, 7))
    refused(BadFile, path, r"no multiscales\): name one of its arrays: \S+a.zarr/raw/x$")
    found = read_header(path / "raw" / "x")
    assert (found.shape, found.spacing) == ((1, 5, 6, 7), None)
    assert "its axes are taken as zyx" in found.warnings[0]
    array_3(path / "y", (7, 6, 5), dimension_names=["x", "y", "z"])
    assert read_header(path / "y").shape == (1, 5, 6, 7)


@pytest.mark.parametrize(
    ("dtype", "seen"),
    [("|b1", "uint8"), ("|u1", "uint8"), (">u2", "uint16"), ("<i2", "int16"), ("<f4", "float32"),
     ("<f2", "float16")],
)  # fmt: skip
def test_sample_types(dtype: str, seen: str, tmp_path: Path) -> None:
    assert str(header(tmp_path / "a", dtype=dtype).dtype) == seen


@pytest.mark.parametrize("dtype", ["<i8", "<c8", "<U4", "nonsense", "<M8[s]"])
def test_samples_that_are_no_intensities_are_refused(dtype: str, tmp_path: Path) -> None:
    path = make(tmp_path / "a", dtype=dtype)
    refused(UnsupportedFormat, path, "convert them to uint8, uint16 or float32")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (".zattrs", b"{", "is no JSON"),
        (".zattrs", b"[]", "a JSON object is missing"),
        (".zattrs", b"\xff\xfe", "is no JSON"),
        ("0/.zarray", b"", "is no JSON"),
        ("0/.zarray", b"{}", "shape is None"),
        ("0/.zarray", b'{"shape": [5, -6, 7], "chunks": [4, 4, 4]}', "shape is"),
        ("0/.zarray", b'{"shape": [5, 6, 7], "chunks": [4, 0, 4]}', "chunks is"),
        ("0/.zarray", b'{"shape": [5, 6, 7], "chunks": [4, 4], "dtype": "|u1"}', "differ in"),
        ("zarr.json", b'{"zarr_format": 3}', "no group or array of Zarr 3"),
    ],
)
def test_damaged_metadata_are_named(file: str, content: bytes, said: str, tmp_path: Path) -> None:
    path = make(tmp_path / "a")
    (path / file).write_bytes(content)
    refused(BadFile, path, said)


@pytest.mark.parametrize(
    ("image", "kind", "said"),
    [
        ({"datasets": []}, BadFile, "no datasets"),
        ({"datasets": [{}]}, BadFile, "has no path"),
        ({"datasets": [{"path": "9"}]}, BadFile, "the array '9' is missing"),
        ({"datasets": [{"path": "../b"}]}, BadFile, "lies outside the folder"),
        ({"datasets": [{"path": "/etc"}]}, BadFile, "lies outside the folder"),
        ({"datasets": datasets([1, 1])}, BadFile, "for 3 axes"),
        ({"datasets": datasets([1, 0, 1])}, BadFile, "a scale of"),
        ({"datasets": datasets([1, "x", 1])}, BadFile, "a scale of"),
        ({"axes": list("yx")}, BadFile, "2 axes are named, and the array has 3"),
        ({"axes": ["z", "y", "y"]}, UnsupportedFormat, "axes z, y, y: they must be"),
        ({"axes": ["depth", "y", "x"]}, UnsupportedFormat, "axes depth, y, x: they must be"),
        ({"axes": list("tcz")}, UnsupportedFormat, "they must be y and x"),
        ({"axes": 5}, BadFile, "axes is no list"),
    ],
)
def test_wrong_images_are_refused(
    image: dict[str, Any], kind: type[DineuroError], said: str, tmp_path: Path
) -> None:
    refused(kind, make(tmp_path / "a", **image), said)


def test_an_axis_without_voxels_and_levels_that_differ_are_refused(tmp_path: Path) -> None:
    refused(BadVolume, make(tmp_path / "a", (0, 6, 7)), "it is empty")
    path = make(tmp_path / "b", datasets=datasets([1, 1, 1], [2, 2, 2]))
    array_2(path / "1", (3, 3, 4), "|u1")
    refused(BadFile, path, "unlike")


def test_a_folder_without_metadata_a_file_and_a_loop_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    refused(BadFile, tmp_path / "a.zarr", "holds no metadata of an ome-zarr volume")
    (tmp_path / "b.zarr").write_bytes(b"x")
    refused(FileAccess, tmp_path / "b.zarr", "is no folder")
    (tmp_path / "c.zarr").symlink_to(tmp_path / "c.zarr")
    refused(FileAccess, tmp_path / "c.zarr", "is no folder")
    path = make(tmp_path / "d.zarr")
    (path / "0" / "0").symlink_to(path, target_is_directory=True)
    assert read_header(path).shape == (1, 5, 6, 7)
    put(tmp_path / "e" / ".zgroup", {"zarr_format": 2})
    (tmp_path / "e" / "again").symlink_to(tmp_path / "e", target_is_directory=True)
    refused(BadFile, tmp_path / "e", "holds no array")


def test_without_the_library_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingDependency, match=r"needs zarr: pip install 'dineuro\[zarr\]'"):
        read_volume(make(tmp_path / "a"))
