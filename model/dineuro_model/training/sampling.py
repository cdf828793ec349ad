"""Training windows: cut from volumes with a reference or from rendered volumes, then augmented.

Window number `slot` of step `step` depends on (seed, step, slot) and on the data alone. Therefore a
resumed run draws the same windows as an uninterrupted run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dineuro_bridge.errors import BadParameter, BadTree, BadVolume
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.trees.units import check_in_voxels, fits_in_micrometres, in_voxels
from dineuro_bridge.volumes.formats import read_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.inputs import halo, window_inputs
from dineuro_model.intensity import intensity_range, normalise
from dineuro_model.synthesis.pasting import Background, paste
from dineuro_model.synthesis.rendering import neurite_mask
from dineuro_model.synthesis.scenes import (
    random_fragments,
    random_scene,
    random_settings,
    random_tree,
)
from dineuro_model.training.augmentation import augment
from dineuro_model.windows import Shape, around, cut

BACKGROUND, NEURITE, UNKNOWN = 0, 1, 2
#: Width in voxels of the zone around a reference tree's tube that does not count.
MARGIN = 2
#: Radius in voxels of a reference tree's line that does not count outside a mask.
_LINE = 1.5
_ADVICE = "pass --gold-spacing x,y,z, the size of a voxel in µm, or give tree_spacing in the recipe"
#: Shares of the windows at half and at twice the resolution: neurites have half or twice their
#: width.
_COARSER, _FINER = 0.15, 0.1
#: The least and the greatest contrast of pasted neurites, in units of the background's noise.
_PASTED_CONTRAST = (6, 60)
#: Shape of rendered volumes.
_SCENE: Shape = (48, 232, 232)


@dataclass(frozen=True, slots=True)
class Case:
    """A volume on disk with its reference: labels, a tree, or both.

    Attributes:
        volume: path of the stack; its first channel is used.
        mask: path of the labels, of the same shape.
        tree: path of an SWC; see `tree_spacing` for its unit. Without a mask, voxels within the
            tree's radii are neurite, and two voxels around them do not count, because radii are
            seldom correct. With a mask, the tree's line does not count where it lies outside the
            mask. Masks often end where a neurite is dim, and the network must not learn that no
            neurite is there.
        radius: radius of the whole tree in voxels; 0 takes the radii of the file.
        tree_spacing: x, y, z in µm of a voxel, for a tree in µm; zeros for a tree in voxels.
        neurite: labels of neurites; if empty, all labels but 0 and those of `unknown`.
        unknown: labels of voxels that do not count.
        weight: frequency of the case relative to the other cases.

    Raises:
        BadParameter: no mask and no tree, or a number out of range.
    """

    volume: str
    mask: str = ""
    tree: str = ""
    radius: float = 0.0
    tree_spacing: tuple[float, ...] = (0.0, 0.0, 0.0)
    neurite: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (self.mask or self.tree):
            raise BadParameter(f"{self.volume}: give a mask, a tree, or both")
        if not (self.weight > 0 and self.radius >= 0):
            raise BadParameter(f"{self.volume}: weight must be above 0, radius 0 or more")
        steps = self.tree_spacing
        if len(steps) != 3 or not (all(0 < step < 1e9 for step in steps) or not any(steps)):
            raise BadParameter(f"{self.volume}: tree_spacing is x, y, z in µm, each above 0")


@dataclass(frozen=True, slots=True)
class Rendered:
    """Volumes that are rendered during training.

    Attributes:
        share: share of the windows that are cut from rendered volumes.
        morphologies: paths of SWC files in voxels. Half of the neurons are one of them, rotated
            and scaled; half are grown.
        without: names, without suffix, of morphologies that are not used.
        windows: number of windows that are cut from one rendered volume.
        hardest: the upper limit of the difficulty, from 0 (clean stacks) to 1 (signals as weak as
            the noise).

    Raises:
        BadParameter: a number is out of range.
    """

    share: float = 0.5
    morphologies: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    windows: int = 12
    hardest: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and 0 <= self.hardest <= 1 and self.windows >= 1):
            raise BadParameter(f"rendered data: {self}: share and hardest lie in 0 to 1")


@dataclass(frozen=True, slots=True)
class Pasted:
    """Rendered neurites in stacks without a reference, see `synthesis.pasting`.

    Attributes:
        share: share of the windows that are cut from such volumes.
        volumes: paths of the stacks; their first channel is used.
        windows: number of windows that are cut from one such volume.

    Raises:
        BadParameter: a number is out of range, or a share without a stack.
    """

    share: float = 0.0
    volumes: tuple[str, ...] = ()
    windows: int = 12

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and self.windows >= 1):
            raise BadParameter(f"pasted data: {self}: the share lies in 0 to 1")
        if self.share and not self.volumes:
            raise BadParameter("pasted data: a share needs volumes")


@dataclass(frozen=True, slots=True, eq=False)
class TrainingVolume:
    """A volume in memory with its labels.

    Attributes:
        voxels: (Z, Y, X), the samples of the file.
        labels: (Z, Y, X) uint8: BACKGROUND, NEURITE or UNKNOWN.
        neurite: (N,) flat indices of at most about a million neurite voxels.
        scale: the dark end and the bright end of its intensities.
        weight: frequency relative to the other volumes.
    """

    voxels: NDArray[Any]
    labels: NDArray[np.uint8]
    neurite: NDArray[np.int64] = field(repr=False)
    scale: tuple[float, float]
    weight: float = 1.0

    @classmethod
    def index(
        cls, voxels: NDArray[Any], labels: NDArray[np.uint8], weight: float = 1.0
    ) -> TrainingVolume:
        """Index the neurite voxels of a volume (Z, Y, X) and measure its scale of intensities."""
        neurite = np.flatnonzero(labels.reshape(-1) == NEURITE)
        sample = neurite[:: 1 + len(neurite) // 1_000_000]
        return cls(voxels, labels, sample, intensity_range(voxels), weight)


def read_case(case: Case) -> TrainingVolume:
    """Read a case into memory.

    Raises:
        BadVolume: mask and volume differ in shape, or the tree lies outside the volume.
        BadTree: the tree is in micrometres, and `tree_spacing` is not given.
        And the errors of `read_volume` and `read_swc`.
    """
    volume = read_volume(case.volume)
    voxels = volume.channel(1)
    if not case.mask:
        return TrainingVolume.index(voxels, _tree_labels(case, volume), case.weight)
    mask = read_volume(case.mask).channel(1)
    if mask.shape != voxels.shape:
        raise BadVolume(
            f"{case.mask}: has {mask.shape} voxels, but {case.volume} has {voxels.shape}"
        )
    unknown = np.isin(mask, case.unknown)
    inside = np.isin(mask, case.neurite) if case.neurite else mask != 0
    if case.tree:
        unknown |= ~inside & _tube(case, volume, _LINE)
    labels = np.where(unknown, UNKNOWN, np.where(inside, NEURITE, BACKGROUND)).astype(np.uint8)
    return TrainingVolume.index(voxels, labels, case.weight)


def _tree_labels(case: Case, volume: Volume) -> NDArray[np.uint8]:
    """Labels (Z, Y, X) of a tree: its tube is neurite, and a zone around the tube is unknown."""
    neurite = _tube(case, volume, case.radius)
    margin = ndimage.binary_dilation(neurite, iterations=MARGIN)
    return np.where(neurite, NEURITE, np.where(margin, UNKNOWN, BACKGROUND)).astype(np.uint8)


def _tube(case: Case, volume: Volume, radius: float) -> NDArray[np.bool_]:
    """The voxels (Z, Y, X) within a radius of the tree; radius 0 takes the tree's radii."""
    tree = _tree_in_voxels(case, volume)
    if radius:
        tree = replace(tree, radii=np.full(len(tree), radius))
    tube = neurite_mask(tree, volume.channel(1).shape)
    if not tube.any():
        raise BadVolume(
            f"{case.tree}: no node lies in {case.volume}: is it in voxels of it? If it is in µm, "
            f"{_ADVICE}"
        )
    return tube


def _tree_in_voxels(case: Case, volume: Volume) -> Tree:
    """The tree of a case.

    Raises:
        BadTree: it is in µm, and the case does not give the size of a voxel.
    """
    tree = read_swc(case.tree)
    x, y, z = case.tree_spacing
    if x:
        return in_voxels(tree, (x, y, z))
    check_in_voxels(tree, case.tree, _ADVICE)
    if volume.spacing is not None and len(tree):
        z, y, x = volume.spacing
        if fits_in_micrometres(tree, volume.channel(1), (x, y, z)):
            raise BadTree(
                f"{case.tree}: lies on what is bright in {case.volume} if it is in µm, and not if "
                f"it is in voxels: {_ADVICE}"
            )
    return tree


class WindowSource:
    """Draws training windows.

    Args:
        cases: volumes with a reference; may be empty if all windows are rendered.
        rendered: the rendered volumes.
        shape: (depth, rows, columns) of a window.
        seed: the only source of randomness.
        inputs: the names of the network's inputs.
        pasted: the stacks in which neurites are rendered.

    Raises:
        BadParameter: no volume and no rendering to draw from.
        And the errors of `read_swc` for a morphology.
    """

    def __init__(
        self,
        cases: Sequence[TrainingVolume],
        rendered: Rendered,
        shape: Shape,
        seed: int,
        inputs: Sequence[str] = ("global",),
        pasted: Pasted = Pasted(),
    ) -> None:
        if not cases and rendered.share + pasted.share < 1:
            raise BadParameter("training: no volumes are given, and not all windows are rendered")
        self.cases = tuple(cases)
        self.rendered = rendered
        self.shape = shape
        self.seed = seed
        self.inputs = tuple(inputs)
        weights = np.array([case.weight for case in cases])
        self._odds = weights / weights.sum() if cases else weights
        self._trees = tuple(read_swc(path) for path in rendered.morphologies)
        self.pasted = pasted
        volumes = (read_volume(path).channel(1) for path in pasted.volumes)
        self._backgrounds = tuple(Background.of(np.asarray(voxels)) for voxels in volumes)
        self._volume = lru_cache(maxsize=8)(self._render)
        self._pasting = lru_cache(maxsize=8)(self._paste)

    def window(self, step: int, slot: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """One augmented window, from which all of the network's inputs are computed.

        Args:
            step: number of the step.
            slot: number of the window in its step.

        Returns:
            The inputs (inputs * depth, rows, columns) float32, and the labels (uint8) of the
            window's shape.
        """
        rng = np.random.default_rng((self.seed, step, slot))
        chance = rng.random()
        if chance < self.rendered.share:
            # The slots change their volumes at different steps, so that no step renders all.
            source = self._volume((step + 3 * slot) // self.rendered.windows, slot)
        elif chance < self.rendered.share + self.pasted.share:
            source = self._pasting((step + 3 * slot) // self.pasted.windows, slot)
        else:
            source = self.cases[int(rng.choice(len(self.cases), p=self._odds))]
        order = (0, 1, 2) if rng.random() < 0.7 else tuple(rng.permutation(3))
        voxels, labels = source.voxels.transpose(order), source.labels.transpose(order)
        chance = rng.random()
        coarser, finer = chance < _COARSER, chance > 1 - _FINER
        margin = halo(self.inputs)
        extent = _scaled(self.shape, coarser=coarser, finer=finer)
        corner = draw_corner(source.neurite, source.labels.shape, order, extent, rng)
        wide = around(corner, extent, _scaled(margin, coarser=coarser, finer=finer))
        intensity, labels = normalise(cut(voxels, *wide), *source.scale), cut(labels, *wide)
        if coarser:
            intensity, labels = intensity[::2, ::2, ::2], labels[::2, ::2, ::2]
        elif finer:
            intensity, labels = (
                _interpolate(intensity),
                labels.repeat(2, 0).repeat(2, 1).repeat(2, 2),
            )
        intensity, labels = augment(intensity, labels, rng)
        z, y, x = (slice(m, n - m) for m, n in zip(margin, labels.shape, strict=True))
        return window_inputs(self.inputs, intensity), labels[z, y, x]

    def batch(self, step: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """The windows of a step: (size, inputs * depth, …) and labels (size, depth, …)."""
        windows = [self.window(step, slot) for slot in range(size)]
        return np.stack([w[0] for w in windows]), np.stack([w[1] for w in windows])

    def _render(self, number: int, slot: int) -> TrainingVolume:
        """Render volume number `number` of a slot; a volume serves several steps."""
        rng = np.random.default_rng((self.seed, number, slot, 1))
        scene = random_scene(self._trees, _SCENE, rng, self.rendered.hardest)
        # A window does not show which neuron a neurite belongs to. Therefore the neurites of other
        # neurons count as well.
        return TrainingVolume.index(scene.voxels, scene.neurites.astype(np.uint8))

    def _paste(self, number: int, slot: int) -> TrainingVolume:
        """Render neurites in volume number `number` of a slot."""
        rng = np.random.default_rng((self.seed, number, slot, 2))
        which = int(rng.integers(len(self._backgrounds)))
        background = self._backgrounds[which].part(_SCENE, rng)
        depth, height, width = background.voxels.shape
        shape = (depth, height, width)
        tree = random_tree(self._trees, shape, rng)
        others = random_fragments(int(rng.integers(0, 4)), shape, rng)
        settings = random_settings(rng, self.rendered.hardest)
        # The background's own structures are far brighter than its noise, and so are these.
        contrast = float(np.exp(rng.uniform(*np.log(_PASTED_CONTRAST))))
        settings = replace(settings, contrast=contrast)
        made = paste(tree, background, rng, settings, others)
        labels = np.where(made.unknown, UNKNOWN, made.neurites).astype(np.uint8)
        return TrainingVolume.index(made.voxels, labels)


def _scaled(shape: Shape, *, coarser: bool, finer: bool) -> Shape:
    """The voxels (depth, rows, columns) of a volume that become a window of a shape."""
    depth, height, width = shape
    if coarser:
        return 2 * depth, 2 * height, 2 * width
    return (depth // 2, height // 2, width // 2) if finer else shape


def _interpolate(intensity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Twice as many voxels along every axis, linearly interpolated."""
    return np.asarray(ndimage.zoom(intensity, 2, order=1, grid_mode=True, mode="nearest"))


def draw_corner(
    neurite: NDArray[np.int64],
    shape: Shape,
    order: tuple[int, ...],
    window: Shape,
    rng: np.random.Generator,
) -> Shape:
    """Draw the first voxel of a window.

    Three of four windows have a neurite voxel near the middle.

    Args:
        neurite: (N,) flat indices into a volume of `shape`.
        shape: (Z, Y, X) of the stored volume.
        order: the volume's axes in the order of the window's axes.
        window: (depth, rows, columns) of the window.
        rng: the source of randomness.

    Returns:
        The corner along the window's axes; it may lie outside the volume.
    """
    n = np.array([shape[a] for a in order])
    extent = np.array(window)
    if len(neurite) and rng.random() < 0.75:
        voxel = np.unravel_index(int(rng.choice(neurite)), shape)
        middle = np.array([voxel[a] for a in order]) + rng.uniform(-0.35, 0.35, 3) * extent
    else:
        middle = rng.uniform(0, 1, 3) * n
    start = np.rint(middle - extent / 2).astype(int)
    # At most a quarter of a window lies outside the volume; along a short axis it is centred.
    low, high = -extent // 4, n - extent + extent // 4
    start = np.where(low <= high, np.clip(start, low, np.maximum(low, high)), (n - extent) // 2)
    return int(start[0]), int(start[1]), int(start[2])
