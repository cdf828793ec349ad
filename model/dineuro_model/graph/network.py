"""The whole network as one graph: `network.network`, layer by layer.

The graph reads the weights that torch reads, so that no second file of weights exists. The axes of
space have no fixed length; one graph serves tiles of every size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadFile, MissingDependency
from dineuro_model.graph.layers import (
    Node,
    Weights,
    activated,
    convolved,
    cropped,
    floats,
    joined,
    longs,
    normalised,
    resized,
    sizes,
)
from dineuro_model.graph.library import openvino, ops
from dineuro_model.graph.vit import PLAIN, Places, tokens
from dineuro_model.network.config import DEPTH_STEP, PLANE_STEP, NetworkConfig

#: Zeros before and after each axis of a 3 x 3 x 3 convolution.
_AROUND = (1, 1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkGraph:
    """A network as a graph.

    Attributes:
        model: the graph. Its inputs are the window (B, inputs * depth, H, W) and, with a ViT, the
            positions of the patches. Its output is (B, predicted, H, W), the probabilities.
        places: gives the positions; None without a ViT.
    """

    model: openvino.Model
    places: Places | None


def build_graph(config: NetworkConfig, tensors: Mapping[str, NDArray[Any]]) -> NetworkGraph:
    """The graph of a network.

    Args:
        config: the network's configuration.
        tensors: the weights under the names of the network's parameters.

    Raises:
        BadFile: the weights do not fit the configuration.
        MissingDependency: only torch can evaluate this ViT.
    """
    if config.backbone and not PLAIN.fullmatch(config.backbone):
        raise _needs_torch(config, "is another kind of ViT")
    weights = Weights(tensors)
    try:
        _check(config, weights)
        places = Places(config, weights) if config.backbone else None
        model = _Graph(config, weights).model()
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [""])[-1]
        raise BadFile(f"its weights do not fit its configuration: {reason}") from error
    if left := weights.left():
        raise _needs_torch(config, f"has {left[0]}")
    return NetworkGraph(model, places)


def _check(config: NetworkConfig, weights: Weights) -> None:
    """Compare what the configuration claims with the weights, before memory is taken for it.

    Raises:
        ValueError: they differ. What is not compared here does not fit together in the graph.
    """
    layers = ("stem.bias", "down1.linear.bias", "down2.linear.bias", "down3.linear.bias")
    claims = dict(zip(layers, config.channels, strict=True))
    if config.backbone and config.tubular == "deformable":
        claims["vit.patch_embed.proj.offsets.steps.bias"] = 6 * (config.taps - 1)
    for name, size in claims.items():
        if weights[name].shape != (size,):
            raise ValueError(f"{name} has the shape {weights[name].shape}, not {(size,)}")
    if weights["stem.weight"].shape[1:2] != (len(config.inputs),):
        raise ValueError(f"stem.weight has another number of inputs than {len(config.inputs)}")


def _needs_torch(config: NetworkConfig, why: str) -> MissingDependency:
    return MissingDependency(
        f"the network needs torch, because its backbone {config.backbone} {why}: "
        "pip install 'dineuro[server]'"
    )


class _Graph:
    """Builds the nodes of one network; the names of the methods are those of torch's modules."""

    def __init__(self, config: NetworkConfig, weights: Weights) -> None:
        self.config = config
        self.weights = weights

    def model(self) -> openvino.Model:
        """The graph from its inputs to the probabilities."""
        config, count = self.config, len(self.config.inputs)
        shape = openvino.PartialShape([-1, count * config.depth, -1, -1])
        window = ops.parameter(shape, np.float32, "window")
        inputs = [window]
        channels = joined([0, count, config.depth], sizes(window, 2, 3))
        full = activated(self.convolution(ops.reshape(window, channels, True), "stem"))
        window = cropped(window, 1, 0, config.depth)
        half = self.residual(self.merge(full, "down1", 1), "in1")
        quarter = self.residual(self.merge(half, "down2", 2), "in2")
        eighth = self.residual(self.merge(quarter, "down3", 2), "in3")
        if config.backbone:
            width = self.weights["vit.norm.weight"].size
            places = ops.parameter(openvino.PartialShape([1, -1, width]), np.float32, "places")
            inputs.append(places)
            eighth = ops.add(eighth, self.context(window, places))
        eighth = self.residual(self.residual(eighth, "joined.0"), "joined.1")
        quarter = self.residual(ops.add(self.expand(eighth, "up2", 2), quarter), "out2")
        half = self.residual(ops.add(self.expand(quarter, "up1", 2), half), "out1")
        return openvino.Model([self.end(half, full)], inputs, "dineuro")

    def end(self, half: Node, full: Node) -> Node:
        """The probabilities of the predicted slices, from the features at 1/2 and 1/1.

        Slices that no prediction depends on are left out here, before the last convolution.
        """
        config = self.config
        margin = (config.depth - config.predicted) // 2
        beside = min(margin, 1)
        low, high = margin - beside, margin + config.predicted + beside
        half, full = cropped(half, 2, low, high), cropped(full, 2, low, high)
        full = activated(ops.add(self.expand(half, "up0", 1), full))
        kernel, bias = self.weights["out0.weight"], self.weights["out0.bias"]
        full = activated(convolved(full, kernel, bias, pad=(1 - beside, 1, 1)))
        kernel = self.weights["head.weight"][:, :, None, None, None]
        logits = convolved(full, kernel, self.weights["head.bias"])
        return ops.squeeze(ops.sigmoid(logits), longs([1]))

    def context(self, window: Node, places: Node) -> Node:
        """The ViT's features at 1/8: (B, channels, depth / 4, H / 8, W / 8)."""
        config = self.config
        kernel = self.weights["context.weight"][:, :, None, None]
        read = tokens(config, self.weights, window, places)
        size = ops.divide(sizes(window, 2, 3), longs([PLANE_STEP]))
        fine = resized(convolved(read, kernel, self.weights["context.bias"]), size)
        layers = config.depth // DEPTH_STEP
        unfolded = ops.reshape(fine, joined([0, layers, config.channels[3]], size), True)
        return ops.transpose(unfolded, longs([0, 2, 1, 3, 4]))

    def convolution(self, x: Node, name: str) -> Node:
        """A 3 x 3 x 3 convolution of (B, C, D, H, W)."""
        kernel, bias = self.weights[name + ".weight"], self.weights[name + ".bias"]
        return convolved(x, kernel, bias, pad=_AROUND)

    def residual(self, x: Node, name: str) -> Node:
        """X + conv(act(conv(norm(x))))."""
        weight, bias = self.weights[name + ".norm.weight"], self.weights[name + ".norm.bias"]
        inner = self.convolution(normalised(x, weight, bias), name + ".first")
        return ops.add(self.convolution(activated(inner), name + ".second"), x)

    def merge(self, x: Node, name: str, depth_step: int) -> Node:
        """Cells of (depth step, 2, 2) voxels become one voxel."""
        matrix, bias = self.weights[name + ".linear.weight"], self.weights[name + ".linear.bias"]
        cell = (depth_step, 2, 2)
        kernel = matrix.reshape(len(matrix), *cell, -1).transpose(0, 4, 1, 2, 3)
        return convolved(x, kernel, bias, cell)

    def expand(self, x: Node, name: str, depth_step: int) -> Node:
        """A voxel becomes a cell of (depth step, 2, 2) voxels after a norm.

        The bias differs from voxel to voxel of a cell. It is the kernel of a channel of ones.
        """
        matrix, bias = self.weights[name + ".linear.weight"], self.weights[name + ".linear.bias"]
        weight, shift = self.weights[name + ".norm.weight"], self.weights[name + ".norm.bias"]
        cell = [depth_step, 2, 2]
        kernel = np.column_stack([matrix, bias]).reshape(*cell, -1, matrix.shape[1] + 1)
        return ops.convolution_backprop_data(
            normalised(x, weight, shift, with_one=True), floats(kernel.transpose(4, 3, 0, 1, 2)),
            cell, pads_begin=[0] * 3, pads_end=[0] * 3, dilations=[1] * 3,
        )  # fmt: skip
