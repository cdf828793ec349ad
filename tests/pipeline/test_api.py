"""What `import dineuro` offers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dineuro
from dineuro.files.write import run_one
from tests.support.shapes import line, paint

SHAPE = (30, 50, 90)
VOXELS = paint([line((8, 25, 15), (82, 25, 15)), line((45, 25, 15), (60, 42, 15))], SHAPE)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    dineuro.write_volume(tmp_path / "cell.tif", dineuro.Volume(VOXELS[None]))
    return tmp_path / "cell.tif"


def test_the_public_names_are_few_sorted_and_there() -> None:
    assert dineuro.__all__ == sorted(dineuro.__all__)
    assert len(dineuro.__all__) <= 20
    assert dir(dineuro) == dineuro.__all__
    assert all(getattr(dineuro, name) is not None for name in dineuro.__all__)
    with pytest.raises(AttributeError, match="'segment'"):
        dineuro.segment  # noqa: B018


def test_the_import_loads_no_numerical_library() -> None:
    heavy = ("numpy", "numba", "scipy", "skimage", "torch")
    script = f"import dineuro, sys; print([m for m in {heavy} if m in sys.modules])"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_traced_file_is_written_as_the_command_line_writes_it(stack: Path) -> None:
    options = dineuro.TraceOptions(enhancer="none", root=(82, 25, 15))
    run_one(stack, {"swc": stack.with_name("a.swc")}, options)
    result = dineuro.trace(stack, enhancer="none", root=(82, 25, 15))
    dineuro.write_swc(stack.with_name("b.swc"), result.tree)
    text = stack.with_name("b.swc").read_text()
    assert text == stack.with_name("a.swc").read_text()
    assert "# image cell.tif\n" in text
    assert repr(result).startswith(f"Result({len(result.tree)} nodes, 1 trees, ")
    assert len(repr(result)) < 120
    assert result._repr_png_().startswith(b"\x89PNG")
    assert dineuro.score(stack.with_name("a.swc"), result.tree).at2.f1 == 1


def test_an_array_and_a_volume_are_traced_under_a_name(stack: Path) -> None:
    options = dineuro.TraceOptions(enhancer="none")
    of_array = dineuro.trace(VOXELS, options, name="mine.tif")
    of_volume = dineuro.trace(dineuro.Volume(VOXELS[None], source="yours.tif"), options)
    of_file = dineuro.trace(stack, options)
    assert np.array_equal(of_array.tree.xyz, of_file.tree.xyz)
    assert "image mine.tif" in of_array.tree.comments
    assert "image yours.tif" in of_volume.tree.comments
    assert not any(line.startswith("image_sha256") for line in of_array.tree.comments)


def test_enhance_gives_the_mask_that_trace_gives(stack: Path) -> None:
    mask = dineuro.enhance(stack, enhancer="none").mask
    assert np.array_equal(mask.voxels, dineuro.trace(stack, enhancer="none").mask.voxels)


def test_a_wrong_option_is_refused_by_name() -> None:
    with pytest.raises(dineuro.DineuroError, match="threshold 999: must be"):
        dineuro.trace(VOXELS, threshold=999)
    with pytest.raises(dineuro.DineuroError, match="colour: is no parameter"):
        dineuro.trace(VOXELS, colour=3)  # type: ignore[call-arg]
