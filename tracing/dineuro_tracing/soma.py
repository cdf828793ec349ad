"""Where the neurons' bodies are: the places that are much thicker than neurites, and round."""

from __future__ import annotations

from dataclasses import dataclass

import edt
import numpy as np
from numpy.typing import NDArray

from dineuro_tracing.foreground import Foreground, find_foreground

#: A soma's radius is at least this many times the typical radius of the neurites …
_THICKER = 2.5
#: … and at least this many finest voxels.
_MIN_RADIUS = 3.5
#: A further soma has at least this share of the first one's radius: bodies are alike, …
_ALIKE = 0.8
#: … lies so many times the mean of both radii from it: a lobed body is one, …
_APART = 3.0
#: … and stands more by itself than the first has to: share of the ball of 2.5 radii that is
#: foreground. The wide places of a thick dendrite have 0.19 and more.
_MAX_WIDE_FILL = 0.17
#: So many places are looked at, the thickest first.
_MOST = 40
#: Share of the ball of 1.6 radii that is foreground: 0.24 for a lone ball, 0.6 for a long tube.
_MAX_FILL = 0.55


@dataclass(frozen=True, slots=True)
class Soma:
    """The voxel at the centre of the soma, and the radius of the ball that fits in it.

    Attributes:
        voxel: number of the foreground voxel.
        radius: in finest voxels.
    """

    voxel: int
    radius: float


def find_somata(foreground: Foreground, min_voxels: int = 100) -> tuple[Soma, ...]:
    """The thickest round places, the thickest first; none where nothing stands out.

    A ball fits into a soma and not into a neurite: the radius that fits (`depth`) has to be
    several times the usual one, and the ball's surroundings mostly empty, as they are not where
    a mere bundle or a wide tube is thickest.
    """
    strong = np.flatnonzero(foreground.strong)
    if len(strong) < min_voxels:
        return ()
    least = max(_MIN_RADIUS, _THICKER * _typical_radius(foreground))
    thick = strong[foreground.depth[strong] >= least]
    by_depth = thick[np.argsort(-foreground.depth[thick], kind="stable")]
    found: list[Soma] = []
    for voxel in _separate(foreground, by_depth, at_most=_MOST):
        soma = Soma(int(voxel), float(foreground.depth[voxel]))
        if found and soma.radius < _ALIKE * found[0].radius:
            break
        round_place = _fill(foreground, voxel, 1.6 * soma.radius) <= _MAX_FILL
        if round_place and (not found or _is_another(foreground, soma, found)):
            found.append(soma)
    return tuple(found)


def _is_another(foreground: Foreground, soma: Soma, found: list[Soma]) -> bool:
    """Whether a place is the soma of one more neuron, and not a lobe or a wide dendrite."""
    if _fill(foreground, np.int64(soma.voxel), 2.5 * soma.radius) > _MAX_WIDE_FILL:
        return False
    others = np.array([other.voxel for other in found])
    radii = np.array([other.radius for other in found])
    steps = (foreground.coords[others] - foreground.coords[soma.voxel]) * np.array(foreground.scale)
    away = np.linalg.norm(steps, axis=1)
    return bool((away > _APART * (soma.radius + radii) / 2).all())


def soma_cores(
    probability: NDArray[np.uint8], threshold: int, scale: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """The voxels (Z, Y, X) of balls that fit into the foreground and are as large as a soma.

    Morphologically: the opening of the foreground by a ball of the smallest soma's radius.
    """
    foreground = probability >= threshold
    depth: NDArray[np.float32] = edt.edt(foreground, anisotropy=scale, black_border=False)
    core = depth >= _MIN_RADIUS
    if not core.any():
        return core
    away: NDArray[np.float32] = edt.edt(~core, anisotropy=scale, black_border=False)
    return np.asarray((away < _MIN_RADIUS) & foreground)


def shows_soma(
    probability: NDArray[np.uint8], threshold: int, scale: tuple[float, float, float]
) -> bool:
    """Whether the tracer would find a soma in a volume (Z, Y, X) of probabilities."""
    strong = find_foreground(probability, threshold=threshold, gap=0, min_voxels=2, scale=scale)
    return bool(find_somata(strong))


def _typical_radius(foreground: Foreground) -> float:
    """The median depth of voxels that are no shallower than any of their 6 neighbours."""
    index, coords, depth = foreground.index, foreground.coords, foreground.depth
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


def _separate(
    foreground: Foreground, candidates: NDArray[np.int64], at_most: int
) -> list[np.int64]:
    """The first candidates that do not lie in the ball of one before them."""
    scale = np.array(foreground.scale)
    chosen: list[np.int64] = []
    left = candidates
    while len(left) and len(chosen) < at_most:
        best = left[0]
        chosen.append(best)
        away = (foreground.coords[left] - foreground.coords[best]) * scale
        left = left[np.linalg.norm(away, axis=1) > 2 * foreground.depth[best]]
    return chosen


def _fill(foreground: Foreground, voxel: np.int64, radius: float) -> float:
    """Share of the ball around a voxel, as far as it lies in the volume, that is strong."""
    scale = np.array(foreground.scale)
    center = foreground.coords[voxel]
    low = np.maximum(center - (radius / scale).astype(int), 0)
    high = np.minimum(center + (radius / scale).astype(int) + 1, foreground.index.shape)
    grid = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    square = sum(((g - c) * s) ** 2 for g, c, s in zip(grid, center, scale, strict=True))
    ball = np.asarray(square) <= radius**2
    number = foreground.index[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    filled = (number >= 0) & foreground.strong[number] & ball
    return float(filled.sum() / ball.sum())
