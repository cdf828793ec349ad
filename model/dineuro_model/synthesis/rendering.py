"""From a tree to the stack that a microscope would have made of it, with the truth beside it.

fluorophore   tapered tubes and the soma, dimmer with distance, beaded, with gaps; other neurites'
              fragments and puncta as well, which are not in the truth
optics        an anisotropic Gaussian point spread
tissue        a background that is uneven, and haze
camera        photons (Poisson), read noise (Gaussian), saturation, 8 or 16 bits
mask          on request, all far from the neuron set to zero, as published stacks often are

The contrast is set where it counts: at the centre lines of the finished stack, in units of the
background's noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.trees.tree import Tree

Masked = Literal["no", "wide", "tight"]

#: Distance of the balls that a tube is painted with (voxels).
_STEP = 0.5
#: A truth this thin is still a connected line.
_THINNEST = 0.87
#: What the other settings may be at most.
_MOST = {
    "read_noise": 1e6, "unevenness": 10, "haze": 10, "beading": 2, "gaps": 20, "puncta": 1e4,
}  # fmt: skip
#: Width of the haze (voxels), and how much coarser it is worked out.
_HAZE_SIGMA, _HAZE_STEP = 12, 4


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """How the stack looks.

    Attributes:
        contrast: median signal of the centre lines over the background, in units of its noise.
        photons: mean photons of the background in a voxel; fewer are noisier.
        read_noise: the camera's, in photons.
        point_spread: (z, y, x) standard deviations in voxels.
        unevenness: share by which the background varies over the stack.
        haze: brightness of diffuse light near the neuron, as a share of the median signal.
        beading: how much brightness varies along a branch: the standard deviation of its logarithm.
        gaps: gaps for every 100 voxels of length; each is 2 to 8 voxels long.
        puncta: bright specks for every million voxels.
        masked: "wide": what is far from the neuron is exactly 0; "tight": all but the neuron is, as
            in stacks that were segmented before they were published.
        dtype: "uint8" or "uint16".
    """

    contrast: float = 20.0
    photons: float = 20.0
    read_noise: float = 1.0
    point_spread: tuple[float, float, float] = (1.0, 0.6, 0.6)
    unevenness: float = 0.0
    haze: float = 0.0
    beading: float = 0.2
    gaps: float = 0.0
    puncta: float = 0.0
    masked: Masked = "no"
    dtype: Literal["uint8", "uint16"] = "uint8"

    def __post_init__(self) -> None:
        if not (0 < self.contrast <= 1e6 and 0 < self.photons <= 1e6):
            raise BadParameter(f"rendering {self}: contrast and photons must be in 0 … 10^6")
        if [0 <= s <= 20 for s in self.point_spread] != [True] * 3:
            raise BadParameter(f"rendering {self}: point_spread must be three numbers in 0 … 20")
        for name, most in _MOST.items():
            if not 0 <= getattr(self, name) <= most:
                raise BadParameter(f"rendering {self}: {name} must be in 0 … {most:g}")
        if self.masked not in get_args(Masked):
            raise BadParameter(f"rendering: masked {self.masked!r} is not no, wide or tight")
        if self.dtype not in ("uint8", "uint16"):
            raise BadParameter(f"rendering: dtype {self.dtype!r} is not uint8 or uint16")

    @classmethod
    def clean(cls) -> RenderSettings:
        """What a threshold can do."""
        return cls()

    @classmethod
    def medium(cls) -> RenderSettings:
        """What an eye sees and a plain threshold does not: four times the noise, uneven."""
        return cls(contrast=4.0, unevenness=0.4, haze=0.1, beading=0.3, gaps=0.3, puncta=20)

    @classmethod
    def hard(cls) -> RenderSettings:
        """Signal about the noise, gaps, specks: only context helps."""
        return cls(
            contrast=1.3, unevenness=0.5, haze=0.15, beading=0.4, gaps=1.0, puncta=40,
            point_spread=(1.5, 0.8, 0.8),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """A stack and its truth.

    Attributes:
        voxels: (Z, Y, X) uint8 or uint16.
        mask: (Z, Y, X) bool, within the tree's radii; gaps count as neurite.
        neurites: the same with those of the other neurons, which look alike.
        tree: what was rendered.
    """

    voxels: NDArray[Any]
    mask: NDArray[np.bool_]
    neurites: NDArray[np.bool_]
    tree: Tree


def render(
    tree: Tree,
    shape: tuple[int, int, int],
    rng: np.random.Generator,
    settings: RenderSettings | None = None,
    *,
    distractors: Sequence[Tree] = (),
) -> Rendering:
    """Render a tree (voxels) into a stack (Z, Y, X). The generator decides all that is random.

    What lies outside the stack is cut off.

    Raises:
        BadParameter: no node of the tree lies in the stack, or the stack has no voxel.
    """
    how = settings or RenderSettings()
    if [n > 0 for n in shape] != [True] * 3:
        raise BadParameter(f"rendering: a stack of {shape} has no voxels")
    if not _inside(tree, shape).any():
        raise BadParameter("rendering: the tree has no node in the stack")
    signal = np.zeros(shape, dtype=np.float32)
    balls = _balls(tree, shape)
    _paint(signal, balls, _brightness(tree, balls, how, rng))
    mask = neurite_mask(tree, shape)
    neurites = mask.copy()
    for other in distractors:
        beside = _balls(other, shape)
        _paint(signal, beside, _brightness(other, beside, how, rng))
        neurites |= neurite_mask(other, shape)
    _add_puncta(signal, how, rng)
    light = ndimage.gaussian_filter(signal, how.point_spread)
    level = _on_lines(light, tree)
    if how.haze:
        light += how.haze * level * _haze(light)
    noise = np.sqrt(how.photons + how.read_noise**2)
    light *= how.contrast * noise / level
    light += how.photons
    if how.unevenness:
        light += how.photons * (_uneven(shape, how.unevenness, rng) - 1)
    kept = None
    if how.masked == "tight":
        kept = ndimage.binary_dilation(signal > 0, iterations=int(rng.integers(1, 3)))
        light = np.where(kept, light - how.photons, 0)
    elif how.masked == "wide":
        kept = _kept_by_hand(signal > 0, rng)
    voxels = _camera(light, how, rng)
    if kept is not None:
        voxels[~kept] = 0
    return Rendering(voxels, mask, neurites, tree)


def neurite_mask(tree: Tree, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """The voxels (Z, Y, X) within the tree's radii; a neurite is never thinner than a voxel."""
    mask = np.zeros(shape, dtype=np.float32)
    balls = _balls(tree, shape)
    balls[:, 3] = np.maximum(balls[:, 3], _THINNEST) - 0.5  # a ball's soft edge is a voxel wide
    _paint(mask, balls, np.ones(len(balls), dtype=np.float32))
    return np.asarray(mask > 0)


def _inside(tree: Tree, shape: tuple[int, int, int], margin: float = 0.0) -> NDArray[np.bool_]:
    """(N,) which nodes lie in the stack, or at most `margin` beside it."""
    places = tree.xyz[:, ::-1]
    beside = (places >= -0.5 - margin) & (places <= np.array(shape) - 0.5 + margin)
    return np.asarray(beside.all(axis=1))


def _balls(tree: Tree, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """(M, 5): z, y, x, radius and node of balls along the links, and one for each root.

    Links that lie outside the stack altogether are left out before they are cut into balls.
    """
    near = _inside(tree, shape, margin=float(tree.radii.max(initial=0)) + 1)
    child = np.flatnonzero((tree.parents >= 0) & near & near[tree.parents])
    above = tree.parents[child]
    # A soma's radius is not that of the neurite which leaves it.
    from_soma = (tree.types[above] == 1) & (tree.types[child] != 1)
    start_radius = np.where(from_soma, tree.radii[child], tree.radii[above])
    count = np.ceil(tree.link_lengths[child] / _STEP).astype(np.int64) + 1
    link = np.repeat(np.arange(len(child)), count)
    rank = np.arange(len(link)) - np.repeat(np.cumsum(count) - count, count)
    share = (rank / np.maximum(count[link] - 1, 1))[:, None]
    places = tree.xyz[above[link]] * (1 - share) + tree.xyz[child[link]] * share
    radius = start_radius[link] * (1 - share[:, 0]) + tree.radii[child[link]] * share[:, 0]
    along = np.column_stack([places[:, ::-1], radius, child[link]])
    roots = tree.roots
    ends = np.column_stack([tree.xyz[roots, ::-1], tree.radii[roots], roots])
    return np.concatenate([along, ends]).astype(np.float32)


def _brightness(
    tree: Tree, balls: NDArray[np.float32], how: RenderSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(M,) of each ball: varying along the branch, a little dimmer with distance, with gaps."""
    n = len(tree)
    wave = ndimage.gaussian_filter1d(rng.normal(size=n), 2.0, mode="wrap") * 2.6
    bright = np.clip(np.exp(how.beading * wave), 0.15, 4.0)
    reach = np.linalg.norm(tree.xyz - tree.xyz[0], axis=1)
    bright *= 1 - 0.4 * reach / max(float(reach.max()), 1.0)
    bright[tree.types == 1] = 1.5
    shine = bright[balls[:, 4].astype(np.int64)]
    run = np.arange(len(balls)) * _STEP  # about the way along the tree, branch after branch
    for start in rng.uniform(0, run[-1], rng.poisson(how.gaps * run[-1] / 100)):
        hole = np.searchsorted(run, [start, start + rng.uniform(2, 8)])
        # The balls at both ends shine into the hole as far as they reach.
        reach = round(float(balls[hole[0], 3]) / _STEP)
        shine[max(0, hole[0] - reach) : hole[1] + reach] *= rng.uniform(0, 0.15)
    return np.asarray(shine, dtype=np.float32)


@njit(cache=True)
def _paint(
    volume: NDArray[np.float32], balls: NDArray[np.float32], bright: NDArray[np.float32]
) -> None:
    """Raise the volume to each ball's brightness, over a soft edge one voxel wide."""
    depth, height, width = volume.shape
    for b in range(len(balls)):
        z, y, x, radius = balls[b, 0], balls[b, 1], balls[b, 2], balls[b, 3]
        reach = radius + 1
        for i in range(max(0, int(np.ceil(z - reach))), min(depth, int(z + reach) + 1)):
            for j in range(max(0, int(np.ceil(y - reach))), min(height, int(y + reach) + 1)):
                for k in range(max(0, int(np.ceil(x - reach))), min(width, int(x + reach) + 1)):
                    away = np.sqrt((i - z) ** 2 + (j - y) ** 2 + (k - x) ** 2)
                    value = bright[b] * min(np.float32(1), np.float32(radius + 0.5 - away))
                    if value > volume[i, j, k]:
                        volume[i, j, k] = value


def _add_puncta(signal: NDArray[np.float32], how: RenderSettings, rng: np.random.Generator) -> None:
    """Specks of one to two voxels' radius, as bright as the neurites."""
    count = rng.poisson(how.puncta * signal.size / 1e6)
    places = rng.uniform(0, 1, (count, 3)) * np.array(signal.shape)
    radii = rng.uniform(0.5, 2.0, (count, 1))
    specks = np.column_stack([places, radii, np.zeros(count)]).astype(np.float32)
    _paint(signal, specks, rng.uniform(0.5, 1.5, count).astype(np.float32))


def _on_lines(light: NDArray[np.float32], tree: Tree) -> float:
    """The median light on the nodes in the stack, somata left out where there is more."""
    here = _inside(tree, (light.shape[0], light.shape[1], light.shape[2]))
    neurites = here & (tree.types != 1)
    nodes = tree.xyz[neurites if neurites.any() else here]
    at = np.clip(np.rint(nodes[:, ::-1]).astype(np.int64), 0, np.array(light.shape) - 1)
    return max(float(np.median(light[tuple(at.T)])), 1e-6)


def _haze(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light spread widely, with a peak of 1; worked out on every fourth voxel."""
    coarse = ndimage.gaussian_filter(
        light[::_HAZE_STEP, ::_HAZE_STEP, ::_HAZE_STEP], _HAZE_SIGMA / _HAZE_STEP, mode="constant"
    )
    coarse /= max(float(coarse.max()), 1e-6)
    full = ndimage.zoom(coarse, _HAZE_STEP, order=1, grid_mode=True, mode="nearest")
    return np.asarray(full[tuple(slice(n) for n in light.shape)], dtype=np.float32)


def _kept_by_hand(shining: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """The region somebody might have cut out: blocky, wide, and not drawn along the neurites.

    Whatever shines is widened on a grid of 8 voxels, more here and less there.
    """
    shape, step = shining.shape, 8
    padded = np.pad(shining, [(0, -n % step) for n in shape])
    d, h, w = (n // step for n in padded.shape)
    blocks = padded.reshape(d, step, h, step, w, step).any(axis=(1, 3, 5))
    wide = ndimage.binary_dilation(blocks, iterations=1)
    wider = ndimage.binary_dilation(blocks, iterations=4)
    field = ndimage.gaussian_filter(rng.normal(size=blocks.shape), 2)
    kept = wide | (wider & (field > 0))
    full = kept.repeat(step, 0).repeat(step, 1).repeat(step, 2)
    return np.asarray(full[tuple(slice(n) for n in shape)])


def _uneven(
    shape: tuple[int, int, int], share: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A smooth field around 1 that varies by the share."""
    coarse = rng.normal(size=(4, 4, 4))
    field = ndimage.zoom(coarse, [n / 4 for n in shape], order=3, grid_mode=True, mode="nearest")
    field = field[tuple(slice(n) for n in shape)]
    return np.asarray(np.clip(1 + share * field / 2, 0.2, None), dtype=np.float32)


def _camera(
    light: NDArray[np.float32], how: RenderSettings, rng: np.random.Generator
) -> NDArray[Any]:
    """Photons counted, read out, and cut to the sample type; the brightest 0.01 % saturate."""
    counts = rng.poisson(np.maximum(light, 0)) + rng.normal(0, how.read_noise, light.shape)
    most = np.iinfo(how.dtype).max
    # Where next to nothing shines, the percentile says nothing of what does.
    gain = most / max(float(np.percentile(counts, 99.99)), 0.7 * float(light.max()))
    return np.clip(np.rint(counts * gain), 0, most).astype(how.dtype)
