"""The tracer: from a volume of probabilities to the neuron's tree, stage by stage.

1. foreground   the voxels that are bright enough, and the dim ones between them
2. soma         the root: where the user says, else the soma, else the thickest end
3. paths        centre lines by geodesic paths from the furthest unexplained voxels
4. gaps         pieces that are likely one neurite are joined, and the joins remembered
5. neurons      trees of several somata are parted
6. choice       the tree of the root alone, or all of them
7. refinement   somata drawn together, lines centred and smoothed, resampled

What needs the image itself comes after: `confidence` grades the segments, and `pruning` takes off
the branches that are more likely wrong than right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.options import DEFAULTS, TraceOptions
from dineuro_bridge.progress import ProgressCallback, silent
from dineuro_bridge.trees.tree import Tree, depth_first_order
from dineuro_tracing.doubts import Doubt, doubts_of_joins
from dineuro_tracing.foreground import Foreground, find_foreground
from dineuro_tracing.gaps import join_gaps
from dineuro_tracing.neurons import parted
from dineuro_tracing.paths import find_paths
from dineuro_tracing.refine import centred, gather_somata, resampled, smoothed
from dineuro_tracing.skeleton import Skeleton
from dineuro_tracing.soma import Soma, find_somata

SOMA_TYPE, NEURITE_TYPE = 1, 3

#: Distance of the tree's nodes along a branch (finest voxels).
NODE_STEP = 2.0
#: A soma's tree has at least this share of the longest tree's length, or is not the one to show.
_OWN_SHARE = 0.25
#: A root given lies at most this far (finest voxels) from the foreground.
_ROOT_REACH = 30.0
#: A root given within so many radii of a soma's centre means the soma, which is no perfect ball.
_SOMA_REACH = 1.3

RootKind = Literal["marker", "soma", "end", "none"]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A tree with what the tracer knows of it.

    Attributes:
        tree: x, y, z in voxels of the volume traced; radii in finest voxels; somata and the first
            root are of SWC's type 1, all else of type 3.
        joined: (N,) bool, the link to the parent crosses a gap.
        doubts: the joins over gaps, and the ends that may go on over one.
        left_out: length (finest voxels) of the pieces found that are not part of the tree.
        root_kind: what the first root stands on.
        soma_radius: finest voxels, where the tree starts in a soma.
        root_moved: finest voxels from the root given to the foreground; 0 where none was given.
    """

    tree: Tree
    joined: NDArray[np.bool_]
    doubts: tuple[Doubt, ...]
    left_out: float
    root_kind: RootKind
    soma_radius: float | None
    root_moved: float = 0.0


def trace(
    probability: NDArray[np.uint8],
    options: TraceOptions = DEFAULTS,
    *,
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0),
    progress: ProgressCallback = silent,
) -> Trace:
    """Trace the neurites of a volume (Z, Y, X) of probabilities 0..255.

    Args:
        probability: uint8; an enhanced volume, or raw intensity scaled to 0..255.
        options: the tracer reads `root`, `threshold`, `min_length`, `gap` and `trees`. The root is
            x, y, z in voxels of this volume. The tree starts at the nearest foreground voxel, or
            in the soma's centre where that voxel is a part of the soma.
        scale: (z, y, x), a voxel's edges in units of the shortest one.
        progress: called between paths; may raise `Cancelled`.

    Raises:
        BadParameter: the root lies far from all foreground.
    """
    foreground = find_foreground(
        probability,
        threshold=options.threshold,
        gap=options.gap,
        min_voxels=max(2, int(options.min_length)),
        scale=scale,
    )
    if foreground.n_components == 0:
        return _nothing()
    lines = _find_lines(foreground, options, progress)
    skeleton, joins = join_gaps(lines.skeleton, probability, gap=options.gap, scale=scale)
    skeleton, start = _neurons(skeleton, lines.root, given=options.root is not None, scale=scale)
    lengths = skeleton.tree_lengths(scale)
    is_soma = bool(skeleton.soma[start])
    if not is_soma and options.root is None and lengths.max() < options.min_length:
        return _nothing()
    kept = _chosen(skeleton, start, options, scale)
    doubts = doubts_of_joins(skeleton, joins, kept, scale)
    skeleton = skeleton.keep(kept).with_first(int(kept[:start].sum()))
    left_out = max(0.0, float(lengths.sum() - skeleton.tree_lengths(scale).sum()))
    radius = float(skeleton.radii[0]) if is_soma else None
    skeleton = gather_somata(skeleton, scale)
    skeleton = smoothed(centred(skeleton, foreground), foreground)
    skeleton = resampled(skeleton, NODE_STEP, scale)
    kind: RootKind = "marker" if options.root is not None else "soma" if is_soma else "end"
    tree, joined = _as_tree(skeleton)
    return Trace(tree, joined, doubts, left_out, kind, radius, lines.moved)


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """The centre lines with the somata marked on them.

    Attributes:
        skeleton: the pieces.
        root: the point where the tree was asked to start, or the thickest soma's; None for neither.
        moved: finest voxels from the place asked for to that point.
    """

    skeleton: Skeleton
    root: int | None
    moved: float


def _find_lines(
    foreground: Foreground,
    options: TraceOptions,
    progress: ProgressCallback,
) -> _Lines:
    """The somata, and the centre lines from the root on."""
    somata = find_somata(foreground)
    soma = somata[0] if somata else None
    voxel, moved = None if soma is None else soma.voxel, 0.0
    if options.root is not None:
        voxel, moved = _nearest_voxel(foreground, options.root)
        soma = next((s for s in somata if _in_soma(foreground, s, voxel)), None)
        voxel = voxel if soma is None else soma.voxel
    paths = find_paths(foreground, voxel, min_length=options.min_length, progress=progress)
    skeleton = paths.skeleton
    if soma is not None and paths.root is not None:
        skeleton = skeleton.with_soma(paths.root, soma.radius)
    others = [s for s in somata if s is not soma]
    return _Lines(_with_somata(skeleton, others, foreground), paths.root, moved)


def _neurons(
    skeleton: Skeleton, root: int | None, *, given: bool, scale: tuple[float, float, float]
) -> tuple[Skeleton, int]:
    """Each soma's tree by itself, and the root of the one to show: that given, or the largest's."""
    skeleton = parted(skeleton, scale)
    start = root if root is not None and given else _main_root(skeleton, scale)
    skeleton = skeleton.rerooted(start)
    # A soma stands at a root; in a tree that starts elsewhere it is a thick part of it.
    return replace(skeleton, soma=skeleton.soma & (skeleton.parents < 0)), start


def _nothing() -> Trace:
    """The answer where there is nothing to trace."""
    return Trace(Tree.empty(), np.zeros(0, dtype=np.bool_), (), 0.0, "none", None)


def _nearest_voxel(foreground: Foreground, root: tuple[float, float, float]) -> tuple[int, float]:
    """The strong voxel nearest to a place given as x, y, z, and how far it is (finest voxels)."""
    distance = _distances(foreground, np.array(root[::-1]) - foreground.origin)
    distance[~foreground.strong] = np.inf
    nearest = int(distance.argmin())
    if distance[nearest] > _ROOT_REACH:
        raise BadParameter(
            f"the root lies {distance[nearest]:.0f} voxels from the nearest foreground: is it "
            "x, y, z of this volume, from 0 (in a .marker file from 1)?"
        )
    return nearest, float(distance[nearest])


def _in_soma(foreground: Foreground, soma: Soma, voxel: int) -> bool:
    """Whether a voxel is a part of the soma."""
    centre = foreground.coords[soma.voxel].astype(np.float64)
    return bool(_distances(foreground, centre)[voxel] <= _SOMA_REACH * soma.radius)


def _with_somata(skeleton: Skeleton, somata: list[Soma], foreground: Foreground) -> Skeleton:
    """Each soma at the point of a line next to its centre, if one runs through it."""
    for soma in somata:
        centre = foreground.coords[soma.voxel] + foreground.origin
        steps = (skeleton.points - centre) * np.array(foreground.scale)
        away = np.linalg.norm(steps, axis=1)
        nearest = int(away.argmin())
        if away[nearest] < soma.radius and not skeleton.soma[nearest]:
            skeleton = skeleton.with_soma(nearest, soma.radius)
    return skeleton


def _distances(foreground: Foreground, place: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) finest voxels from a place (z, y, x in the box) to each foreground voxel."""
    away = (foreground.coords - place) * np.array(foreground.scale)
    return np.asarray(np.linalg.norm(away, axis=1))


def _main_root(skeleton: Skeleton, scale: tuple[float, float, float]) -> int:
    """The soma of the longest tree that has one, or the best end if all those are short.

    A soma with a short tree belongs to another neuron, or to one that the region cuts off.
    """
    bodies = np.flatnonzero(skeleton.soma)
    lengths, number = skeleton.tree_lengths(scale), skeleton.tree_numbers()
    if len(bodies) == 0 or lengths[number[bodies]].max() < _OWN_SHARE * lengths.max():
        return _best_end(skeleton, scale)
    return int(bodies[lengths[number[bodies]].argmax()])


def _best_end(skeleton: Skeleton, scale: tuple[float, float, float]) -> int:
    """Without a soma, the thickest end of the longest tree: there the soma is nearest."""
    number = skeleton.tree_numbers()
    ends = skeleton.n_children() + (skeleton.parents >= 0) <= 1
    of_longest = number == skeleton.tree_lengths(scale).argmax()
    radii = np.where(ends & of_longest, skeleton.radii, -1.0)
    return int(radii.argmax())


def _chosen(
    skeleton: Skeleton, start: int, options: TraceOptions, scale: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """(N,) what stays: the tree of the start alone, or all that are long enough."""
    number = skeleton.tree_numbers()
    kept = number == number[start]
    if options.trees == "all":
        kept |= skeleton.tree_lengths(scale)[number] >= options.min_length
    return np.asarray(kept)


def _as_tree(skeleton: Skeleton) -> tuple[Tree, NDArray[np.bool_]]:
    """Sorted parents first, point 0's tree first; and which links are joined.

    The first root has the soma's type also where no soma was found: readers such as MorphIO take
    a tree without one for broken.
    """
    order = depth_first_order(skeleton.parents)
    place = np.empty(len(order) + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(len(order)), -1
    is_soma = skeleton.soma[order]
    is_soma[0] = True
    tree = Tree(
        xyz=skeleton.points[order, ::-1],
        radii=skeleton.radii[order],
        parents=place[skeleton.parents[order]],
        types=np.where(is_soma, SOMA_TYPE, NEURITE_TYPE),
    )
    return tree, skeleton.joined[order]
