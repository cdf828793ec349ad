"""A 2D patch embedding, trained on photographs, becomes one that reads a window of slices.

The kernel of a ViT's patch embedding has shape (E, 3, P, P). Summed over colour it reads a gray
image; spread over the D slices of a window it is a Conv3d with kernel = stride = (D, P, P), which
leaves one layer of tokens. Such a Conv3d is the Conv2d of D input channels that is built here.

Sources: weight inflation for neuron segmentation (arXiv 2405.02686), for 3D medical images in
general (arXiv 2302.04303); the two modes are theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from dineuro_bridge.errors import BadParameter

Inflation = Literal["average", "center"]


def fold_normalisation(
    weight: Tensor, bias: Tensor | None, mean: Sequence[float], std: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Kernel and bias that read one raw gray channel as the old ones read three normalised ones.

    With x_c = (g - mean_c) / std_c in every colour c:
    `W = sum_c W_c / std_c` and `b' = b - sum_c (mean_c / std_c) * sum W_c`.

    Args:
        weight: (E, 3, P, P), the 2D patch embedding.
        bias: (E,), or None for zeros.
        mean: of each colour, as the network was trained with.
        std: of each colour.

    Returns:
        (E, P, P) and (E,).

    Raises:
        BadParameter: the colours do not fit.
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
    """(E, P, P) -> (E, depth, P, P): spread evenly, or all in slice `depth // 2`.

    The sum over the depth is `gray` in both modes, so that identical slices give the 2D output.

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
        embedding: (1, prefix + n * n, E): first the tokens without a place (CLS, registers),
            which are kept as they are, then a square grid, row by row.
        prefix: how many tokens come first.
        grid: rows and columns wanted.

    Returns:
        (1, prefix + rows * columns, E); the grid interpolated bicubically, with antialiasing.

    Raises:
        BadParameter: what follows the prefix is no square grid.
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
