"""The tracer: from a volume of probabilities to the neuron's tree, stage by stage.

1. foreground   the voxels that are bright enough, and the dim ones between them
2. soma         the root: the user's place, or the soma, or the thickest end
3. paths        centre lines by geodesic paths from the furthest unexplained voxels
4. gaps         pieces that are likely one neurite are joined
5. neurons      trees with several somata are cut
6. choice       the tree of the root, one tree for each soma, a field of axons, or all trees
7. refinement   one point for each soma; lines centred, smoothed and resampled
8. spines       short side branches of thick neurites are removed, or typed as spines

Two stages need the image itself and come afterwards: `confidence` grades the segments, and
`pruning` removes the branches that are more likely wrong than right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.options import DEFAULTS, Point, TraceOptions
from dineuro_bridge.progress import ProgressCallback, silent
from dineuro_bridge.scale import CUBES, VoxelScale
from dineuro_bridge.trees.tree import Tree, depth_first_order
from dineuro_tracing.doubts import Doubt, doubts_of_joins, with_missing
from dineuro_tracing.fields import SHORTEST, Field, find_field, part_doubtful
from dineuro_tracing.foreground import Foreground, find_foreground
from dineuro_tracing.gaps import join_gaps
from dineuro_tracing.neurons import part_neurons
from dineuro_tracing.paths import find_paths
from dineuro_tracing.refine import centre, gather_somata, resample, smooth
from dineuro_tracing.skeleton import Skeleton
from dineuro_tracing.soma import Soma, find_somata, rival_radius
from dineuro_tracing.spines import REACH_RADII, SPINE_TYPE, find_spines, lateral_radii

SOMA_TYPE, NEURITE_TYPE = 1, 3

#: Distance of the tree's nodes along a branch (finest voxels).
NODE_STEP = 2.0
#: Length of neurite (finest voxels) over which the thickness of an end is measured.
_END_LENGTH = 30.0
#: An end with a fork within this length (finest voxels) is a spur.
_SPUR_LENGTH = 20.0
#: Blur along z makes a spine at most so long (finest voxels).
_SPINE_LENGTH = 60.0
#: A soma whose tree has less than this share of the longest tree's length is not the main one.
_OWN_SHARE = 0.25
#: Greatest distance (finest voxels) of the user's root from the foreground.
_ROOT_REACH = 30.0
#: Distances that differ by less (finest voxels) are equal.
_SAME = 1e-6
#: Within this many radii of a soma's centre the user's root means the soma, which is no exact ball.
_SOMA_REACH = 1.3

RootKind = Literal["marker", "soma", "end", "none"]
Layout = Literal["neuron", "neurons", "field", "all", "none"]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A tree, and what the tracer knows about it.

    Attributes:
        tree: x, y, z in voxels of the traced volume; radii in finest voxels. Somata and the first
            root have SWC's type 1, spines type 7, all other nodes type 3.
        joined: (N,) bool, the link to the parent crosses a gap.
        doubts: the joins over gaps, and the ends before gaps that were not joined.
        left_out: length (finest voxels) of the traced pieces that are not part of the tree.
        root_kind: the reason for the first root: the user's marker, a soma, or the thickest end;
            "none" for an empty tree.
        soma_radius: finest voxels; None for a tree that does not start in a soma.
        rival_radius: finest voxels, of the thickest place outside all somata; 0 without somata.
        root_moved: finest voxels from the user's root to the foreground; 0 without such a root.
        layout: what the trees are: the neuron of the root, neurons with a soma each, a field of
            axons, or all pieces as the options ask; "none" for an empty tree.
        field: the evidence for a field of axons; None without it.
    """

    tree: Tree
    joined: NDArray[np.bool_]
    doubts: tuple[Doubt, ...]
    left_out: float
    root_kind: RootKind
    soma_radius: float | None
    rival_radius: float = 0.0
    root_moved: float = 0.0
    layout: Layout = "none"
    field: Field | None = None


def trace(
    probability: NDArray[np.uint8],
    options: TraceOptions = DEFAULTS,
    *,
    scale: VoxelScale = CUBES,
    progress: ProgressCallback = silent,
) -> Trace:
    """Trace the neurites of a volume of probabilities.

    Args:
        probability: (Z, Y, X) uint8, an enhanced volume, or raw intensity scaled to 0..255.
        options: the tracer reads `root`, `threshold`, `min_length`, `gap`, `trees` and `spines`.
            The root is x, y, z in voxels of this volume. The tree starts at the nearest foreground
            voxel, or in the soma's centre if that voxel is a part of the soma.
        scale: the voxel's edges.
        progress: called between paths; it may raise `Cancelled`.

    Raises:
        BadParameter: the root lies far from all foreground.
    """
    foreground = find_foreground(
        probability, threshold=options.threshold, gap=options.gap,
        min_voxels=max(2, int(options.min_length)), scale=scale,
    )  # fmt: skip
    if foreground.n_components == 0:
        return _empty_trace()
    lines = _find_lines(foreground, options, progress)
    skeleton, joins = join_gaps(lines.skeleton, probability, gap=options.gap, scale=scale.optical)
    skeleton = part_neurons(skeleton, scale)
    start = lines.root
    if start is None or options.root is None:
        start = main_root(skeleton, scale)
    field = _field(lines.skeleton, skeleton, start, options, probability.shape, scale)
    if field is not None:
        skeleton, joins = part_doubtful(skeleton, joins, probability.shape, scale)
        start = main_root(skeleton, scale)
    skeleton = _rooted(skeleton, start)
    lengths = skeleton.tree_lengths(scale)
    is_soma = bool(skeleton.soma[start])
    if not is_soma and options.root is None and lengths.max() < options.min_length:
        return _empty_trace()
    kept = _chosen_trees(skeleton, start, options, field, scale)
    doubts = with_missing(
        doubts_of_joins(skeleton, joins, kept, scale), skeleton,
        lambda piece: _refined_piece(piece, foreground),
    )  # fmt: skip
    skeleton = skeleton.keep(kept).with_first(int(kept[:start].sum()))
    left_out = max(0.0, float(lengths.sum() - skeleton.tree_lengths(scale).sum()))
    radius = float(skeleton.radii[0]) if is_soma else None
    tree, joined = _refined_tree(skeleton, foreground, lines.somata, options)
    kind: RootKind = "marker" if options.root is not None else "soma" if is_soma else "end"
    layout = _layout(skeleton, options, field)
    return Trace(
        tree, joined, doubts, left_out, kind, radius, lines.rival_radius, lines.root_moved,
        layout, field,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """The centre lines with the somata marked on them.

    Attributes:
        skeleton: the pieces.
        root: the point of the user's root, or of the thickest soma; None without both.
        root_moved: finest voxels from the user's root to the foreground.
        somata: the thickest first.
        rival_radius: finest voxels, of the thickest place outside all somata; 0 without somata.
    """

    skeleton: Skeleton
    root: int | None
    root_moved: float
    somata: tuple[Soma, ...]
    rival_radius: float


def _find_lines(
    foreground: Foreground, options: TraceOptions, progress: ProgressCallback
) -> _Lines:
    """The somata, and the centre lines from the root on."""
    # Blur along z makes neurites look as thick as a small soma, but only in the true scale.
    bodies = foreground
    somata = find_somata(bodies)
    if not somata:
        bodies = foreground.optical()
        somata = find_somata(bodies)
    rival = rival_radius(bodies, somata) if somata else 0.0
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
    return _Lines(_with_somata(skeleton, others, foreground), paths.root, moved, somata, rival)


def _empty_trace() -> Trace:
    """The trace of a volume without a neurite."""
    return Trace(Tree.empty(), np.zeros(0, dtype=np.bool_), (), 0.0, "none", None)


def _nearest_voxel(foreground: Foreground, root: Point) -> tuple[int, float]:
    """The strong voxel nearest to the user's root, and its distance (finest voxels)."""
    voxel, distance = foreground.nearest_strong(np.array(root[::-1]))
    if distance > _ROOT_REACH:
        raise BadParameter(
            f"the root lies {distance:.0f} voxels from the nearest foreground: is it "
            "x, y, z of this volume, from 0 (in a .marker file from 1)?"
        )
    return voxel, distance


def _in_soma(foreground: Foreground, soma: Soma, voxel: int) -> bool:
    """Whether a voxel is a part of the soma."""
    (away,) = foreground.distances(soma.voxel, np.array([voxel]))
    return bool(away <= _SOMA_REACH * soma.radius)


def _with_somata(skeleton: Skeleton, somata: list[Soma], foreground: Foreground) -> Skeleton:
    """The skeleton with each soma at the point next to its centre, if a line runs through it."""
    for soma in somata:
        away = skeleton.distances(foreground.place(soma.voxel), foreground.scale)
        # Of equally near points the one nearest to the middle: a mirrored volume reverses numbers.
        equals = np.flatnonzero(away <= away.min() + _SAME)
        aside = skeleton.distances(skeleton.points.mean(axis=0), foreground.scale)[equals]
        nearest = int(equals[aside.argmin()])
        if away[nearest] < soma.radius and not skeleton.soma[nearest]:
            skeleton = skeleton.with_soma(nearest, soma.radius)
    return skeleton


def main_root(skeleton: Skeleton, scale: VoxelScale) -> int:
    """The soma with the longest tree, or the thickest end if all trees of somata are short.

    A soma with a short tree belongs to another neuron, or to one that the region cuts off.
    """
    somata = np.flatnonzero(skeleton.soma)
    lengths, number = skeleton.tree_lengths(scale), skeleton.tree_numbers()
    if len(somata) == 0 or lengths[number[somata]].max() < _OWN_SHARE * lengths.max():
        return _thickest_end(skeleton, scale)
    return int(somata[lengths[number[somata]].argmax()])


def _thickest_end(skeleton: Skeleton, scale: VoxelScale) -> int:
    """The end of the longest tree whose neurite is the thickest: the soma is likely nearest to it.

    The mean radius over a length of neurite decides. Spurs and spines are no ends: their radius may
    be that of the neurite below them.
    """
    of_longest = skeleton.tree_numbers() == skeleton.tree_lengths(scale).argmax()
    is_fork = skeleton.n_children() + (skeleton.parents >= 0) > 2
    ends, spurs, radii = np.flatnonzero(skeleton.ends() & of_longest), [], []
    for end in ends:
        path, way = skeleton.path_from(int(end), _SPINE_LENGTH, scale)
        forks = np.flatnonzero(is_fork[path])
        is_spur = len(forks) > 0 and (
            way[forks[0]] < _SPUR_LENGTH or _is_spine(skeleton, int(end), path[forks[0]], scale)
        )
        spurs.append(is_spur)
        radii.append(float(skeleton.radii[path[way <= _END_LENGTH]].mean()))
    if all(spurs):
        spurs = [False] * len(ends)
    return int(ends[int(np.where(spurs, -1.0, radii).argmax())])


def _is_spine(skeleton: Skeleton, end: int, fork: int, scale: VoxelScale) -> bool:
    """Whether an end lies within a spine's reach of a fork, measured across z as spines are."""
    _, y, x = scale.finest_zyx(skeleton.points[end] - skeleton.points[fork])
    return float(np.hypot(y, x)) < (1 + REACH_RADII) * float(skeleton.radii[fork])


def _rooted(skeleton: Skeleton, start: int) -> Skeleton:
    """The skeleton with a root at the start, and without the somata that are no roots."""
    skeleton = skeleton.reroot(start)
    return replace(skeleton, soma=skeleton.soma & (skeleton.parents < 0))


def _field(
    pieces: Skeleton,
    skeleton: Skeleton,
    start: int,
    options: TraceOptions,
    shape: tuple[int, ...],
    scale: VoxelScale,
) -> Field | None:
    """The evidence for a field of axons; None where a root or a soma stands for one neuron."""
    if options.trees != "auto" or options.root is not None or skeleton.soma[start]:
        return None
    return find_field(pieces, skeleton, shape, scale)


def _chosen_trees(
    skeleton: Skeleton, start: int, options: TraceOptions, field: Field | None, scale: VoxelScale
) -> NDArray[np.bool_]:
    """(N,) bool, the points of the start's tree, and of those that the options keep beside it."""
    number, lengths = skeleton.tree_numbers(), skeleton.tree_lengths(scale)
    kept = np.arange(len(lengths)) == number[start]
    if options.trees == "all":
        kept |= lengths >= options.min_length
    elif field is not None:
        kept |= lengths >= max(SHORTEST, options.min_length)
    elif options.trees == "auto" and options.root is None and skeleton.soma[start]:
        others = number[skeleton.soma]
        kept[others] |= lengths[others] >= _OWN_SHARE * lengths.max()
    return np.asarray(kept[number])


def _layout(kept: Skeleton, options: TraceOptions, field: Field | None) -> Layout:
    """What the kept trees are."""
    if options.trees == "all":
        return "all"
    if field is not None:
        return "field"
    return "neurons" if int((kept.parents < 0).sum()) > 1 else "neuron"


def _refined_tree(
    skeleton: Skeleton, foreground: Foreground, somata: tuple[Soma, ...], options: TraceOptions
) -> tuple[Tree, NDArray[np.bool_]]:
    """Stages 7 and 8: the tree, and (N,) bool, the joined links."""
    scale = foreground.scale
    soma_radius = float(skeleton.radii[0]) if skeleton.soma[0] else None
    skeleton = gather_somata(skeleton, [soma.body(foreground) for soma in somata], scale)
    skeleton = smooth(centre(skeleton, foreground), foreground.contains)
    tree, joined = as_tree(resample(skeleton, NODE_STEP, scale))
    spines = find_spines(tree, lateral_radii(tree, foreground), scale, soma_radius)
    return with_spines(tree, joined, spines, options)


def _refined_piece(piece: Skeleton, foreground: Foreground) -> Tree:
    """A piece that was left out, as the tree would have it if it hung on it."""
    piece = smooth(centre(piece, foreground), foreground.contains)
    tree, _ = as_tree(resample(piece, NODE_STEP, foreground.scale))
    return replace(tree, types=np.full_like(tree.types, NEURITE_TYPE))


def with_spines(
    tree: Tree, joined: NDArray[np.bool_], spines: NDArray[np.bool_], options: TraceOptions
) -> tuple[Tree, NDArray[np.bool_]]:
    """The tree and its joined links (N,) without the spines (N,), or with their type."""
    if options.spines == "keep":
        return replace(tree, types=np.where(spines, SPINE_TYPE, tree.types)), joined
    return tree.keep(~spines), joined[~spines]


def as_tree(skeleton: Skeleton) -> tuple[Tree, NDArray[np.bool_]]:
    """The tree, parents first and point 0's tree first; and (N,) bool, the joined links.

    The first root has the soma's type even without a soma, because readers such as MorphIO refuse
    a tree without one.
    """
    order = depth_first_order(skeleton.parents)
    place = np.empty(len(order) + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(len(order)), -1  # the last entry serves parent -1
    is_soma = skeleton.soma[order]
    is_soma[0] = True
    tree = Tree(
        xyz=skeleton.points[order, ::-1],
        radii=skeleton.radii[order],
        parents=place[skeleton.parents[order]],
        types=np.where(is_soma, SOMA_TYPE, NEURITE_TYPE),
    )
    return tree, skeleton.joined[order]
