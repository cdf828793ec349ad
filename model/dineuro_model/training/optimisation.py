"""The learning rate of every step and parameter."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from dineuro_model.network.network import Network
from dineuro_model.training.recipe import Schedule


def learning_rate(schedule: Schedule, step: int) -> float:
    """The U-Net's rate at a step: a linear warm-up, then a cosine down to a hundredth."""
    if step < schedule.warmup:
        return schedule.learning_rate * (step + 1) / schedule.warmup
    share = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return schedule.learning_rate * (0.01 + 0.99 * cosine)


def parameter_groups(network: Network, schedule: Schedule) -> list[dict[str, Any]]:
    """The optimiser's groups of parameters, by learning rate and weight decay.

    Parameters without a prior (U-Net, `alpha`, offsets) learn at the full rate, the first kernels
    at `stem_rate` times it. The ViT's last
    block has its own rate, and each block has `layer_decay` times the rate of the block above. The
    embeddings count as the block below the first. Biases, norms and other vectors do not decay.

    Returns:
        Groups for a torch optimiser; `scale` is the factor of a group's learning rate.
    """
    n_blocks = 0 if network.vit is None else len(network.vit.blocks)
    vit = schedule.vit_learning_rate / schedule.learning_rate if schedule.learning_rate else 0.0
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        scale = schedule.stem_rate if name == "stem.weight" else 1.0
        if name.startswith("vit.") and not any(w in name for w in ("proj.alpha", "proj.offsets")):
            if name.startswith("vit.blocks."):
                below = n_blocks - 1 - int(name.split(".")[2])
            elif name.startswith("vit.norm"):
                below = 0
            else:
                below = n_blocks
            scale = vit * schedule.layer_decay**below
        decay = schedule.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    return [
        {"params": parameters, "scale": scale, "weight_decay": decay, "lr": 0.0}
        for (scale, decay), parameters in groups.items()
    ]
