"""Branches that are more likely wrong than right are removed, and reported as doubts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import dineuro_tracing.pruning as pruning
from dineuro.pipeline import reconstruct as pipeline
from dineuro_bridge.errors import BadParameter
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.volume import Volume
from dineuro_tracing.confidence import Segments, assess
from dineuro_tracing.doubts import Doubt
from dineuro_tracing.pruning import prune
from dineuro_tracing.trace import Trace
from tests.support.shapes import line, paint

#: A stem of 8 voxels, at its end a long and a short twig; on the short one two further twigs.
TREE = Tree(
    xyz=np.array(
        [[0, 9, 0], [8, 9, 0], [28, 9, 0], [8, 13, 0], [8, 17, 0], [13, 13, 0]], dtype=float
    ),
    radii=np.ones(6),
    parents=np.array([-1, 0, 1, 1, 3, 3]),
    types=np.array([1, 3, 3, 3, 3, 3]),
)
FLAT = np.zeros((4, 24, 40), dtype=np.uint8)


def with_confidences(
    monkeypatch: pytest.MonkeyPatch, by_end: dict[tuple[float, ...], float]
) -> None:
    """Segments are graded by where they end; 0.95 elsewhere."""

    def graded(tree: Tree, *rest: object) -> Segments:
        segments = assess(tree, *rest)  # type: ignore[arg-type]
        ends = [tuple(tree.xyz[end].tolist()) for end in segments.end]
        return replace(segments, confidence=np.array([by_end.get(end, 0.95) for end in ends]))

    monkeypatch.setattr(pruning, "assess", graded)


def traced(tree: Tree, doubts: tuple[Doubt, ...] = ()) -> Trace:
    joined = np.zeros(len(tree), dtype=np.bool_)
    return Trace(tree, joined, doubts, 10.0, "soma", 3.0)


def points(tree: Tree) -> list[list[float]]:
    return [list(map(float, place)) for place in tree.xyz]


STEM, LONG, SHORT, TWIG, OTHER = ((x, y, z) for x, y, z in points(TREE)[1:])


def test_an_unlikely_branch_goes_with_all_that_hangs_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_confidences(monkeypatch, {SHORT: 0.3, TWIG: 0.2, OTHER: 0.7})
    left, segments = prune(traced(TREE), FLAT, FLAT, min_confidence=0.6)
    assert points(left.tree) == [[0, 9, 0], [8, 9, 0], [28, 9, 0]]
    assert left.tree.parents.tolist() == [-1, 0, 1]
    assert left.left_out == pytest.approx(10 + 13)
    # What was a fork is one segment now.
    assert segments.length.tolist() == [28]
    (doubt,) = left.doubts
    assert (doubt.kind, doubt.place) == ("branch", STEM)
    assert doubt.length == pytest.approx(13)
    assert doubt.chance == pytest.approx(1 - (4 * 0.3 + 4 * 0.2 + 5 * 0.7) / 13)
    assert doubt.missing is not None
    assert points(doubt.missing) == [list(SHORT), list(TWIG), list(OTHER)]
    assert doubt.missing.parents.tolist() == [-1, 0, 0]


def test_a_doubtful_stretch_stays_where_what_lies_beyond_it_is_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_confidences(monkeypatch, {SHORT: 0.3, TWIG: 0.2, OTHER: 0.95})
    left, _ = prune(traced(TREE), FLAT, FLAT, min_confidence=0.6)
    assert points(left.tree) == [*points(TREE)[:4], list(OTHER)]


def test_with_0_nothing_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    with_confidences(monkeypatch, {SHORT: 0.0, TWIG: 0.0, OTHER: 0.0})
    before = traced(TREE)
    assert prune(before, FLAT, FLAT, min_confidence=0)[0] is before


def test_where_half_of_the_tree_would_go_nothing_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with_confidences(monkeypatch, {LONG: 0.1, SHORT: 0.1, TWIG: 0.1, OTHER: 0.1})
    before = traced(TREE)
    assert prune(before, FLAT, FLAT, min_confidence=0.6)[0] is before


def test_doubts_about_what_went_go_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with_confidences(monkeypatch, {SHORT: 0.3, TWIG: 0.2, OTHER: 0.3})
    gone, stays = Doubt("end", TWIG, 0.5, 30, 9), Doubt("end", LONG, 0.5, 30, 9)
    left, _ = prune(traced(TREE, (gone, stays)), FLAT, FLAT, min_confidence=0.6)
    assert [doubt.kind for doubt in left.doubts] == ["end", "branch"]
    assert left.doubts[0] == stays


@pytest.mark.parametrize("confidence", [0.1, 0.9])
def test_a_further_tree_goes_whole_or_stays(
    monkeypatch: pytest.MonkeyPatch, confidence: float
) -> None:
    two = Tree(
        np.concatenate([TREE.xyz, [[30, 20, 3], [34, 20, 3], [39, 20, 3]]]),
        np.ones(9),
        np.concatenate([TREE.parents, [-1, 6, -1]]),
        np.full(9, 3),
    )
    with_confidences(monkeypatch, {(34.0, 20.0, 3.0): confidence})
    left, _ = prune(traced(two), FLAT, FLAT, min_confidence=0.6)
    # A root that never bore anything is no branch.
    assert left.tree.n_trees == (2 if confidence < 0.6 else 3)
    assert points(left.tree)[-1] == [39, 20, 3]


def test_the_joined_links_of_what_is_left_stay_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    with_confidences(monkeypatch, {SHORT: 0.3, TWIG: 0.2, OTHER: 0.3})
    joined: NDArray[np.bool_] = np.array([False, False, True, True, False, False])
    left, _ = prune(replace(traced(TREE), joined=joined), FLAT, FLAT, min_confidence=0.6)
    assert left.joined.tolist() == [False, False, True]


def test_an_empty_tree_stays_empty() -> None:
    left, segments = prune(traced(Tree.empty()), FLAT, FLAT, min_confidence=0.6)
    assert (len(left.tree), len(segments)) == (0, 0)


def test_the_option_min_confidence_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    least: list[float] = []

    def record(*args: object, min_confidence: float, **rest: object) -> tuple[Trace, Segments]:
        least.append(min_confidence)
        return prune(*args, min_confidence=min_confidence, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "prune", record)
    options = TraceOptions(enhancer="none", min_confidence=0.25)
    stack = Volume(paint([line((8, 30, 20), (92, 30, 20))], (40, 60, 100))[None])
    pipeline.reconstruct(stack, options)
    assert least == [0.25]
    with pytest.raises(BadParameter, match="min_confidence"):
        TraceOptions(min_confidence=1.5)
    with pytest.raises(BadParameter, match="min_confidence nan"):
        TraceOptions(min_confidence=float("nan"))
