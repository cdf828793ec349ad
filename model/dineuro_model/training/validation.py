"""Validation during training: Dice, clDice and HD95 on a few fixed windows.

It takes seconds, in contrast to the evaluation on whole volumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dineuro_model.inputs import halo, window_inputs
from dineuro_model.intensity import normalise
from dineuro_model.mask_scores import score_masks
from dineuro_model.network.config import NetworkConfig
from dineuro_model.network.network import Network
from dineuro_model.training.sampling import NEURITE, UNKNOWN, Case, draw_corner, read_case
from dineuro_model.windows import around, cut

#: Standard deviation, on the normalised scale, of the noise that is added for the noisy figures.
_NOISE = 0.2
_ORDER = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class ValidationScores:
    """Mean scores over the windows at the probability 0.5.

    Attributes:
        dice, cldice, hd95: scores on the original windows; see `mask_scores.MaskScores`.
        noisy_dice, noisy_cldice, noisy_hd95: scores with Gaussian noise added.
    """

    dice: float
    cldice: float
    hd95: float
    noisy_dice: float
    noisy_cldice: float
    noisy_hd95: float


@dataclass(frozen=True, slots=True, eq=False)
class ValidationWindow:
    """A window of validation.

    Attributes:
        intensity: (inputs * D, S, S), the network's inputs.
        noisy: (inputs * D, S, S), the same with noise.
        labels: (D, S, S): BACKGROUND, NEURITE or UNKNOWN.
    """

    intensity: NDArray[np.float32]
    noisy: NDArray[np.float32]
    labels: NDArray[np.uint8]


def validation_windows(
    cases: Sequence[Case], config: NetworkConfig, seed: int, count: int = 1
) -> list[ValidationWindow]:
    """Draw windows that contain a neurite, if their volume has one.

    Args:
        cases: volumes on disk.
        config: configuration of the network.
        seed: the only source of randomness.
        count: windows of each case.

    Raises:
        The errors of `read_case`.
    """
    shape = (config.depth, config.size, config.size)
    windows = []
    for number, case in enumerate(cases):
        rng = np.random.default_rng((seed, number))
        volume = read_case(case)
        for _ in range(count):
            while True:
                corner = draw_corner(volume.neurite, volume.labels.shape, _ORDER, shape, rng)
                labels = cut(volume.labels, corner, shape)
                if (labels == NEURITE).any() or len(volume.neurite) == 0:
                    break
            wide = around(corner, shape, halo(config.inputs))
            intensity = normalise(cut(volume.voxels, *wide), *volume.scale)
            noise = rng.normal(0, _NOISE, intensity.shape).astype(np.float32)
            plain, noisy = (
                window_inputs(config.inputs, values)
                for values in (intensity, np.maximum(intensity + noise, 0))
            )
            windows.append(ValidationWindow(plain, noisy, labels))
    return windows


@torch.inference_mode()
def validate(
    network: Network, windows: Sequence[ValidationWindow], device: torch.device, *, bf16: bool
) -> ValidationScores:
    """Predict every window, with noise and without, and score the masks.

    Args:
        network: the network, on the device.
        windows: the windows; at least one.
        device: where the network is evaluated.
        bf16: whether to compute in bfloat16.
    """
    config = network.config
    margin = (config.depth - config.predicted) // 2
    inner = slice(margin, margin + config.predicted)
    figures = []
    for window in windows:
        pair = torch.from_numpy(np.stack([window.intensity, window.noisy])).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            masks = (network(pair) >= 0).cpu().numpy()
        valid = window.labels[inner] != UNKNOWN
        truth = window.labels[inner] == NEURITE
        figures.append([v for mask in masks for v in astuple(score_masks(mask, truth, valid))])
    return ValidationScores(*(float(v) for v in np.mean(figures, axis=0)))
