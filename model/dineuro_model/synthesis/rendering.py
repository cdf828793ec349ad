"""From a tree to the stack that a microscope would record of it, with the reference mask.

The stages of the model:

    fluorophore   tapered tubes and a soma, dimmer with distance, with beads and gaps; fragments of
                  other neurons and puncta, which are not part of the reference
    optics        an anisotropic Gaussian point spread
    tissue        an uneven background, and haze
    camera        photons (Poisson), read noise (Gaussian), saturation, 8 or 16 bits
    mask          optionally, zeros far from the neuron, as in many published stacks

The contrast is defined at the centre lines of the final stack, in units of the background's noise.
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

#: Distance in voxels between the balls that form a tube.
_STEP = 0.5
#: The least radius in voxels that gives a connected line in the reference mask.
_THINNEST = 0.87
#: The largest values of the other settings.
_MOST = {
    "read_noise": 1e6, "unevenness": 10, "haze": 10, "beading": 2, "gaps": 20, "puncta": 1e4,
    "soma": 1e3,
}  # fmt: skip
#: Standard deviation of the haze in voxels, and the step of the coarse grid that computes it.
_HAZE_SIGMA, _HAZE_STEP = 12, 4


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """Parameters of the microscope and the sample.

    Attributes:
        contrast: median signal of the centre lines above the background, in units of its noise.
        photons: mean number of photons of the background in a voxel; fewer photons mean more noise.
        read_noise: standard deviation of the camera's noise in photons.
        point_spread: (z, y, x) standard deviations in voxels.
        unevenness: relative variation of the background over the stack.
        haze: brightness of diffuse light near the neuron, relative to the median signal.
        beading: standard deviation of the logarithm of the brightness along a branch.
        gaps: number of gaps in 100 voxels of length; each is 2 to 8 voxels long.
        puncta: number of bright specks in a million voxels.
        soma: brightness of somata; neurites have about 1.
        fading: logarithm of the brightness of the first slice, relative to the last one.
        masked: "wide" sets voxels far from the neuron to 0. "tight" sets all voxels but the neuron
            to 0, as in stacks that were segmented before publication.
        dtype: "uint8" or "uint16".

    Raises:
        BadParameter: a parameter is out of range.
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
    soma: float = 1.5
    fading: float = 0.0
    masked: Masked = "no"
    dtype: Literal["uint8", "uint16"] = "uint8"

    def __post_init__(self) -> None:
        if not (0 < self.contrast <= 1e6 and 0 < self.photons <= 1e6):
            raise BadParameter(f"rendering {self}: contrast and photons must be in 0 … 10^6")
        if [0 <= s <= 20 for s in self.point_spread] != [True] * 3:
            raise BadParameter(f"rendering {self}: point_spread must be three numbers in 0 … 20")
        if not -20 <= self.fading <= 20:
            raise BadParameter(f"rendering {self}: fading must be in -20 … 20")
        for name, most in _MOST.items():
            if not 0 <= getattr(self, name) <= most:
                raise BadParameter(f"rendering {self}: {name} must be in 0 … {most:g}")
        if self.masked not in get_args(Masked):
            raise BadParameter(f"rendering: masked {self.masked!r} is not no, wide or tight")
        if self.dtype not in ("uint8", "uint16"):
            raise BadParameter(f"rendering: dtype {self.dtype!r} is not uint8 or uint16")

    @classmethod
    def clean(cls) -> RenderSettings:
        """A stack that a threshold can segment."""
        return cls()

    @classmethod
    def medium(cls) -> RenderSettings:
        """A stack that a person can segment and a threshold cannot: contrast 4, uneven."""
        return cls(contrast=4.0, unevenness=0.4, haze=0.1, beading=0.3, gaps=0.3, puncta=20)

    @classmethod
    def hard(cls) -> RenderSettings:
        """A stack that needs context: a signal about as strong as the noise, gaps, specks."""
        return cls(
            contrast=1.3, unevenness=0.5, haze=0.15, beading=0.4, gaps=1.0, puncta=40,
            point_spread=(1.5, 0.8, 0.8),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """A stack and its reference.

    Attributes:
        voxels: (Z, Y, X) uint8 or uint16.
        mask: (Z, Y, X) bool, the voxels within the tree's radii; gaps count as neurite.
        neurites: (Z, Y, X) bool, the mask and the neurites of other neurons, which look alike.
        tree: the rendered tree.
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
    """Render a tree into a stack.

    Args:
        tree: in voxels of the stack; parts outside the stack are cut off.
        shape: (Z, Y, X) of the stack.
        rng: the only source of randomness.
        settings: parameters of the microscope and the sample; None takes the defaults.
        distractors: trees of other neurons in the same stack.

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
        other_balls = _balls(other, shape)
        _paint(signal, other_balls, _brightness(other, other_balls, how, rng))
        neurites |= neurite_mask(other, shape)
    _add_puncta(signal, how, rng)
    light = _light(signal, tree, how, rng)
    region = None
    if how.masked == "tight":
        region = ndimage.binary_dilation(signal > 0, iterations=int(rng.integers(1, 3)))
        light = np.where(region, light - how.photons, 0)
    elif how.masked == "wide":
        region = _wide_mask(signal > 0, rng)
    voxels = _camera(light, how, rng)
    if region is not None:
        voxels[~region] = 0
    return Rendering(voxels, mask, neurites, tree)


def shine(
    trees: Sequence[Tree],
    shape: tuple[int, int, int],
    how: RenderSettings,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """The blurred light (Z, Y, X) of trees in the dark; the first tree's lines have a median of 1.

    It is 0 everywhere if no node of the first tree lies in the stack.
    """
    signal = np.zeros(shape, dtype=np.float32)
    if not _inside(trees[0], shape).any():
        return signal
    for tree in trees:
        balls = _balls(tree, shape)
        _paint(signal, balls, _brightness(tree, balls, how, rng))
    light: NDArray[np.float32] = ndimage.gaussian_filter(signal, how.point_spread)
    light /= _on_lines(light, trees[0])
    return light


def _light(
    signal: NDArray[np.float32], tree: Tree, how: RenderSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The mean number of photons in every voxel (Z, Y, X): optics and tissue.

    Args:
        signal: (Z, Y, X), the brightness of the fluorophore.
        tree: the tree whose centre lines define the contrast.
        how: parameters of the microscope and the sample.
        rng: the source of randomness.
    """
    light = ndimage.gaussian_filter(signal, how.point_spread)
    level = _on_lines(light, tree)
    if how.haze:
        light += how.haze * level * _haze(light)
    noise = np.sqrt(how.photons + how.read_noise**2)
    light *= how.contrast * noise / level
    if how.fading:
        depth = np.linspace(0.5, -0.5, len(light), dtype=np.float32)[:, None, None]
        light *= np.exp(np.float32(how.fading) * depth)
    light += how.photons
    if how.unevenness:
        light += how.photons * (_uneven(signal.shape, how.unevenness, rng) - 1)
    return np.asarray(light)


def neurite_mask(tree: Tree, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """The voxels within the radii of a tree.

    Args:
        tree: in voxels of the stack; a radius below 0.87 counts as 0.87, so that lines are
            connected.
        shape: (Z, Y, X) of the stack.

    Returns:
        (Z, Y, X) bool.
    """
    mask = np.zeros(shape, dtype=np.float32)
    balls = _balls(tree, shape)
    balls[:, 3] = np.maximum(balls[:, 3], _THINNEST) - 0.5  # the soft edge is a voxel wide
    _paint(mask, balls, np.ones(len(balls), dtype=np.float32))
    return np.asarray(mask > 0)


def _inside(tree: Tree, shape: tuple[int, int, int], margin: float = 0.0) -> NDArray[np.bool_]:
    """(N,) bool, which nodes lie in the stack or at most `margin` voxels outside."""
    zyx = tree.xyz[:, ::-1]
    inside = (zyx >= -0.5 - margin) & (zyx <= np.array(shape) - 0.5 + margin)
    return np.asarray(inside.all(axis=1))


def _balls(tree: Tree, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """(M, 5) float32: z, y, x, radius and node of balls along the links, and of one at each root.

    Links outside the stack have no balls.
    """
    near = _inside(tree, shape, margin=float(tree.radii.max(initial=0)) + 1)
    child = np.flatnonzero((tree.parents >= 0) & near & near[tree.parents])
    parent = tree.parents[child]
    # The first link of a neurite takes the neurite's radius, because the soma's is far larger.
    from_soma = (tree.types[parent] == 1) & (tree.types[child] != 1)
    start_radius = np.where(from_soma, tree.radii[child], tree.radii[parent])
    count = np.ceil(tree.link_lengths[child] / _STEP).astype(np.int64) + 1
    link = np.repeat(np.arange(len(child)), count)
    rank = np.arange(len(link)) - np.repeat(np.cumsum(count) - count, count)
    share = (rank / np.maximum(count[link] - 1, 1))[:, None]
    points = tree.xyz[parent[link]] * (1 - share) + tree.xyz[child[link]] * share
    radius = start_radius[link] * (1 - share[:, 0]) + tree.radii[child[link]] * share[:, 0]
    along = np.column_stack([points[:, ::-1], radius, child[link]])
    roots = tree.roots
    ends = np.column_stack([tree.xyz[roots, ::-1], tree.radii[roots], roots])
    return np.concatenate([along, ends]).astype(np.float32)


def _brightness(
    tree: Tree, balls: NDArray[np.float32], how: RenderSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(M,) float32, the brightness of each ball.

    It varies along the branch, decreases with the distance from the root, and is low in gaps.
    """
    n = len(tree)
    wave = ndimage.gaussian_filter1d(rng.normal(size=n), 2.0, mode="wrap") * 2.6
    of_node = np.clip(np.exp(how.beading * wave), 0.15, 4.0)
    distance = np.linalg.norm(tree.xyz - tree.xyz[0], axis=1)
    of_node *= 1 - 0.4 * distance / max(float(distance.max()), 1.0)
    of_node[tree.types == 1] = how.soma
    brightness = of_node[balls[:, 4].astype(np.int64)]
    path = np.arange(len(balls)) * _STEP  # approximate length along the tree, branch after branch
    for start in rng.uniform(0, path[-1], rng.poisson(how.gaps * path[-1] / 100)):
        first, last = np.searchsorted(path, [start, start + rng.uniform(2, 8)])
        # The balls beside a gap reach into it; therefore the balls within their radius are dimmed.
        reach = round(float(balls[first, 3]) / _STEP)
        brightness[max(0, first - reach) : last + reach] *= rng.uniform(0, 0.15)
    return np.asarray(brightness, dtype=np.float32)


@njit(cache=True)
def _paint(
    volume: NDArray[np.float32], balls: NDArray[np.float32], bright: NDArray[np.float32]
) -> None:
    """Raise the volume to the brightness of each ball, with a soft edge one voxel wide."""
    depth, height, width = volume.shape
    for b in range(len(balls)):
        z, y, x, radius = balls[b, 0], balls[b, 1], balls[b, 2], balls[b, 3]
        reach = radius + 1
        for i in range(max(0, int(np.ceil(z - reach))), min(depth, int(z + reach) + 1)):
            for j in range(max(0, int(np.ceil(y - reach))), min(height, int(y + reach) + 1)):
                for k in range(max(0, int(np.ceil(x - reach))), min(width, int(x + reach) + 1)):
                    distance = np.sqrt((i - z) ** 2 + (j - y) ** 2 + (k - x) ** 2)
                    value = bright[b] * min(np.float32(1), np.float32(radius + 0.5 - distance))
                    if value > volume[i, j, k]:
                        volume[i, j, k] = value


def _add_puncta(signal: NDArray[np.float32], how: RenderSettings, rng: np.random.Generator) -> None:
    """Add specks with radii from 0.5 to 2 voxels, about as bright as the neurites."""
    count = rng.poisson(how.puncta * signal.size / 1e6)
    centres = rng.uniform(0, 1, (count, 3)) * np.array(signal.shape)
    radii = rng.uniform(0.5, 2.0, (count, 1))
    specks = np.column_stack([centres, radii, np.zeros(count)]).astype(np.float32)
    _paint(signal, specks, rng.uniform(0.5, 1.5, count).astype(np.float32))


def _on_lines(light: NDArray[np.float32], tree: Tree) -> float:
    """The median light at the nodes in the stack; somata count only where no other node exists."""
    inside = _inside(tree, (light.shape[0], light.shape[1], light.shape[2]))
    neurites = inside & (tree.types != 1)
    nodes = tree.xyz[neurites if neurites.any() else inside]
    at = np.clip(np.rint(nodes[:, ::-1]).astype(np.int64), 0, np.array(light.shape) - 1)
    return max(float(np.median(light[tuple(at.T)])), 1e-6)


def _haze(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Diffuse light (Z, Y, X) with a maximum of 1, computed on a coarse grid."""
    coarse = ndimage.gaussian_filter(
        light[::_HAZE_STEP, ::_HAZE_STEP, ::_HAZE_STEP], _HAZE_SIGMA / _HAZE_STEP, mode="constant"
    )
    coarse /= max(float(coarse.max()), 1e-6)
    full = ndimage.zoom(coarse, _HAZE_STEP, order=1, grid_mode=True, mode="nearest")
    return np.asarray(full[tuple(slice(n) for n in light.shape)], dtype=np.float32)


def _wide_mask(signal: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A region around the signal (Z, Y, X) as a person might have cut it out: blocky and wide.

    The signal is dilated on a grid of 8 voxels, by a width that varies over the stack.
    """
    shape, step = signal.shape, 8
    padded = np.pad(signal, [(0, -n % step) for n in shape])
    d, h, w = (n // step for n in padded.shape)
    blocks = padded.reshape(d, step, h, step, w, step).any(axis=(1, 3, 5))
    wide = ndimage.binary_dilation(blocks, iterations=1)
    wider = ndimage.binary_dilation(blocks, iterations=4)
    field = ndimage.gaussian_filter(rng.normal(size=blocks.shape), 2)
    mask = wide | (wider & (field > 0))
    full = mask.repeat(step, 0).repeat(step, 1).repeat(step, 2)
    return np.asarray(full[tuple(slice(n) for n in shape)])


def _uneven(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth random field (Z, Y, X) around 1; `share` is its relative variation."""
    coarse = rng.normal(size=(4, 4, 4))
    field = ndimage.zoom(coarse, [n / 4 for n in shape], order=3, grid_mode=True, mode="nearest")
    field = field[tuple(slice(n) for n in shape)]
    return np.asarray(np.clip(1 + share * field / 2, 0.2, None), dtype=np.float32)


def _camera(
    light: NDArray[np.float32], how: RenderSettings, rng: np.random.Generator
) -> NDArray[Any]:
    """The recorded samples: photon noise, read noise, saturation of the brightest 0.01 %."""
    counts = rng.poisson(np.maximum(light, 0)) + rng.normal(0, how.read_noise, light.shape)
    most = np.iinfo(how.dtype).max
    # In an almost dark stack the percentile lies in the background; the maximum limits the gain.
    gain = most / max(float(np.percentile(counts, 99.99)), 0.7 * float(light.max()))
    return np.clip(np.rint(counts * gain), 0, most).astype(how.dtype)
