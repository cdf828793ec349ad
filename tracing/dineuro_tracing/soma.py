"""Where the cell bodies are: the places that are round and much thicker than neurites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import edt
import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.scale import VoxelScale
from dineuro_tracing.foreground import Foreground, find_foreground
from dineuro_tracing.voxels import sums_around

#: A soma's radius is at least this many times the typical radius of the neurites …
_THICKER = 2.5
#: … and at least this many finest voxels.
_MIN_RADIUS = 3.5
#: Largest share of the ball of 1.6 radii around a soma that is foreground: 0.24 for a lone ball,
#: 0.6 for a long tube.
_FILL_RADII, _MAX_FILL = 1.6, 0.55
#: The thickest place is a soma, also a flat one, if its radius is this multiple of the radius of
#: any place outside it, and at least so large (finest voxels). On the tuning stacks every such
#: place was the soma, and the places that were none had ratios of at most 1.17.
_DOMINANCE, _MIN_DOMINANT, _MAX_DOMINANT_FILL = 1.3, 3.0, 0.60
#: The widest place is a flat soma if its lateral radius is at least this large (finest voxels),
#: this multiple of its depth, this one of the typical lateral radius, and this one of that of any
#: place outside it. Its lateral radius counts up to the last multiple of its depth.
_MIN_FLAT, _FLAT, _WIDER, _FLAT_DOMINANCE, _MOST_FLAT = 6.0, 1.3, 3.0, 1.6, 5.0
#: A round place is no soma if another place, however shaped, is thicker than by this share.
_THICKEST = 0.95
#: A further soma has at least this share of the first one's radius, because bodies are alike.
_ALIKE = 0.8
#: A further soma lies this many mean radii from every other, because a lobed body is one soma.
_APART = 3.0
#: Largest share of the ball of 2.5 radii around a further soma that is foreground. The wide places
#: of a thick dendrite have 0.19 and more.
_WIDE_FILL_RADII, _MAX_WIDE_FILL = 2.5, 0.17
#: Number of places that are examined, the thickest first.
_MAX_PLACES = 40
#: Of equally deep voxels the one with the greatest sum of depths at most so many voxels beside it
#: is the middle of a place.
_AROUND = 2
#: A foreground of fewer strong voxels has no soma.
_MIN_VOXELS = 100


@dataclass(frozen=True, slots=True)
class Body:
    """The ellipsoid of a soma.

    Attributes:
        centre: z, y, x in voxels of the volume.
        radius: of the ball of the same volume, in finest voxels.
        lateral: radius in the plane across its flat axis, in finest voxels.
        axis: the flat axis; any for a ball.
    """

    centre: tuple[float, float, float]
    radius: float
    lateral: float
    axis: int = 0

    def radii_away(self, places: NDArray[np.float64], scale: VoxelScale) -> NDArray[np.float64]:
        """(N,) distances of places (N, 3), z, y, x of the volume, from the centre, in radii.

        The flat axis has the length that the volume leaves.
        """
        steps = scale.finest_zyx(places - np.array(self.centre))
        axes = np.full(3, self.lateral)
        axes[self.axis] = self.radius**3 / self.lateral**2
        return np.asarray(np.linalg.norm(steps / axes, axis=1))


@dataclass(frozen=True, slots=True)
class Soma:
    """The centre of a soma, and its size.

    Attributes:
        voxel: number of the foreground voxel at the centre.
        radius: of the ball of the same volume, in finest voxels.
        lateral: radius in the plane across its flat axis, in finest voxels.
        axis: the flat axis; any for a ball.
    """

    voxel: int
    radius: float
    lateral: float
    axis: int = 0

    @classmethod
    def ball(cls, foreground: Foreground, voxel: int) -> Soma:
        """The ball that fits into the foreground around a voxel."""
        radius = float(foreground.depth[voxel])
        return cls(voxel, radius, radius)

    def body(self, foreground: Foreground) -> Body:
        """The soma in the volume."""
        z, y, x = foreground.place(self.voxel).tolist()
        return Body((z, y, x), self.radius, self.lateral, self.axis)


def find_somata(foreground: Foreground) -> tuple[Soma, ...]:
    """The thickest round places, the thickest first; empty if no place stands out.

    A ball fits into a soma and not into a neurite. The radius that fits (`depth`) is several times
    the typical one. The surroundings of the ball are mostly empty, unlike those of a bundle or of
    a wide tube. A place that is much thicker than all others is a soma without that.
    """
    strong = np.flatnonzero(foreground.strong)
    if len(strong) < _MIN_VOXELS:
        return ()
    flat = _flat_soma(foreground)
    if flat is not None:
        return (flat,)
    typical = _typical_radius(foreground, foreground.depth)
    by_depth = strong[np.argsort(-foreground.depth[strong], kind="stable")]
    thickest = Soma.ball(foreground, _first_place(foreground, by_depth))
    is_dominant = thickest.radius >= _THICKER * typical and _dominates(foreground, thickest)
    somata: list[Soma] = [thickest] if is_dominant else []
    least = max(_MIN_RADIUS, _THICKER * typical)
    if not is_dominant:
        least = max(least, _THICKEST * thickest.radius)
    by_depth = by_depth[foreground.depth[by_depth] >= least]
    for voxel in _separate_places(foreground, by_depth):
        soma = Soma.ball(foreground, voxel)
        if soma == thickest and is_dominant:
            continue
        if somata and soma.radius < _ALIKE * somata[0].radius:
            break
        is_round = _fill(foreground, soma, _FILL_RADII) <= _MAX_FILL
        if is_round and (not somata or _is_another(foreground, soma, somata)):
            somata.append(soma)
    return tuple(somata)


def rival_radius(foreground: Foreground, somata: Sequence[Soma]) -> float:
    """The radius of the thickest place outside all somata, in finest voxels; 0 without one.

    A soma is alone so thick: on the tuning stacks this is at most 0.79 of a right soma's radius.
    """
    others = np.flatnonzero(foreground.strong)
    for soma in somata:
        away = foreground.distances(soma.voxel, others)
        others = others[away > 2 * max(soma.radius, soma.lateral)]
    return float(foreground.depth[others].max(initial=0.0))


def soma_cores(
    probability: NDArray[np.uint8], threshold: int, scale: VoxelScale
) -> NDArray[np.bool_]:
    """(Z, Y, X) bool, the balls that fit into the foreground and are as large as a soma.

    This is the morphological opening of the foreground by a ball of the smallest soma's radius.

    Args:
        probability: (Z, Y, X) uint8.
        threshold: least probability of the foreground.
        scale: the voxel's edges.
    """
    foreground = probability >= threshold
    depth: NDArray[np.float32] = edt.edt(foreground, anisotropy=scale.edges, black_border=False)
    core = depth >= _MIN_RADIUS
    if not core.any():
        return core
    away: NDArray[np.float32] = edt.edt(~core, anisotropy=scale.edges, black_border=False)
    return np.asarray((away < _MIN_RADIUS) & foreground)


def shows_soma(probability: NDArray[np.uint8], threshold: int, scale: VoxelScale) -> bool:
    """Whether the tracer would find a soma; arguments as of `soma_cores`."""
    strong = find_foreground(probability, threshold=threshold, gap=0, min_voxels=2, scale=scale)
    return bool(find_somata(strong))


def _dominates(foreground: Foreground, thickest: Soma) -> bool:
    """Whether the thickest place is much thicker than every place outside it."""
    if thickest.radius < _MIN_DOMINANT:
        return False
    others = np.flatnonzero(foreground.strong)
    outside = foreground.distances(thickest.voxel, others) > 2 * thickest.radius
    second = float(foreground.depth[others[outside]].max(initial=0.0))
    if thickest.radius < _DOMINANCE * second:
        return False
    return _fill(foreground, thickest, _FILL_RADII) <= _MAX_DOMINANT_FILL


def _flat_soma(foreground: Foreground) -> Soma | None:
    """The widest place, if it is much wider than it is deep, and than all others.

    Without a voxel size, or in slices that are far apart, a soma is a disk. Its radius is that of
    the ball of the same volume.
    """
    strong = np.flatnonzero(foreground.strong)
    best: Soma | None = None
    for axis in range(3):
        lateral = np.minimum(foreground.lateral_depth(axis), _MOST_FLAT * foreground.depth)
        widest = float(lateral.max())
        least = max(_MIN_FLAT, _WIDER * _typical_radius(foreground, lateral))
        if widest < least or (best is not None and widest <= best.lateral):
            continue
        middle = np.flatnonzero(lateral >= _THICKEST * widest)
        by_depth = middle[np.argsort(-foreground.depth[middle], kind="stable")]
        voxel = _first_place(foreground, by_depth)
        depth = float(foreground.depth[voxel])
        outside = strong[foreground.distances(voxel, strong) > 2 * widest]
        second = float(lateral[outside].max(initial=0.0))
        if widest >= _FLAT * depth and widest >= _FLAT_DOMINANCE * second:
            best = Soma(voxel, float(np.cbrt(widest**2 * depth)), widest, axis)
    return best


def _is_another(foreground: Foreground, soma: Soma, somata: list[Soma]) -> bool:
    """Whether a place is the soma of one more neuron, and neither a lobe nor a wide dendrite."""
    if _fill(foreground, soma, _WIDE_FILL_RADII) > _MAX_WIDE_FILL:
        return False
    away = foreground.distances(soma.voxel, np.array([other.voxel for other in somata]))
    radii = np.array([other.radius for other in somata])
    return bool((away > _APART * (soma.radius + radii) / 2).all())


def _typical_radius(foreground: Foreground, depth: NDArray[np.float32]) -> float:
    """The median depth of the strong voxels that are no shallower than their 6 neighbours."""
    index, coords = foreground.index, foreground.coords
    ridge = foreground.strong.copy()
    for axis in range(3):
        for step in (-1, 1):
            at = coords.copy()
            at[:, axis] += step
            inside = (at[:, axis] >= 0) & (at[:, axis] < index.shape[axis])
            number = np.full(len(at), -1, dtype=np.int32)
            number[inside] = index[tuple(at[inside].T)]
            ridge &= (number < 0) | (depth[number] <= depth)
    return float(np.median(depth[ridge])) if ridge.any() else 1.0


def _separate_places(foreground: Foreground, candidates: NDArray[np.int64]) -> list[int]:
    """The candidates, the deepest first, that lie two depths or more from every one before them."""
    places: list[int] = []
    while len(candidates) and len(places) < _MAX_PLACES:
        first = _first_place(foreground, candidates)
        places.append(first)
        away = foreground.distances(first, candidates)
        candidates = candidates[away > 2 * foreground.depth[first]]
    return places


def _first_place(foreground: Foreground, by_depth: NDArray[np.int64]) -> int:
    """The first of voxels that have the deepest first; of equally deep ones, in the deepest place.

    Depths are often equal, also in the middle of one soma.
    """
    equals = by_depth[foreground.depth[by_depth] == foreground.depth[by_depth[0]]]
    around = sums_around(foreground.index, foreground.coords, foreground.depth, equals, _AROUND)
    # Rounding hides the last digits, which depend on the order of the sum.
    return int(equals[np.lexsort((foreground.from_middle(equals), -np.round(around, 3)))[0]])


def _fill(foreground: Foreground, soma: Soma, radii: float) -> float:
    """Share of a ball of so many radii around a soma, cut at the box, that is strong."""
    scale, radius = foreground.scale, radii * soma.radius
    centre = foreground.coords[soma.voxel]
    reach = (radius / scale.zyx).astype(int)
    low = np.maximum(centre - reach, 0)
    high = np.minimum(centre + reach + 1, foreground.index.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    square = sum(
        ((axis - middle) * edge) ** 2
        for axis, middle, edge in zip(np.ogrid[box], centre, scale.edges, strict=True)
    )
    ball = np.asarray(square) <= radius**2
    number = foreground.index[box]
    filled = (number >= 0) & foreground.strong[number] & ball
    return float(filled.sum() / ball.sum())
