"""Weights on disk: safetensors in half precision, with the network's configuration inside.

A file says itself how to build its network; its SHA-256 says that it is what was released. The
models that come with the install lie in the package's folder `models`, listed in `models.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_bridge.files import atomic_output, read_bytes, size_of_file
from dineuro_model.catalog import PACKAGED, ModelInfo, list_models
from dineuro_model.network.network import Network, NetworkConfig

_FORMAT, _ENTRY = "dineuro-network-1", "dineuro"

__all__ = [
    "Model",
    "ModelInfo",
    "cached_model",
    "describe",
    "file_sha256",
    "list_models",
    "load_model",
    "load_network",
    "load_prior",
    "save_weights",
]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A network with the name and the SHA-256 that its results carry."""

    name: str
    sha256: str
    network: Network


def save_weights(path: Path | str, network: Network, notes: Mapping[str, str] | None = None) -> str:
    """Write a network's weights as float16, whole or not at all.

    Args:
        path: ends in .safetensors.
        network: what to save.
        notes: further text for the header, such as the recipe.

    Returns:
        The SHA-256 of the file; the same weights and notes give the same.

    Raises:
        BadParameter: a weight is not finite in float16.
        FileAccess: the path cannot be written.
    """
    tensors = {k: v.detach().to("cpu", torch.float16) for k, v in network.state_dict().items()}
    broken = [k for k, v in tensors.items() if not torch.isfinite(v).all()]
    if broken:
        raise BadParameter(f"{path}: not written: {broken[0]} holds values beyond float16")
    header = {**(notes or {}), "format": _FORMAT, "config": network.config.to_dict()}
    # One entry holds all: the library writes several in an order of its own, other each time.
    metadata = {_ENTRY: json.dumps(header, sort_keys=True)}
    content = save({k: v.contiguous() for k, v in tensors.items()}, metadata=metadata)
    with atomic_output(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def load_network(path: Path | str, *, sha256: str | None = None) -> Network:
    """Build the network that a file describes and give it the file's weights (float32).

    Args:
        path: of a file by `save_weights`.
        sha256: what its hash must be; None does not look.

    Raises:
        FileAccess: the path cannot be read.
        BadFile: damaged, not a network of this program, or not the file that was expected.
    """
    size_of_file(path)
    if sha256 is not None and (found := file_sha256(path)) != sha256:
        raise BadFile(
            f"{path}: is damaged or not the released file: its SHA-256 is {found[:12]}…, expected "
            f"{sha256[:12]}…; install it again"
        )
    header, tensors = _read(path)
    if header.get("format") != _FORMAT:
        raise BadFile(f"{path}: holds no network of DINeuro (format {header.get('format')!r})")
    try:
        config = NetworkConfig.from_dict(header["config"])
        with torch.random.fork_rng(devices=[]):
            network = Network(config)
        network.load_state_dict({k: v.float() for k, v in tensors.items()})
    except (KeyError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BadFile(f"{path}: its weights do not fit its configuration: {reason}") from error
    return network.eval()


def describe(path: Path | str) -> dict[str, str]:
    """What a file of weights says of itself, for a person; its network is not built.

    Raises:
        FileAccess: the path cannot be read.
        BadFile: it holds no network of this program.
    """
    size = size_of_file(path)
    header, tensors = _read(path)
    if header.get("format") != _FORMAT:
        raise BadFile(f"{path}: holds no network of DINeuro (format {header.get('format')!r})")
    known = ("format", "config")
    return {
        "file": str(path),
        "sha256": file_sha256(path),
        "size": f"{size / 1e6:.1f} MB, {sum(t.numel() for t in tensors.values()):,} parameters",
        **{name: str(value) for name, value in header["config"].items()},
        **{name: str(value) for name, value in header.items() if name not in known},
    }


def load_prior(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a 2D ViT in safetensors, under timm's names.

    Raises:
        FileAccess: the path cannot be read.
        BadFile: it is no safetensors file.
    """
    size_of_file(path)
    return _read(path)[1]


def file_sha256(path: Path | str) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def load_model(name: str | None = None, folder: Path = PACKAGED) -> Model:
    """The network by its name, or by the path of its weights; None takes the default.

    Raises:
        BadParameter: no such model; the message lists those that there are.
        And all that `load_network` raises.
    """
    models = list_models(folder)
    for model in models:
        if name in (None, model.name):
            return Model(model.name, model.sha256, load_network(model.path, sha256=model.sha256))
    if name is not None and (Path(name).suffix == ".safetensors" or Path(name).exists()):
        return Model(Path(name).name, file_sha256(name), load_network(name))
    known = ", ".join(model.name for model in models) or "none"
    raise BadParameter(f"model {name or 'default'}: is not installed; installed: {known}")


@lru_cache(maxsize=1)
def cached_model(name: str | None = None) -> Model:
    """As `load_model`; the last one stays in memory, for the next volume."""
    return load_model(name)


def _read(path: Path | str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """DINeuro's own header, empty where there is none, and the tensors of a safetensors file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            names = file.keys()
            header = json.loads((file.metadata() or {}).get(_ENTRY, "{}"))
            return dict(header), {name: file.get_tensor(name) for name in names}
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise BadFile(f"{path}: is no readable safetensors file (damaged?): {error}") from error
