"""The models that come with the install; their list is read without a runtime's library."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_bridge.files import read_bytes

#: The folder of the models that come with the install.
PACKAGED = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A file of weights.

    Attributes:
        name: the value of `--model` for an installed model, else the file's name.
        path: the file of the weights.
        sha256: the file's SHA-256 in hexadecimal; of an installed model, that of the release.
        description: one line; empty for a file that is not in the list of installed models.
    """

    name: str
    path: Path
    sha256: str
    description: str


def list_models(folder: Path = PACKAGED) -> list[ModelInfo]:
    """The models that the file `models.json` of a folder lists, the default model first.

    Returns:
        The models; none where the folder has no `models.json`.

    Raises:
        BadFile: `models.json` is damaged.
    """
    index = folder / "models.json"
    if not index.is_file():
        return []
    try:
        entries = json.loads(read_bytes(index))
        return [
            ModelInfo(e["name"], folder / e["file"], e["sha256"], e["description"]) for e in entries
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise BadFile(f"{index}: is damaged ({error}); install again") from error


def find_model(name: str | None = None, folder: Path = PACKAGED) -> ModelInfo:
    """The weights of an installed model or of a path.

    Args:
        name: an installed model's name, or the path of a file; None is the default model.
        folder: the folder of the installed models.

    Raises:
        BadParameter: no such model; the message lists the installed ones.
        BadFile: `models.json` is damaged.
        FileAccess: the path cannot be read.
    """
    models = list_models(folder)
    for model in models:
        if name in (None, model.name):
            return model
    if name is not None and (Path(name).suffix == ".safetensors" or Path(name).exists()):
        return ModelInfo(Path(name).name, Path(name), file_sha256(name), "")
    names = ", ".join(model.name for model in models) or "none"
    raise BadParameter(f"model {name or 'default'}: is not installed; installed: {names}")


def file_sha256(path: Path | str) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        FileAccess: the path cannot be read.
    """
    return hashlib.sha256(read_bytes(path)).hexdigest()
