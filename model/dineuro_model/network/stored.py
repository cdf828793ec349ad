"""Weights on disk: safetensors in half precision, with the network's configuration in the header.

The header of a file describes how to build the network. The SHA-256 of a file identifies a release.
Every runtime reads its weights here; torch is not needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_bridge.files import size_of_file
from dineuro_model.catalog import file_sha256
from dineuro_model.network.config import NetworkConfig

#: The value of "format" in the header, and the key of the header among the file's metadata.
FORMAT, ENTRY = "dineuro-network-1", "dineuro"


@dataclass(frozen=True, slots=True, eq=False)
class StoredNetwork:
    """The content of a file of weights.

    Attributes:
        config: how the network is built.
        tensors: the weights under the names of the network's parameters, in the file's type.
    """

    config: NetworkConfig
    tensors: Mapping[str, NDArray[Any]]


def read_network(path: Path | str, *, sha256: str | None = None) -> StoredNetwork:
    """The configuration and the weights of a network.

    Args:
        path: a file that `weights.save_weights` wrote.
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
    header, tensors = _read(path)
    try:
        return StoredNetwork(NetworkConfig.from_dict(header["config"]), tensors)
    except (KeyError, BadParameter) as error:
        raise BadFile(f"{path}: its weights do not fit its configuration: {error}") from error


def describe(path: Path | str) -> dict[str, str]:
    """The header of a file of weights as texts for a person; the network is not built.

    Raises:
        FileAccess: the path cannot be read.
        BadFile: the file holds no network of this program.
    """
    size = size_of_file(path)
    header, tensors = _read(path)
    return {
        "file": str(path),
        "sha256": file_sha256(path),
        "size": f"{size / 1e6:.1f} MB, {sum(t.size for t in tensors.values()):,} parameters",
        **{name: str(value) for name, value in header["config"].items()},
        **{name: str(v) for name, v in header.items() if name not in ("format", "config")},
    }


def _read(path: Path | str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the tensors of a file; a file of another program is refused."""
    try:
        with safe_open(str(path), framework="np") as file:
            header = dict(json.loads((file.metadata() or {}).get(ENTRY, "{}")))
            if header.get("format") != FORMAT:
                raise BadFile(
                    f"{path}: holds no network of DINeuro (format {header.get('format')!r})"
                )
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        raise BadFile(f"{path}: is no readable safetensors file (damaged?): {error}") from error
