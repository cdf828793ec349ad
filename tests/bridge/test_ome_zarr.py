"""OME-Zarr voxels: read chunk by chunk, and written from other formats and back."""

from __future__ import annotations

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
    FileAccess,
    LimitExceeded,
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
from tests.bridge.test_ome_zarr_headers import array_2, array_3, datasets, group_2, group_3, make
from tests.support.shapes import line, paint

zarr = pytest.importorskip("zarr")

VOXELS = np.random.default_rng(5).integers(1, 60000, (5, 6, 7)).astype("<u2")
VOLUME = Volume(
    np.random.default_rng(6).integers(0, 60000, (2, 9, 150, 131)).astype(np.uint16), (1.0, 0.4, 0.4)
)


def chunks_of(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file() and file.name[0].isdigit())


def put_chunks(path: Path, voxels: NDArray[Any], prefix: str = "") -> None:
    """Write the uncompressed chunks of 4 x 4 x 4 by hand, those at the border in full size."""
    padded = np.pad(voxels, [(0, -n % 4) for n in voxels.shape])
    for z in range(0, padded.shape[0], 4):
        for y in range(0, padded.shape[1], 4):
            for x in range(0, padded.shape[2], 4):
                file = path / prefix / str(z // 4) / str(y // 4) / str(x // 4)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(padded[z : z + 4, y : y + 4, x : x + 4].tobytes())


def by_hand(path: Path, version: int, voxels: NDArray[Any] = VOXELS) -> Path:
    if version == 2:
        group_2(path)
        array_2(path / "0", voxels.shape, voxels.dtype.str)
        put_chunks(path / "0", voxels)
    else:
        group_3(path)
        array_3(path / "0", voxels.shape, voxels.dtype.name)
        put_chunks(path / "0", voxels, "c")
    return path


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["dineuro", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


@pytest.mark.parametrize("version", [2, 3])
def test_chunks_that_were_written_by_hand_are_read(version: int, tmp_path: Path) -> None:
    path = by_hand(tmp_path / "a", version)
    with open_volume(path) as source:
        assert np.array_equal(source.read()[0], VOXELS)
        assert np.array_equal(source.read((1, 2, 3, 7, 5, 5))[0], VOXELS[3:5, 2:5, 1:7])


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype", ["|b1", "|u1", "<i2", "<f4", "<f2"])
def test_samples_keep_their_type_and_masks_become_0_and_255(
    dtype: str, version: int, tmp_path: Path
) -> None:
    voxels = (VOXELS % 100).astype(dtype) if dtype != "|b1" else VOXELS > 30000
    read = read_volume(by_hand(tmp_path / "a", version, voxels)).voxels[0]
    assert np.array_equal(read, voxels if dtype != "|b1" else voxels * np.uint8(255))
    assert read.dtype == (np.uint8 if dtype == "|b1" else voxels.dtype)


def test_a_foreign_byte_order_is_read(tmp_path: Path) -> None:
    read = read_volume(by_hand(tmp_path / "a", 2, VOXELS.astype(">u2"))).voxels[0]
    assert read.dtype.isnative
    assert np.array_equal(read, VOXELS)


@pytest.mark.parametrize("axes", ["tczyx", "xyzc", "cyxz"])
def test_the_order_of_axes_is_that_of_their_names(axes: str, tmp_path: Path) -> None:
    voxels = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 3, 4, 5)
    stored = voxels[None] if "t" in axes else voxels.transpose(["czyx".index(a) for a in axes])
    path = tmp_path / "a"
    group_3(path, axes=list(axes), datasets=[{"path": "0"}])
    zarr.create_array(store=str(path / "0"), data=np.ascontiguousarray(stored), zarr_format=3)
    with open_volume(path) as source:
        assert np.array_equal(source.read(), voxels)
        assert np.array_equal(source.read((1, 2, 0, 4, 3, 2)), voxels[:, 0:2, 2:3, 1:4])


def test_time_points_may_be_slices(tmp_path: Path) -> None:
    path = tmp_path / "a"
    group_3(path, axes=list("tzyx"), datasets=[{"path": "0"}])
    zarr.create_array(store=str(path / "0"), data=VOXELS[:, None], zarr_format=3)
    with pytest.raises(BadVolume, match="time series"):
        read_volume(path)
    assert np.array_equal(read_volume(path, how=Reading("t")).voxels[0], VOXELS)


@pytest.mark.parametrize("version", [2, 3])
def test_a_chunk_that_is_missing_has_the_fill_value(version: int, tmp_path: Path) -> None:
    path = by_hand(tmp_path / "a", version)
    chunks_of(path)[0].unlink()
    expected = VOXELS.copy()
    expected[:4, :4, :4] = 0
    assert np.array_equal(read_volume(path).voxels[0], expected)
    assert read_header(path).warnings == ()


def test_an_array_without_any_chunk_is_zeros_with_a_warning(tmp_path: Path) -> None:
    volume = read_volume(make(tmp_path / "a"))
    assert not volume.voxels.any()
    assert any("no chunk is stored" in text for text in volume.warnings)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_a_damaged_chunk_is_named(damage: str, version: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    write_volume(path.with_suffix(".tif"), VOLUME)
    with open_volume(path.with_suffix(".tif")) as source:
        write_source(path, source, zarr=version)
    chunk = chunks_of(path / "0")[-1]
    content = chunk.read_bytes()
    chunk.write_bytes(content[:30] if damage == "cut" else b"\x07" * len(content))
    with pytest.raises(BadFile, match=r"0: damaged") as caught, open_volume(path) as source:
        source.read()
    assert str(caught.value).startswith(str(path / "0"))
    if version == "0.4":
        assert "damaged chunk 1/0/2/2: " in str(caught.value)
        with open_volume(path) as source:  # the other chunks are still read
            assert np.array_equal(source.read((0, 0, 0, 64, 64, 9)), VOLUME.voxels[..., :64, :64])


def test_an_uncompressed_chunk_of_the_wrong_size_is_damaged(tmp_path: Path) -> None:
    for version in (2, 3):
        path = by_hand(tmp_path / str(version), version)
        chunks_of(path / "0")[1].write_bytes(b"x" * 7)
        with pytest.raises(BadFile, match="0: damaged chunk 0/0/1: "):
            read_volume(path)


@pytest.mark.parametrize("version", [2, 3])
def test_an_unknown_compression_is_named(version: int, tmp_path: Path) -> None:
    path = tmp_path / "a"
    if version == 2:
        make(path)
        array_2(path / "0", (5, 6, 7), compressor={"id": "pixie"})
    else:
        group_3(path)
        array_3(path / "0", (5, 6, 7), codecs=[{"name": "bytes"}, {"name": "pixie"}])
    assert read_header(path).shape == (1, 5, 6, 7)
    with pytest.raises(UnsupportedFormat, match=r"0: its compression is not read: .*pixie"):
        read_volume(path)


# Writing.


@pytest.mark.parametrize("levels", ["maximum", "mean"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_conversion_there_and_back_keeps_every_byte(
    version: str, levels: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, path, back = (tmp_path / name for name in ("a.tif", "b.ome.zarr", "c.tif"))
    write_volume(there, VOLUME)
    assert run(monkeypatch, "convert", there, path, "--zarr", version, "--levels", levels) == 0
    assert run(monkeypatch, "convert", path, back) == 0
    assert back.read_bytes() == there.read_bytes()
    found = read_header(path)
    assert (found.details["version"], found.spacing) == (version, (1.0, 0.4, 0.4))
    assert len(list(tmp_path.iterdir())) == 3
    with open_volume(path) as source:
        # Voxels become cubes: z is left alone until y and x are as long.
        assert source.levels == ((2, 9, 150, 131), (2, 9, 75, 66))
        coarse = source.read(level=1)
    padded = np.pad(VOLUME.voxels, [(0, 0), (0, 0), (0, 0), (0, 1)], mode="edge")
    cells = padded.reshape(2, 9, 75, 2, 66, 2)
    if levels == "maximum":
        assert np.array_equal(coarse, cells.max(axis=(3, 5)))
    else:
        assert np.abs(coarse - cells.mean(axis=(3, 5))).max() <= 0.5


def test_the_metadata_state_where_a_coarse_voxel_lies(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_volume(path, VOLUME)
    group = zarr.open_group(str(path), mode="r")
    (image,) = group.attrs["ome"]["multiscales"]
    assert [axis["name"] for axis in image["axes"]] == ["c", "z", "y", "x"]
    scale, shift = image["datasets"][1]["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [1.0, 1.0, 0.8, 0.8]}
    assert shift == {"type": "translation", "translation": [0.0, 0.0, 0.2, 0.2]}
    assert group["0"].metadata.dimension_names == ("c", "z", "y", "x")


def test_a_region_and_a_channel_are_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, path, back = (tmp_path / name for name in ("a.tif", "b.zarr", "c.v3draw"))
    write_volume(there, VOLUME)
    words = ("--channel", 2, "--roi", "3,10,1,100,140,9")
    assert run(monkeypatch, "convert", there, path, *words) == 0
    expected = VOLUME.voxels[1:, 1:9, 10:140, 3:100]
    assert np.array_equal(read_volume(path).voxels, expected)
    assert run(monkeypatch, "convert", path, back, "--roi", "0,0,0,5,6,7") == 0
    assert np.array_equal(read_volume(back).voxels, expected[:, :7, :6, :5])
    assert run(monkeypatch, "convert", path, tmp_path / "d.tif", "--channel", 2) == 3
    assert run(monkeypatch, "convert", path, tmp_path / "d.tif", "--zarr", "0.4") == 2


def test_what_stands_there_is_kept_and_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zarr"
    write_volume(path, VOLUME)
    with pytest.raises(FileAccess, match="exists; remove it"):
        write_volume(path, VOLUME)
    with pytest.raises(BadParameter, match=r"OME-Zarr 0\.3"), open_volume(path) as source:
        write_source(tmp_path / "b.zarr", source, zarr="0.3")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ome_zarr_writer, "_create_array", full)
    with pytest.raises(FileAccess, match="cannot be written: no space left"):
        write_volume(tmp_path / "b.zarr", VOLUME)
    assert list(tmp_path.iterdir()) == [path]


def test_empty_blocks_are_not_stored(tmp_path: Path) -> None:
    voxels = np.zeros((1, 8, 1100, 520), np.uint8)
    voxels[0, 4, 1050, 4] = 1
    write_volume(tmp_path / "a.zarr", Volume(voxels))
    assert len(chunks_of(tmp_path / "a.zarr" / "0")) == 1
    assert np.array_equal(read_volume(tmp_path / "a.zarr").voxels, voxels)
    for level in range(5):
        with open_volume(tmp_path / "a.zarr") as source:
            assert source.read(level=level).max() == 1


def test_boxes_are_whole_shards_and_cover_the_volume_once() -> None:
    for size, unit in (((130, 700, 1500), (64, 512, 512)), ((3, 4, 5), (3, 4, 5))):
        seen = np.zeros(size, np.uint8)
        for x0, y0, z0, x1, y1, z1 in ome_zarr_writer.boxes(size, unit, 8):
            assert all(a % n == 0 for a, n in zip((z0, y0, x0), unit, strict=True))
            seen[z0:z1, y0:y1, x0:x1] += 1
        assert (seen == 1).all()


def test_a_conversion_needs_a_part_of_the_memory_of_the_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ome_zarr_writer, "_BOX_BYTES", 2**20)
    monkeypatch.setattr(ome_zarr_writer, "_SHARD", (64, 128, 128))
    monkeypatch.setattr("dineuro_bridge.volumes.tiff._SLAB_BYTES", 2**20)
    path = tmp_path / "a.v3draw"
    voxels = np.zeros((1, 512, 384, 384), np.uint8)  # 72 MiB
    voxels[:, ::3, ::5] = 7
    write_volume(path, Volume(voxels))
    tracemalloc.start()
    try:
        # 1 MiB is below any use of the volume as a whole: the check of the size is not passed.
        for here, there in ((path, "b.zarr"), (tmp_path / "b.zarr", "c.tif")):
            with open_volume(here) as source:
                write_source(tmp_path / there, source, max_bytes=2**20)
        assert tracemalloc.get_traced_memory()[1] < voxels.nbytes / 2
    finally:
        tracemalloc.stop()
    assert np.array_equal(read_volume(tmp_path / "c.tif").voxels, voxels)
    with open_volume(path) as source, pytest.raises(LimitExceeded):
        write_source(tmp_path / "d.v3draw", source, max_bytes=2**20)


# Tracing.


def body(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


@pytest.fixture(scope="module")
def neuron(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one neuron as cell.tif and as a.ome.zarr in chunks of 16."""
    folder = tmp_path_factory.mktemp("neuron")
    fork = (40, 48, 20)
    paths = [line(fork, end) for end in ((5, 48, 20), (90, 15, 12), (88, 85, 30))]
    noise = np.random.default_rng(7).integers(0, 20, (40, 96, 96)).astype(np.uint8)
    voxels = (paint(paths, (40, 96, 96), 2.5) // 2 + noise)[None]
    write_volume(folder / "cell.tif", Volume(voxels, (1.0, 1.0, 1.0)))
    group_3(folder / "a.ome.zarr", axes=list("czyx"), datasets=datasets([1, 1, 1, 1]))
    zarr.create_array(
        store=str(folder / "a.ome.zarr" / "0"), data=voxels, chunks=(1, 16, 16, 16), zarr_format=3
    )
    return folder


def test_the_tree_of_a_volume_does_not_depend_on_its_format(
    neuron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for roi in ((), ("--roi", "0,0,0,60,90,40")):
        for name in ("cell.tif", "a.ome.zarr"):
            words = ("trace", neuron / name, "--enhancer", "classical", *roi)
            assert run(monkeypatch, *words, "-o", neuron / f"{name}.swc") == 0
        one, other = body(neuron / "cell.tif.swc"), body(neuron / "a.ome.zarr.swc")
        assert one == other
        assert len(one) > 5
    assert set(find_inputs([str(neuron)])) == {neuron / "a.ome.zarr", neuron / "cell.tif"}


def test_a_region_reads_its_chunks_alone_and_its_mask_has_the_full_size(
    neuron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zarr.storage import LocalStore

    asked = set()
    get = LocalStore.get

    async def counted(store: Any, key: str, *args: Any, **options: Any) -> Any:
        asked.add(key)
        return await get(store, key, *args, **options)

    monkeypatch.setattr(LocalStore, "get", counted)
    words = ("trace", neuron / "a.ome.zarr", "--enhancer", "classical", "--roi", "20,20,8,60,80,30")
    assert run(monkeypatch, *words, "-o", neuron / "r.swc", "--mask", neuron / "r.tif") == 0
    chunks = {key for key in asked if not key.endswith(".json")}
    expected = {f"c/0/{z}/{y}/{x}" for z in (0, 1) for y in (1, 2, 3, 4) for x in (1, 2, 3)}
    assert chunks == expected
    mask = read_volume(neuron / "r.tif").voxels
    assert mask.shape == (1, 40, 96, 96)
    assert mask[:, 8:30, 20:80, 20:60].any()
    mask = mask.copy()
    mask[:, 8:30, 20:80, 20:60] = 0
    assert not mask.any()


def test_only_the_region_counts_for_the_limit_of_the_size(
    neuron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = neuron / "a.ome.zarr"
    part = read_volume(path, roi=(20, 20, 8, 60, 80, 30), max_bytes=22 * 60 * 40)
    assert (part.shape, part.full_shape, part.origin) == ((22, 60, 40), (40, 96, 96), (8, 20, 20))
    assert np.array_equal(part.cropped((30, 20, 8, 60, 80, 30)).voxels, part.voxels[..., 10:])
    with pytest.raises(BadParameter, match="region"):
        part.cropped((0, 20, 8, 60, 80, 30))
    with pytest.raises(LimitExceeded):
        read_volume(path, max_bytes=22 * 60 * 40)
    monkeypatch.setattr("dineuro.pipeline.region._LARGEST_MASK", 10)
    words = ("trace", path, "--enhancer", "classical", "--roi", "20,20,8,60,80,30")
    assert run(monkeypatch, *words, "-o", neuron / "r.swc", "--mask", neuron / "m.tif") == 0
    assert read_header(neuron / "m.tif").shape == (1, 22, 60, 40)


def test_a_mask_may_be_an_ome_zarr(neuron: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("trace", neuron / "cell.tif", "--enhancer", "classical", "-o", neuron / "m.swc")
    mask = neuron.parent / "m.zarr"
    assert run(monkeypatch, *words, "--mask", mask) == 0
    assert read_header(mask).format == "ome-zarr"
    assert run(monkeypatch, *words, "--mask", mask) == FileAccess.exit_code
