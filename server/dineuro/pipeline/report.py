"""The report of a reconstruction: its figures and its warnings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dineuro.pipeline.enhancement import LEAST_BRIGHTER, LEAST_SURENESS, Enhancement
from dineuro.pipeline.second_pass import Pass
from dineuro_bridge.scale import CUBES, VoxelScale
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.fields import Field
from dineuro_tracing.sampling import length_samples

#: A node explains the voxels of the mask within its radius times the factor, plus the margin. The
#: margin is in voxels along the longest edge.
_REACH_SHARE, _REACH = 1.5, 2.0
#: Mask and image disagree where the mask has less than this share of the bright places; see
#: `agreement`.
_LEAST_BRIGHT_SHARE = 0.6
#: A soma is unsure if another place has this share of its radius.
_RIVAL = 0.9
#: A warning names the distance of the root to the tree above this, in finest voxels.
_FAR_ROOT = 5.0
#: A warning names the foreground's share of the volume above this.
_MOST_FOREGROUND = 0.5
#: A warning names the tree's share of the foreground below this.
_LEAST_EXPLAINED = 0.5
#: A warning names the share of the tree's length that crosses gaps above this.
_MOST_JOINED = 0.2


@dataclass(frozen=True, slots=True)
class Report:
    """The figures and warnings of one reconstruction.

    Lengths are in finest voxels: the edge of a voxel along its finest axis. Shares are 0 to 1.

    Attributes:
        nodes, trees, forks, tips: counts of the tree's nodes and of its trees.
        length: the length of all links.
        layout: what the trees are: "neuron" (the tree of the root), "neurons" (one for each soma),
            "field" (a field of axons), "all" (every piece, as the options ask) or "none".
        root: the kind of the first root: "soma", "marker", "end" (without a soma) or "none".
        soma_radius: the radius of the soma; None without a soma.
        rival_radius: the radius of the thickest place outside all somata; 0 without somata.
        mask_voxels: the number of voxels of the mask.
        mask_share: the mask's share of the volume.
        explained: share of the mask's voxels that lie in or beside the tree.
        supported: share of the tree's length that lies in the mask or touches it.
        certain: share of the tree's length in segments with a confidence of 0.9 or more.
        joined_gaps: the number of stretches of the tree that cross a gap of the mask.
        joined_length: the length of these stretches.
        passes: 2 where the tree is that of the second pass, otherwise 1.
        left_out: the length of the traced pieces that are not part of the result.
        root_moved: the distance from the root of the options to the tree's start in the mask.
        brighter: share of the mask that is brighter than its surroundings; None if unknown.
        found: share of the image's bright places that the mask has; None if unknown.
        sureness: mean probability of the voxels that the network calls neurite; None without such
            voxels or without a network.
        warnings: sentences for the user.
    """

    nodes: int
    trees: int
    forks: int
    tips: int
    length: float
    layout: str
    root: str
    soma_radius: float | None
    rival_radius: float
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
        """The figures as plain values for JSON, rounded to four decimals."""
        plain = asdict(self)
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in plain.items()}


def make_report(
    best: Pass,
    mask: NDArray[np.bool_],
    scale: VoxelScale = CUBES,
    warnings: tuple[str, ...] = (),
) -> Report:
    """Measure a trace against its mask.

    Args:
        best: the pass of the result; its tree is in voxels of the mask.
        mask: (Z, Y, X), the foreground.
        scale: the voxel size.
        warnings: the warnings about the input, which come first.
    """
    enhancement, trace = best.enhancement, best.trace
    tree = replace(trace.tree, xyz=scale.finest_xyz(trace.tree.xyz))
    voxels = int(np.count_nonzero(mask))
    lengths = tree.link_lengths
    joined = trace.joined
    # A run of joined links is one gap. The run begins where the parent's link is not joined.
    begins = joined & ~joined[np.maximum(tree.parents, 0)]
    report = Report(
        nodes=len(tree),
        trees=tree.n_trees,
        forks=len(tree.forks),
        tips=len(tree.tips),
        length=tree.length,
        layout=trace.layout,
        root=trace.root_kind,
        soma_radius=trace.soma_radius,
        rival_radius=trace.rival_radius,
        mask_voxels=voxels,
        mask_share=voxels / mask.size,
        explained=_explained(tree, mask, scale) if voxels and len(tree) else 0.0,
        supported=_supported(tree, mask, scale) if len(tree) else 0.0,
        certain=best.segments.certain_share(),
        joined_gaps=int(begins.sum()),
        joined_length=float(lengths[joined].sum()),
        passes=best.number,
        left_out=trace.left_out,
        root_moved=trace.root_moved,
        brighter=enhancement.agreement.brighter,
        found=enhancement.agreement.found,
        sureness=enhancement.sureness,
        warnings=(),
    )
    if enhancement.warning is not None:
        warnings = (*warnings, enhancement.warning)
    return _with_warnings(report, warnings, disagreement(enhancement), trace.field)


def _with_warnings(
    report: Report, before: tuple[str, ...], doubt: str | None, field: Field | None
) -> Report:
    """The report with all warnings.

    Args:
        report: the figures.
        before: the warnings about the input and the enhancement, which come first.
        doubt: the warning about the mask; see `disagreement`.
        field: the evidence for a field of axons.
    """
    warnings = list(before)
    if report.mask_share > _MOST_FOREGROUND:
        warnings.append(
            f"{report.mask_share:.0%} of the volume is foreground: is the image inverted, or the "
            "threshold too low?"
        )
    if report.nodes == 0 and not before:
        warnings.append("no neurite was found: the tree is empty")
    if doubt is not None:
        warnings.append(doubt)
    if report.nodes and report.root_moved > _FAR_ROOT:
        warnings.append(
            f"the root given lies {report.root_moved:.0f} voxels from the foreground, where the "
            "tree starts: is it x, y, z of this volume, from 0 (in a .marker file from 1)?"
        )
    if report.nodes:
        warnings += _about_layout(report, field)
    if report.nodes and (report.explained < _LEAST_EXPLAINED or report.left_out > report.length):
        warnings.append(
            f"the tree explains {report.explained:.0%} of the foreground, and pieces of "
            f"{report.left_out:.0f} voxels in all are not connected to it: several neurons, a "
            "broken one, or noise? (--trees all keeps every piece)"
        )
    if report.passes > 1:
        warnings.append(
            "the first tracing was unsure of much of its tree: the stack was judged again by what "
            "it was sure of (--passes 1 leaves that out)"
        )
    if report.nodes and report.joined_length > _MOST_JOINED * report.length:
        warnings.append(
            f"{report.joined_length / report.length:.0%} of the tree's length crosses gaps and dim "
            "stretches of the mask: look at these joins first"
        )
    return replace(report, warnings=tuple(warnings))


def _about_layout(report: Report, field: Field | None) -> list[str]:
    """What the trees are and why, where that is not one neuron with a soma or a root given."""
    if field is not None:
        return [
            f"a field of axons, kept as {report.trees} trees: no soma explains it, "
            f"{field.crossing:.0%} of the length is in pieces that cross the volume, and "
            f"{field.ends_at_border:.0%} of the ends lie at its border (--trees one, or a root, "
            "keeps one tree)"
        ]
    if report.layout == "neurons":
        return [
            f"{report.trees} somata with long trees were found, and each is the root of its own "
            "tree (--trees one keeps the longest alone)"
        ]
    if report.root == "end":
        return ["no soma was found: the root is the thickest end (--root or --marker sets it)"]
    if report.root == "soma" and report.rival_radius > _RIVAL * (report.soma_radius or np.inf):
        return [
            f"the soma is unsure: another place is as thick (radius {report.rival_radius:.1f} "
            f"beside {report.soma_radius:.1f} voxels; --root or --marker sets the root)"
        ]
    return []


def disagreement(enhancement: Enhancement) -> str | None:
    """The warning where mask and image disagree or the network is unsure; None elsewhere."""
    brighter, share = enhancement.agreement.brighter, enhancement.agreement.found
    sureness = enhancement.sureness
    remedy = "look at the mask"
    if enhancement.enhancer == "dineuro":
        remedy += ", for the network may not know this kind of image, and try --enhancer classical"
    if brighter is not None and brighter < LEAST_BRIGHTER:
        reason = f"only {brighter:.0%} of the mask is brighter than its surroundings"
    elif share is not None and share < _LEAST_BRIGHT_SHARE:
        reason = f"only {share:.0%} of what stands out in the image is in the mask"
    elif sureness is not None and sureness < LEAST_SURENESS:
        return (
            f"the network is unsure: what it calls neurite has a probability of {sureness:.0%} on "
            f"average, and {LEAST_SURENESS:.0%} or more on the kinds of image that it knows: "
            f"{remedy}; the confidences are not to be relied upon"
        )
    else:
        return None
    return f"the mask and the image disagree: {reason}: {remedy}"


def _explained(tree: Tree, mask: NDArray[np.bool_], scale: VoxelScale) -> float:
    """The share of the mask's voxels that their nearest node explains.

    The tree is in finest voxels.
    """
    nodes = KDTree(tree.xyz)
    places = scale.finest_zyx(np.argwhere(mask))[:, ::-1]
    distance, node = nodes.query(places, workers=-1)
    reach = _REACH_SHARE * tree.radii[node] + _REACH * scale.longest
    return float(np.mean(distance <= reach))


def _supported(tree: Tree, mask: NDArray[np.bool_], scale: VoxelScale) -> float:
    """The share of the tree's length whose nearest voxel is in the mask or touches it."""
    points, weights = length_samples(tree)
    at = np.rint(scale.voxels_zyx(points[:, ::-1])).astype(np.int64)
    inside = np.zeros(len(at), dtype=np.bool_)
    for step in np.ndindex(3, 3, 3):
        beside = np.clip(at + np.array(step) - 1, 0, np.array(mask.shape) - 1)
        inside |= mask[tuple(beside.T)]
    return float(weights[inside].sum() / weights.sum())
