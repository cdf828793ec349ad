"""The voxel size as Fiji, Bio-Formats and microscopes write it, and what is no voxel size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dineuro_bridge.scale import implausibility
from dineuro_bridge.volumes.formats import read_header, read_volume
from dineuro_bridge.volumes.voxel_size import micrometres_of
from tests.support.tiffs import Tag, ome_xml, write_described

PLANES = np.arange(6 * 5 * 4, dtype=np.uint8).reshape(6, 5, 4)
#: Five pixels a unit.
FIVE: list[Tag] = [(282, 5, [(5, 1)]), (283, 5, [(5, 1)])]


def imagej(path: Path, text: str, resolution: list[Tag] = FIVE, **options: Any) -> Path:
    head = f"ImageJ=1.54f\nimages={len(PLANES)}\nslices={len(PLANES)}\n"
    write_described(path, PLANES, head + text, more=resolution, **options)
    return path


@pytest.mark.parametrize(
    ("text", "spacing"),
    [
        ("unit=micron\nloop=false\n", (1.0, 0.2, 0.2)),
        ("unit=micron\nspacing=1.5\n", (1.5, 0.2, 0.2)),
        ("unit=micron\nspacing=-1.5\n", (1.5, 0.2, 0.2)),
        ("unit=micron\nzunit=nm\nspacing=300.0\n", (0.3, 0.2, 0.2)),
        ("unit=micron\nyunit=nm\nspacing=2\n", None),  # y is 0.0002 µm
        ("unit=nm\nspacing=500\n", None),  # x is 0.0002 µm
        ("unit=inch\nspacing=1.0\n", None),
        ("unit=pixel\nspacing=1.0\n", None),
        ("spacing=2.0\n", None),
        ("unit=micron\nzunit=frames\nspacing=2.0\n", None),
        ("unit=micron\nspacing=nonsense\n", None),
        ("unit=micron\nspacing=1,5\n", (1.5, 0.2, 0.2)),
        ("unit=micron\nspacing=0.0\n", None),
        *((f"unit={unit}\nspacing=1.5\n", (1.5, 0.2, 0.2)) for unit in (
            "um", "µm", "μm", "micrometers", "micrometer", "Micrometre", "micrometres", "microns",
            "\\u00B5m", "\\u03BCm", "\\u00b5m ", "[um]", "(µm)", "um/px", "um per pixel", "\\u339B",
            "Mikrometer", "micrometros", "mkm",
        )),
    ],
)  # fmt: skip
def test_imagej(text: str, spacing: tuple[float, ...] | None, tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", text)
    assert read_header(path).spacing == (spacing and pytest.approx(spacing))
    assert read_volume(path).spacing == (spacing and pytest.approx(spacing))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "mac-roman"])
def test_the_micro_sign_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", "unit=XXXX\nspacing=1.5\n")
    sign = "µm".encode(encoding)
    path.write_bytes(path.read_bytes().replace(b"XXXX", sign.ljust(4, b" ")))
    assert read_header(path).spacing == pytest.approx((1.5, 0.2, 0.2))


def test_one_slice_has_no_step(tmp_path: Path) -> None:
    write_described(tmp_path / "a.tif", PLANES[:1], "ImageJ=1.5\nunit=micron\n", more=FIVE)
    assert read_header(tmp_path / "a.tif").spacing is None


def test_dots_per_inch_of_a_paint_program_are_no_voxel_size(tmp_path: Path) -> None:
    dpi: list[Tag] = [(282, 5, [(72, 1)]), (283, 5, [(72, 1)]), (296, 3, [2])]
    assert read_header(imagej(tmp_path / "a.tif", "unit=inch\n", dpi)).spacing is None
    write_described(tmp_path / "b.tif", PLANES, "", more=dpi)
    assert read_header(tmp_path / "b.tif").spacing is None


@pytest.mark.parametrize(
    ("attributes", "spacing"),
    [
        ("", (1.0, 0.2, 0.2)),
        ('PhysicalSizeZUnit="nm"', None),  # z is 0.001 µm
        ('PhysicalSizeZUnit="µm" PhysicalSizeXUnit="um"', (1.0, 0.2, 0.2)),
        ('PhysicalSizeZUnit="pixel"', None),
        ('PhysicalSizeZUnit="reference frame"', None),
    ],
)
def test_ome(attributes: str, spacing: tuple[float, ...] | None, tmp_path: Path) -> None:
    text = ome_xml((6, 5, 4), "").replace("<Pixels ", f"<Pixels {attributes} ")
    write_described(tmp_path / "a.ome.tif", PLANES, text)
    assert read_header(tmp_path / "a.ome.tif").spacing == (spacing and pytest.approx(spacing))


@pytest.mark.parametrize(
    ("spacing", "why"),
    [
        ((1.0, 0.2, 0.2), None),
        ((4.0, 0.2, 0.2), None),
        ((20.0, 20.0, 20.0), None),
        ((0.01, 0.01, 0.01), None),
        ((4.1, 0.2, 0.2), "z is more than 20 times"),
        ((300.0, 0.2, 0.2), "not from 0.01 to 20"),
        ((25400.0, 352.8, 352.8), "not from 0.01 to 20"),
        ((1.0, 0.009, 0.2), "not from 0.01 to 20"),
    ],
)
def test_what_no_light_microscope_has_is_implausible(
    spacing: tuple[float, float, float], why: str | None
) -> None:
    message = implausibility(spacing)
    assert message == why if why is None else why in str(message)


def test_an_implausible_voxel_size_is_doubted_and_not_used(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", "unit=micron\nspacing=300.0\n")
    header, volume = read_header(path), read_volume(path)
    assert header.spacing is None
    assert volume.spacing is None
    assert "0.2 x 0.2 x 300 µm" in header.warnings[0]
    assert "--spacing" in header.warnings[0]
    assert header.details["implausible voxel size"] == "0.2 x 0.2 x 300 µm"
    assert volume.warnings == header.warnings


def test_units_that_are_no_length() -> None:
    assert [micrometres_of(unit) for unit in ("", "px", "inch", "s", "µ")] == [None] * 5
    assert micrometres_of("nm") == 1e-3
    assert micrometres_of('"micron"') == 1.0


@pytest.mark.parametrize("unit", ["furlong", "mic", "\x1b[31mfoot"])
def test_an_unknown_unit_is_named(unit: str, tmp_path: Path) -> None:
    header = read_header(imagej(tmp_path / "a.tif", f"unit={unit}\nspacing=1.5\n"))
    (warning,) = header.warnings
    assert unit.strip("\x1b") in warning
    assert warning.endswith("an unknown unit: pass --spacing x,y,z")
    write_described(tmp_path / "b.tif", PLANES, ome_xml(PLANES.shape, "").replace(
        'PhysicalSizeX="0.2"', f'PhysicalSizeX="0.2" PhysicalSizeXUnit="{unit.strip(chr(27))}"'
    ))  # fmt: skip
    assert "an unknown unit" in read_header(tmp_path / "b.tif").warnings[0]


@pytest.mark.parametrize("unit", ["pixel", "pixels", "", "inch", "voxels", "null"])
def test_no_length_is_no_unknown_unit(unit: str, tmp_path: Path) -> None:
    assert not read_header(imagej(tmp_path / "a.tif", f"unit={unit}\nspacing=1.5\n")).warnings
