"""The network: from a window of slices to the logits of its central slices.

The window is read by two paths. A pre-trained ViT reads it as one layer of tokens and supplies
context; its patch embedding is inflated to the window's depth. A 3D U-Net with few channels reads
every voxel, because a token is far wider than a neurite. At 1/8 of the resolution the tokens of
several ViT blocks, unfolded over the depth, are added to the U-Net's features.

DINeuro (arXiv 2410.22078) is the source of the inflated pre-trained ViT, of the deformable tubular
kernels, and of the prediction of slices from a block. This project added the decoder, and the
prediction of several slices from one window. No normalisation acts over a window, so that the
prediction of a voxel depends only on its surroundings; residual branches start at zero instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_model.network.convolution import Conv3x3x3
from dineuro_model.network.inflate import (
    Inflation,
    fold_normalisation,
    inflate,
    resize_position_embedding,
)
from dineuro_model.network.tubular import TubularEmbedding
from dineuro_model.tables import from_table

Tubular = Literal["none", "straight", "deformable"]

#: The U-Net halves the plane three times and the depth twice.
PLANE_STEP, DEPTH_STEP = 8, 4
#: The names of timm's own networks: "hf-hub:…" and the like would be asked of the internet.
_BACKBONE = re.compile(r"[A-Za-z0-9_]*(\.[A-Za-z0-9_]+)?")
#: Largest windows: slices, and rows and columns.
_MOST_SLICES, _MOST_ROWS = 1024, 8192
#: Epsilon of the norms; it is so large that an almost dark voxel stays almost dark.
_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The configuration of a network; it is stored with the weights.

    Attributes:
        backbone: timm's name of a plain ViT (DINO, DINOv2, DINOv3; patch of 8, 14 or 16). The
            empty name stands for the U-Net alone, for comparisons.
        depth: slices of a window, a multiple of 4.
        predicted: slices in the middle of a window that are predicted.
        size: rows and columns of a window in training, a multiple of the patch and of 8.
        blocks: numbers, from 0, of the ViT's blocks whose tokens are read. Blocks after the last
            one are removed.
        inflation: how the patch embedding is inflated.
        tubular: views along z, y and x: none, straight tubes, or deformable tubes.
        taps: taps of each tube, odd.
        channels: channels of the U-Net at 1, 1/2, 1/4 and 1/8 of the resolution.

    Raises:
        BadParameter: values that do not fit together; the message lists all of them.
    """

    backbone: str = "vit_small_patch14_dinov2.lvd142m"
    depth: int = 16
    predicted: int = 12
    size: int = 224
    blocks: tuple[int, ...] = (2, 5, 8)
    inflation: Inflation = "average"
    tubular: Tubular = "deformable"
    taps: int = 7
    channels: tuple[int, int, int, int] = (8, 24, 64, 128)

    def __post_init__(self) -> None:
        wrong = [
            text
            for broken, text in (
                (not _BACKBONE.fullmatch(self.backbone), "backbone must be a name of timm's"),
                (
                    not 4 <= self.depth <= _MOST_SLICES or bool(self.depth % DEPTH_STEP),
                    f"depth must be a multiple of 4, at most {_MOST_SLICES}",
                ),
                (not 1 <= self.predicted <= self.depth, "predicted must be from 1 to depth"),
                (bool((self.depth - self.predicted) % 2), "depth - predicted must be even"),
                (
                    not 8 <= self.size <= _MOST_ROWS or bool(self.size % PLANE_STEP),
                    f"size must be a multiple of 8, at most {_MOST_ROWS}",
                ),
                (not self.blocks or min(self.blocks, default=0) < 0, "blocks must be 0 or more"),
                (list(self.blocks) != sorted(set(self.blocks)), "blocks must be in order"),
                (self.inflation not in get_args(Inflation), "inflation: average or center"),
                (self.tubular not in get_args(Tubular), "tubular: none, straight or deformable"),
                (self.taps < 1 or self.taps % 2 == 0, "taps must be odd"),
                (self.taps > self.depth, "taps must be at most depth"),
                ([c > 0 for c in self.channels] != [True] * 4, "channels must be four"),
            )
            if broken
        ]
        if wrong:
            raise BadParameter(f"network configuration: {'; '.join(wrong)}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """The configuration of a TOML table or a JSON object; lists become tuples.

        Raises:
            BadParameter: an unknown name, or a value of the wrong type or out of range.
        """
        return from_table(cls, values, "network configuration")

    def to_dict(self) -> dict[str, Any]:
        """The configuration as `from_dict` reads it."""
        return asdict(self)


class Network(nn.Module):
    """A ViT and a U-Net; the module's docstring describes the architecture.

    Args:
        config: the configuration.

    Attributes:
        in_place: whether `forward` overwrites activations; see `reuse_memory`.

    Raises:
        BadParameter: timm has no such ViT, or the ViT does not fit the configuration.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.in_place = False
        self.vit: Any = None
        self.patch = 1
        if config.backbone:
            self.vit, self.patch = _build_vit(config)
        c0, c1, c2, c3 = config.channels
        self.stem = Conv3x3x3(1, c0)
        self.down1, self.down2, self.down3 = Merge(c0, c1, 1), Merge(c1, c2, 2), Merge(c2, c3, 2)
        self.in1, self.in2, self.in3 = Residual(c1), Residual(c2), Residual(c3)
        if self.vit is not None:
            layers = config.depth // DEPTH_STEP
            self.context = nn.Linear(self.vit.embed_dim * len(config.blocks), layers * c3)
        self.joined = nn.Sequential(Residual(c3), Residual(c3))
        self.up2, self.up1, self.up0 = Expand(c3, c2, 2), Expand(c2, c1, 2), Expand(c1, c0, 1)
        self.out2, self.out1 = Residual(c2), Residual(c1)
        self.out0 = Conv3x3x3(c0, c0)
        self.head = nn.Linear(c0, 1)
        # The initial probability is 0.01, because about one voxel in a hundred is neurite.
        nn.init.constant_(self.head.bias, -4.6)

    def reuse_memory(self) -> Network:
        """Overwrite activations in place from now on; returns the network itself.

        Prediction is faster because memory that is not allocated need not be cleared. The output
        keeps its bits, but no gradient can be computed any more.
        """
        for module in self.modules():
            if isinstance(module, Network | Residual):
                module.in_place = True
        return self

    def forward(self, window: Tensor) -> Tensor:
        """(B, depth, H, W) normalised intensity -> (B, predicted, H, W) logits, float32.

        H and W are multiples of `step`.
        """
        in_place = self.in_place
        full = _activate(self.stem(window.unsqueeze(-1)), in_place)
        half = self.in1(self.down1(full))
        quarter = self.in2(self.down2(half))
        eighth = self.in3(self.down3(quarter))
        if self.vit is not None:
            context = self.tokens(window, (eighth.shape[2], eighth.shape[3]))
            eighth = _add(eighth, context, in_place)
        eighth = self.joined(eighth)
        quarter = self.out2(_add(self.up2(eighth), quarter, in_place))
        half = self.out1(_add(self.up1(quarter), half, in_place))
        full = _activate(_add(self.up0(half), full, in_place), in_place)
        margin = (self.config.depth - self.config.predicted) // 2
        full = _activate(self.out0(full), in_place)[:, margin : margin + self.config.predicted]
        logits: Tensor = self.head(full)
        return logits.squeeze(-1).float()

    def tokens(self, window: Tensor, size: tuple[int, int]) -> Tensor:
        """The ViT's features at the resolution of the U-Net's coarsest layer.

        Args:
            window: (B, depth, H, W) normalised intensity.
            size: (rows, columns) of the result.

        Returns:
            (B, depth / 4, rows, columns, channels).
        """
        blocks = self.vit.forward_intermediates(
            window, indices=list(self.config.blocks), norm=True, intermediates_only=True
        )
        joined = torch.cat(blocks, dim=1).permute(0, 2, 3, 1)
        unfolded = self.context(joined).permute(0, 3, 1, 2)
        fine = functional.interpolate(unfolded, size=size, mode="bilinear")
        layers = self.config.depth // DEPTH_STEP
        context: Tensor = fine.unflatten(1, (layers, -1)).permute(0, 1, 3, 4, 2)
        return context

    @property
    def step(self) -> int:
        """Rows and columns of a window are multiples of this."""
        return math.lcm(self.patch, PLANE_STEP)

    def load_prior(self, state: Mapping[str, Tensor], source: str = "prior") -> None:
        """Load the weights of a 2D ViT that was trained on photographs.

        The patch embedding is inflated, with the normalisation of its colours included. The
        position embedding is resized. Blocks after the last one that is read are left out.

        Args:
            state: the 2D ViT's tensors under timm's names.
            source: the name of the weights in error messages.

        Raises:
            BadFile: tensors are missing or have other shapes.
            BadParameter: the network has no ViT.
        """
        if self.vit is None:
            raise BadParameter(f"{source}: the network has no ViT that could take it over")
        prior = self._inflated_prior(state, source)
        own = self.vit.state_dict()
        tensors = {k: prior[k] for k in own if k in prior}
        missing = sorted(set(own) - set(tensors))
        shapes = [k for k, v in tensors.items() if v.shape != own[k].shape]
        if missing or shapes:
            raise BadFile(
                f"{source}: does not fit {self.config.backbone}: {len(missing)} tensors are "
                f"missing {missing[:3]}, {len(shapes)} have other shapes {shapes[:3]}"
            )
        self.vit.load_state_dict(tensors)

    def _inflated_prior(self, state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
        """The tensors of a 2D ViT in the shapes of this network's ViT."""
        prior = {k: v.float() for k, v in state.items()}
        try:
            gray, bias = fold_normalisation(
                prior.pop("patch_embed.proj.weight"),
                prior.pop("patch_embed.proj.bias", None),
                self.vit.pretrained_cfg["mean"],
                self.vit.pretrained_cfg["std"],
            )
        except (KeyError, BadParameter) as error:
            raise BadFile(f"{source}: is no ViT of timm with a patch embedding of RGB") from error
        config = self.config
        prefix = "patch_embed.proj."
        prior[prefix + "weight"] = inflate(gray, config.depth, config.inflation)
        prior[prefix + "bias"] = bias
        own = self.vit.state_dict()
        if config.tubular != "none":
            tube = inflate(gray, config.taps, config.inflation)
            prior[prefix + "views"] = tube.repeat(3, 1, 1, 1, 1)
            rest = {k: v for k, v in own.items() if k.startswith(prefix)}
            prior = {**rest, **prior}
        if "pos_embed" in prior and "pos_embed" in own:
            count = self.vit.num_prefix_tokens
            # In some ViTs the embedding has no entries for the class token and the registers.
            count = 0 if getattr(self.vit, "no_embed_class", False) else count
            grid = config.size // self.patch
            prior["pos_embed"] = resize_position_embedding(prior["pos_embed"], count, (grid, grid))
        return prior


class Residual(nn.Module):
    """A residual block x + conv(act(conv(norm(x)))), whose last convolution starts at zero.

    The norm acts on the channels of each voxel, never on a window.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.in_place = False
        self.norm = nn.LayerNorm(channels, eps=_EPSILON)
        self.first = Conv3x3x3(channels, channels)
        self.second = Conv3x3x3(channels, channels, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W, C) -> the same shape."""
        inner: Tensor = self.second(_activate(self.first(self.norm(x)), self.in_place))
        return _add(inner, x, self.in_place)


class Merge(nn.Module):
    """Merges cells of (depth step, 2, 2) voxels: a strided convolution as a matrix product."""

    def __init__(self, inputs: int, outputs: int, depth_step: int) -> None:
        super().__init__()
        self.depth_step = depth_step
        self.linear = nn.Linear(inputs * depth_step * 4, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W, inputs) -> (B, D / depth step, H / 2, W / 2, outputs)."""
        b, d, h, w, c = x.shape
        s = self.depth_step
        cells = x.reshape(b, d // s, s, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 5, 2, 4, 6, 7)
        merged: Tensor = self.linear(cells.flatten(4))
        return merged


class Expand(nn.Module):
    """The reverse of `Merge` after a norm: a transposed convolution as a matrix product."""

    def __init__(self, inputs: int, outputs: int, depth_step: int) -> None:
        super().__init__()
        self.depth_step = depth_step
        self.norm = nn.LayerNorm(inputs, eps=_EPSILON)
        self.linear = nn.Linear(inputs, outputs * depth_step * 4)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W, inputs) -> (B, D * depth step, H * 2, W * 2, outputs)."""
        b, d, h, w, _ = x.shape
        s = self.depth_step
        cells = (
            self.linear(self.norm(x)).unflatten(-1, (s, 2, 2, -1)).permute(0, 1, 4, 2, 5, 3, 6, 7)
        )
        spread: Tensor = cells.reshape(b, d * s, h * 2, w * 2, -1)
        return spread


def _add(x: Tensor, y: Tensor, in_place: bool) -> Tensor:
    """X + y; in place, the sum overwrites x."""
    return x.add_(y) if in_place else x + y


def _activate(x: Tensor, in_place: bool) -> Tensor:
    """The leaky rectifier; in place, the result overwrites x."""
    return functional.leaky_relu(x, 0.1, inplace=in_place)


def _build_vit(config: NetworkConfig) -> tuple[Any, int]:
    """The ViT with its embedding of windows, and the edge of its patches in voxels."""
    vit = _backbone(config)
    embedding = vit.patch_embed.proj
    patch = int(embedding.kernel_size[0])
    if config.size % patch:
        raise BadParameter(
            f"network configuration: size {config.size} is no multiple of {config.backbone}'s "
            f"patch of {patch}"
        )
    if config.tubular != "none":
        weight, bias = embedding.weight.detach(), embedding.bias.detach()
        tube = inflate(weight.sum(1), config.taps, config.inflation)
        deformable = config.tubular == "deformable"
        vit.patch_embed.proj = TubularEmbedding(weight, bias, tube, deformable=deformable)
    return vit, patch


def _backbone(config: NetworkConfig) -> Any:
    """Timm's ViT for windows of gray slices, without its head and its last blocks."""
    try:
        vit: Any = timm.create_model(
            config.backbone,
            pretrained=False,
            in_chans=config.depth,
            num_classes=0,
            img_size=config.size,
            dynamic_img_size=True,
        )
        vit.prune_intermediate_layers(list(config.blocks), prune_norm=False, prune_head=True)
        embedding = vit.patch_embed.proj
    except (RuntimeError, TypeError, AttributeError, AssertionError, ValueError) as error:
        raise BadParameter(
            f"network configuration: {config.backbone} cannot be built as a plain ViT of timm with "
            f"blocks {list(config.blocks)}: {error}"
        ) from error
    if embedding.bias is None:
        embedding.bias = nn.Parameter(torch.zeros(embedding.out_channels))
    return vit
