"""Trees, masks and doubts as data of layers, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dineuro_bridge.errors import BadTree
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.volume import Volume
from dineuro_napari import layers
from tests.napari.stacks import small_tree


def same(a: Tree, b: Tree) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("xyz", "radii", "parents", "types")
    )


def test_a_vector_goes_from_each_node_to_its_parent() -> None:
    data, arguments, kind = layers.tree_layer(small_tree(), confidence={2: 0.4})
    assert kind == "vectors"
    assert data.shape == (4, 2, 3)
    assert data[3].tolist() == [[6, 26, 14], [-1, -6, 0]]
    assert data[0, 1].tolist() == [0, 0, 0]
    assert arguments["features"]["parent"].tolist() == [-1, 1, 2, 2]
    assert arguments["features"]["confidence"].tolist() == [1, 0.4, 1, 1]
    assert (arguments["edge_color"], arguments["edge_contrast_limits"]) == ("confidence", (0, 1))


@given(st.integers(0, 40), st.randoms(use_true_random=False))
def test_a_tree_comes_back_from_its_layer(count: int, random: Any) -> None:
    parents = [random.randrange(-1, at) if at else -1 for at in range(count)]
    xyz = np.array([[random.randrange(99) for _ in "xyz"] for _ in parents]).reshape(-1, 3)
    kinds = np.arange(count) % 5
    tree = Tree.from_links(xyz, np.arange(count) + 0.5, parents, kinds, ("of a file",))
    data, arguments, _ = layers.tree_layer(tree, np.arange(count) * 3 + 7)
    back = layers.tree_of(data, arguments).tree
    assert same(back, tree)
    assert back.comments == ("of a file",)


def test_the_confidence_comes_back_beside_its_node() -> None:
    data, arguments, _ = layers.tree_layer(small_tree(), confidence={1: 1.0, 2: 0.7, 3: 0.2})
    turned = {name: column[::-1] for name, column in arguments["features"].items()}
    graded = layers.tree_of(data[::-1], {**arguments, "features": turned})
    by_place = dict(
        zip(map(tuple, graded.tree.xyz.tolist()), graded.columns["confidence"], strict=True)
    )
    assert by_place == {(10, 20, 5): 1.0, (14, 20, 5): 0.7, (18, 20, 5): 0.2, (14, 26, 6): 1.0}
    assert list(graded.columns)[:5] == ["seg_id", "level", "mode", "timestamp", "teraflyindex"]


def test_other_vectors_are_no_tree() -> None:
    with pytest.raises(BadTree, match="flow: is no tree"):
        layers.tree_of(np.zeros((2, 2, 3)), {"name": "flow", "features": {"angle": [0, 1]}})


def test_a_tree_in_micrometres_lies_in_micrometres() -> None:
    tree = small_tree().with_comments(("coordinates x y z, um, 0-based",))
    assert layers.tree_layer(tree)[1]["units"] == ("um", "um", "um")
    assert "units" not in layers.tree_layer(small_tree())[1]


def test_a_segment_grades_the_nodes_above_its_end_without_its_start() -> None:
    segments = [
        {"start": 1, "end": 2, "confidence": 0.9}, {"start": 2, "end": 3, "confidence": 0.3},
        {"start": 2, "end": 4, "confidence": 0.5},
    ]  # fmt: skip
    assert layers.confidences(small_tree(), segments) == {2: 0.9, 3: 0.3, 4: 0.5}
    assert layers.confidences(small_tree(), [{"start": 9, "end": 9, "confidence": 0.5}]) == {}


def test_a_mask_is_labels_over_the_image() -> None:
    voxels = np.zeros((1, 4, 5, 6), np.uint8)
    voxels[0, 1, 2, 3] = 255
    place = {"scale": np.array([2, 1, 1]), "translate": np.array([5, 0, 0])}
    data, arguments, kind = layers.mask_layer(Volume(voxels), (4, 5, 6), "mask", place)
    assert (kind, data.dtype, np.argwhere(data).tolist(), data.max()) == (
        "labels", np.uint8, [[1, 2, 3]], 1,
    )  # fmt: skip
    assert arguments["translate"].tolist() == [5, 0, 0]


def test_the_mask_of_a_box_is_moved_as_the_image_is_turned() -> None:
    mask = Volume(np.zeros((1, 2, 2, 2), np.uint8), origin=(3, 4, 5))
    turn = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    place = {"scale": np.array([2, 1, 1]), "translate": np.array([1, 1, 1]), "rotate": turn}
    arguments = layers.mask_layer(mask, (9, 9, 9), "mask", place)[1]
    assert arguments["translate"].tolist() == [7, -4, 5]


def test_doubts_are_points_in_the_colour_of_their_kind_or_answer() -> None:
    doubts = [{"kind": "join", "place": [1.0, 2.0, 3.0]}, {"kind": "end", "place": [4.0, 5.0, 6.0]}]
    data, arguments, kind = layers.doubt_layer(doubts, "doubts", {})
    assert (kind, data.tolist()) == ("points", [[3, 2, 1], [6, 5, 4]])
    assert arguments["features"]["number"].tolist() == [1, 2]
    before = layers.doubt_colours(doubts, {})
    after = layers.doubt_colours(doubts, {2: "accepted"})
    assert before[0] == after[0]
    assert len({*before, after[1]}) == 3
    assert layers.doubt_layer([], "doubts", {})[0].shape == (0, 3)


def test_each_channel_is_an_image_in_micrometres() -> None:
    volume = Volume(np.arange(2 * 2 * 3 * 4, dtype=np.uint8).reshape(2, 2, 3, 4), (2.0, 0.5, 0.5))
    first, second = layers.channel_layers(volume, "cell")
    assert (first[1]["name"], second[1]["name"]) == ("cell channel 1", "cell channel 2")
    assert np.array_equal(second[0], volume.voxels[1])
    assert (second[1]["scale"], second[1]["units"]) == ((2.0, 0.5, 0.5), ("um",) * 3)
    (single,) = layers.channel_layers(Volume(volume.voxels[:1]), "cell")
    assert single[1]["name"] == "cell"
    assert "scale" not in single[1]
