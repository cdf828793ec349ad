"""TIFFs as other programs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from dineuro_bridge.errors import (
    BadFile,
    BadParameter,
    BadVolume,
    LimitExceeded,
    UnsupportedFormat,
)
from dineuro_bridge.volumes.formats import open_volume, read_header, read_volume, write_volume
from dineuro_bridge.volumes.source import Reading
from dineuro_bridge.volumes.volume import Volume
from tests.support.tiffs import lsm_bytes, ome_xml, stk_bytes, write_described

STACK = np.random.default_rng(0).integers(0, 255, (2, 5, 16, 20)).astype(np.uint8)  # C Z Y X
ONE = STACK[:1]
#: A colour table of a picture: its colours turn.
PICTURE = np.random.default_rng(1).integers(0, 2**16, (3, 256)).astype(np.uint16)
#: The green table of a microscope's program.
GREEN = np.stack([np.zeros(256), np.arange(256) * 257, np.zeros(256)]).astype(np.uint16)
PLAIN: dict[str, Any] = {"data": ONE[0], "photometric": "minisblack"}


@pytest.mark.parametrize(
    ("options", "expected", "spacing"),
    [
        (
            {"data": STACK.transpose(1, 0, 2, 3), "imagej": True, "resolution": (4, 2),
             "metadata": {"axes": "ZCYX", "spacing": 2, "unit": "um"}},
            STACK, (2, 0.5, 0.25),
        ),
        (
            {"data": ONE[0], "imagej": True, "resolution": (4, 4),
             "metadata": {"axes": "ZYX", "spacing": 2, "unit": "\\u00B5m"}},
            ONE, (2, 0.25, 0.25),
        ),
        (
            {"data": ONE[0], "imagej": True, "resolution": (4, 4),
             "metadata": {"axes": "ZYX", "spacing": 2, "unit": "pixel"}},
            ONE, None,
        ),
        (
            {"data": STACK, "ome": True, "metadata": {
                "axes": "CZYX", "PhysicalSizeX": 300.0, "PhysicalSizeXUnit": "nm",
                "PhysicalSizeY": 0.3, "PhysicalSizeZ": 1}},
            STACK, (1, 0.3, 0.3),
        ),
        (
            {"data": STACK.transpose(1, 0, 2, 3), "ome": True, "metadata": {"axes": "ZCYX"}},
            STACK, None,
        ),
        ({**PLAIN, "metadata": None}, ONE, None),
        ({**PLAIN, "bigtiff": True}, ONE, None),
        ({**PLAIN, "compression": "lzw"}, ONE, None),
        ({**PLAIN, "compression": "zlib", "predictor": True}, ONE, None),
        ({**PLAIN, "compression": "zstd"}, ONE, None),
        ({**PLAIN, "tile": (16, 16)}, ONE, None),
        ({**PLAIN, "data": ONE[0].astype(">u2"), "byteorder": ">"}, ONE, None),
        ({**PLAIN, "data": ONE[0].astype(np.float32)}, ONE, None),
        ({**PLAIN, "data": STACK[:, 0], "planarconfig": "separate"}, STACK[:, :1], None),
        ({**PLAIN, "data": ONE[0] > 99}, (ONE > 99) * np.uint8(255), None),
        ({**PLAIN, "data": ONE[0, 0]}, ONE[:, :1], None),
    ],
    ids=[
        "imagej", "imagej-micro-sign", "imagej-pixels", "ome-units", "ome-zc", "plain", "bigtiff",
        "lzw", "deflate-predictor", "zstd", "tiled", "big-endian", "float", "planar", "one-bit",
        "2d",
    ],
)  # fmt: skip
def test_other_programs_files_are_read(
    options: dict[str, Any],
    expected: np.ndarray,
    spacing: tuple[float, ...] | None,
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, **options)
    volume = read_volume(path)
    assert volume.voxels.dtype.isnative
    assert np.array_equal(volume.voxels, expected)
    assert read_header(path).shape == expected.shape
    assert volume.spacing == (spacing and pytest.approx(spacing))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"data": np.zeros((4, 9, 9, 3), np.uint8), "photometric": "rgb"}, BadVolume, "colour"),
        ({**PLAIN, "data": ONE[0, 0], "photometric": "palette", "colormap": PICTURE},
         BadVolume, "colour"),
        ({"data": ONE[0], "imagej": True, "metadata": {"axes": "TYX"}},
         BadVolume, "series of 5 single slices: .*--z-axis t"),
        ({"data": STACK, "imagej": True, "metadata": {"axes": "TZYX"}}, BadVolume, "series of 2"),
        ({**PLAIN, "data": ONE[0].astype(np.complex64)},
         UnsupportedFormat, "complex64 .* 8- or 16-bit grayscale"),
        ({**PLAIN, "data": ONE[0].astype(np.int64)},
         UnsupportedFormat, "int64 .* 8- or 16-bit grayscale"),
        ({**PLAIN, "data": STACK}, BadVolume, "an unnamed axis of 2"),
    ],
    ids=["rgb", "palette", "time", "4d", "complex", "64-bit", "unnamed"],
)  # fmt: skip
def test_what_is_no_gray_volume_is_refused(
    options: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, **options)
    with pytest.raises(error, match=said):
        read_volume(path)


def test_pages_of_differing_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(ONE[0, 0])
        file.write(ONE[0, 0, :8])
    with pytest.raises(BadVolume, match="differing kinds"):
        read_volume(path)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_a_truncated_file_is_refused(compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(0, 255, (9, 64, 64)).astype(np.uint8)
    tifffile.imwrite(path, noise, photometric="minisblack", compression=compression)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(BadFile, match=r"a\.tif: (truncated|damaged|incomplete)"):
        read_volume(path)


def test_damaged_compressed_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, **PLAIN, compression="zlib")
    with tifffile.TiffFile(path) as file:
        at = file.pages[2].dataoffsets[0]
    raw = bytearray(path.read_bytes())
    raw[at + 2 : at + 40] = bytes(38)
    path.write_bytes(raw)
    with pytest.raises(BadFile, match=r"a\.tif: damaged TIFF"):
        read_volume(path)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((16, 1024, 1024), np.uint8), compression="zlib", photometric="minisblack"
    )
    assert path.stat().st_size < 2**18
    with pytest.raises(LimitExceeded, match="1024 x 1024 x 16"):
        read_volume(path, max_bytes=2**20)


@pytest.mark.parametrize(("dtype", "orientation", "flipped"), [
    (np.uint8, None, True), (np.uint8, 4, False), (np.uint8, 1, True), (np.uint16, None, False),
    (np.float32, None, False),
])  # fmt: skip
def test_vaa3ds_row_order_is_what_vaa3d_shows(
    dtype: type, orientation: int | None, flipped: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    tags = [] if orientation is None else [(274, "H", 1, orientation, False)]
    with tifffile.TiffWriter(path) as file:
        for plane in ONE[0].astype(dtype):
            file.write(plane, extratags=tags, metadata=None, photometric="minisblack")
    as_stored = read_volume(path)
    as_shown = read_volume(path, row_order="vaa3d")
    assert np.array_equal(as_stored.voxels, ONE)
    assert np.array_equal(as_shown.voxels, ONE[:, :, ::-1] if flipped else ONE)
    assert (as_stored.row_order, as_shown.row_order) == ("file", "vaa3d")


def test_ours_are_read_by_others_with_axes_and_voxel_size(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_volume(path, Volume(STACK, (2.0, 0.5, 0.25)))
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej
        assert file.series[0].axes == "ZCYX"
        assert np.array_equal(file.asarray(), STACK.transpose(1, 0, 2, 3))
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["spacing"] == 2
        assert file.series[0].keyframe.tags["XResolution"].value == (4, 1)
    write_volume(path, Volume(STACK.astype(np.int16), (2.0, 0.5, 0.25)))
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert file.series[0].axes == "CZYX"


def test_slices_that_imagejs_header_promises_have_to_be_there(tmp_path: Path) -> None:
    """A stack of 9 slices of which a tool kept 4 pages and the old header."""
    stack = np.arange(9 * 6 * 5, dtype=np.uint8).reshape(9, 6, 5)
    text = "ImageJ=1.54\nimages=9\nslices=9\nloop=false\n"
    path = tmp_path / "cut.tif"
    with tifffile.TiffWriter(path) as writer:
        for number, page in enumerate(stack[:4]):
            described: dict[str, Any] = {"description": text} if number == 0 else {}
            writer.write(page, contiguous=False, compression="zlib", metadata=None, **described)
    for reader in (read_volume, read_header):
        with pytest.raises(BadFile, match=r"cut\.tif: ImageJ's header promises 9 slices"):
            reader(path)


@pytest.mark.parametrize(
    "text",
    ["images=3\nslices=3\n", "images=5\nchannels=4\nslices=5\nhyperstack=true\n",
     "images=abc\nslices=x\n", "images=-5\nslices=-5\n", "images=4\nframes=2\nslices=2\n"],
)  # fmt: skip
def test_pages_that_imagejs_header_does_not_tell_of_are_read_with_a_warning(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    write_described(path, ONE[0], f"ImageJ=1.54f\n{text}unit=um\nspacing=2\n")
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, ONE)
    (warning,) = volume.warnings
    assert "the file 5 pages: they are taken in order" in warning


@pytest.mark.parametrize("text", ["images=5\n", "images=5\nslices=5\n", "slices=5\n"])
def test_a_short_header_of_imagej_is_no_contradiction(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_described(path, ONE[0], f"ImageJ=1.54f\n{text}")
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, ONE)
    assert not volume.warnings


def test_pages_that_the_xml_does_not_tell_of_are_left_out_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    write_described(path, ONE[0], ome_xml((3, 16, 20), ""))
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, ONE[:, :3])
    assert volume.warnings == (
        "the OME-XML tells of 3 planes, the file holds 5 pages: the others are left out",
    )


def test_a_fraction_without_denominator_is_no_voxel_size(tmp_path: Path) -> None:
    path = tmp_path / "a.stk"
    path.write_bytes(stk_bytes(ONE[0], step=(1, 0), pixel=(1, 5)))
    assert read_header(path).spacing is None


HYPERSTACK = "ImageJ=1.54f\nimages=10\nchannels=2\nslices=5\nhyperstack=true\nmode=composite\n"


@pytest.mark.parametrize(
    ("text", "planes", "table", "expected"),
    [
        (HYPERSTACK, STACK.swapaxes(0, 1), GREEN, STACK),
        ("ImageJ=1.54f\nimages=5\nslices=5\n", ONE[0], GREEN, ONE),
        ("ImageJ=1.54f\nimages=5\nslices=5\n", ONE[0], PICTURE, ONE),  # "fire", "glasbey", …
        ("", ONE[0], GREEN, ONE),
        ("", ONE[0], GREEN[:, ::-1], ONE),
    ],
    ids=["composite", "lut", "any lut", "ramp", "falling ramp"],
)
def test_a_colour_table_of_a_microscopes_program_tints_intensities(
    text: str, planes: np.ndarray, table: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    colours = table.astype("<u2").tobytes()
    more = [(320, 3, np.frombuffer(colours, "<u2").tolist())]
    write_described(path, planes.reshape(-1, 16, 20), text, photometric=3, more=more)
    assert np.array_equal(read_volume(path).voxels, expected)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("thumbnails", [True, False])
@pytest.mark.parametrize("name", ["a.lsm", "a.tif"])
def test_zeiss_lsm(channels: int, name: str, thumbnails: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(lsm_bytes(STACK[:channels], (1e-6, 2e-7, 3e-7), thumbnails=thumbnails))
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, STACK[:channels])
    assert volume.spacing == pytest.approx((1.0, 0.2, 0.3))
    with open_volume(path) as source:
        assert source.details["kind"] == "LSM"
        assert np.array_equal(source.read((2, 3, 1, 9, 8, 4)), STACK[:channels, 1:4, 3:8, 2:9])


def test_metamorph_stk(tmp_path: Path) -> None:
    path = tmp_path / "a.stk"
    path.write_bytes(stk_bytes(ONE[0], step=(3, 2), pixel=(1, 5)))
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, ONE)
    assert volume.spacing == pytest.approx((1.5, 0.2, 0.2))
    with open_volume(path) as source:
        assert np.array_equal(source.read((2, 3, 1, 9, 8, 4)), ONE[:, 1:4, 3:8, 2:9])
    path.write_bytes(path.read_bytes()[: 8 + ONE[0].size // 2])
    with pytest.raises(BadFile, match=r"a\.stk: truncated"):
        read_volume(path)


@pytest.mark.parametrize(
    ("software", "text", "channels"),
    [
        ("SI.hChannels.channelSave = [1;2]\nSI.hStackManager.framesPerSlice = 1\n", "", 2),
        ("SI.hChannels.channelSave = [1 2]\n", "", 2),
        ("SI.hChannels.channelSave = 1\n", "", 1),
        ("", "scanimage.SI5.channelsSave = [1;2]\n", 2),
        ("", "scanimage.SI4.channelsSave = [1;2]\n", 2),
        ("", "state.acq.savingChannel1=1\rstate.acq.savingChannel2=1\r", 2),
        ("", "state.acq.savingChannel1=1\rstate.acq.savingChannel2=0\r", 1),
    ],
)
@pytest.mark.parametrize("big", [False, True])
def test_scanimages_channels_are_interleaved(
    software: str, text: str, channels: int, big: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    samples = STACK[:channels].astype(np.int16) - 20
    with tifffile.TiffWriter(path, bigtiff=big) as writer:
        for plane in samples.swapaxes(0, 1).reshape(-1, 16, 20):
            writer.write(
                plane, photometric="minisblack", metadata=None, contiguous=False,
                software=software, description=text,
            )  # fmt: skip
    assert np.array_equal(read_volume(path).voxels, samples)


def test_scanimages_frames_of_a_slice_are_a_time_series(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    software = "SI.hChannels.channelSave = [1;2]\nSI.hStackManager.framesPerSlice = 5\n"
    with tifffile.TiffWriter(path) as writer:
        for plane in STACK.reshape(-1, 16, 20).repeat(2, 0):
            writer.write(plane, metadata=None, contiguous=False, software=software)
    with pytest.raises(BadVolume, match="a time series of 5"):
        read_volume(path)


def test_slices_that_are_kept_as_time_or_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    time, channels = Reading(z_axis="t"), Reading(z_axis="c")
    tifffile.imwrite(path, ONE[0], imagej=True, metadata={"axes": "TYX"})
    assert np.array_equal(read_volume(path, how=time).voxels, ONE)
    with open_volume(path, time) as source:
        assert np.array_equal(source.read((0, 0, 1, 20, 16, 3)), ONE[:, 1:3])
    tifffile.imwrite(path, STACK.swapaxes(0, 1), imagej=True, metadata={"axes": "TCYX"})
    assert np.array_equal(read_volume(path, how=time).voxels, STACK)
    tifffile.imwrite(path, ONE[0], imagej=True, metadata={"axes": "CYX"})
    assert read_volume(path).voxels.shape == (5, 1, 16, 20)
    assert np.array_equal(read_volume(path, how=channels).voxels, ONE)
    for how, said in ((time, "no time points"), (channels, "5 slices already")):
        tifffile.imwrite(path, ONE[0], imagej=True, metadata={"axes": "ZYX"})
        with pytest.raises(BadParameter, match=rf"a\.tif: z_axis .*{said}"):
            read_volume(path, how=how)
    write_volume(tmp_path / "a.v3draw", Volume(ONE.swapaxes(0, 1)))
    assert np.array_equal(read_volume(tmp_path / "a.v3draw", how=channels).voxels, ONE)
    with pytest.raises(BadParameter, match="a v3draw file has no time axis"):
        read_volume(tmp_path / "a.v3draw", how=time)


@pytest.mark.parametrize("suffix", [".zvi", ".oir", ".lof", ".oib"])
def test_a_microscopes_own_format_is_named_with_the_way_to_export_it(suffix: str) -> None:
    with pytest.raises(UnsupportedFormat, match=rf"\{suffix} files are not read: .* Fiji"):
        read_volume(f"a{suffix}")


def test_a_file_in_which_0_is_white_keeps_its_samples_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ONE[0], photometric="miniswhite", metadata=None)
    assert np.array_equal(read_volume(path).voxels, ONE)
    assert "0 is white in this TIFF" in read_header(path).warnings[0]
    tifffile.imwrite(path, ONE[0], photometric="minisblack", metadata=None)
    assert read_header(path).warnings == ()
