"""From what the user names to files: which inputs, and where each one's results go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dineuro_bridge.errors import BadParameter, FileAccess
from dineuro_bridge.files import reason
from dineuro_bridge.trees.ano import write_ano
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import is_volume, suffixes, written_suffixes

_GLOB = set("*?[")
#: What an option's folder is filled with, after the image's name.
_ENDINGS = {
    "swc": "_dineuro.swc",
    "mask": "_mask.v3draw",
    "report": "_report.json",
    "preview": "_preview.png",
    "doubts": "_doubts.marker",
    "ano": "_dineuro.ano",
}
_SUFFIXES = {
    "swc": (".swc", ".eswc"),
    "mask": written_suffixes(),
    "report": (".json",),
    "preview": (".png",),
    "doubts": (".marker",),
    "ano": (".ano",),
}


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the results of one volume go; None is not asked for.

    Attributes:
        swc: the tree; with the suffix .eswc its segments' grades too.
        mask, report, preview: what they say.
        doubts: the places to look at first, as Vaa3D's markers.
        ano: a linker file that opens image and results in Vaa3D.
    """

    swc: Path | None = None
    mask: Path | None = None
    report: Path | None = None
    preview: Path | None = None
    doubts: Path | None = None
    ano: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """One volume's tree, and its report as it stands in JSON."""

    tree: Tree
    record: dict[str, Any]


def find_inputs(names: Sequence[str]) -> list[Path]:
    """The volumes named by files, folders and patterns, in order, none twice.

    A folder or a pattern stands for the volumes it finds, by name; masks that this program wrote
    (`X_mask.v3draw`, or `X_mask.*` beside an `X.*`) are results and no inputs.

    Raises:
        FileAccess: a folder or pattern without any volume.
    """
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            here = _volumes(path.iterdir(), f"{name}: the folder")
        elif _GLOB & set(name) and not path.exists():
            here = _volumes(_matching(name), f"{name}: the pattern")
        else:
            here = [path]
        found += here
    once: dict[Path, Path] = {}
    for path in found:
        once.setdefault(path.resolve(), path)
    return list(once.values())


def _matching(pattern: str) -> Iterable[Path]:
    """What a shell would have made of the pattern."""
    anchor = Path(Path(pattern).anchor or ".")
    return anchor.glob(str(Path(pattern).relative_to(Path(pattern).anchor)))


def _volumes(paths: Iterable[Path], what: str) -> list[Path]:
    volumes = sorted(p for p in paths if p.name[:1] != "." and is_volume(p))
    stems = {(p.parent, p.stem) for p in volumes}
    kept = [
        p
        for p in volumes
        if not (p.name.endswith(_ENDINGS["mask"]) or _is_mask_of_another(p, stems))
    ]
    if not kept:
        raise FileAccess(f"{what} holds no volume ({' '.join(suffixes())})")
    return kept


def _is_mask_of_another(path: Path, stems: set[tuple[Path, str]]) -> bool:
    return path.stem.endswith("_mask") and (path.parent, path.stem.removesuffix("_mask")) in stems


def plan_outputs(inputs: Sequence[Path], wanted: Mapping[str, Path | None]) -> list[Outputs]:
    """Where each input's results go.

    For one input an option names a file (or an existing folder); for several it names a folder.
    Only what is in `wanted` is made; where an option has no place, the result stands beside its
    image. Results are called after the image without its suffix, or with it where two images of a
    folder differ in nothing else.

    Raises:
        BadParameter: a name that does not fit what it is for, two results under one name, or a
            result in the place of an input.
    """
    several = len(inputs) > 1
    names = Counter((path.parent, path.stem) for path in inputs)
    plans, wants = [], dict[Path, list[Path]]()
    for path in inputs:
        name = path.name if names[path.parent, path.stem] > 1 else path.stem
        places = {k: _place(path, name, k, p, several=several) for k, p in wanted.items()}
        plans.append(Outputs(**places))
        for place in places.values():
            wants.setdefault(place, []).append(path)
    for place, images in wants.items():
        if len(images) > 1:
            named = " and ".join(dict.fromkeys(map(str, images)))
            raise BadParameter(f"{place}: several results would be written there, of {named}")
        if any(place.resolve() == path.resolve() for path in inputs):
            raise BadParameter(f"{place}: is an input; it would be overwritten")
    return plans


def _place(image: Path, name: str, kind: str, place: Path | None, *, several: bool) -> Path:
    if place is None:
        return image.with_name(name + _ENDINGS[kind])
    if place.is_dir() or (several and not place.exists() and not place.suffix):
        return place / (name + _ENDINGS[kind])
    if several:
        raise BadParameter(f"{place}: there are several inputs: name a folder for the {kind}")
    if place.suffix.lower() not in _SUFFIXES[kind]:
        known = " ".join(_SUFFIXES[kind])
        raise BadParameter(f"{place}: the {kind} must end with {known} (or be a folder)")
    return place


def link_results(image: Path, outputs: Outputs) -> None:
    """The linker file, where one is asked for; what it names is there already.

    Raises:
        FileAccess: the place cannot be written to.
    """
    if outputs.ano is not None:
        named = {"mask": outputs.mask, "swc": outputs.swc, "markers": outputs.doubts}
        write_ano(outputs.ano, image, **named)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if they are missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileAccess(f"{folder}: cannot be made: {reason(error)}") from error
