"""Weights on disk: safetensors in half precision, with the network's configuration in the header.

The header of a file describes how to build the network. The SHA-256 of a file identifies a release.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_bridge.files import atomic_output, size_of_file
from dineuro_model.catalog import file_sha256
from dineuro_model.network.network import Network, NetworkConfig

#: The value of "format" in the header, and the key of the header among the file's metadata.
_FORMAT, _ENTRY = "dineuro-network-1", "dineuro"


def save_weights(path: Path | str, network: Network, notes: Mapping[str, str] | None = None) -> str:
    """Write a network's weights as float16, whole or not at all.

    Args:
        path: the file to write; its suffix is `.safetensors`.
        network: the network whose weights are written.
        notes: further texts for the header, such as the recipe.

    Returns:
        The SHA-256 of the file; equal weights and notes give equal files.

    Raises:
        BadParameter: a weight is not finite in float16.
        FileAccess: the path cannot be written.
    """
    tensors = {k: v.detach().to("cpu", torch.float16) for k, v in network.state_dict().items()}
    broken = [k for k, v in tensors.items() if not torch.isfinite(v).all()]
    if broken:
        raise BadParameter(f"{path}: not written: {broken[0]} holds values beyond float16")
    header = {**(notes or {}), "format": _FORMAT, "config": network.config.to_dict()}
    # The header is one entry, because the library writes several entries in a varying order.
    metadata = {_ENTRY: json.dumps(header, sort_keys=True)}
    content = save({k: v.contiguous() for k, v in tensors.items()}, metadata=metadata)
    with atomic_output(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def load_network(path: Path | str, *, sha256: str | None = None) -> Network:
    """Build the network that a file describes and give it the file's weights in float32.

    Args:
        path: a file that `save_weights` wrote.
        sha256: the SHA-256 that the file must have; None skips the check.

    Raises:
        FileAccess: the path cannot be read.
        BadFile: the file is damaged, holds no network of this program, or has another SHA-256.
    """
    size_of_file(path)
    if sha256 is not None and (actual := file_sha256(path)) != sha256:
        raise BadFile(
            f"{path}: is damaged or not the released file: its SHA-256 is {actual[:12]}…, expected "
            f"{sha256[:12]}…; install it again"
        )
    header, tensors = _read_network(path)
    try:
        network = _network(NetworkConfig.from_dict(header["config"]), tensors)
    except (KeyError, ValueError, AttributeError, RuntimeError, BadParameter) as error:
        reason = str(error).splitlines()[0]
        raise BadFile(f"{path}: its weights do not fit its configuration: {reason}") from error
    return network.eval()


def _network(config: NetworkConfig, tensors: Mapping[str, Tensor]) -> Network:
    """The network with its weights; nothing is allocated for a configuration that they do not fit.

    Raises:
        BadParameter, RuntimeError: they do not.
    """
    with torch.device("meta"):
        network = Network(config)
    # On "meta" a tensor has a shape and no memory; weights of another shape are refused here.
    network.load_state_dict({k: v.float() for k, v in tensors.items()}, assign=True)
    if all(not value.is_meta for value in (*network.parameters(), *network.buffers())):
        return network
    # What is computed and not stored, such as rotary positions, is made by a real construction.
    with torch.random.fork_rng(devices=[]):
        real = Network(config)
    real.load_state_dict(network.state_dict())
    return real


def describe(path: Path | str) -> dict[str, str]:
    """The header of a file of weights as texts for a person; the network is not built.

    Raises:
        FileAccess: the path cannot be read.
        BadFile: the file holds no network of this program.
    """
    size = size_of_file(path)
    header, tensors = _read_network(path)
    return {
        "file": str(path),
        "sha256": file_sha256(path),
        "size": f"{size / 1e6:.1f} MB, {sum(t.numel() for t in tensors.values()):,} parameters",
        **{name: str(value) for name, value in header["config"].items()},
        **{name: str(v) for name, v in header.items() if name not in ("format", "config")},
    }


def load_prior(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a 2D ViT in a safetensors file, under timm's names.

    Raises:
        FileAccess: the path cannot be read.
        BadFile: the file is no safetensors file.
    """
    size_of_file(path)
    return _read(path)[1]


def _read_network(path: Path | str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors of a file; a file of another program is refused."""
    header, tensors = _read(path)
    if header.get("format") != _FORMAT:
        raise BadFile(f"{path}: holds no network of DINeuro (format {header.get('format')!r})")
    return header, tensors


def _read(path: Path | str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """DINeuro's header, empty where a file has none, and the tensors of a safetensors file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            names = file.keys()
            header = json.loads((file.metadata() or {}).get(_ENTRY, "{}"))
            return dict(header), {name: file.get_tensor(name) for name in names}
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise BadFile(f"{path}: is no readable safetensors file (damaged?): {error}") from error
