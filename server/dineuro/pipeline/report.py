"""What is known of a reconstruction, and what a person should be told of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dineuro.pipeline.enhancement import LEAST_BRIGHTER, Enhancement
from dineuro.pipeline.second_pass import Pass
from dineuro_bridge.scale import CUBES, VoxelScale
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.sampling import length_samples

#: A voxel of the mask is explained when it lies within this factor and margin of a node's radius.
_REACH_SHARE, _REACH = 1.5, 2.0
#: Below this share of what stands out mask and image disagree; see `agreement`.
_LEAST_FOUND = 0.6
#: A network less sure than this of what it calls neurite may not know the kind of image. Set
#: between the tuning stacks that were looked at (15 lifted, as they are and noisy, 16 rendered:
#: 0.84 or more) and the two light-sheet stacks (0.78 and 0.81); on 46 held-out stacks, looked at
#: afterwards, it was 0.83 or more.
_LEAST_SURENESS = 0.82
#: A root moved by more finest voxels than this is told.
_FAR_ROOT = 5.0


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of one reconstruction; lengths in finest voxels, shares 0..1.

    A finest voxel is the edge of a voxel along its finest axis: 1 where the voxel is a cube.

    Attributes:
        nodes, trees, forks, tips: counts of the tree's nodes.
        length: of all links.
        root: what the first root stands on: "soma", "marker", "end" (no soma found), "none".
        soma_radius: where a soma was found.
        mask_voxels, mask_share: the enhanced volume's foreground.
        explained: share of the mask's voxels that lie in or beside the tree.
        supported: share of the tree's length that runs through the mask.
        certain: share of the tree's length in segments with a confidence of 0.9 or more.
        joined_gaps: stretches of the tree that cross a gap of the mask; joined_length their length.
        passes: 2 where the stack was judged again by what a first tracing was sure of, or 1.
        left_out: length of the pieces that were traced and are not part of the result.
        root_moved: from the root given to the foreground, where the tree starts.
        brighter: share of the mask that is brighter than its surroundings.
        found: share of the places that stand out in the image which the mask has; None where
            either is unknown.
        sureness: mean probability of what the network calls neurite; None where it did not.
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
    certain: float
    joined_gaps: int
    joined_length: float
    passes: int
    left_out: float
    root_moved: float
    brighter: float | None
    found: float | None
    sureness: float | None
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: plain values only, rounded as far as they mean something."""
        plain = asdict(self)
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in plain.items()}


def make_report(
    found: Pass,
    mask: NDArray[np.bool_],
    scale: VoxelScale = CUBES,
    warnings: tuple[str, ...] = (),
) -> Report:
    """Measure a trace against the mask (Z, Y, X) it was made from.

    Args:
        found: the pass whose tree it is, in voxels of the mask.
        mask: the foreground.
        scale: of the voxels.
        warnings: what is known already; these come first.
    """
    enhancement, trace = found.enhancement, found.trace
    tree = replace(trace.tree, xyz=scale.finest_xyz(trace.tree.xyz))
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
        explained=_explained(tree, mask, scale) if voxels and len(tree) else 0.0,
        supported=_supported(tree, mask, scale) if len(tree) else 0.0,
        certain=found.segments.certain_share(),
        joined_gaps=int(begins.sum()),
        joined_length=float(lengths[joined].sum()),
        passes=found.number,
        left_out=trace.left_out,
        root_moved=trace.root_moved,
        brighter=enhancement.agreement.brighter,
        found=enhancement.agreement.found,
        sureness=enhancement.sureness,
        warnings=(),
    )
    if enhancement.warning is not None:
        warnings = (*warnings, enhancement.warning)
    return _with_warnings(report, warnings, disagreement(enhancement))


def _with_warnings(report: Report, before: tuple[str, ...], doubt: str | None) -> Report:
    found = list(before)
    if report.mask_share > 0.5:
        found.append(
            f"{report.mask_share:.0%} of the volume is foreground: is the image inverted, or the "
            "threshold too low?"
        )
    if report.nodes == 0 and not before:
        found.append("no neurite was found: the tree is empty")
    if doubt is not None:
        found.append(doubt)
    if report.nodes and report.root_moved > _FAR_ROOT:
        found.append(
            f"the root given lies {report.root_moved:.0f} voxels from the foreground, where the "
            "tree starts: is it x, y, z of this volume, from 0 (in a .marker file from 1)?"
        )
    if report.nodes and report.root == "end":
        found.append("no soma was found: the root is the thickest end (--root or --marker sets it)")
    if report.nodes and (report.explained < 0.5 or report.left_out > report.length):
        found.append(
            f"the tree explains {report.explained:.0%} of the foreground, and pieces of "
            f"{report.left_out:.0f} voxels in all are not connected to it: several neurons, a "
            "broken one, or noise? (--trees all keeps every piece)"
        )
    if report.passes > 1:
        found.append(
            "the first tracing was unsure of much of its tree: the stack was judged again by what "
            "it was sure of (--passes 1 leaves that out)"
        )
    if report.nodes and report.joined_length > 0.2 * report.length:
        found.append(
            f"{report.joined_length / report.length:.0%} of the tree's length crosses gaps of the "
            "mask: look at these joins first"
        )
    return Report(**{**asdict(report), "warnings": tuple(found)})


def disagreement(enhancement: Enhancement) -> str | None:
    """What to say where the mask is not what the image shows, or the network does not know it."""
    brighter, found, sure = (
        enhancement.agreement.brighter,
        enhancement.agreement.found,
        enhancement.sureness,
    )
    remedy = "look at the mask"
    if enhancement.enhancer == "dineuro":
        remedy += ", for the network may not know this kind of image, and try --enhancer classical"
    if brighter is not None and brighter < LEAST_BRIGHTER:
        how = f"only {brighter:.0%} of the mask is brighter than its surroundings"
    elif found is not None and found < _LEAST_FOUND:
        how = f"only {found:.0%} of what stands out in the image is in the mask"
    elif sure is not None and sure < _LEAST_SURENESS:
        return (
            f"the network is unsure: what it calls neurite has a probability of {sure:.0%} on "
            f"average, and 82% or more on the kinds of image that it knows: {remedy}; the "
            "confidences are not to be relied upon"
        )
    else:
        return None
    return f"the mask and the image disagree: {how}: {remedy}"


def _explained(tree: Tree, mask: NDArray[np.bool_], scale: VoxelScale) -> float:
    """Share of the mask's voxels within reach of a node; each looks at its nearest node alone.

    The tree is in finest voxels.
    """
    nodes = KDTree(tree.xyz)
    places = scale.finest_zyx(np.argwhere(mask))[:, ::-1]
    away, node = nodes.query(places, workers=-1)
    reach = _REACH_SHARE * tree.radii[node] + _REACH * scale.longest
    return float(np.mean(away <= reach))


def _supported(tree: Tree, mask: NDArray[np.bool_], scale: VoxelScale) -> float:
    """Share of the tree's length whose nearest voxel is in the mask, or touches it."""
    points, weights = length_samples(tree)
    at = np.rint(scale.voxels_zyx(points[:, ::-1])).astype(np.int64)
    inside = np.zeros(len(at), dtype=np.bool_)
    for step in np.ndindex(3, 3, 3):
        beside = np.clip(at + np.array(step) - 1, 0, np.array(mask.shape) - 1)
        inside |= mask[tuple(beside.T)]
    return float(weights[inside].sum() / weights.sum())
