"""A small voxel classifier that is trained on the stack itself, after SmartTracing.

SmartTracing (Chen et al. 2015, doi 10.1007/s40708-015-0018-y) takes its examples from a first
tracing: certain neurites and empty places. A classifier of voxels is trained on the examples and
applied to the whole stack, which is then traced again.

Here the classifier is scikit-learn's histogram gradient boosting. Its features are the normalised
intensity, and at three widths the Gaussian mean and the eigenvalues of the Hessian. The probability
of the first pass is no feature, because the classifier would reproduce it.

The stack is processed in blocks, so that memory beside the result does not grow with the stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from dineuro_bridge.progress import Progress, ProgressCallback, silent
from dineuro_model.intensity import intensity_range, normalise

Voxels = NDArray[np.int64]
Scale = tuple[float, float, float]

#: Standard deviations of the Gaussians in finest voxels, and the multiple at which they are cut.
_WIDTHS = (1.0, 2.0, 4.0)
_CUT = 3.0
#: Edges of a block in voxels.
_BLOCK = (64, 192, 192)
#: Voxels that are classified at a time.
_CHUNK = 1 << 18
#: A voxel dimmer than this quantile of the empty examples is empty without classification.
_DIM = 0.5


def reclassify(
    intensity: NDArray[Any],
    neurite: Voxels,
    empty: Voxels,
    scale: Scale = (1.0, 1.0, 1.0),
    progress: ProgressCallback = silent,
) -> NDArray[np.uint8]:
    """The probability of neurites according to a classifier trained on the stack's own examples.

    Args:
        intensity: (Z, Y, X), any real type, finite.
        neurite: (N, 3) int64, voxels z, y, x that certainly lie in a neurite; N is at least 1.
        empty: (M, 3) int64, voxels that certainly lie in none; M is at least 1. Both kinds have the
            same weight in total.
        scale: (z, y, x), a voxel's edges in finest voxels.
        progress: called between blocks; it may raise `Cancelled`.

    Returns:
        (Z, Y, X) uint8 from 0 to 255; 128 is the threshold.
    """
    # The import stands here because few stacks need a second pass, and it takes time.
    from sklearn.ensemble import HistGradientBoostingClassifier

    stack = _Stack(intensity, *intensity_range(intensity), scale)
    voxels = np.concatenate([neurite, empty])
    is_neurite = np.arange(len(voxels)) < len(neurite)
    examples = _features_at(stack, voxels)
    classifier = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, min_samples_leaf=20, l2_regularization=1.0,
        early_stopping=False, random_state=0,
    )  # fmt: skip
    weight = np.where(is_neurite, 0.5 / len(neurite), 0.5 / len(empty)) * len(voxels)
    classifier.fit(examples, is_neurite, sample_weight=weight)
    dim = float(np.quantile(examples[~is_neurite, 1], _DIM))
    result = np.zeros(intensity.shape, dtype=np.uint8)
    blocks = list(_blocks(intensity.shape))
    for i, block in enumerate(blocks):
        progress(Progress("enhance", i, len(blocks)))
        if intensity[block].max() <= stack.dark:
            continue  # much of a published stack is often masked
        filters = _filter_block(stack, block)
        voxels = np.argwhere(filters.means[0] > dim)
        for chunk in np.split(voxels, range(_CHUNK, len(voxels), _CHUNK)):
            if len(chunk):
                chance = classifier.predict_proba(filters.features(chunk))[:, 1]
                result[block][tuple(chunk.T)] = np.rint(255 * chance)
    progress(Progress("enhance", len(blocks), len(blocks)))
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _Stack:
    """A stack.

    Attributes:
        intensity: (Z, Y, X).
        dark, bright: the ends of its scale of intensities.
        scale: (z, y, x), a voxel's edges in finest voxels.
    """

    intensity: NDArray[Any]
    dark: float
    bright: float
    scale: Scale


@dataclass(frozen=True, slots=True, eq=False)
class _Filters:
    """The filtered intensity of a block with a border around it.

    Attributes:
        values: (z, y, x) normalised intensity, with the border.
        smooth: the values after the Gaussian of each width, of the same shape.
        border: (3,) voxels of the border before the block's first voxel.
        inner: the place of the block in these arrays.
        scale: (z, y, x), a voxel's edges in finest voxels.
    """

    values: NDArray[np.float32]
    smooth: tuple[NDArray[np.float32], ...]
    border: Voxels
    inner: tuple[slice, slice, slice]
    scale: Scale

    @property
    def means(self) -> tuple[NDArray[np.float32], ...]:
        """The Gaussian means at each width, without the border."""
        return tuple(s[self.inner] for s in self.smooth)

    def features(self, voxels: Voxels) -> NDArray[np.float32]:
        """The classifier's features of voxels (N, 3) of the block: (N, 1 + 4 * widths)."""
        at = voxels + self.border
        features = np.empty((len(at), 1 + 4 * len(_WIDTHS)), dtype=np.float32)
        features[:, 0] = self.values[tuple(at.T)]
        for i, (smooth, width) in enumerate(zip(self.smooth, _WIDTHS, strict=True)):
            features[:, 1 + i] = smooth[tuple(at.T)]
            first = 1 + len(_WIDTHS) + 3 * i
            steps = np.array(self.scale) / width
            _curvatures(smooth, at, steps, features[:, first : first + 3])
        return features


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice, slice]]:
    """The blocks that tile a volume of a shape."""
    for z, y, x in product(*(range(0, n, b) for n, b in zip(shape, _BLOCK, strict=True))):
        corner = zip((z, y, x), shape, _BLOCK, strict=True)
        a, b, c = (slice(at, min(n, at + edge)) for at, n, edge in corner)
        yield a, b, c


def _filter_block(stack: _Stack, block: tuple[slice, slice, slice]) -> _Filters:
    """Filter a block, with a border as wide as the support of the widest Gaussian."""
    reach = [int(_CUT * max(_WIDTHS) / step + 0.5) + 1 for step in stack.scale]
    low = [max(0, s.start - r) for s, r in zip(block, reach, strict=True)]
    wide = tuple(
        slice(a, min(n, s.stop + r))
        for a, s, r, n in zip(low, block, reach, stack.intensity.shape, strict=True)
    )
    values = normalise(stack.intensity[wide], stack.dark, stack.bright)
    smooth = tuple(
        ndimage.gaussian_filter(values, [width / step for step in stack.scale], truncate=_CUT)
        for width in _WIDTHS
    )
    border = np.array([s.start - a for s, a in zip(block, low, strict=True)])
    z, y, x = (slice(b, b + s.stop - s.start) for b, s in zip(border, block, strict=True))
    return _Filters(values, smooth, border, (z, y, x), stack.scale)


def _features_at(stack: _Stack, voxels: Voxels) -> NDArray[np.float32]:
    """The features (N, 1 + 4 * widths) of voxels (N, 3) anywhere in the stack."""
    features = np.empty((len(voxels), 1 + 4 * len(_WIDTHS)), dtype=np.float32)
    for block in _blocks(stack.intensity.shape):
        low, high = (np.array([getattr(s, end) for s in block]) for end in ("start", "stop"))
        inside = ((voxels >= low) & (voxels < high)).all(axis=1)
        if inside.any():
            features[inside] = _filter_block(stack, block).features(voxels[inside] - low)
    return features


@njit(cache=True)
def _curvatures(
    smooth: NDArray[np.float32],
    voxels: Voxels,
    steps: NDArray[np.float64],
    curvatures: NDArray[np.float32],
) -> None:
    """Write the eigenvalues of the Hessian at each voxel into `curvatures`, in ascending order.

    The eigenvalues have a closed form (Smith 1961, doi 10.1145/355578.366316). Beyond the border
    the border's values repeat.

    Args:
        smooth: (Z, Y, X), the intensity after a Gaussian.
        voxels: (N, 3), z, y, x.
        steps: (3,), the voxel's edges in units of the Gaussian's width.
        curvatures: (N, 3), the output.
    """
    near = np.empty((3, 3), dtype=np.int64)
    for i in range(len(voxels)):
        for a in range(3):
            n = smooth.shape[a]
            near[a, 0] = max(0, voxels[i, a] - 1)
            near[a, 1] = voxels[i, a]
            near[a, 2] = min(n - 1, voxels[i, a] + 1)
        z, y, x = near[0], near[1], near[2]
        here = 2.0 * smooth[z[1], y[1], x[1]]
        zz = (smooth[z[0], y[1], x[1]] + smooth[z[2], y[1], x[1]] - here) / steps[0] ** 2
        yy = (smooth[z[1], y[0], x[1]] + smooth[z[1], y[2], x[1]] - here) / steps[1] ** 2
        xx = (smooth[z[1], y[1], x[0]] + smooth[z[1], y[1], x[2]] - here) / steps[2] ** 2
        zy = smooth[z[0], y[0], x[1]] + smooth[z[2], y[2], x[1]]
        zy = (zy - smooth[z[0], y[2], x[1]] - smooth[z[2], y[0], x[1]]) / (4 * steps[0] * steps[1])
        zx = smooth[z[0], y[1], x[0]] + smooth[z[2], y[1], x[2]]
        zx = (zx - smooth[z[0], y[1], x[2]] - smooth[z[2], y[1], x[0]]) / (4 * steps[0] * steps[2])
        yx = smooth[z[1], y[0], x[0]] + smooth[z[1], y[2], x[2]]
        yx = (yx - smooth[z[1], y[0], x[2]] - smooth[z[1], y[2], x[0]]) / (4 * steps[1] * steps[2])
        mean = (zz + yy + xx) / 3
        a, b, c = zz - mean, yy - mean, xx - mean
        size = np.sqrt((a * a + b * b + c * c + 2 * (zy * zy + zx * zx + yx * yx)) / 6)
        turn = 0.0
        if size > 0:
            half = a * (b * c - yx * yx) - zy * (zy * c - yx * zx) + zx * (zy * yx - b * zx)
            turn = np.arccos(min(1.0, max(-1.0, half / (2 * size**3)))) / 3
        curvatures[i, 0] = mean + 2 * size * np.cos(turn + 2 * np.pi / 3)
        curvatures[i, 2] = mean + 2 * size * np.cos(turn)
        curvatures[i, 1] = 3 * mean - curvatures[i, 0] - curvatures[i, 2]
