"""The configuration of a network, which is stored with its weights. It needs no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from dineuro_bridge.errors import BadParameter
from dineuro_model.tables import from_table

Inflation = Literal["average", "center"]
Tubular = Literal["none", "straight", "deformable"]
Input = Literal["global", "local", "ridge"]

#: The U-Net halves the plane three times and the depth twice.
PLANE_STEP, DEPTH_STEP = 8, 4
#: The network of the tubes' offsets reads the window at 1 / `OFFSET_STRIDE` of its resolution.
OFFSET_STRIDE = 4
#: The names of timm's own networks: "hf-hub:…" and the like would be asked of the internet.
_BACKBONE = re.compile(r"[A-Za-z0-9_]*(\.[A-Za-z0-9_]+)?")
#: Largest windows: slices, and rows and columns.
_MOST_SLICES, _MOST_ROWS = 1024, 8192
#: Epsilon of the norms; it is so large that an almost dark voxel stays almost dark.
EPSILON = 1e-3
#: The slope of the leaky rectifiers below 0.
SLOPE = 0.1


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
        inputs: what the U-Net reads, see `inputs`. The first one is "global", the intensity; the
            ViT reads it alone.

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
    inputs: tuple[str, ...] = ("global",)

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
                (
                    self.inputs[:1] != ("global",)
                    or len(set(self.inputs)) < len(self.inputs)
                    or not set(self.inputs) <= set(get_args(Input)),
                    'inputs begin with "global"; "local" and "ridge" may follow, each once',
                ),
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
