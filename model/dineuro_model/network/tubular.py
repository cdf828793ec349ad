"""Deformable tubular kernels: the 2D kernel laid along z, y and x, each tap free to swerve.

The patch kernel is inflated over K taps along an axis, as a tube. The tube bends: tap by tap the
sampling position moves by at most one voxel across each of the two other axes, by offsets that a
small network reads from the window. One view an axis; their sum, weighted by `alpha`, is added to
the tokens of the inflated kernel.

What DINeuro (arXiv 2410.22078) states is that the 2D kernel becomes tubular kernels along z, y and
x with deforming positions, and that the views are fused. The accumulation of the offsets follows
Dynamic Snake Convolution (DSCNet). Ours are: the offset network, one path for a pixel (so that a
patch of one token can hold several courses), and the safe start: the offsets begin at zero, where
each view equals a plain inflated convolution, and `alpha` begins at zero, where the tokens equal
those of the pre-trained network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dineuro_bridge.errors import BadParameter

#: The offset network reads the window at 1 / OFFSET_STRIDE of its resolution.
OFFSET_STRIDE = 4


class TubularEmbedding(nn.Module):
    """Patch embedding of a window (B, D, H, W): inflated kernel plus three tubular views.

    Args:
        base: (E, D, P, P), the inflated kernel.
        bias: (E,).
        tube: (E, K, P, P), the kernel inflated over K taps, K odd; the start of every view.
        deformable: without it the tubes stay straight.

    Raises:
        BadParameter: an even number of taps, or more taps than slices.
    """

    def __init__(self, base: Tensor, bias: Tensor, tube: Tensor, *, deformable: bool) -> None:
        super().__init__()
        depth, taps = base.shape[1], tube.shape[1]
        if taps % 2 == 0 or taps > depth:
            raise BadParameter(f"{taps} taps: must be odd and at most the window's {depth} slices")
        self.taps = taps
        self.patch = base.shape[-1]
        self.weight = nn.Parameter(base.clone())
        self.bias = nn.Parameter(bias.clone())
        self.views = nn.Parameter(tube.repeat(3, 1, 1, 1, 1))
        self.alpha = nn.Parameter(torch.zeros(3))
        self.offsets = OffsetNetwork(depth, taps) if deformable else None

    def forward(self, window: Tensor) -> Tensor:
        """(B, D, H, W) -> (B, E, H / P, W / P)."""
        tokens = functional.conv2d(window, self.weight, self.bias, stride=self.patch)
        paths = None if self.offsets is None else self.offsets(window)
        for axis in range(3):
            path = None if paths is None else paths[:, axis]
            tokens = tokens + self.alpha[axis] * self.view(window, axis, path)
        return tokens

    def view(self, window: Tensor, axis: int, path: Tensor | None) -> Tensor:
        """The tokens (B, E, H / P, W / P) seen along one axis (0 z, 1 y, 2 x).

        Args:
            window: (B, D, H, W).
            axis: along which the taps lie.
            path: (B, K, 2, H, W), how far each tap has swerved, in voxels, along the two other
                axes in the order z, y, x; None for a straight tube.
        """
        samples = sample_tube(window, axis, self.taps, path)
        return functional.conv2d(samples, self.views[axis], stride=self.patch)


class OffsetNetwork(nn.Module):
    """Reads from a window how each tube bends; starts at straight ones.

    Args:
        depth: slices of the window.
        taps: of each tube.
        channels: of the hidden layer.
    """

    def __init__(self, depth: int, taps: int, channels: int = 16) -> None:
        super().__init__()
        self.taps = taps
        self.features = nn.Conv2d(depth, channels, 3, padding=1)
        self.steps = nn.Conv2d(channels, 3 * 2 * (taps - 1), 3, padding=1)
        nn.init.zeros_(self.steps.weight)
        nn.init.zeros_(self.steps.bias)  # type: ignore[arg-type]

    def forward(self, window: Tensor) -> Tensor:
        """(B, D, H, W) -> paths (B, 3 axes, K, 2, H, W) in voxels, |d| <= distance of the tap."""
        small = functional.avg_pool2d(window, OFFSET_STRIDE)
        hidden = functional.leaky_relu(self.features(small), 0.1)
        steps = torch.tanh(self.steps(hidden)).unflatten(1, (3, self.taps - 1, 2))
        paths = accumulate(steps).flatten(1, 3)
        size = window.shape[-2:]
        paths = functional.interpolate(paths.float(), size=size, mode="bilinear")
        unfolded: Tensor = paths.unflatten(1, (3, self.taps, 2))
        return unfolded


def accumulate(steps: Tensor) -> Tensor:
    """Steps between neighbouring taps -> each tap's distance from the straight tube.

    d_0 = 0; d_i = d_{i-1} + s_i outwards on both sides, so that |d_i| <= |i| for steps in [-1, 1].

    Args:
        steps: (B, A, K - 1, ...), first those of the taps before the middle, nearest last.

    Returns:
        (B, A, K, ...).
    """
    half = steps.shape[2] // 2
    before = steps[:, :, :half].flip(2).cumsum(2).flip(2)
    after = steps[:, :, half:].cumsum(2)
    return torch.cat([before, torch.zeros_like(steps[:, :, :1]), after], dim=2)


def sample_tube(window: Tensor, axis: int, taps: int, path: Tensor | None) -> Tensor:
    """The window's middle slice as each tap of a tube sees it: (B, D, H, W) -> (B, K, H, W).

    Tap i stands at p + i * e_axis, moved by the path across; the sampling is trilinear, beyond the
    window its border counts.
    """
    _, depth, height, width = window.shape
    reach = taps // 2
    at: list[Tensor] = [
        torch.full((1, 1, 1), float(depth // 2), device=window.device),
        torch.arange(height, device=window.device, dtype=torch.float32).view(1, -1, 1),
        torch.arange(width, device=window.device, dtype=torch.float32).view(1, 1, -1),
    ]
    along = torch.arange(-reach, reach + 1, device=window.device).view(-1, 1, 1)
    at[axis] = at[axis] + along
    if path is None:
        z, y, x = (
            c.round().long().clamp(0, n - 1)
            for c, n in zip(at, (depth, height, width), strict=True)
        )
        return window[:, z, y, x]
    across = [a for a in range(3) if a != axis]
    where = [c.expand(len(window), taps, height, width) for c in at]
    for number, a in enumerate(across):
        where[a] = where[a] + path[:, :, number]
    # grid_sample counts x, y, z from -1 at the first voxel to 1 at the last.
    grid = torch.stack(
        [where[a] * (2 / max(n - 1, 1)) - 1 for a, n in ((2, width), (1, height), (0, depth))],
        dim=-1,
    )
    with torch.autocast(window.device.type, enabled=False):
        sampled = functional.grid_sample(
            window.float().unsqueeze(1), grid.float(), padding_mode="border", align_corners=True
        )
    return sampled.squeeze(1).to(window.dtype)
