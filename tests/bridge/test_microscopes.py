"""Files of Leica, Nikon and Zeiss, made by hand: what is read, and what is refused and why."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from dineuro_bridge.errors import BadFile, MissingDependency, UnsupportedFormat
from dineuro_bridge.volumes.formats import open_volume, read_volume
from dineuro_cli.app import app
from dineuro_server.jobs import header_process
from tests.support.microscopes import write_czi, write_lif, write_nd2

VOXELS = np.random.default_rng(5).integers(0, 60000, (2, 6, 40, 51)).astype(np.uint16)
LIBRARIES = {".czi": "czifile", ".lif": "liffile", ".nd2": "nd2"}
needs = {
    suffix: pytest.mark.skipif(
        importlib.util.find_spec(library) is None, reason=f"{library} is not installed"
    )
    for suffix, library in LIBRARIES.items()
}
every = [pytest.param(suffix, marks=needs[suffix]) for suffix in LIBRARIES]
#: Libraries of 2019 and their neighbours warn of what will change.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def lif(path: Path, voxels: Any = VOXELS, **more: Any) -> None:
    write_lif(path, ("cell", voxels), **more)


WRITERS: dict[str, Callable[..., None]] = {".czi": write_czi, ".lif": lif, ".nd2": write_nd2}


@pytest.mark.parametrize("suffix", every)
def test_boxes_channels_and_voxel_size(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    WRITERS[suffix](path, VOXELS)
    with open_volume(path) as source:
        assert source.header.format == suffix[1:]
        assert source.shape == VOXELS.shape
        assert source.dtype == np.uint16
        assert np.array_equal(source.read(), VOXELS)
        box = (5, 13, 1, 50, 39, 4)
        assert np.array_equal(source.read(box), VOXELS[:, 1:4, 13:39, 5:50])
        assert source.spacing == pytest.approx((0.5 if suffix == ".lif" else 2.0, 0.5, 0.5))
    # One channel, one slice: axes that a file leaves out.
    WRITERS[suffix](path, VOXELS[:1])
    assert np.array_equal(read_volume(path).voxels, VOXELS[:1])
    told = CliRunner().invoke(app, ["info", str(path)])
    assert told.exit_code == 0, told.output
    assert "51 x 40 x 6" in told.output
    assert "µm" in told.output
    converted = CliRunner().invoke(app, ["convert", str(path), str(tmp_path / "a.tif")])
    assert converted.exit_code == 0, converted.output
    assert np.array_equal(read_volume(tmp_path / "a.tif").voxels, VOXELS[:1])


@needs[".lif"]
def test_of_several_images_of_leica_each_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.lif"
    write_lif(path, ("Series 1", VOXELS), ("overview", VOXELS[:1]))
    with pytest.raises(UnsupportedFormat, match=r"2 images \(Series 1, overview\).*in Fiji"):
        open_volume(path)


@needs[".nd2"]
def test_of_several_positions_of_nikon_each_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.nd2"
    write_nd2(path, VOXELS, positions=2)
    with pytest.raises(UnsupportedFormat, match=r"2 positions \(well 1, well 2\).*in Fiji"):
        open_volume(path)


@needs[".nd2"]
def test_metadata_of_nikon_that_are_not_understood_cost_the_voxel_size_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.nd2"
    write_nd2(path, VOXELS, has_probe=False)
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, VOXELS)
    if volume.spacing is None:
        assert "pass --spacing x,y,z in µm" in volume.warnings[0]


@needs[".czi"]
def test_of_several_scenes_of_zeiss_each_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.czi"
    write_czi(path, VOXELS, scenes=2)
    with pytest.raises(UnsupportedFormat, match=r"2 scenes \(1, 2\).*in Fiji"):
        open_volume(path)


@needs[".czi"]
@pytest.mark.parametrize("compression", [5, 6])
def test_compressed_tiles_of_zeiss(compression: int, tmp_path: Path) -> None:
    path = tmp_path / "a.czi"
    write_czi(path, VOXELS, compression=compression, tile=17)
    assert np.array_equal(read_volume(path).voxels, VOXELS)


@needs[".czi"]
def test_another_compression_of_zeiss_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.czi"
    write_czi(path, VOXELS)
    data = bytearray(path.read_bytes())
    data[data.index(b"DV", data.index(b"ZISRAWDIRECTORY")) + 18] = 99
    path.write_bytes(bytes(data))
    with open_volume(path) as source, pytest.raises(UnsupportedFormat, match="compression 99"):
        source.read()


@pytest.mark.parametrize("suffix", every)
def test_damaged_files_are_refused_with_their_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    WRITERS[suffix](path, VOXELS)
    whole = path.read_bytes()
    for cut in (30, 300, len(whole) // 2, len(whole) - 60):
        path.write_bytes(whole[:cut])
        with pytest.raises((BadFile, UnsupportedFormat), match=rf"a\{suffix}: "):
            read_volume(path)
    (tmp_path / "b.tif").write_bytes(whole)
    with pytest.raises(BadFile, match=f"is a {suffix[1:]} file under the suffix .tif"):
        open_volume(tmp_path / "b.tif")


@pytest.mark.parametrize("suffix", LIBRARIES)
def test_without_its_library_a_file_says_what_to_install_or_how_to_export_it(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{suffix}"
    WRITERS[suffix](path, VOXELS)
    monkeypatch.setitem(sys.modules, LIBRARIES[suffix], None)
    with pytest.raises(MissingDependency) as caught:
        open_volume(path)
    assert "pip install 'dineuro[microscopes]'; or open it in Fiji" in str(caught.value)


@pytest.mark.parametrize("suffix", LIBRARIES)
def test_no_upload_reaches_the_library(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "upload.part"
    WRITERS[suffix](path, VOXELS)
    request = {"path": str(path), "max_bytes": 2**30, "roi": None, "by_path": False}
    refused = header_process.answer(request)
    assert refused["code"] == "unsupported_format"
    assert "not read from an upload" in refused["detail"]
