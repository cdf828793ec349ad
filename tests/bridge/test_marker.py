"""`.marker` files: counted from 1 in the file and from 0 in memory, read with tolerance."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dineuro_bridge.errors import BadFile, DineuroError, FileAccess
from dineuro_bridge.trees.marker import Marker, read_markers, write_markers

AGAIN = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def read(path: Path, content: str | bytes) -> tuple[Marker, ...]:
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(raw)
    return read_markers(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.marker"


def test_the_file_counts_from_one(path: Path) -> None:
    write_markers(path, [Marker(0, 1.5, 99, 4, 2, "soma", "seen", (1, 2, 3))])
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("##x,y,z,radius,shape,name,comment")
    assert lines[1:] == ["1.000,2.500,100.000,4,2,soma,seen,1,2,3"]
    assert read_markers(path) == (Marker(0, 1.5, 99, 4, 2, "soma", "seen", (1, 2, 3)),)


WORDS = st.text(max_size=12).map(lambda t: " ".join(t.replace("\0", "").split()))


@AGAIN
@given(st.lists(st.tuples(*[st.integers(-(10**6), 10**6)] * 3, WORDS, WORDS), max_size=4))
def test_any_name_and_place_comes_back(
    path: Path, rows: list[tuple[int, int, int, str, str]]
) -> None:
    made = tuple(
        Marker(x / 8, y / 8, z / 8, 1.5, 0, name, said, (0, 128, 255))
        for x, y, z, name, said in rows
    )
    write_markers(path, made)
    assert read_markers(path) == made


def test_a_line_break_in_a_name_makes_no_second_marker(path: Path) -> None:
    write_markers(path, [Marker(1, 2, 3, name="a\nb\r\u2028c", comment="7,8,9\n7,8,9")])
    (again,) = read_markers(path)
    assert (again.name, again.comment) == ("a b c", "7,8,9 7,8,9")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,3", [Marker(0, 1, 2)]),
        ("# x\n\n  \n 1 , 2.5 , 3e1 \n", [Marker(0, 1.5, 29)]),
        ("\ufeff##x,y,z\r\n1,2,3\r\n", [Marker(0, 1, 2)]),
        ("1,2,3\r4,5,6\r", [Marker(0, 1, 2), Marker(3, 4, 5)]),
        ("1,2,3,,,,,,,", [Marker(0, 1, 2)]),
        ("1,2,3,7,1,a,b,0,0,9,extra,more", [Marker(0, 1, 2, 7, 1, "a", "b", (0, 0, 9))]),
        ('1,2,3,0,1,"a, ""b""",c', [Marker(0, 1, 2, 0, 1, 'a, "b"', "c")]),
        ("0,0,0,0,1.0,n,c,255.0,0,0", [Marker(-1, -1, -1, 0, 1, "n", "c")]),
        ("##only a comment\n", []),
    ],
)
def test_tolerant_reading(text: str, expected: list[Marker], path: Path) -> None:
    assert list(read(path, text)) == expected


def test_a_name_in_another_encoding_does_not_cost_the_place(path: Path) -> None:
    (marker,) = read(path, "1,2,3,0,1,µ".encode("latin-1"))
    assert (marker.x, marker.y, marker.z) == (0, 1, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2", "line 1: '' is not a number"),
        ("1 2 3\n", "line 1: '1 2 3'"),
        ("##x\n\n1,2,3\n4,x,6\n", "line 4: 'x'"),
        ("1,2,nan", "line 1: 'nan'"),
        ("inf,2,3", "line 1: 'inf'"),
        ("1,2,1e999", "line 1: '1e999'"),
        ("1,2,3,big", "line 1: 'big'"),
        ("1,2,3,0,1,n,c,red,0,0", "line 1: 'red'"),
        ("1,2,3\0", "binary"),
        ("", "the file is empty"),
    ],
)
def test_what_is_no_marker_is_named_with_its_line(text: str, said: str, path: Path) -> None:
    with pytest.raises(BadFile, match=said) as caught:
        read(path, text)
    assert str(caught.value).startswith(f"{path}: ")


def test_an_endless_name_is_read_or_refused(path: Path) -> None:
    try:
        assert len(read(path, "1,2,3,0,1," + "n" * 200_000)) == 1
    except DineuroError as error:
        assert "line 1" in str(error)  # noqa: PT017 - either answer is right, a crash is not


@AGAIN
@given(st.binary(max_size=60))
def test_any_bytes_are_markers_or_an_error(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    try:
        assert all(isinstance(marker, Marker) for marker in read_markers(path))
    except DineuroError as error:
        assert str(error).startswith(str(path))  # noqa: PT017


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_place_that_could_not_be_read_again_is_never_written(wrong: float, path: Path) -> None:
    with pytest.raises(DineuroError):
        write_markers(path, [Marker(wrong, 0, 0)])
    assert not list(path.parent.iterdir())


def test_paths_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(FileAccess, match="is a folder"):
        read_markers(tmp_path)
    with pytest.raises(FileAccess, match="cannot be read"):
        read_markers(tmp_path / "missing.marker")
    with pytest.raises(FileAccess, match="cannot be written"):
        write_markers(tmp_path / "no" / "a.marker", [])
    with pytest.raises(FileAccess):
        write_markers("", [])
