"""`.marker` files, crops of volumes, and writing that leaves nothing half-done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dineuro_bridge.errors import BadFile, BadParameter, BadVolume, FileAccess
from dineuro_bridge.files import atomic_output
from dineuro_bridge.marker import Marker, read_markers, write_markers
from dineuro_bridge.volume import Volume

PLACES = st.integers(-9_000_000, 9_000_000).map(lambda n: n / 1000)


@given(st.lists(st.builds(
    Marker, PLACES, PLACES, PLACES, st.integers(0, 99).map(float), st.integers(0, 9),
    st.text("ab, \"#'µ", max_size=8).map(lambda t: " ".join(t.split())),
    st.text("ab, \"#'µ", max_size=8).map(lambda t: " ".join(t.split())),
    st.tuples(*[st.integers(0, 255)] * 3),
), max_size=5))  # fmt: skip
def test_markers_come_back(tmp_path_factory: pytest.TempPathFactory, markers: list[Marker]) -> None:
    path = tmp_path_factory.mktemp("m") / "a.marker"
    write_markers(path, markers)
    again = read_markers(path)
    assert [(m.name, m.comment, m.color, m.shape) for m in again] == [
        (m.name, m.comment, m.color, m.shape) for m in markers
    ]
    for a, b in zip(again, markers, strict=True):
        assert (a.x, a.y, a.z, a.radius) == pytest.approx((b.x, b.y, b.z, b.radius), abs=1e-6)


def test_a_file_counts_from_one_and_a_marker_from_zero(tmp_path: Path) -> None:
    path = tmp_path / "a.marker"
    path.write_text("##x,y,z\r\n\r\n1, 2.5 ,3\r\n10,20,30,4,1,soma,the cell,0,255,7\r\n")
    first, second = read_markers(path)
    assert (first.x, first.y, first.z, first.radius) == (0, 1.5, 2, 0)
    assert second == Marker(9, 19, 29, 4, 1, "soma", "the cell", (0, 255, 7))
    write_markers(path, [second])
    assert path.read_text().splitlines()[1].startswith("10.000,20.000,30.000,4,1,soma,the cell,0")


@pytest.mark.parametrize(
    ("text", "said"),
    [("1,2\n", "line 1"), ("#\n1,2,x\n", "line 2: 'x'"), ("1,2,nan\n", "line 1"), ("", "empty"),
     ("1,2,3\0", "binary")],
)  # fmt: skip
def test_marker_files_that_are_none(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.marker"
    path.write_text(text)
    with pytest.raises(BadFile, match=said):
        read_markers(path)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_output(path) as temporary:
        temporary.write_text("half")
        assert temporary.suffix == path.suffix
        raise error
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_an_access_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with (
        pytest.raises(FileAccess, match=r"a\.txt: cannot be written: no space left"),
        atomic_output(path) as temporary,
    ):
        temporary.write_text("half")
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_crops_remember_where_they_came_from() -> None:
    voxels = np.arange(2 * 4 * 5 * 6).reshape(2, 4, 5, 6)
    crop = Volume(voxels).cropped((1, 2, 0, 6, 5, 3)).cropped((1, 0, 1, 3, 2, 2))
    assert crop.origin == (1, 2, 2)
    assert np.array_equal(crop.voxels, voxels[:, 1:2, 2:4, 2:4])
    for wrong in ((0, 0, 0, 7, 1, 1), (3, 0, 0, 3, 1, 1), (-1, 0, 0, 1, 1, 1)):
        with pytest.raises(BadParameter, match="needs 0 <= x0 < x1 <= 6"):
            Volume(voxels).cropped(wrong)


def test_channels_count_from_one() -> None:
    volume = Volume(np.arange(6).reshape(3, 1, 1, 2), source="a.tif")
    assert volume.channel(3).tolist() == [[[4, 5]]]
    for wrong in (0, 4, -1):
        with pytest.raises(BadParameter, match=r"a\.tif: has no channel"):
            volume.channel(wrong)


@pytest.mark.parametrize("shape", [(3, 3, 3), (1, 0, 2, 2)])
def test_what_is_no_volume_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadVolume, match=r"must be \(C, Z, Y, X\)"):
        Volume(np.zeros(shape))
    with pytest.raises(BadVolume, match="spacing"):
        Volume(np.zeros((1, 1, 1, 1)), (0.0, 1.0, 1.0))
