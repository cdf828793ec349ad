"""What is done to a training window so that no two are alike.

All works on normalised intensity, where the square root has made photon noise about even: Gaussian
noise there stands for Poisson noise in the stack.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: What the brightest voxels can be on the scale of `intensity.normalise`.
_TOP = 2.0
#: Share of the windows that are more than turned. In the others the neurite's border stays where
#: its intensity says: a network that sees only spoilt windows draws it too wide.
_SPOILT = 0.5

Window = NDArray[np.float32]
Labels = NDArray[np.uint8]


def augment(
    intensity: Window, labels: Labels, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Turn, then spoil. The generator decides all.

    Args:
        intensity: (D, S, S), a window with a square plane.
        labels: (D, S, S); 1 is neurite.
        rng: of the window.

    Returns:
        Both, contiguous, of the same shape.
    """
    intensity, labels = _turned(intensity, labels, rng)
    if rng.random() < _SPOILT:
        intensity = _spoilt(intensity, labels, rng)
    return np.clip(intensity, 0, _TOP).astype(np.float32), labels


def _spoilt(intensity: Window, labels: Labels, rng: np.random.Generator) -> Window:
    """Gaps, blur, another exposure, masked dark parts, noise and hot pixels, each at times."""
    if rng.random() < 0.3:
        intensity = cut_gaps(intensity, labels, rng)
    if rng.random() < 0.25:
        sigma = rng.uniform(0.3, 1.2, size=3) * (rng.random(3) < 0.6)
        intensity = ndimage.gaussian_filter(intensity, sigma)
    intensity = _tone(intensity, rng)
    if rng.random() < 0.15:
        # A stack whose dark parts have been set to 0, as published ones often are.
        intensity = np.where(intensity < rng.uniform(0.05, 0.2), np.float32(0), intensity)
    if rng.random() < 0.6:
        worst = 0.4 if rng.random() < 0.3 else 0.12
        noise = rng.standard_normal(intensity.shape, dtype=np.float32)
        intensity = intensity + np.float32(rng.uniform(0, worst)) * noise
    if rng.random() < 0.15:
        hot = rng.integers(intensity.size, size=int(rng.integers(1, 200)))
        intensity = intensity.copy()
        intensity.reshape(-1)[hot] = _TOP
    return intensity


def _turned(intensity: Window, labels: Labels, rng: np.random.Generator) -> tuple[Window, Labels]:
    """One of the 16 symmetries of a window with a square plane."""
    if rng.random() < 0.5:
        intensity, labels = intensity.swapaxes(1, 2), labels.swapaxes(1, 2)
    flips = [slice(None, None, -1 if rng.random() < 0.5 else 1) for _ in range(3)]
    index = tuple(flips)
    return np.ascontiguousarray(intensity[index]), np.ascontiguousarray(labels[index])


def _tone(intensity: Window, rng: np.random.Generator) -> Window:
    """Another exposure: gain, gamma, pedestal."""
    gain, gamma = np.exp(rng.normal(0, (0.2, 0.12)))
    pedestal = max(0.0, rng.normal(0, 0.03))
    return np.asarray(gain * intensity**gamma + pedestal, dtype=np.float32)


def cut_gaps(intensity: Window, labels: Labels, rng: np.random.Generator) -> Window:
    """Dim some balls of 2 to 4 voxels' radius on neurites to the window's background.

    The labels stay: what is learnt is to go on across a gap.
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
