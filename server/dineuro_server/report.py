"""What is known of a reconstruction, and what a person should be told of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dineuro_tracing.scores import length_samples
from dineuro_tracing.trace import Trace

#: A voxel of the mask is explained when it lies within this factor and margin of a node's radius.
_REACH_SHARE, _REACH = 1.5, 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of one reconstruction; lengths in voxels (of the finest axis), shares 0..1.

    Attributes:
        nodes, trees, forks, tips: counts of the tree's nodes.
        length: of all links.
        root: what the first root stands on: "soma", "marker", "end" (no soma found), "none".
        soma_radius: where a soma was found.
        mask_voxels, mask_share: the enhanced volume's foreground.
        explained: share of the mask's voxels that lie in or beside the tree.
        supported: share of the tree's length that runs through the mask.
        joined_gaps: stretches of the tree that cross a gap of the mask; joined_length their length.
        left_out: length of the pieces that were traced and are not part of the result.
        warnings: sentences for a person.
    """

    nodes: int
    trees: int
    forks: int
    tips: int
    length: float
    root: str
    soma_radius: float | None
    mask_voxels: int
    mask_share: float
    explained: float
    supported: float
    joined_gaps: int
    joined_length: float
    left_out: float
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: plain values only, rounded as far as they mean something."""
        plain = asdict(self)
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in plain.items()}


def make_report(trace: Trace, mask: NDArray[np.bool_], warnings: tuple[str, ...] = ()) -> Report:
    """Measure a trace against the mask (Z, Y, X) it was made from, in the same coordinates."""
    tree = trace.tree
    voxels = int(np.count_nonzero(mask))
    lengths = tree.link_lengths
    joined = trace.joined
    # A run of joined links is one gap: it begins where the parent's link is not joined.
    begins = joined & ~joined[np.maximum(tree.parents, 0)]
    report = Report(
        nodes=len(tree),
        trees=tree.n_trees,
        forks=len(tree.forks),
        tips=len(tree.tips),
        length=tree.length,
        root=trace.root_kind,
        soma_radius=trace.soma_radius,
        mask_voxels=voxels,
        mask_share=voxels / mask.size,
        explained=_explained(trace, mask) if voxels and len(tree) else 0.0,
        supported=_supported(trace, mask) if len(tree) else 0.0,
        joined_gaps=int(begins.sum()),
        joined_length=float(lengths[joined].sum()),
        left_out=trace.left_out,
        warnings=(),
    )
    return _with_warnings(report, warnings)


def _with_warnings(report: Report, before: tuple[str, ...]) -> Report:
    found = list(before)
    if report.mask_share > 0.5:
        found.append(
            f"{report.mask_share:.0%} of the volume is foreground: is the image inverted, or the "
            "threshold too low?"
        )
    if report.nodes == 0 and not before:
        found.append("no neurite was found: the tree is empty")
    if report.nodes and report.root == "end":
        found.append("no soma was found: the root is the thickest end (--root or --marker sets it)")
    if report.nodes and (report.explained < 0.5 or report.left_out > report.length):
        found.append(
            f"the tree explains {report.explained:.0%} of the foreground, and pieces of "
            f"{report.left_out:.0f} voxels in all are not connected to it: several neurons, a "
            "broken one, or noise? (--trees all keeps every piece, --gap joins over wider gaps)"
        )
    if report.nodes and report.joined_length > 0.2 * report.length:
        found.append(
            f"{report.joined_length / report.length:.0%} of the tree's length crosses gaps of the "
            "mask: look at these joins first"
        )
    return Report(**{**asdict(report), "warnings": tuple(found)})


def _explained(trace: Trace, mask: NDArray[np.bool_]) -> float:
    """Share of the mask's voxels within reach of a node; each looks at its nearest node alone."""
    nodes = KDTree(trace.tree.xyz)
    places = np.argwhere(mask)[:, ::-1]
    away, node = nodes.query(places, workers=-1)
    reach = _REACH_SHARE * trace.tree.radii[node] + _REACH
    return float(np.mean(away <= reach))


def _supported(trace: Trace, mask: NDArray[np.bool_]) -> float:
    """Share of the tree's length whose nearest voxel is in the mask, or touches it."""
    points, weights = length_samples(trace.tree)
    at = np.rint(points[:, ::-1]).astype(np.int64)
    inside = np.zeros(len(at), dtype=np.bool_)
    for step in np.ndindex(3, 3, 3):
        beside = np.clip(at + np.array(step) - 1, 0, np.array(mask.shape) - 1)
        inside |= mask[tuple(beside.T)]
    return float(weights[inside].sum() / weights.sum())
