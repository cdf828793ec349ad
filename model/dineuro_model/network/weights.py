"""A network in torch and its weights on disk; `stored` has the format of the files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_bridge.files import atomic_output, size_of_file
from dineuro_model.network.config import NetworkConfig
from dineuro_model.network.network import Network
from dineuro_model.network.stored import ENTRY, FORMAT, read_network


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
    header = {**(notes or {}), "format": FORMAT, "config": network.config.to_dict()}
    # The header is one entry, because the library writes several entries in a varying order.
    metadata = {ENTRY: json.dumps(header, sort_keys=True)}
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
    stored = read_network(path, sha256=sha256)
    tensors = {name: torch.from_numpy(values) for name, values in stored.tensors.items()}
    try:
        network = _network(stored.config, tensors)
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


def load_prior(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a 2D ViT in a safetensors file, under timm's names.

    Raises:
        FileAccess: the path cannot be read.
        BadFile: the file is no safetensors file.
    """
    size_of_file(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise BadFile(f"{path}: is no readable safetensors file (damaged?): {error}") from error
