"""Inflation: a 2D patch embedding for photographs becomes one for windows of slices.

The kernel of a ViT's patch embedding has the shape (E, 3, P, P). Its sum over the colours reads a
gray image. Spread over the D slices of a window, it is a Conv3d with kernel = stride = (D, P, P),
which gives one layer of tokens. This Conv3d equals a Conv2d with D input channels, which is used
here.

Sources: weight inflation for neuron segmentation (arXiv 2405.02686) and for 3D medical images
(arXiv 2302.04303), with the two modes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional

from dineuro_bridge.errors import BadParameter
from dineuro_model.network.config import Inflation


def fold_normalisation(
    weight: Tensor, bias: Tensor | None, mean: Sequence[float], std: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Kernel and bias for one raw gray channel that equal those for three normalised colours.

    With x_c = (g - mean_c) / std_c in every colour c:
    `W = sum_c W_c / std_c` and `b' = b - sum_c (mean_c / std_c) * sum W_c`.

    Args:
        weight: (E, 3, P, P), the 2D patch embedding.
        bias: (E,), or None for zeros.
        mean: mean of each colour in the 2D network's training.
        std: standard deviation of each colour.

    Returns:
        The kernel (E, P, P) and the bias (E,).

    Raises:
        BadParameter: the numbers of colours differ, or a standard deviation is not positive.
    """
    if weight.ndim != 4 or not weight.shape[1] == len(mean) == len(std) or min(std) <= 0:
        raise BadParameter(
            f"patch embedding {tuple(weight.shape)}: does not fit {len(mean)} means and "
            f"{len(std)} standard deviations, which must be positive"
        )
    scale = 1 / weight.new_tensor(std)
    shift = weight.new_tensor(mean) * scale
    start = weight.new_zeros(len(weight)) if bias is None else bias
    gray = torch.einsum("ecpq,c->epq", weight, scale)
    return gray, start - torch.einsum("ecpq,c->e", weight, shift)


def inflate(gray: Tensor, depth: int, mode: Inflation) -> Tensor:
    """Inflate a kernel over the depth.

    In both modes the sum over the depth is `gray`, so that identical slices give the 2D output.

    Args:
        gray: (E, P, P), a kernel for one gray channel.
        depth: number of slices.
        mode: "average" spreads the kernel evenly; "center" puts it into slice `depth // 2`.

    Returns:
        (E, depth, P, P).

    Raises:
        BadParameter: a depth below 1, or an unknown mode.
    """
    if depth < 1 or mode not in get_args(Inflation):
        raise BadParameter(f"inflation {mode!r} to depth {depth}: needs average or center, 1 up")
    if mode == "average":
        return (gray / depth).unsqueeze(1).repeat(1, depth, 1, 1)
    inflated = gray.new_zeros(len(gray), depth, *gray.shape[1:])
    inflated[:, depth // 2] = gray
    return inflated


def resize_position_embedding(embedding: Tensor, prefix: int, grid: tuple[int, int]) -> Tensor:
    """A position embedding for another grid of patches.

    Args:
        embedding: (1, prefix + n * n, E): the tokens without a position (class token, registers),
            which do not change, and a square grid, row by row.
        prefix: number of tokens without a position.
        grid: (rows, columns) of the result.

    Returns:
        (1, prefix + rows * columns, E); the grid is interpolated bicubically with antialiasing.

    Raises:
        BadParameter: the tokens after the prefix form no square grid.
    """
    first, places = embedding[:, :prefix], embedding[:, prefix:]
    edge = round(places.shape[1] ** 0.5)
    if edge * edge != places.shape[1]:
        raise BadParameter(f"position embedding: {places.shape[1]} places are no square grid")
    if (edge, edge) == grid:
        return embedding
    image = places.reshape(1, edge, edge, -1).permute(0, 3, 1, 2)
    image = functional.interpolate(
        image.float(), size=grid, mode="bicubic", align_corners=False, antialias=True
    )
    resized = image.to(places.dtype).flatten(2).transpose(1, 2)
    return torch.cat([first, resized], dim=1)
