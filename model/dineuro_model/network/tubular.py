"""Deformable tubular kernels: the 2D kernel along z, y and x, with taps that follow a curve.

The patch kernel is inflated over K taps along an axis, which form a tube. From tap to tap the
sampling position moves by at most one voxel along each of the two other axes. A small network
computes these offsets from the window. Each axis gives one view. The sum of the views, weighted by
`alpha`, is added to the tokens of the inflated kernel.

DINeuro (arXiv 2410.22078) describes tubular kernels along z, y and x with deformable positions, and
the fusion of the views. The accumulation of the offsets follows Dynamic Snake Convolution (DSCNet).
This project added the offset network, and a path for every pixel, so that the patch of one token
can contain several curves. It also added the start: with offsets of zero each view is a plain
inflated convolution, and with `alpha` at zero the tokens are those of the pre-trained network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dineuro_bridge.errors import BadParameter
from dineuro_model.network.config import OFFSET_STRIDE, SLOPE


class TubularEmbedding(nn.Module):
    """The patch embedding of a window (B, D, H, W): an inflated kernel and three tubular views.

    Args:
        base: (E, D, P, P), the inflated kernel.
        bias: (E,), the bias.
        tube: (E, K, P, P), the kernel inflated over K taps, K odd; every view starts with it.
        deformable: whether the tubes are curves; otherwise they are straight.

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
        """The tokens of the view along one axis.

        Args:
            window: (B, D, H, W).
            axis: the axis of the taps: 0 is z, 1 is y, 2 is x.
            path: (B, K, 2, H, W), the offset of each tap in voxels along the two other axes, in the
                order z, y, x; None for a straight tube.

        Returns:
            (B, E, H / P, W / P).
        """
        samples = sample_tube(window, axis, self.taps, path)
        return functional.conv2d(samples, self.views[axis], stride=self.patch)


class OffsetNetwork(nn.Module):
    """Computes the paths of the tubes from a window; at first all tubes are straight.

    Args:
        depth: slices of the window.
        taps: taps of each tube.
        channels: channels of the hidden layer.
    """

    def __init__(self, depth: int, taps: int, channels: int = 16) -> None:
        super().__init__()
        self.taps = taps
        self.features = nn.Conv2d(depth, channels, 3, padding=1)
        self.steps = nn.Conv2d(channels, 3 * 2 * (taps - 1), 3, padding=1)
        nn.init.zeros_(self.steps.weight)
        nn.init.zeros_(self.steps.bias)  # type: ignore[arg-type]

    def forward(self, window: Tensor) -> Tensor:
        """(B, D, H, W) -> paths (B, 3 axes, K, 2, H, W) in voxels.

        The offset of a tap is at most its distance from the middle of the tube.
        """
        small = functional.avg_pool2d(window, OFFSET_STRIDE)
        hidden = functional.leaky_relu(self.features(small), SLOPE)
        steps = torch.tanh(self.steps(hidden)).unflatten(1, (3, self.taps - 1, 2))
        paths = accumulate(steps).flatten(1, 3)
        size = window.shape[-2:]
        paths = functional.interpolate(paths.float(), size=size, mode="bilinear")
        unfolded: Tensor = paths.unflatten(1, (3, self.taps, 2))
        return unfolded


def accumulate(steps: Tensor) -> Tensor:
    """The offset of each tap from the straight tube, from the steps between neighbouring taps.

    With d_0 = 0 in the middle, d_i = d_{i-1} + s_i outwards on both sides. For steps in [-1, 1]
    |d_i| is at most |i|.

    Args:
        steps: (B, A, K - 1, ...), in the order of the taps, without the middle one.

    Returns:
        (B, A, K, ...).
    """
    half = steps.shape[2] // 2
    before = steps[:, :, :half].flip(2).cumsum(2).flip(2)
    after = steps[:, :, half:].cumsum(2)
    return torch.cat([before, torch.zeros_like(steps[:, :, :1]), after], dim=2)


def sample_tube(window: Tensor, axis: int, taps: int, path: Tensor | None) -> Tensor:
    """Sample a window at the taps of the tubes around every pixel of its middle slice.

    Tap i of the tube at p has the position p + i * e_axis, moved by the path. The sampling is
    trilinear. Beyond the window the values of its border repeat.

    Args:
        window: (B, D, H, W).
        axis: the axis of the taps.
        taps: K, the number of taps.
        path: (B, K, 2, H, W), see `TubularEmbedding.view`; None for straight tubes.

    Returns:
        (B, K, H, W).
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
    # grid_sample takes x, y, z on a scale from -1 at the first voxel to 1 at the last.
    grid = torch.stack(
        [where[a] * (2 / max(n - 1, 1)) - 1 for a, n in ((2, width), (1, height), (0, depth))],
        dim=-1,
    )
    with torch.autocast(window.device.type, enabled=False):
        sampled = functional.grid_sample(
            window.float().unsqueeze(1), grid.float(), padding_mode="border", align_corners=True
        )
    return sampled.squeeze(1).to(window.dtype)
