"""N5 and Neuroglancer precomputed: folders of chunks, written by tensorstore and by hand."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dineuro.files.outputs import find_inputs
from dineuro_bridge.errors import BadFile, BadVolume, MissingDependency, UnsupportedFormat
from dineuro_bridge.volumes.formats import open_volume, read_header, read_volume
from dineuro_bridge.volumes.source import Reading
from dineuro_server.jobs.headers import HeaderReader

ts = pytest.importorskip("tensorstore")

VOXELS = np.random.default_rng(9).integers(1, 60000, (5, 30, 21)).astype(np.uint16)


def file_store(path: Path) -> dict[str, str]:
    return {"driver": "file", "path": f"{path}/"}


def n5(path: Path, voxels: NDArray[Any] = VOXELS, **attributes: object) -> Path:
    """One array of N5, of which the first axis varies fastest."""
    metadata = {"dimensions": list(voxels.shape[::-1]), "dataType": str(voxels.dtype),
                "blockSize": [8] * voxels.ndim, "compression": {"type": "gzip"}}  # fmt: skip
    spec = {"driver": "n5", "kvstore": file_store(path), "metadata": metadata}
    ts.open(spec, create=True).result()[...] = voxels.T
    add(path, **attributes)
    return path


def add(path: Path, **attributes: object) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    file = path / "attributes.json"
    record = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(record | attributes))
    return path


def precomputed(path: Path, **info: object) -> Path:
    """Two channels in two scales, the coarse one first."""
    for step, offset in ((2, [2, 3, 4]), (1, [4, 6, 4])):
        fine = VOXELS[:, ::step, ::step]
        spec = {
            "driver": "neuroglancer_precomputed", "kvstore": file_store(path),
            "multiscale_metadata": {"type": "image", "data_type": "uint16", "num_channels": 2},
            "scale_metadata": {
                "size": list(fine.shape[::-1]), "encoding": "raw", "chunk_size": [8, 8, 4],
                "resolution": [250 * step, 250 * step, 2000], "voxel_offset": offset,
            },
        }  # fmt: skip
        ts.open(spec, create=True).result()[...] = np.stack([fine.T, fine.T + 1], -1)
    record = json.loads((path / "info").read_text())
    (path / "info").write_text(json.dumps(record | info))
    return path


def test_the_levels_of_an_n5_group_are_read_box_by_box(tmp_path: Path) -> None:
    path = add(tmp_path / "a.n5", n5="2.5.0")
    n5(path / "s0", pixelResolution={"unit": "nm", "dimensions": [250, 250, 2000]})
    n5(path / "s1", VOXELS[:, ::2, ::2], downsamplingFactors=[2, 2, 1])
    with open_volume(path) as source:
        assert source.levels == ((1, 5, 30, 21), (1, 5, 15, 11))
        assert source.spacing == pytest.approx((2, 0.25, 0.25))
        assert np.array_equal(source.read()[0], VOXELS)
        assert np.array_equal(source.read((3, 14, 2, 21, 30, 5))[0], VOXELS[2:5, 14:30, 3:21])
        assert np.array_equal(source.read(level=1)[0], VOXELS[:, ::2, ::2])
    assert find_inputs([str(tmp_path)]) == [path]
    with closing(HeaderReader()) as reader:
        assert reader.check(path, 2**30, by_path=True).suffix == ".n5"


def test_bigdataviewer_s_folder_of_one_image_is_read(tmp_path: Path) -> None:
    path = add(tmp_path / "a.n5", n5="2.5.0")
    inner = add(path / "setup0" / "timepoint0", resolution=[0.5, 0.5, 1], units=["um"] * 3)
    n5(inner / "s0", downsamplingFactors=[1, 1, 2])
    volume = read_volume(path)
    assert np.array_equal(volume.voxels[0], VOXELS)
    assert volume.spacing == (2, 0.5, 0.5)
    n5(path / "setup0" / "timepoint1" / "s0")
    with pytest.raises(UnsupportedFormat, match="several images: name one"):
        read_volume(path)
    assert np.array_equal(read_volume(inner).voxels[0], VOXELS)


def test_axes_of_n5_go_by_their_names(tmp_path: Path) -> None:
    voxels = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 3, 4, 5)
    named = n5(tmp_path / "a", voxels.swapaxes(0, 1), axes=["x", "y", "c", "z"])
    with open_volume(named) as source:
        assert np.array_equal(source.read(), voxels)
        assert np.array_equal(source.read((1, 2, 0, 4, 3, 2)), voxels[:, 0:2, 2:3, 1:4])
    with pytest.raises(UnsupportedFormat, match="4 axes, called nothing"):
        read_volume(n5(tmp_path / "b", voxels))
    series = n5(tmp_path / "c", VOXELS, axes=["x", "y", "t"])
    with pytest.raises(BadVolume, match="time series of 5"):
        read_volume(series)
    assert np.array_equal(read_volume(series, how=Reading("t")).voxels[0], VOXELS)


def test_a_voxel_size_without_unit_is_told_and_not_used(tmp_path: Path) -> None:
    header = read_header(n5(tmp_path / "a", resolution=[4, 4, 40]))
    assert header.spacing is None
    assert "the unit None and is not used" in header.warnings[0]


def test_a_chunk_that_is_missing_is_0_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = n5(tmp_path / "a")
    (path / "0" / "0" / "0").unlink()
    expected = VOXELS.copy()
    expected[:8, :8, :8] = 0
    assert np.array_equal(read_volume(path).voxels[0], expected)
    (path / "1" / "0" / "0").write_bytes(b"junk")
    with open_volume(path) as source:
        assert np.array_equal(source.read((0, 0, 0, 8, 30, 5))[0], expected[:, :, :8])
        with pytest.raises(BadFile, match=r"level 0: damaged: .*/1/0/0"):
            source.read()


def test_scales_of_precomputed_are_levels_and_the_finest_is_first(tmp_path: Path) -> None:
    path = precomputed(tmp_path / "layer")
    with open_volume(path) as source:
        assert source.levels == ((2, 5, 30, 21), (2, 5, 15, 11))
        assert source.spacing == pytest.approx((2, 0.25, 0.25))
        assert source.details["voxel offset"] == "[4, 6, 4] (x, y, z), not in trees"
        assert np.array_equal(source.read(), np.stack([VOXELS, VOXELS + 1]))
        assert np.array_equal(source.read((3, 14, 2, 21, 30, 5))[1], VOXELS[2:, 14:, 3:] + 1)
        assert np.array_equal(source.read(level=1)[0], VOXELS[:, ::2, ::2])
    with closing(HeaderReader()) as reader:
        assert reader.check(path, 2**30, by_path=True).suffix == ".precomputed"


def test_damaged_and_foreign_folders_are_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormat, match="labels of a segmentation"):
        read_volume(precomputed(tmp_path / "a", type="segmentation"))
    path = precomputed(tmp_path / "b")
    record = json.loads((path / "info").read_text())
    record["scales"][0]["key"] = "../a/250_250_2000"
    (path / "info").write_text(json.dumps(record))
    with pytest.raises(BadFile, match="lies outside the folder"):
        read_volume(path)
    (path / "info").write_text(json.dumps(record | {"scales": ["fine"]}))
    with pytest.raises(BadFile, match="no JSON object"):
        read_volume(path)
    (path / "info").write_text(json.dumps(record | {"scales": []}))
    with pytest.raises(BadFile, match="names no scales"):
        read_volume(path)
    with pytest.raises(BadFile, match="is no N5 image"):
        read_volume(add(tmp_path / "c.n5", n5="2.5.0"))
    with pytest.raises(BadFile, match=r"c: damaged: .*compression"):
        read_volume(n5(tmp_path / "c", compression={"type": "rar"}))


def test_without_the_library_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = n5(tmp_path / "a")
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(MissingDependency, match=r"pip install 'dineuro\[stores\]'"):
        open_volume(path)
