"""Random changes of training windows.

All functions work on normalised intensity. There the noise of photons is about even, because of the
square root, so that Gaussian noise represents the Poisson noise of a stack.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: The largest value on the scale of `intensity.normalise`.
_TOP = 2.0
#: Share of the windows that are degraded. In the other windows the labels agree with the intensity
#: at the neurite's border. Training on degraded windows alone makes neurites too wide.
_DEGRADED = 0.5

Window = NDArray[np.float32]
Labels = NDArray[np.uint8]


def augment(
    intensity: Window, labels: Labels, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Flip and transpose a window at random, and degrade half of the windows.

    Args:
        intensity: (D, S, S), a window with a square plane.
        labels: (D, S, S); 1 is neurite.
        rng: the only source of randomness.

    Returns:
        The intensity from 0 to 2 and the labels, contiguous, of the same shape.
    """
    intensity, labels = _orient(intensity, labels, rng)
    if rng.random() < _DEGRADED:
        intensity = _degrade(intensity, labels, rng)
    return np.clip(intensity, 0, _TOP).astype(np.float32), labels


def _degrade(intensity: Window, labels: Labels, rng: np.random.Generator) -> Window:
    """Add gaps, blur, another exposure, zeros in dark parts, noise and hot pixels at random."""
    if rng.random() < 0.3:
        intensity = cut_gaps(intensity, labels, rng)
    if rng.random() < 0.25:
        sigma = rng.uniform(0.3, 1.2, size=3) * (rng.random(3) < 0.6)
        intensity = ndimage.gaussian_filter(intensity, sigma)
    intensity = _expose(intensity, rng)
    if rng.random() < 0.15:
        # In many published stacks the dark parts are set to 0.
        intensity = np.where(intensity < rng.uniform(0.05, 0.2), np.float32(0), intensity)
    if rng.random() < 0.6:
        strongest = 0.4 if rng.random() < 0.3 else 0.12
        noise = rng.standard_normal(intensity.shape, dtype=np.float32)
        intensity = intensity + np.float32(rng.uniform(0, strongest)) * noise
    if rng.random() < 0.15:
        hot = rng.integers(intensity.size, size=int(rng.integers(1, 200)))
        intensity = intensity.copy()
        intensity.reshape(-1)[hot] = _TOP
    return intensity


def _orient(intensity: Window, labels: Labels, rng: np.random.Generator) -> tuple[Window, Labels]:
    """Apply one of the 16 symmetries of a window with a square plane."""
    if rng.random() < 0.5:
        intensity, labels = intensity.swapaxes(1, 2), labels.swapaxes(1, 2)
    flips = [slice(None, None, -1 if rng.random() < 0.5 else 1) for _ in range(3)]
    index = tuple(flips)
    return np.ascontiguousarray(intensity[index]), np.ascontiguousarray(labels[index])


def _expose(intensity: Window, rng: np.random.Generator) -> Window:
    """Change the exposure by a random gain, gamma and pedestal."""
    gain, gamma = np.exp(rng.normal(0, (0.2, 0.12)))
    pedestal = max(0.0, rng.normal(0, 0.03))
    return np.asarray(gain * intensity**gamma + pedestal, dtype=np.float32)


def cut_gaps(intensity: Window, labels: Labels, rng: np.random.Generator) -> Window:
    """Darken balls on neurites, 2 to 4 voxels in radius, to the window's background.

    The labels do not change, so that the network learns to bridge gaps.

    Args:
        intensity: (D, S, S), normalised.
        labels: (D, S, S); 1 is neurite.
        rng: the source of randomness.

    Returns:
        A copy of the intensity with one to five gaps; the input itself without neurites.
    """
    neurite = np.flatnonzero(labels == 1)
    if len(neurite) == 0:
        return intensity
    intensity = intensity.copy()
    dark = np.float32(np.median(intensity))
    for flat in rng.choice(neurite, size=int(rng.integers(1, 6))):
        centre = np.unravel_index(flat, labels.shape)
        radius = float(rng.uniform(2, 4))
        box = tuple(slice(max(0, int(c - radius)), int(c + radius) + 1) for c in centre)
        axes = np.ogrid[box]
        distance = sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) ** 0.5
        part = intensity[box][: labels.shape[0], : labels.shape[1], : labels.shape[2]]
        inside = (distance < radius)[tuple(slice(n) for n in part.shape)]
        part[inside] = dark + np.float32(rng.uniform(0, 0.2)) * (part[inside] - dark)
    return intensity
