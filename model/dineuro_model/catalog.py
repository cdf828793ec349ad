"""The networks that come with the install, known without loading any: torch is not imported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dineuro_bridge.errors import BadFile
from dineuro_bridge.files import read_bytes

PACKAGED = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that comes with the install.

    Attributes:
        name: what `--model` takes.
        path: of the weights.
        sha256: of the file as released, in hexadecimal.
        description: one line.
    """

    name: str
    path: Path
    sha256: str
    description: str


def list_models(folder: Path = PACKAGED) -> list[ModelInfo]:
    """The models of a folder as its `models.json` lists them, the default one first.

    Raises:
        BadFile: the list is damaged.
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
