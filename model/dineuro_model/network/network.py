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
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_model.network.config import DEPTH_STEP, EPSILON, PLANE_STEP, SLOPE, NetworkConfig
from dineuro_model.network.convolution import Conv3x3x3
from dineuro_model.network.inflate import fold_normalisation, inflate, resize_position_embedding
from dineuro_model.network.tubular import TubularEmbedding


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
        self.stem = Conv3x3x3(len(config.inputs), c0)
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
        """(B, inputs * depth, H, W) -> (B, predicted, H, W) logits, float32.

        The inputs of the configuration follow one another, `depth` slices each; the first is the
        normalised intensity. H and W are multiples of `step`, or of 8 with one patch or more.
        """
        in_place, depth = self.in_place, self.config.depth
        channels = window.unflatten(1, (-1, depth)).permute(0, 2, 3, 4, 1)
        window = window[:, :depth]
        full = _activate(self.stem(channels), in_place)
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
            window: (B, depth, H, W) normalised intensity; the whole patches in it are read.
            size: (rows, columns) of the result.

        Returns:
            (B, depth / 4, rows, columns, channels).
        """
        rows, columns = (n // self.patch * self.patch for n in window.shape[2:])
        blocks = self.vit.forward_intermediates(
            window[..., :rows, :columns],
            indices=list(self.config.blocks),
            norm=True,
            intermediates_only=True,
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

    def with_inputs(self, inputs: tuple[str, ...]) -> Network:
        """The same function of the same inputs, in a network that has further inputs as well.

        The further inputs have no influence: their kernels are zero until they learn.

        Raises:
            BadParameter: the network's inputs are not the first of `inputs`.
        """
        own = self.config.inputs
        if inputs[: len(own)] != own:
            raise BadParameter(f"network: inputs {list(inputs)} do not begin with {list(own)}")
        wider = Network(replace(self.config, inputs=inputs))
        state = self.state_dict()
        kernel = state["stem.weight"]
        further = kernel.new_zeros(len(kernel), len(inputs) - len(own), *kernel.shape[2:])
        wider.load_state_dict({**state, "stem.weight": torch.cat([kernel, further], dim=1)})
        return wider.train(self.training)

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
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
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
        self.norm = nn.LayerNorm(inputs, eps=EPSILON)
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
    return functional.leaky_relu(x, SLOPE, inplace=in_place)


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
