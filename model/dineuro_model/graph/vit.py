"""The inflated ViT as nodes of a graph: `network.tubular` and timm's plain ViT, layer by layer."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from dineuro_model.graph.layers import (
    Array,
    Node,
    Weights,
    activated,
    convolved,
    cropped,
    floats,
    ints,
    joined,
    longs,
    resized,
    sizes,
)
from dineuro_model.graph.library import ops
from dineuro_model.network.config import OFFSET_STRIDE, NetworkConfig

#: The ViTs of timm that `blocks` describes: a GELU, heads of 64 channels, learned positions. What
#: differs beyond that has tensors of other names, which are noticed.
PLAIN = re.compile(r"vit_(tiny|small|base|large)_patch\d+_(224|(reg4_)?dinov2)(\.\w+)?")
_HEAD = 64
_EPSILON = 1e-6
_EMBEDDING = "vit.patch_embed.proj."


def patch_of(weights: Weights) -> int:
    """The edge of a patch in voxels."""
    return int(weights[_EMBEDDING + "weight"].shape[-1])


def tokens(config: NetworkConfig, weights: Weights, window: Node, places: Node) -> Node:
    """The tokens of the blocks that are read, side by side.

    Args:
        config: the network's configuration.
        weights: the network's tensors.
        window: (B, depth, H, W) normalised intensity.
        places: (1, H / P * W / P, E), see `Places`.

    Returns:
        (B, blocks * E, H / P, W / P).
    """
    patches = _embedded(config, weights, _whole_patches(window, patch_of(weights)))
    flat = ops.transpose(ops.reshape(patches, longs([0, 0, -1]), True), longs([0, 2, 1]))
    first = _first(weights, config)
    count, width = first.shape[1:]
    repeated = ops.broadcast(floats(first), joined(sizes(patches, 0), [count, width]))
    x = ops.concat([repeated, ops.add(flat, places)], 1)
    read = []
    for number in range(max(config.blocks) + 1):
        x = _block(weights, x, f"vit.blocks.{number}.")
        if number in config.blocks:
            read.append(_normalised(weights, x, "vit.norm"))
    of_patches = cropped(ops.concat(read, 2), 1, count, np.iinfo(np.int32).max)
    shape = joined(sizes(patches, 0), [len(read) * width], sizes(patches, 2, 3))
    return ops.reshape(ops.transpose(of_patches, longs([0, 2, 1])), shape, False)


def _whole_patches(window: Node, patch: int) -> Node:
    """The window (B, depth, H, W) without the rows and columns after its last whole patch."""
    size, edges = sizes(window, 2, 3), longs([patch, patch])
    whole = ops.multiply(ops.divide(size, edges), edges)
    return ops.slice(window, longs([0, 0]), whole, longs([1, 1]), longs([2, 3]))


class Places:
    """The positions of the patches in windows of any size.

    Args:
        config: the network's configuration.
        weights: the network's tensors.

    Attributes:
        patch: the edge of a patch in voxels.
    """

    def __init__(self, config: NetworkConfig, weights: Weights) -> None:
        self.patch = patch_of(weights)
        stored, edge = weights["vit.pos_embed"], config.size // self.patch
        self._grid = stored[0, stored.shape[1] - edge * edge :].reshape(edge, edge, -1)

    def of(self, rows: int, columns: int) -> Array:
        """The embedding for windows of some voxels: (1, patches, E), as timm resizes it.

        The grid of the training is interpolated bicubically with antialiasing.
        """
        edge, grid = len(self._grid), self._grid.astype(np.float64)
        height, width = rows // self.patch, columns // self.patch
        if (height, width) != (edge, edge):
            grid = np.einsum("hi,ijc->hjc", _bicubic(edge, height), grid)
            grid = np.einsum("wj,hjc->hwc", _bicubic(edge, width), grid)
        return grid.reshape(1, height * width, -1).astype(np.float32)


def _bicubic(inputs: int, outputs: int) -> NDArray[np.float64]:
    """The weights (outputs, inputs) of torch's bicubic interpolation with antialiasing."""
    scale = inputs / outputs
    wide = max(scale, 1.0)
    matrix = np.zeros((outputs, inputs))
    for row in range(outputs):
        centre = scale * (row + 0.5)
        low, high = max(int(centre - 2 * wide + 0.5), 0), min(int(centre + 2 * wide + 0.5), inputs)
        x = np.abs((np.arange(low, high) - centre + 0.5) / wide)
        near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
        kernel = np.where(x < 1, near, np.where(x < 2, far, 0))
        matrix[row, low:high] = kernel / kernel.sum()
    return matrix


def _first(weights: Weights, config: NetworkConfig) -> Array:
    """The tokens before the patches (class and registers) with their positions: (1, n, E)."""
    stored = weights["vit.pos_embed"]
    names = [name for name in ("vit.cls_token", "vit.reg_token") if name in weights]
    first = np.concatenate([weights[name] for name in names], axis=1)
    placed = stored.shape[1] - (config.size // patch_of(weights)) ** 2
    first[:, :placed] += stored[:, :placed]
    return first


def _block(weights: Weights, x: Node, name: str) -> Node:
    """A transformer block of timm: attention and two layers, each scaled and added."""
    attention = _attention(weights, _normalised(weights, x, name + "norm1"), name + "attn.")
    x = ops.add(x, _scaled(weights, attention, name + "ls1.gamma"))
    inner = _linear(weights, _normalised(weights, x, name + "norm2"), name + "mlp.fc1")
    inner = _linear(weights, ops.gelu(inner, "erf"), name + "mlp.fc2")
    return ops.add(x, _scaled(weights, inner, name + "ls2.gamma"))


def _attention(weights: Weights, x: Node, name: str) -> Node:
    """Self-attention over (B, N, E)."""
    width = len(weights[name + "proj.bias"])
    heads = width // _HEAD
    mixed = ops.reshape(
        _linear(weights, x, name + "qkv"), longs([0, 0, 3, heads, _HEAD]), True
    )  # (B, N, 3, heads, 64)
    mixed = ops.transpose(mixed, longs([2, 0, 3, 1, 4]))
    query, key, value = (ops.gather(mixed, longs(n), longs(0)) for n in range(3))
    found = ops.scaled_dot_product_attention(query, key, value)
    found = ops.reshape(ops.transpose(found, longs([0, 2, 1, 3])), longs([0, 0, width]), True)
    return _linear(weights, found, name + "proj")


def _linear(weights: Weights, x: Node, name: str) -> Node:
    """A matrix product over the last axis."""
    product = ops.matmul(x, floats(weights[name + ".weight"]), False, True)
    return ops.add(product, floats(weights[name + ".bias"]))


def _normalised(weights: Weights, x: Node, name: str) -> Node:
    """The layer norm over the last axis."""
    plain = ops.mvn(x, longs([-1]), True, _EPSILON, "inside_sqrt")
    scaled = ops.multiply(plain, floats(weights[name + ".weight"]))
    return ops.add(scaled, floats(weights[name + ".bias"]))


def _scaled(weights: Weights, x: Node, name: str) -> Node:
    """A branch times its scale, if the ViT has one."""
    return ops.multiply(x, floats(weights[name])) if name in weights else x


def _embedded(config: NetworkConfig, weights: Weights, window: Node) -> Node:
    """The patches of a window (B, depth, H, W) as (B, E, H / P, W / P), with the tubular views."""
    stride = (patch_of(weights),) * 2
    name = _EMBEDDING
    found = convolved(window, weights[name + "weight"], weights[name + "bias"], stride)
    if config.tubular == "none":
        return found
    paths = _paths(config, weights, window) if config.tubular == "deformable" else None
    for axis, share in enumerate(weights[name + "alpha"]):
        view = weights[name + "views"][axis] * share
        samples = _sampled(config, window, axis, paths)
        found = ops.add(found, convolved(samples, view, None, stride))
    return found


def _paths(config: NetworkConfig, weights: Weights, window: Node) -> Node:
    """The offsets of the taps in voxels: (B, 3 axes * K taps * 2, H, W)."""
    name, stride = _EMBEDDING + "offsets.", [OFFSET_STRIDE] * 2
    small = ops.avg_pool(window, stride, [0, 0], [0, 0], stride, True)
    around = (1, 1)
    kernel, bias = weights[name + "features.weight"], weights[name + "features.bias"]
    hidden = activated(convolved(small, kernel, bias, pad=around))
    kernel, bias = weights[name + "steps.weight"], weights[name + "steps.bias"]
    steps = ops.tanh(convolved(hidden, kernel, bias, pad=around))
    return resized(convolved(steps, _accumulation(config.taps)), sizes(window, 2, 3))


def _accumulation(taps: int) -> Array:
    """`tubular.accumulate` as a kernel (3 * taps * 2, 3 * (taps - 1) * 2, 1, 1)."""
    middle, sums = taps // 2, np.zeros((taps, taps - 1))
    for tap in range(taps):
        sums[tap, min(tap, middle) : max(tap, middle)] = 1
    axes, across = np.eye(3), np.eye(2)
    kernel: Array = np.einsum("ab,ts,cd->atcbsd", axes, sums, across).astype(np.float32)
    return kernel.reshape(6 * taps, 6 * (taps - 1), 1, 1)


def _sampled(config: NetworkConfig, window: Node, axis: int, paths: Node | None) -> Node:
    """`tubular.sample_tube`: the window at the taps of the tubes along one axis, (B, K, H, W).

    A tap's place along the axis of its tube is whole. The two other places are between voxels, so
    that four voxels are read. Their numbers are integers, because a place of a large window has no
    exact value in bfloat16.
    """
    tube = _Tube(window, config.depth)
    along = np.arange(config.taps).reshape(-1, 1, 1) - config.taps // 2
    base = tube.number(ops.add(tube.middle[axis], ints(along)), axis)
    across = [a for a in range(3) if a != axis]
    if paths is None:
        for a in across:
            base = ops.add(base, tube.number(tube.middle[a], a))
        return ops.gather(tube.voxels, base, longs(1))
    first = axis * config.taps * 2
    own = cropped(paths, 1, first, first + config.taps * 2)
    own = ops.reshape(own, joined([0, config.taps, 2], sizes(window, 2, 3)), True)
    below, shares = [], []
    for number in range(2):
        offset = ops.gather(own, longs(number), longs(2))
        whole = ops.floor(offset)
        below.append(ops.convert(whole, "i32"))
        shares.append(ops.subtract(offset, whole))

    def voxel(*steps: int) -> Node:
        place = base
        for a, low, step in zip(across, below, steps, strict=True):
            near = ops.add(ops.add(tube.middle[a], low), ints(step))
            place = ops.add(place, tube.number(near, a))
        return ops.gather(tube.voxels, place, longs(1), 1)

    low, high = (_between(voxel(step, 0), voxel(step, 1), shares[1]) for step in (0, 1))
    return _between(low, high, shares[0])


class _Tube:
    """Voxels of a window (B, D, H, W) by their number; places beyond the border are its border."""

    def __init__(self, window: Node, depth: int) -> None:
        rows, columns = (_number(sizes(window, axis)) for axis in (2, 3))
        self.voxels = ops.reshape(window, longs([0, -1]), True)
        self._last = (ints(depth - 1), ops.subtract(rows, ints(1)), ops.subtract(columns, ints(1)))
        self._step = (ops.multiply(rows, columns), columns, ints(1))
        #: z, y and x of the middle slice's voxels.
        self.middle = (
            ints(np.full((1, 1, 1), depth // 2)),
            ops.reshape(_counted(rows), longs([1, -1, 1]), False),
            ops.reshape(_counted(columns), longs([1, 1, -1]), False),
        )

    def number(self, place: Node, axis: int) -> Node:
        """The part of a voxel's number that its place along an axis gives."""
        inside = ops.minimum(ops.maximum(place, ints(0)), self._last[axis])
        return ops.multiply(inside, self._step[axis])


def _number(size: Node) -> Node:
    """A length (1,) as one number in int32."""
    return ops.squeeze(ops.convert(size, "i32"), longs([0]))


def _counted(count: Node) -> Node:
    """The numbers from 0 to count - 1."""
    return ops.range(ints(0), count, ints(1), "i32")


def _between(low: Node, high: Node, share: Node) -> Node:
    """A value between two others; at share 0 it is the first one."""
    return ops.add(low, ops.multiply(ops.subtract(high, low), share))
