"""Help for a proofreader: grades of segments in ESWC columns, doubts as Vaa3D's markers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dineuro_bridge.trees.marker import Marker
from dineuro_bridge.trees.swc import Eswc
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.confidence import Segments
from dineuro_tracing.doubts import Doubt

_COLORS = {
    "join": (255, 128, 0),
    "end": (0, 128, 255),
    "branch": (0, 128, 255),
    "segment": (255, 0, 0),
}


def graded(tree: Tree, segments: Segments) -> Eswc:
    """The tree with the columns of ESWC, followed by the grades of each node's segment.

    A root belongs to no segment. Its seg_id is -1, its level and gap_share are 0, and its other
    grades are 1.

    Args:
        tree: the tree.
        segments: its segments.
    """
    of_node = segments.of_node
    linked = of_node >= 0

    def by_node(values: Any, at_roots: float) -> Any:
        column = np.full(len(tree), float(at_roots))
        column[linked] = np.asarray(values, dtype=np.float64)[of_node[linked]]
        return column

    zeros = np.zeros(len(tree))
    return Eswc(
        tree,
        {
            "seg_id": of_node.astype(np.float64),
            "level": by_node(segments.levels(), 0),
            "mode": zeros,
            "timestamp": zeros,
            "teraflyindex": zeros,
            "confidence": by_node(segments.confidence, 1),
            "probability": by_node(segments.probability, 1),
            "contrast": by_node(segments.contrast, 1),
            "gap_share": by_node(segments.gap_share, 0),
            "tortuosity": by_node(segments.tortuosity, 1),
        },
    )


def segment_records(segments: Segments) -> list[dict[str, Any]]:
    """The segments as JSON values for the report; `start` and `end` are node ids of the SWC."""
    return [
        {
            "start": int(segments.start[at]) + 1,
            "end": int(segments.end[at]) + 1,
            "length": round(float(segments.length[at]), 2),
            "confidence": round(float(segments.confidence[at]), 3),
            "probability": round(float(segments.probability[at]), 3),
            "contrast": round(float(segments.contrast[at]), 3),
            "gap_share": round(float(segments.gap_share[at]), 3),
            "tortuosity": round(float(segments.tortuosity[at]), 3),
        }
        for at in range(len(segments))
    ]


def pieces_of(doubts: Sequence[Doubt]) -> Tree:
    """The pieces that the tree lacks where doubts are wrong, one tree after the other."""
    return Tree.concatenate([d.missing for d in doubts if d.missing is not None])


def doubt_records(doubts: Sequence[Doubt], layout: str = "neuron") -> list[dict[str, Any]]:
    """The doubts as JSON values for the report; places are x, y, z in voxels from 0.

    `piece` is the id of the root of what the tree lacks, in the SWC of `pieces_of`. `alone` says
    whether what lies beyond a wrong join is a tree of its own: it is where unconnected pieces are
    a part of the result.

    Args:
        doubts: in their order.
        layout: what the trees are; see `Report`.
    """
    sizes = [0 if doubt.missing is None else len(doubt.missing) for doubt in doubts]
    roots = np.cumsum([1, *sizes]).tolist()
    alone = layout in ("field", "all")
    return [
        {
            "kind": doubt.kind,
            "place": [round(value, 1) for value in doubt.place],
            "chance": round(doubt.chance, 3),
            "length": round(doubt.length, 1),
            "across": round(doubt.across, 1),
            "says": sentence(doubt),
            "piece": root if size else None,
            "alone": alone and doubt.kind == "join",
        }
        for doubt, root, size in zip(doubts, roots, sizes, strict=False)
    ]


def as_markers(doubts: Sequence[Doubt]) -> list[Marker]:
    """The doubts as markers, numbered in their order.

    Joins are orange, ends and branches that were left out are blue, and segments are red.
    """
    return [
        Marker(
            *doubt.place,
            name=f"{number} {doubt.kind}",
            comment=sentence(doubt),
            color=_COLORS[doubt.kind],
        )
        for number, doubt in enumerate(doubts, 1)
    ]


def sentence(doubt: Doubt) -> str:
    """The comment of a doubt's marker; it has no comma, because a comma separates the columns."""
    length, across = f"{doubt.length:.0f} voxels", f"{doubt.across:.0f} voxels"
    if doubt.kind == "join":
        return f"joined over {across}; {doubt.chance:.0%} sure; {length} hang on it"
    if doubt.kind == "end":
        likely = f"{1 - doubt.chance:.0%} likely"
        return f"may go on over {across} to a piece of {length}; {likely}; left out"
    if doubt.kind == "branch":
        return f"branch of {length}; {1 - doubt.chance:.0%} likely; left out"
    return f"segment of {length}; {doubt.chance:.0%} sure"
