"""All volume formats through one door: round trips, other writers' files, and files that lie."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from v3dpy.loaders import PBD, Raw

from dineuro_bridge.errors import (
    BadFile,
    BadVolume,
    DineuroError,
    FileAccess,
    LimitExceeded,
    UnsupportedFormat,
)
from dineuro_bridge.volumes.formats import read_header, read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume

#: Files in a folder that hypothesis may write to again and again.
AGAIN = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SMALL = 2**20
SHAPES = st.tuples(*[st.integers(1, 6)] * 3, st.integers(1, 40))
HOLDS = {
    ".tif": ["u1", "u2", "f4", "i2", "u4", "f8"],
    ".v3draw": ["u1", "u2", "f4"],
    ".v3dpbd": ["u1", "u2"],
}


@st.composite
def voxels(draw: st.DrawFn, dtypes: list[str]) -> NDArray[Any]:
    """(C, Z, Y, X) of random samples, or of runs and ramps, which packing has codes for."""
    dtype, shape = np.dtype(draw(st.sampled_from(dtypes))), draw(SHAPES)
    if draw(st.booleans()):
        return draw(
            arrays.arrays(
                dtype, shape, elements={"allow_nan": False} if dtype.kind == "f" else None
            )
        )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps = rng.integers(-4, 6, math.prod(shape)) * (rng.random(math.prod(shape)) < 0.4)
    start = draw(st.sampled_from([0, 100, 250]))
    return (start + np.cumsum(steps)).astype(np.int64).astype(dtype).reshape(shape)


@pytest.mark.parametrize("suffix", list(HOLDS))
@AGAIN
@given(st.data())
def test_what_is_written_is_read(suffix: str, tmp_path: Path, data: st.DataObject) -> None:
    made = data.draw(voxels(HOLDS[suffix]))
    spacing = (2.0, 0.5, 0.25) if suffix == ".tif" and data.draw(st.booleans()) else None
    path = tmp_path / f"a{suffix}"
    write_volume(path, Volume(made, spacing), compress=data.draw(st.booleans()))
    header, volume = read_header(path), read_volume(path)
    assert header.shape == volume.voxels.shape == made.shape
    assert header.dtype == volume.voxels.dtype == made.dtype
    assert volume.voxels.tobytes() == made.tobytes()
    assert header.spacing == volume.spacing == (pytest.approx(spacing) if spacing else None)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("loader", [PBD, Raw])
@AGAIN
@given(st.data())
def test_vaa3ds_formats_are_read_alike_by_another_program(
    loader: type, tmp_path: Path, data: st.DataObject
) -> None:
    suffix = ".v3dpbd" if loader is PBD else ".v3draw"
    made = data.draw(voxels(HOLDS[suffix]))
    path = tmp_path / f"a{suffix}"
    write_volume(path, Volume(made))
    assert np.array_equal(np.asarray(loader().load(path)).reshape(made.shape), made)


@pytest.mark.parametrize("name", ["123stack16", "testSliceDiffBoundary", "test_strip8"])
def test_packed_files_of_vaa3d_hold_what_their_raw_twins_hold(name: str, shared_data: Path) -> None:
    folder = shared_data / "formats"
    packed, raw = read_volume(folder / f"{name}.v3dpbd"), read_volume(folder / f"{name}.v3draw")
    assert packed.voxels.dtype == raw.voxels.dtype
    assert np.array_equal(packed.voxels, raw.voxels)
    tiff = folder / f"{name}.tif"
    if tiff.exists():
        assert np.array_equal(read_volume(tiff).voxels, raw.voxels)


@pytest.mark.parametrize("suffix", list(HOLDS))
@AGAIN
@given(st.data())
def test_any_damaged_byte_is_an_error_or_a_volume_and_nothing_else(
    suffix: str, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / f"a{suffix}"
    made = np.arange(2 * 3 * 4, dtype=np.uint16).reshape(1, 2, 3, 4) * 9
    write_volume(path, Volume(made, (2.0, 0.5, 0.5)))
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    read_or_refused(path)


def read_or_refused(path: Path) -> None:
    """Whatever stands in the file: a volume within the limit, or an error that names the file."""
    said = ""
    try:
        volume = read_volume(path, max_bytes=SMALL)
        assert volume.voxels.nbytes <= SMALL
        volume.voxels.sum()  # every voxel can be touched
    except DineuroError as error:
        said = str(error)
    assert said.startswith(str(path) if said else "")


@pytest.mark.parametrize("suffix", list(HOLDS))
def test_every_header_byte_and_every_truncation(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_volume(path, Volume(np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4)))
    raw = path.read_bytes()
    for at in range(min(len(raw), 64)):
        for value in (0, 1, 0x7F, 0xFF, raw[at] ^ 0x20):
            path.write_bytes(raw[:at] + bytes([value]) + raw[at + 1 :])
            read_or_refused(path)
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        if suffix == ".tif":  # its text may end early without harm to the voxels
            read_or_refused(path)
        else:
            with pytest.raises(DineuroError):
                read_volume(path, max_bytes=SMALL)


def header(
    magic: bytes, dims: tuple[int, ...], code: int = 1, order: str = "<", wide: str = "i4"
) -> bytes:
    mark = b"L" if order == "<" else b"B"
    fields = np.array([code], order + "i2").tobytes() + np.array(dims, order + wide).tobytes()
    return magic + mark + fields


RAW, RAW5 = b"raw_image_stack_by_hpeng", b"raw5image_stack_by_hpeng"
PACKED = b"v3d_volume_pkbitdf_encod"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("wide", ["i4", "i2"])
@pytest.mark.parametrize(("code", "kind"), [(1, "u1"), (2, "u2"), (4, "f4")])
def test_raw_headers_of_both_widths_and_byte_orders(
    order: str, wide: str, code: int, kind: str, tmp_path: Path
) -> None:
    made = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(order + kind)
    path = tmp_path / "a.raw"
    path.write_bytes(header(RAW, (5, 4, 3, 2), code, order, wide) + made.tobytes())
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, made)
    assert volume.voxels.dtype.isnative
    path.write_bytes(header(RAW5, (5, 4, 3, 2, 1), code, order) + made.tobytes())
    assert np.array_equal(read_volume(path).voxels, made)


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"", BadFile, "is empty"),
        (
            header(RAW, (2, 2, 2, 1)) + bytes(7),
            BadFile,
            r"truncated: the header says 2 x 2 x 2 x 1, 51",
        ),
        (header(RAW, (2, 2, 2, 1)) + bytes(9), BadFile, "1 bytes too many"),
        (header(RAW, (2**31 - 1,) * 4) + bytes(9), BadFile, "truncated"),
        (header(RAW, (0, 2, 2, 1)), BadFile, "at least 1"),
        (header(RAW, (-2, -2, 2, 1)) + bytes(8), BadFile, "at least 1"),
        (header(RAW, (2, 2, 2, 1), code=3) + bytes(24), BadFile, "data type 3"),
        (header(RAW, (2, 2, 2, 1)).replace(b"L", b"X", 1) + bytes(8), BadFile, "byte 24"),
        (header(RAW5, (2, 2, 2, 1, 2)) + bytes(16), BadVolume, "time series of 2"),
        (b"II*\0 a tiff", BadFile, "is a tiff file under the suffix .v3draw"),
        (b"nothing known", BadFile, "begins with b'nothing '"),
    ],
)
def test_raw_files_that_lie(
    content: bytes, error: type[DineuroError], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.v3draw"
    path.write_bytes(content)
    with pytest.raises(error, match=said) as caught:
        read_volume(path)
    assert str(caught.value).startswith(str(path))


def unpacked(stream: list[int], count: int, code: int, folder: Path) -> list[int]:
    path = folder / "a.v3dpbd"
    path.write_bytes(header(PACKED, (count, 1, 1, 1), code) + bytes(stream))
    return [int(v) for v in read_volume(path).voxels.ravel()]


@pytest.mark.parametrize(
    ("stream", "values"),
    [
        ([2, 7, 8, 9], [7, 8, 9]),
        ([130, 5], [5, 5, 5]),
        # 2-bit differences, first in the low bits: +0, +1, +2, -1, then +1.
        ([0, 10, 37, 0b11_10_01_00, 0b01], [10, 10, 11, 13, 12, 13]),
        ([0, 255, 33, 1], [255, 0]),
        ([0, 0, 33, 3], [0, 255]),
    ],
)
def test_each_8_bit_code(stream: list[int], values: list[int], tmp_path: Path) -> None:
    assert unpacked(stream, len(values), 1, tmp_path) == values


@pytest.mark.parametrize(
    ("stream", "values"),
    [
        ([1, 7, 1, 8, 0], [263, 8]),
        ([225, 5, 1], [261] * 3),
        # 3 bits, first in the high bits: +4, -1 (5), -3 (7).
        ([0, 10, 0, 34, 0b100_101_11, 0b1_0000000], [10, 14, 13, 10]),
        # 4 bits: +8, -1 (9), -7 (15); 5 bits: +16, -1 (17), -15 (31).
        ([0, 10, 0, 82, 0b1000_1001, 0b1111_0000], [10, 18, 17, 10]),
        ([0, 20, 0, 185, 0b10000_100, 0b01_11111_0], [20, 36, 35, 20]),
        ([0, 0, 0, 32, 0b101_00000], [0, 65535]),
    ],
)
def test_each_16_bit_code(stream: list[int], values: list[int], tmp_path: Path) -> None:
    assert unpacked(stream, len(values), 2, tmp_path) == values


@pytest.mark.parametrize(
    ("stream", "count", "code", "said"),
    [
        ([2, 7, 8], 3, 1, "damaged at byte 43: the stream ends"),
        ([0, 7], 3, 1, "damaged at byte 45: the stream ends, after 1 of 3"),
        ([130, 5], 2, 1, "runs beyond the last sample"),
        ([33, 1, 0, 0], 3, 1, "a difference without a value before it"),
        ([32, 1, 0, 0], 3, 2, "a difference without a value before it"),
        ([130, 5, 0, 0], 3, 1, "2 bytes too many"),
        ([130, 5], 1000, 1, "truncated, or the header lies"),
        ([130, 5], 0, 1, "at least 1"),
        ([130, 5], 3, 33, "lossy"),
        ([130, 5], 3, 4, "data type 4"),
    ],
)
def test_packed_files_that_lie(
    stream: list[int], count: int, code: int, said: str, tmp_path: Path
) -> None:
    with pytest.raises(DineuroError, match=said):
        unpacked(stream, count, code, tmp_path)


def test_vaa3d_never_meets_a_code_that_hangs_it(tmp_path: Path) -> None:
    """Its decoder loops for ever on the 16-bit codes 80 to 222; none may ever be written."""
    rng = np.random.default_rng(0)
    path = tmp_path / "a.v3dpbd"
    for spread in (1, 3, 8, 30, 60000):
        write_volume(path, Volume(rng.integers(0, spread, (1, 4, 30, 30)).astype(np.uint16)))
        stream, at = path.read_bytes()[43:], 0
        while at < len(stream):
            code = stream[at]
            assert code < 80 or code > 222
            at += 1 + (
                2 * (code + 1) if code < 32 else 2 if code > 222 else -(-3 * (code - 31) // 8)
            )


def test_sizes_are_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "a.v3draw"
    write_volume(path, Volume(np.zeros((1, 9, 9, 9), dtype=np.uint8)))
    with pytest.raises(LimitExceeded, match="the limit is"):
        read_volume(path, max_bytes=728)
    assert read_volume(path, max_bytes=729).voxels.nbytes == 729


@pytest.mark.parametrize(
    ("name", "dtype", "said"),
    [
        ("a.v3draw", np.int16, "int16 samples cannot be stored"),
        ("a.v3dpbd", np.float32, "float32 samples cannot be stored as .v3dpbd"),
        ("a.tif", np.complex64, "complex64 samples cannot"),
        ("a.raw5", np.uint8, "only read"),
        ("a.nrrd", np.uint8, "known are .tif"),
        ("a", np.uint8, "a name without suffix"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_stays(
    name: str, dtype: type, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedFormat, match=said):
        write_volume(tmp_path / name, Volume(np.zeros((1, 2, 2, 2), dtype=dtype)))
    assert not list(tmp_path.iterdir())


def test_paths_that_cannot_be_used(tmp_path: Path) -> None:
    volume = Volume(np.zeros((1, 2, 2, 2), dtype=np.uint8))
    (tmp_path / "folder.tif").mkdir()
    for path in (tmp_path / "missing.tif", tmp_path / "folder.tif"):
        with pytest.raises(FileAccess, match=path.name):
            read_volume(path)
    for path in (tmp_path / "no" / "a.tif", tmp_path / "folder.tif"):
        with pytest.raises(FileAccess, match=path.name):
            write_volume(path, volume)


def test_raw_and_plain_tiff_are_memory_maps_and_read_only(tmp_path: Path) -> None:
    for suffix in (".v3draw", ".tif"):
        path = tmp_path / f"a{suffix}"
        write_volume(path, Volume(np.ones((2, 3, 4, 5), dtype=np.uint16)))
        mapped = read_volume(path).voxels
        assert isinstance(mapped.base, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            mapped[0, 0, 0, 0] = 3
