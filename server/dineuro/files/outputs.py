"""From the names on a command line to files: the inputs, and where the results of each one go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os.path import realpath
from pathlib import Path
from typing import Any

from dineuro_bridge.errors import (
    BadParameter,
    BadVolume,
    DineuroError,
    FileAccess,
    UnsupportedFormat,
)
from dineuro_bridge.files import reason
from dineuro_bridge.parts import PARTS
from dineuro_bridge.trees.ano import linker_text, write_ano
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.foreign import foreign_suffix
from dineuro_bridge.volumes.formats import is_folder_volume, is_volume, read_header, suffixes
from dineuro_bridge.volumes.remote import address_of

#: Where the parts of one result go, by the name of the part; see `dineuro_bridge.parts`.
Outputs = Mapping[str, Path]

_GLOB = set("*?[")


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """The tree of one volume, and its report as JSON values."""

    tree: Tree
    record: dict[str, Any]


def find_inputs(names: Sequence[str], *, stack_folders: bool = False) -> list[Path]:
    """The volumes that files, folders and patterns name, in order, each once.

    A folder or a pattern stands for its volumes, sorted by name. A mask that this program wrote is
    no input: `X_mask.v3draw`, or `X_mask.*` beside an `X.*`.

    Args:
        names: the words of the command line.
        stack_folders: whether a folder is one stack of a file for each slice.

    Raises:
        FileAccess, UnsupportedFormat: a folder or pattern without any volume.
        BadVolume: a folder of single slices, unless it is one stack.
    """
    paths: list[Path] = []
    for name in names:
        path = Path(name)
        if (
            address_of(name) is not None
            or is_folder_volume(path)
            or (path.is_dir() and stack_folders)
        ):
            paths.append(path)
        elif path.is_dir():
            volumes = _volumes([path, *path.iterdir()], f"{name}: the folder")
            _refuse_slices(name, volumes)
            paths += volumes
        elif _GLOB & set(name) and not path.exists():
            paths += _volumes(_matches(name), f"{name}: the pattern")
        else:
            paths.append(path)
    once: dict[str, Path] = {}
    for path in paths:
        once.setdefault(realpath(path), path)
    return list(once.values())


def _refuse_slices(folder: str, volumes: Sequence[Path]) -> None:
    """Refuse a folder whose first, middle and last volume are single slices of one size."""
    if len(volumes) < 3:
        return
    try:
        headers = [read_header(volumes[at]) for at in (0, len(volumes) // 2, -1)]
    except DineuroError:
        return  # the file's own turn comes, and its error with it
    shapes = {header.shape for header in headers}
    if len(shapes) == 1 and headers[0].shape[1] == 1:
        raise BadVolume(
            f"{folder}: holds {len(volumes)} single slices: pass --stack-folder to read them as "
            "one stack"
        )


def _matches(pattern: str) -> Iterable[Path]:
    """The paths that a shell would put in the place of the pattern."""
    anchor = Path(Path(pattern).anchor or ".")
    return anchor.glob(str(Path(pattern).relative_to(Path(pattern).anchor)))


def _volumes(paths: Iterable[Path], place: str) -> list[Path]:
    """The volumes among some paths, sorted, without masks; `place` names them in the error."""
    paths = list(paths)
    volumes = sorted(p for p in paths if p.name[:1] != "." and is_volume(p))
    stems = {(p.parent, p.stem) for p in volumes}
    mask_ending = PARTS["mask"].ending
    inputs = [
        p for p in volumes if not (p.name.endswith(mask_ending) or _is_mask_of_another(p, stems))
    ]
    if not inputs:
        raise _no_volume(sorted(paths), place)
    return inputs


def _no_volume(paths: Sequence[Path], place: str) -> DineuroError:
    """The error of a place without volumes: other programs' files there are named."""
    text = f"{place} holds no volume ({' '.join(suffixes())})"
    for path in paths:
        foreign = foreign_suffix(path)
        if foreign is not None:
            return UnsupportedFormat(f"{text}, and {path.name}: {foreign}")
    return FileAccess(text)


def _is_mask_of_another(path: Path, stems: set[tuple[Path, str]]) -> bool:
    return path.stem.endswith("_mask") and (path.parent, path.stem.removesuffix("_mask")) in stems


def plan_outputs(inputs: Sequence[Path], places: Mapping[str, Path | None]) -> list[Outputs]:
    """Where the results of each input go.

    For one input an option names a file or an existing folder. For several inputs it names a
    folder. A result is called after its image without the suffix. Where two images of a folder
    differ in their suffix alone, their results keep it.

    Args:
        inputs: the images.
        places: the parts to write, by name. A part whose place is None stands beside its image.

    Raises:
        BadParameter: a suffix that the part cannot have, two results under one name, a result in
            the place of an input, or a name that a linker file cannot hold.
    """
    several = len(inputs) > 1
    names = Counter((path.parent, path.stem) for path in inputs)
    plans, images_of = list[Outputs](), dict[Path, list[Path]]()
    for path in inputs:
        stem = path.name if names[path.parent, path.stem] > 1 else path.stem
        plan = {part: _place(path, stem, part, p, several=several) for part, p in places.items()}
        if "ano" in plan:
            linker_text(plan["ano"], _linked(path, plan))
        plans.append(plan)
        for place in plan.values():
            images_of.setdefault(place, []).append(path)
    for place, images in images_of.items():
        if len(images) > 1:
            named = " and ".join(dict.fromkeys(map(str, images)))
            raise BadParameter(f"{place}: several results would be written there, of {named}")
        if any(realpath(place) == realpath(path) for path in inputs):
            raise BadParameter(f"{place}: is an input; it would be overwritten")
    return plans


def _place(image: Path, stem: str, name: str, place: Path | None, *, several: bool) -> Path:
    """Where one part of one image goes; `place` is the value of the part's option."""
    part = PARTS[name]
    if place is None and address_of(image) is not None:
        raise BadParameter(f"{image}: is an address: name the place of the {name}")
    if place is None:
        return image.with_name(part.file_name(stem))
    is_folder = place.is_dir() and not is_folder_volume(place)
    if is_folder or (several and not place.exists() and not place.suffix):
        return place / part.file_name(stem)
    if several:
        raise BadParameter(f"{place}: there are several inputs: name a folder for the {name}")
    if place.suffix.lower() not in part.suffixes:
        suffixes = " ".join(part.suffixes)
        raise BadParameter(f"{place}: the {name} must end with {suffixes} (or be a folder)")
    return place


def link_results(path: Path, image: Path, outputs: Outputs) -> None:
    """Write the linker file of an image and its results.

    Args:
        path: the linker file.
        image: the image.
        outputs: where the results are.

    Raises:
        FileAccess: the place cannot be written to.
    """
    write_ano(path, _linked(image, outputs))


def _linked(image: Path, outputs: Outputs) -> dict[str, Path]:
    """An image and those of its results that a linker file opens, by their keys."""
    linked = {PARTS[name].linker_key: place for name, place in outputs.items()}
    return {"GRAYIMG": image} | {key: p for key, p in linked.items() if key is not None}


def make_folders(outputs: Outputs) -> None:
    """Make the folders of all results; errors as `make_folder`."""
    for place in outputs.values():
        make_folder(place.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if they are missing.

    Raises:
        FileAccess: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileAccess(f"{folder}: cannot be made: {reason(error)}") from error
