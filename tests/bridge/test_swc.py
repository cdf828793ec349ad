"""SWC and ESWC: tolerant when reading, strict when writing."""

from __future__ import annotations

from pathlib import Path

import morphio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dineuro_bridge.errors import BadFile, BadInput, BadTree, FileAccess
from dineuro_bridge.trees.swc import Eswc, read_eswc, read_swc, swc_text, write_eswc, write_swc
from dineuro_bridge.trees.tree import Tree

SOMA = "1 1 0 0 0 1 -1\n"
VAA3D_LINE = 999


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "neuron.swc"


def read(place: Path, content: str | bytes) -> Tree:
    place.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_swc(place)


def lone(*comments: str) -> Tree:
    return Tree(np.zeros((1, 3)), np.ones(1), np.array([-1]), np.array([1]), comments)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Forests in depth-first order with coordinates of at most 3 decimals."""
    n = draw(st.integers(0, 12))
    numbers = st.integers(-(10**9), 10**9).map(lambda thousandths: thousandths / 1000)
    comment = st.text(st.characters(exclude_categories=("Z", "C")), max_size=40)
    return Tree.from_links(
        [[draw(numbers) for _ in range(3)] for _ in range(n)],
        [abs(draw(numbers)) for _ in range(n)],
        [draw(st.integers(-1, i - 1)) for i in range(n)],
        [draw(st.integers(0, 7)) for _ in range(n)],
        tuple(draw(st.lists(comment, max_size=3))),
    )


def assert_same(one: Tree, other: Tree) -> None:
    assert one.xyz.tolist() == other.xyz.tolist()
    assert one.radii.tolist() == other.radii.tolist()
    assert one.parents.tolist() == other.parents.tolist()
    assert one.types.tolist() == other.types.tolist()
    assert one.comments == other.comments


# Writing


def test_the_bytes_of_a_small_file(place: Path) -> None:
    tree = Tree(
        np.array([[0.0, -0.0004, 10.0], [1.5, 1234567.8904, 100.0], [-2.25, 1e-7, 0.1234567]]),
        np.array([5.0, 0.5, 1.0]),
        np.array([-1, 0, -1]),
        np.array([1, 3, 0]),
        ("made by hand", ""),
    )
    write_swc(place, tree)
    assert place.read_bytes() == (
        b"# made by hand\n"
        b"#\n"
        b"# n type x y z radius parent\n"
        b"1 1 0 0 10 5 -1\n"
        b"2 3 1.5 1234567.89 100 0.5 1\n"
        b"3 0 -2.25 0 0.123 1 -1\n"
    )


@given(trees())
@settings(max_examples=60)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, tree: Tree) -> None:
    place = tmp_path_factory.getbasetemp() / "round.swc"
    write_swc(place, tree)
    first = place.read_bytes()
    again = read_swc(place)
    assert_same(again, tree)
    write_swc(place, again)
    assert place.read_bytes() == first


def test_parents_come_first_and_words_stand_one_space_apart() -> None:
    tree = Tree.from_links([[1, 2, 3]] * 4, [1] * 4, [3, 0, 1, -1], [3, 3, 3, 1])
    rows = [line.split(" ") for line in swc_text(tree).splitlines()[1:]]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert [row[6] for row in rows] == ["-1", "1", "2", "3"]
    assert all(len(row) == 7 and all(row) for row in rows)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\v", "\f", "\x85", "\u2028"])
def test_a_comment_cannot_become_a_node(place: Path, end: str) -> None:
    write_swc(place, lone(f"name{end}2 3 9 9 9 1 1"))
    assert len(read_swc(place)) == 1
    assert b"\n2 3 9" not in place.read_bytes()


@pytest.mark.parametrize("comment", ["word " * 500, "x" * 3000, "µ" * 899, "€" * 3000])
def test_lines_fit_into_vaa3ds_buffer(comment: str) -> None:
    lines = swc_text(lone(comment)).encode().split(b"\n")
    assert max(len(line) for line in lines) < VAA3D_LINE
    text = b"".join(line.removeprefix(b"# ") for line in lines[:-3]).decode()
    assert text.replace(" ", "") == comment.replace(" ", "")


@pytest.mark.parametrize("name", ["bad\udcff.tif", "bad\0.tif"])
def test_any_comment_can_be_written_and_read(place: Path, name: str) -> None:
    write_swc(place, lone(f"input {name}"))
    assert read_swc(place).comments[0].startswith("input bad")


@pytest.mark.parametrize("value", [1e200, -1e307])
def test_coordinates_that_no_reader_takes_are_refused(place: Path, value: float) -> None:
    with pytest.raises(BadTree):
        write_swc(place, lone().moved((value, 0, 0)))
    assert not place.exists()


def test_a_failed_write_leaves_nothing(place: Path) -> None:
    with pytest.raises(FileAccess, match=r"missing/neuron\.swc"):
        write_swc(place.parent / "missing" / place.name, lone())
    assert list(place.parent.iterdir()) == []


def test_an_empty_tree_is_a_file_of_comments(place: Path) -> None:
    write_swc(place, Tree.empty(("nothing found",)))
    assert_same(read_swc(place), Tree.empty(("nothing found",)))


def test_morphio_reads_it_without_a_warning(place: Path) -> None:
    xyz = [[0, 0, 0], [8, 0, 0], [16, 1, 0], [20, 5, 1], [20, -5, 1], [0, 9, 0], [0, 18, 2]]
    types = [1, 2, 2, 2, 2, 3, 3]
    tree = Tree.from_links(xyz, [4, 1, 1, 0.5, 0.5, 1, 1], [-1, 0, 1, 2, 2, 0, 5], types)
    write_swc(place, tree)
    morphio.set_raise_warnings(True)
    try:
        neuron = morphio.Morphology(place)
    finally:
        morphio.set_raise_warnings(False)
    assert neuron.soma.center.tolist() == [0, 0, 0]
    assert [section.points.tolist() for section in neuron.iter()] == [
        [[8, 0, 0], [16, 1, 0]],
        [[16, 1, 0], [20, 5, 1]],
        [[16, 1, 0], [20, -5, 1]],
        [[0, 9, 0], [0, 18, 2]],
    ]
    assert neuron.diameters.tolist()[:2] == [2, 2]


# Reading


@pytest.mark.parametrize(
    "content",
    [
        "1 1 0 0 0 1 -1\n2 3 1.5 -2 3 0.5 1\n",
        "1 1 0 0 0 1 -1\n2 3 1.5 -2 3 0.5 1",
        "1 1 0 0 0 1 -1\r\n2 3 1.5 -2 3 0.5 1\r\n",
        "1 1 0 0 0 1 -1\r2 3 1.5 -2 3 0.5 1\r",
        "\ufeff1 1 0 0 0 1 -1\n2 3 1.5 -2 3 0.5 1\n",
        "  1\t1 0  0\t\t0 1 -1 \n\n\t2 3   1.5 -2 3 0.5 1\t\n\n",
        "1,1,0,0,0,1,-1\n2, 3, 1.5, -2, 3, 0.5, 1\n",
        "1.0 1.0 0.0 0 0 1 -1.0\n2.0 3.0 15e-1 -2.000 3 .5 1.0\n",
        "41 1 0 0 0 1 -1\n7 3 1.5 -2 3 0.5 41\n",
        "0 1 0 0 0 1 -7\n1 3 1.5 -2 3 0.5 0\n",
        "2 3 1.5 -2 3 0.5 1\n1 1 0 0 0 1 -1\n",
        "1 1 0 0 0 1 -1 5 6 words here\n2 3 1.5 -2 3 0.5 1 7\n",
        "1 1 0 0 0 1 -1 # soma\n2 3 1.5 -2 3 0.5 1\n",
    ],
    ids=[
        *("plain", "no newline", "crlf", "cr", "bom", "spaces", "commas", "floats"),
        *("any ids", "from zero", "unsorted", "more columns", "comment behind"),
    ],
)
def test_dialects(place: Path, content: str) -> None:
    tree = read(place, content)
    assert tree.xyz.tolist() == [[0, 0, 0], [1.5, -2, 3]]
    assert tree.radii.tolist() == [1, 0.5]
    assert tree.parents.tolist() == [-1, 0]
    assert tree.types.tolist() == [1, 3]
    assert tree.comments == ()


def test_several_roots(place: Path) -> None:
    tree = read(place, SOMA + "5 2 1 1 1 1 -1\n9 2 2 2 2 1 5\n3 4 3 3 3 1 1\n")
    assert tree.parents.tolist() == [-1, 0, -1, 2]
    assert tree.types.tolist() == [1, 4, 2, 2]


def test_comments_are_kept_wherever_they_stand(place: Path) -> None:
    tree = read(place, f"# first\n#second\n{SOMA}  # third\n#\n")
    assert tree.comments == ("first", "second", "third", "")


def test_comments_of_the_last_century(place: Path) -> None:
    assert read(place, b"# caf\xe9, in \xb5m\n" + SOMA.encode()).comments == ("café, in µm",)


def test_comments_alone_are_an_empty_tree(place: Path) -> None:
    tree = read(place, "# nothing here\n")
    assert len(tree) == 0
    assert tree.comments == ("nothing here",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SOMA + "2 3 0 0 0 1 3\n3 3 0 0 0 1 2\n", r"line 2: .*cycle"),
        ("# c\n" + SOMA + "2 3 0 0 0 1 3\n3 3 0 0 0 1 4\n4 3 0 0 0 1 3\n", r"line 4: .*cycle"),
        (SOMA + "2 3 0 0 0 1 2\n", r"line 2: .*own ancestor"),
        (SOMA + "2 3 0 0 0 1 9\n", r"line 2: parent 9 of node 2 is missing"),
        ("1 1 0 0 0 1 0\n", r"line 1: parent 0 of node 1 is missing"),
        (SOMA + "2 3 0 0 0 1 1\n\n1 3 0 0 0 1 1\n", r"line 4: id 1 is already on line 1"),
        (SOMA + "2 3 0 0 1\n", r"line 2 has 5 columns"),
        ("1 1 0 0 0 -1\n", r"line 1 has 6 columns"),
        ("id,type,x,y,z,radius,parent\n" + SOMA, r"line 1: 'id'"),
        (SOMA + "2 3 0 zero 0 1 1\n", r"line 2: 'zero'"),
        (SOMA + "2 3 0 nan 0 1 1\n", r"line 2: 'nan'"),
        (SOMA + "2 3 0 0 0 inf 1\n", r"line 2: 'inf'"),
        (SOMA + "2 3 0 0 -1e400 1 1\n", r"line 2: '-1e400'"),
        (SOMA + "99999999999999999999 3 0 0 0 1 1\n", r"line 2: '9{20}'"),
        (SOMA + "2.5 3 0 0 0 1 1\n", r"line 2: id 2\.5"),
        (SOMA + "2 3.5 0 0 0 1 1\n", r"line 2: type 3\.5"),
        (SOMA + "2 3 0 0 0 1 1.5\n", r"line 2: parent 1\.5"),
        ("1 1 5,0 6,0 -1,0 1,0 -1\n", r"line 1"),
        ("0,1,0,0,0,1,-1\n1,3,5,5,,7,1,0\n", r"line 2"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", r"binary"),
        (bytes(range(128, 256)) * 9, r"line 1"),
    ],
    ids=[
        *("cycle", "leads to cycle", "self", "no parent", "root 0", "twice", "short", "no radius"),
        *("header", "word", "nan", "inf", "overflow", "huge id", "half id", "half type"),
        *("half parent", "decimal commas", "empty field", "binary", "bytes"),
    ],
)
def test_bad_files_name_file_and_line(place: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read(place, content)
    assert str(caught.value).startswith(f"{place}: ")


def test_an_empty_file_is_no_empty_tree(place: Path) -> None:
    with pytest.raises(BadFile, match="empty"):
        read(place, b"")


def test_what_cannot_be_opened(place: Path) -> None:
    for path in (place, place.parent):
        with pytest.raises(FileAccess) as caught:
            read_swc(path)
        assert str(caught.value).startswith(f"{path}: ")


# ESWC


def test_eswc_columns_follow_their_nodes(place: Path) -> None:
    place.write_text(
        "2 3 1 0 0 1 1 20 21 22 23 24 0.5 0.25\n"
        "1 1 0 0 0 1 -1 10 11 12 13 14 1.5\n"
        "3 3 2 0 0 1 2 30\n"
    )
    eswc = read_eswc(place)
    assert eswc.tree.xyz[:, 0].tolist() == [0, 1, 2]
    expected = {
        "seg_id": [10, 20, 30],
        "level": [11, 21, np.nan],
        "mode": [12, 22, np.nan],
        "timestamp": [13, 23, np.nan],
        "teraflyindex": [14, 24, np.nan],
        "feature_1": [1.5, 0.5, np.nan],
        "feature_2": [np.nan, 0.25, np.nan],
    }
    assert list(eswc.columns) == list(expected)
    for name, column in expected.items():
        np.testing.assert_array_equal(eswc.columns[name], column)


def test_the_bytes_of_a_small_eswc(place: Path) -> None:
    tree = Tree([[0, 0, 0], [1, 2, 3]], [1, 0.5], [-1, 0], [1, 3], ("made up",))  # type: ignore[arg-type]
    columns = {"seg_id": np.array([-1.0, 0]), "confidence": np.array([1, 0.123456])}
    write_eswc(place, Eswc(tree, columns))
    assert place.read_text() == (
        "# made up\n"
        "# n type x y z radius parent seg_id confidence\n"
        "1 1 0 0 0 1 -1 -1 1\n"
        "2 3 1 2 3 0.5 1 0 0.1235\n"
    )
    again = read_eswc(place)
    assert again.tree.comments == ("made up",)
    assert again.columns["level"].tolist() == [1, 0.1235]  # columns count, not names


@pytest.mark.parametrize("column", [np.zeros(3), np.array([0, np.nan])])
def test_a_column_that_does_not_fit_is_refused_and_nothing_written(
    place: Path, column: np.ndarray
) -> None:
    tree = Tree([[0, 0, 0], [1, 2, 3]], [1, 0.5], [-1, 0], [1, 3])  # type: ignore[arg-type]
    with pytest.raises(BadTree, match="confidence must be 2 finite numbers"):
        write_eswc(place, Eswc(tree, {"confidence": column}))
    assert not place.exists()


def test_a_plain_swc_has_no_further_columns(place: Path) -> None:
    place.write_text(SOMA)
    assert read_eswc(place).columns == {}


def test_a_word_in_a_further_column_is_named(place: Path) -> None:
    place.write_text(SOMA + "2 3 1 0 0 1 1 0 word\n")
    with pytest.raises(BadTree, match="line 2: 'word'"):
        read_eswc(place)


# Real files


@pytest.mark.slow
def test_every_real_file_comes_back(shared_data: Path, place: Path) -> None:
    known_bad = {"Neuron_missing_ids.swc", "Neuron_missing_parents.swc"}
    paths = sorted(shared_data.rglob("*.swc"))
    assert len(paths) > 100
    for path in paths:
        if path.name.split("swc_")[-1] in known_bad:
            with pytest.raises(BadTree, match="line 40: parent 5 of node 6 is missing"):
                read_swc(path)
            continue
        tree = read_swc(path)
        write_swc(place, tree)
        once = read_swc(place)
        assert once.parents.tolist() == tree.parents.tolist(), path.name
        assert once.types.tolist() == tree.types.tolist(), path.name
        assert np.abs(once.xyz - tree.xyz).max() <= 0.000501, path.name
        text = place.read_bytes()
        write_swc(place, once)
        assert place.read_bytes() == text, path.name
