"""Training windows: cut from volumes with a reference, or rendered; then augmented.

Window number `slot` of step `step` is a function of (seed, step, slot) and of the data alone: a run
that is resumed sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dineuro_bridge.errors import BadParameter, BadVolume
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.volumes.formats import read_volume
from dineuro_model.intensity import intensity_range, normalise
from dineuro_model.synthesis.rendering import neurite_mask
from dineuro_model.synthesis.scenes import random_scene
from dineuro_model.training.augmentation import augment
from dineuro_model.windows import Shape, cut

BACKGROUND, NEURITE, UNKNOWN = 0, 1, 2
#: So many voxels around a reference tree's tube may belong to the neurite or not.
_UNSURE = 2
#: Radius of a reference tree's line beside a mask.
_LINE = 1.5
#: Shares of the windows in which every second voxel is left out, and of those that are doubled:
#: neurites come at half and at twice their width.
_COARSER, _FINER = 0.15, 0.1
#: Of rendered volumes.
_SCENE: Shape = (48, 232, 232)


@dataclass(frozen=True, slots=True)
class Case:
    """A volume on disk with its reference: labels, a tree, or both.

    Attributes:
        volume: path of the stack; its first channel is used.
        mask: path of the labels, of the same shape.
        tree: path of an SWC in voxels. Without a mask, the neurite is what lies within its radii,
            and two voxels around it do not count, since radii are seldom right. Beside a mask, the
            tree's line does not count where the mask leaves it out: masks often end where a
            neurite is dim, and that it is none there is not to be learnt.
        radius: of every neurite of the tree, in voxels; 0 takes the file's.
        neurite: labels that are neurite; empty: all that are neither 0 nor in `unknown`.
        unknown: labels of voxels that do not count.
        weight: how often it is drawn, relative to the others.
    """

    volume: str
    mask: str = ""
    tree: str = ""
    radius: float = 0.0
    neurite: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (self.mask or self.tree):
            raise BadParameter(f"{self.volume}: give a mask, a tree, or both")
        if not (self.weight > 0 and self.radius >= 0):
            raise BadParameter(f"{self.volume}: weight must be above 0, radius 0 or more")


@dataclass(frozen=True, slots=True)
class Rendered:
    """Volumes made on the fly.

    Attributes:
        share: of the windows that are rendered.
        morphologies: paths of SWC files in voxels; half the neurons are turned and scaled from
            one of them, half are grown.
        without: names (no suffix) of morphologies that are not used.
        windows: how many windows are cut from one rendered volume.
        hardest: 0 renders clean stacks only, 1 all up to signals as weak as the noise.
    """

    share: float = 0.5
    morphologies: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    windows: int = 12
    hardest: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and 0 <= self.hardest <= 1 and self.windows >= 1):
            raise BadParameter(f"rendered data: {self}: share and hardest lie in 0 to 1")


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A volume in memory.

    Attributes:
        voxels: (Z, Y, X), as read.
        labels: (Z, Y, X) uint8: BACKGROUND, NEURITE or UNKNOWN.
        neurite: (N,) flat indices of at most a million neurite voxels.
        scale: dark and bright end of its intensities.
        weight: how often it is drawn.
    """

    voxels: NDArray[Any]
    labels: NDArray[np.uint8]
    neurite: NDArray[np.int64] = field(repr=False)
    scale: tuple[float, float]
    weight: float = 1.0

    @classmethod
    def of(cls, voxels: NDArray[Any], labels: NDArray[np.uint8], weight: float = 1.0) -> Labelled:
        """Index what is drawn from later."""
        neurite = np.flatnonzero(labels.reshape(-1) == NEURITE)
        some = neurite[:: 1 + len(neurite) // 1_000_000]
        return cls(voxels, labels, some, intensity_range(voxels), weight)


def read_case(case: Case) -> Labelled:
    """A case in memory.

    Raises:
        BadVolume: mask and volume differ in shape, or the tree lies beside the volume.
        And all that `read_volume` and `read_swc` raise.
    """
    voxels = read_volume(case.volume).channel(1)
    if not case.mask:
        return Labelled.of(voxels, _tree_labels(case, voxels.shape), case.weight)
    given = read_volume(case.mask).channel(1)
    if given.shape != voxels.shape:
        raise BadVolume(
            f"{case.mask}: has {given.shape} voxels, but {case.volume} has {voxels.shape}"
        )
    unknown = np.isin(given, case.unknown)
    inside = np.isin(given, case.neurite) if case.neurite else given != 0
    if case.tree:
        unknown |= ~inside & _tube(case, voxels.shape, _LINE)
    labels = np.where(unknown, UNKNOWN, np.where(inside, NEURITE, BACKGROUND)).astype(np.uint8)
    return Labelled.of(voxels, labels, case.weight)


def _tree_labels(case: Case, shape: Shape) -> NDArray[np.uint8]:
    """Labels (Z, Y, X) along a tree; beside the tube nothing is known."""
    neurite = _tube(case, shape, case.radius)
    around = ndimage.binary_dilation(neurite, iterations=_UNSURE)
    return np.where(neurite, NEURITE, np.where(around, UNKNOWN, BACKGROUND)).astype(np.uint8)


def _tube(case: Case, shape: Shape, radius: float) -> NDArray[np.bool_]:
    """The voxels (Z, Y, X) within a radius of the tree, or within its own where it is 0."""
    tree = read_swc(case.tree)
    if radius:
        tree = replace(tree, radii=np.full(len(tree), radius))
    tube = neurite_mask(tree, shape)
    if not tube.any():
        raise BadVolume(f"{case.tree}: no node lies in {case.volume}: is it in voxels of it?")
    return tube


class WindowSource:
    """Draws windows.

    Args:
        cases: volumes with a reference; may be empty if all is rendered.
        rendered: what is rendered.
        shape: (depth, rows, columns) of a window.
        seed: of everything.

    Raises:
        BadParameter: nothing to draw from.
    """

    def __init__(
        self,
        cases: Sequence[Labelled],
        rendered: Rendered,
        shape: Shape,
        seed: int,
    ) -> None:
        if not cases and rendered.share < 1:
            raise BadParameter("training: no volumes are given, and not all windows are rendered")
        self.cases = tuple(cases)
        self.rendered = rendered
        self.shape = shape
        self.seed = seed
        weights = np.array([case.weight for case in cases])
        self._odds = weights / weights.sum() if cases else weights
        self._trees = tuple(read_swc(path) for path in rendered.morphologies)
        self._volume = lru_cache(maxsize=8)(self._render)

    def window(self, step: int, slot: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """One augmented window.

        Returns:
            Intensity, normalised, and labels, both of the window's shape.
        """
        rng = np.random.default_rng((self.seed, step, slot))
        if rng.random() < self.rendered.share:
            # Slots change their volumes at different steps, so that no step renders them all.
            source = self._volume((step + 3 * slot) // self.rendered.windows, slot)
        else:
            source = self.cases[int(rng.choice(len(self.cases), p=self._odds))]
        order = (0, 1, 2) if rng.random() < 0.7 else tuple(rng.permutation(3))
        voxels, labels = source.voxels.transpose(order), source.labels.transpose(order)
        chance = rng.random()
        coarser, finer = chance < _COARSER, chance > 1 - _FINER
        depth, height, width = self.shape
        if coarser:
            extent: Shape = (2 * depth, 2 * height, 2 * width)
        elif finer:
            extent = (depth // 2, height // 2, width // 2)
        else:
            extent = self.shape
        corner = draw_corner(source.neurite, source.labels.shape, order, extent, rng)
        intensity = normalise(cut(voxels, corner, extent), *source.scale)
        given = cut(labels, corner, extent)
        if coarser:
            intensity, given = intensity[::2, ::2, ::2], given[::2, ::2, ::2]
        elif finer:
            intensity, given = _doubled(intensity), _repeated(given)
        return augment(intensity, given, rng)

    def batch(self, step: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """`size` windows, stacked: (size, depth, rows, columns)."""
        windows = [self.window(step, slot) for slot in range(size)]
        return np.stack([w[0] for w in windows]), np.stack([w[1] for w in windows])

    def _render(self, number: int, slot: int) -> Labelled:
        """A rendered volume; one is in use for several steps."""
        rng = np.random.default_rng((self.seed, number, slot, 1))
        made = random_scene(self._trees, _SCENE, rng, self.rendered.hardest)
        # Nothing in a window tells whose neurite it shows: those of other neurons count as well.
        return Labelled.of(made.voxels, made.neurites.astype(np.uint8))


def _doubled(intensity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Twice as many voxels along every axis, linear between the given ones."""
    return np.asarray(ndimage.zoom(intensity, 2, order=1, grid_mode=True, mode="nearest"))


def _repeated(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return labels.repeat(2, 0).repeat(2, 1).repeat(2, 2)


def draw_corner(
    neurite: NDArray[np.int64],
    shape: Shape,
    order: tuple[int, ...],
    window: Shape,
    rng: np.random.Generator,
) -> Shape:
    """Where a window begins: three in four have a neurite's voxel near the middle.

    Args:
        neurite: (N,) flat indices into a volume of `shape`.
        shape: (Z, Y, X) of the volume as stored.
        order: its axes in the order in which the window sees them.
        window: (depth, rows, columns).
        rng: of the window.
    """
    n = np.array([shape[a] for a in order])
    extent = np.array(window)
    if len(neurite) and rng.random() < 0.75:
        place = np.unravel_index(int(rng.choice(neurite)), shape)
        middle = np.array([place[a] for a in order]) + rng.uniform(-0.35, 0.35, 3) * extent
    else:
        middle = rng.uniform(0, 1, 3) * n
    start = np.rint(middle - extent / 2).astype(int)
    # A window leaves the volume by a quarter at most; a short axis is centred.
    low, high = -extent // 4, n - extent + extent // 4
    start = np.where(low <= high, np.clip(start, low, np.maximum(low, high)), (n - extent) // 2)
    return int(start[0]), int(start[1]), int(start[2])
