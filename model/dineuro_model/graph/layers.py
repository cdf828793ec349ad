"""Layers as nodes of an OpenVINO graph, with the weights of a stored network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dineuro_model.graph.library import ops
from dineuro_model.network.config import EPSILON, SLOPE

#: A node of a graph, or one of its outputs; OpenVINO's types say no more.
Node = Any
#: The weights of a network, which note what was read.
Array = NDArray[np.float32]


class Weights:
    """The tensors of a network in float32; it remembers which were taken.

    Args:
        tensors: the weights under the names of the network's parameters.
    """

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        self._tensors = tensors
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def __getitem__(self, name: str) -> Array:
        """A tensor; it counts as taken.

        Raises:
            KeyError: the network has no such tensor.
        """
        self._taken.add(name)
        return np.asarray(self._tensors[name], dtype=np.float32)

    def left(self) -> list[str]:
        """The names of the tensors that were not taken, sorted."""
        return sorted(set(self._tensors) - self._taken)


def floats(values: ArrayLike) -> Node:
    """A constant in float32."""
    return ops.constant(np.ascontiguousarray(values, dtype=np.float32))


def longs(values: ArrayLike) -> Node:
    """A constant in int64, for shapes and axes."""
    return ops.constant(np.asarray(values, dtype=np.int64))


def ints(values: ArrayLike) -> Node:
    """A constant in int32, for places in a window."""
    return ops.constant(np.asarray(values, dtype=np.int32))


def sizes(x: Node, *axes: int) -> Node:
    """The lengths of some axes as a vector of int64."""
    return ops.gather(ops.shape_of(x, "i64"), longs(axes), longs(0))


def joined(*parts: Node | Sequence[int]) -> Node:
    """A shape from vectors of int64 and lists of numbers."""
    nodes = [longs(part) if isinstance(part, list | tuple) else part for part in parts]
    return ops.concat(nodes, 0)


def cropped(x: Node, axis: int, start: int, stop: int) -> Node:
    """The places from `start` to `stop` of an axis."""
    return ops.slice(x, longs([start]), longs([stop]), longs([1]), longs([axis]))


def activated(x: Node) -> Node:
    """The leaky rectifier."""
    return ops.prelu(x, floats([SLOPE]))


def convolved(
    x: Node, kernel: Array, bias: Array | None = None, stride: Sequence[int] = (), pad: Node = ()
) -> Node:
    """A convolution of (B, C, ...) with zero padding.

    Args:
        x: (B, inputs, ...) with two or three axes of space.
        kernel: (outputs, inputs, ...).
        bias: (outputs,), or None.
        stride: one number for each axis of space; 1 if left out.
        pad: zeros before and after each axis of space; 0 if left out.
    """
    space = kernel.ndim - 2
    pads = list(pad) or [0] * space
    y = ops.convolution(x, floats(kernel), list(stride) or [1] * space, pads, pads, [1] * space)
    return y if bias is None else ops.add(y, floats(bias.reshape(1, -1, *[1] * space)))


def normalised(x: Node, weight: Array, bias: Array, *, with_one: bool = False) -> Node:
    """The norm over the channels of every voxel, by convolutions of 1 x 1 x 1.

    OpenVINO's own norms act on the last axis. The channels of a convolution are its second axis,
    and a transposition costs more than this form.

    Args:
        x: (B, C, D, H, W).
        weight: (C,).
        bias: (C,).
        with_one: whether the result has a further channel that is 1 everywhere.
    """
    n = len(weight)
    outputs = n + with_one
    centre = np.zeros((outputs, n), dtype=np.float32)
    centre[:n] = np.eye(n) - 1 / n
    weight, bias = np.pad(weight, (0, with_one)), np.append(bias, [1] * with_one)
    apart = convolved(x, centre.reshape(outputs, n, 1, 1, 1))
    mean = np.full((1, outputs, 1, 1, 1), 1 / n, dtype=np.float32)
    variance = convolved(ops.multiply(apart, apart), mean)
    scale = ops.divide(floats([1]), ops.sqrt(ops.add(variance, floats([EPSILON]))))
    scaled = ops.multiply(ops.multiply(apart, scale), floats(weight.reshape(1, -1, 1, 1, 1)))
    return ops.add(scaled, floats(bias.reshape(1, -1, 1, 1, 1)))


def resized(x: Node, size: Node) -> Node:
    """(B, C, H, W) at another size, bilinear, with pixels as areas."""
    return ops.interpolate(
        x, size, "linear_onnx", "sizes", pads_begin=[0] * 4, pads_end=[0] * 4,
        coordinate_transformation_mode="half_pixel", axes=longs([2, 3]),
    )  # fmt: skip
