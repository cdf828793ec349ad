"""A light voxel classifier that learns from the stack itself, after SmartTracing.

SmartTracing (Chen et al. 2015, doi 10.1007/s40708-015-0018-y) takes what a first tracing is sure of
and what is surely empty as examples, trains a classifier of voxels on them, judges the whole stack
again and traces again. Here the classifier is scikit-learn's histogram gradient boosting, on the
intensity as the network sees it, its Gaussian means and the eigenvalues of its Hessian at three
widths. It does not see the probability of the first pass: with that it would repeat it.

The stack is gone through in blocks, so that memory beside the answer does not grow with it.
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

Places = NDArray[np.int64]
Scale = tuple[float, float, float]

#: Widths of the Gaussians, in finest voxels; they are cut off at three times that.
_WIDTHS = (1.0, 2.0, 4.0)
_CUT = 3.0
#: Edges of a block (voxels).
_BLOCK = (64, 192, 192)
#: Voxels that are judged at a time.
_AT_A_TIME = 1 << 18
#: What is dimmer than this share of the empty places is as empty.
_DIM = 0.5


def judge_again(
    intensity: NDArray[Any],
    neurite: Places,
    empty: Places,
    scale: Scale = (1.0, 1.0, 1.0),
    progress: ProgressCallback = silent,
) -> NDArray[np.uint8]:
    """The probability 0..255 of neurite as the stack's own examples teach it; 128 is the threshold.

    Args:
        intensity: (Z, Y, X), any real sample type, finite.
        neurite: (N, 3), voxels z, y, x that surely are one; at least one.
        empty: (M, 3), voxels that surely are none; at least one. Both kinds weigh the same.
        scale: (z, y, x), a voxel's edges in units of the shortest one.
        progress: called between blocks; may raise `Cancelled`.
    """
    # Imported here: a start does not wait for what is seldom used.
    from sklearn.ensemble import HistGradientBoostingClassifier

    view = _View(intensity, *intensity_range(intensity), scale)
    places = np.concatenate([neurite, empty])
    is_neurite = np.arange(len(places)) < len(neurite)
    examples = _features_at(view, places)
    classifier = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, min_samples_leaf=20, l2_regularization=1.0,
        early_stopping=False, random_state=0,
    )  # fmt: skip
    weight = np.where(is_neurite, 0.5 / len(neurite), 0.5 / len(empty)) * len(places)
    classifier.fit(examples, is_neurite, sample_weight=weight)
    dim = float(np.quantile(examples[~is_neurite, 1], _DIM))
    result = np.zeros(intensity.shape, dtype=np.uint8)
    blocks = list(_blocks(intensity.shape))
    for i, block in enumerate(blocks):
        progress(Progress("enhance", i, len(blocks)))
        if intensity[block].max() <= view.dark:
            continue  # much of a published stack is often masked out
        looked = _look(view, block)
        places = np.argwhere(looked.means[0] > dim)
        for some in np.split(places, range(_AT_A_TIME, len(places), _AT_A_TIME)):
            if len(some):
                chance = classifier.predict_proba(looked.features(some))[:, 1]
                result[block][tuple(some.T)] = np.rint(255 * chance)
    progress(Progress("enhance", len(blocks), len(blocks)))
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """The stack with its scale of intensity and its voxels' edges."""

    intensity: NDArray[Any]
    dark: float
    bright: float
    scale: Scale


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """A block with a border around it.

    Attributes:
        values: on the scale of intensity, with the border.
        smooth: the same at each width.
        border: (3,) voxels in front of the block.
        inner: the block in those arrays.
        scale: as elsewhere.
    """

    values: NDArray[np.float32]
    smooth: tuple[NDArray[np.float32], ...]
    border: Places
    inner: tuple[slice, slice, slice]
    scale: Scale

    @property
    def means(self) -> tuple[NDArray[np.float32], ...]:
        """The means at each width, of the block alone."""
        return tuple(s[self.inner] for s in self.smooth)

    def features(self, places: Places) -> NDArray[np.float32]:
        """(N, 1 + 4 * widths) what the classifier sees of voxels (N, 3) of the block."""
        at = places + self.border
        seen = np.empty((len(at), 1 + 4 * len(_WIDTHS)), dtype=np.float32)
        seen[:, 0] = self.values[tuple(at.T)]
        for i, (smooth, width) in enumerate(zip(self.smooth, _WIDTHS, strict=True)):
            seen[:, 1 + i] = smooth[tuple(at.T)]
            first = 1 + len(_WIDTHS) + 3 * i
            steps = np.array(self.scale) / width
            _curvatures(smooth, at, steps, seen[:, first : first + 3])
        return seen


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice, slice]]:
    for z, y, x in product(*(range(0, n, b) for n, b in zip(shape, _BLOCK, strict=True))):
        corner = zip((z, y, x), shape, _BLOCK, strict=True)
        a, b, c = (slice(at, min(n, at + edge)) for at, n, edge in corner)
        yield a, b, c


def _look(view: _View, block: tuple[slice, slice, slice]) -> _Looked:
    """The block with as much around it as the widest Gaussian sees."""
    reach = [int(_CUT * max(_WIDTHS) / step + 0.5) + 1 for step in view.scale]
    low = [max(0, s.start - r) for s, r in zip(block, reach, strict=True)]
    wide = tuple(
        slice(a, min(n, s.stop + r))
        for a, s, r, n in zip(low, block, reach, view.intensity.shape, strict=True)
    )
    values = normalise(view.intensity[wide], view.dark, view.bright)
    smooth = tuple(
        ndimage.gaussian_filter(values, [width / step for step in view.scale], truncate=_CUT)
        for width in _WIDTHS
    )
    border = np.array([s.start - a for s, a in zip(block, low, strict=True)])
    z, y, x = (slice(b, b + s.stop - s.start) for b, s in zip(border, block, strict=True))
    return _Looked(values, smooth, border, (z, y, x), view.scale)


def _features_at(view: _View, places: Places) -> NDArray[np.float32]:
    """(N, features) of voxels anywhere in the stack."""
    seen = np.empty((len(places), 1 + 4 * len(_WIDTHS)), dtype=np.float32)
    for block in _blocks(view.intensity.shape):
        low, high = (np.array([getattr(s, end) for s in block]) for end in ("start", "stop"))
        inside = ((places >= low) & (places < high)).all(axis=1)
        if inside.any():
            seen[inside] = _look(view, block).features(places[inside] - low)
    return seen


@njit(cache=True)
def _curvatures(
    smooth: NDArray[np.float32],
    places: Places,
    steps: NDArray[np.float64],
    curvatures: NDArray[np.float32],
) -> None:
    """The eigenvalues of the Hessian at each place, the least first; the border is repeated.

    In closed form: Smith 1961, doi 10.1145/355578.366316.
    """
    near = np.empty((3, 3), dtype=np.int64)
    for i in range(len(places)):
        for a in range(3):
            n = smooth.shape[a]
            near[a, 0] = max(0, places[i, a] - 1)
            near[a, 1] = places[i, a]
            near[a, 2] = min(n - 1, places[i, a] + 1)
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
