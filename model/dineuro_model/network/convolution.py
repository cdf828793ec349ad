"""A 3 x 3 x 3 convolution with correct gradients in bfloat16 on a CPU.

In bfloat16 on the CPU, torch's Conv3d is fast and its output is correct. Its weight gradient,
however, reads and writes beyond its memory; torch 2.14 gave non-finite values, errors of 10 %, and
a corrupted heap. Conv2d has no such fault. Therefore the gradient is computed here. The input's
gradient is a forward convolution with the flipped kernel. The kernel's gradient consists of 2D
gradients over the slices of the window, one for each tap along the depth. On CUDA and in float32
torch's own gradient is used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Conv3x3x3(nn.Module):
    """A convolution of (B, D, H, W, C) with zero padding; the channels are last in memory.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        zero: whether the kernel starts at zero, as in the last layer of a residual block. Other
            kernels have He's initialisation.
    """

    def __init__(self, inputs: int, outputs: int, *, zero: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 3, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        if not zero:
            nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W, inputs) -> (B, D, H, W, outputs)."""
        x = x.permute(0, 4, 1, 2, 3)
        if torch.is_autocast_enabled("cpu") and x.device.type == "cpu":
            dtype = torch.get_autocast_dtype("cpu")
            y: Tensor = _Convolve.apply(x.to(dtype), self.weight.to(dtype), self.bias.to(dtype))
        else:
            y = functional.conv3d(x, self.weight, self.bias, padding=1)
        return y.permute(0, 2, 3, 4, 1)


class _Convolve(torch.autograd.Function):
    """`conv3d(x, weight, bias, padding=1)` with the gradient of the module's docstring."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return functional.conv3d(x, weight, bias, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last_3d)
        of_input = None
        if ctx.needs_input_grad[0]:
            flipped = weight.flip(2, 3, 4).transpose(0, 1).contiguous()
            of_input = functional.conv3d(gradient, flipped, padding=1)
        of_weight = torch.zeros_like(weight, dtype=torch.float32)
        depth = x.shape[2]
        # The slices of a window form a batch of 2D images: (D, C, H, W).
        for slices, upstream in zip(x.transpose(1, 2), gradient.transpose(1, 2), strict=True):
            for tap in range(3):
                low, high = max(0, 1 - tap), min(depth, depth + 1 - tap)
                if low < high:
                    of_weight[:, :, tap] += torch.ops.aten.convolution_backward(
                        upstream[low:high],
                        slices[low + tap - 1 : high + tap - 1],
                        weight[:, :, tap],
                        *(None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [False, True, False]),
                    )[1]
        of_bias = gradient.sum((0, 2, 3, 4), dtype=torch.float32)
        return of_input, of_weight.to(weight.dtype), of_bias.to(weight.dtype)
