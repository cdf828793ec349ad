"""From what the user names to files: which inputs, which outputs, one volume after the other."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dineuro_bridge.errors import BadParameter, FileAccess
from dineuro_bridge.files import atomic_output, reason
from dineuro_bridge.formats import SUFFIXES, WRITTEN_SUFFIXES, read_volume, write_volume
from dineuro_bridge.marker import write_markers
from dineuro_bridge.progress import ProgressCallback
from dineuro_bridge.swc import write_eswc, write_swc
from dineuro_bridge.tree import Tree
from dineuro_bridge.volume import RowOrder, Volume
from dineuro_server.pipeline import Request, Result, reconstruct
from dineuro_server.preview import write_preview
from dineuro_server.proofreading import as_markers, doubt_records, graded, segment_records
from dineuro_tracing.confidence import Segments

_GLOB = set("*?[")
#: What an option's folder is filled with, after the image's name.
_ENDINGS = {
    "swc": "_dineuro.swc",
    "mask": "_mask.v3draw",
    "report": "_report.json",
    "preview": "_preview.png",
    "doubts": "_doubts.marker",
}
_SUFFIXES = {
    "swc": (".swc", ".eswc"),
    "mask": WRITTEN_SUFFIXES,
    "report": (".json",),
    "preview": (".png",),
    "doubts": (".marker",),
}


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the results of one volume go; None is not asked for.

    Attributes:
        swc: the tree; with the suffix .eswc its segments' grades too.
        mask, report, preview: what they say.
        doubts: the places to look at first, as Vaa3D's markers.
    """

    swc: Path | None = None
    mask: Path | None = None
    report: Path | None = None
    preview: Path | None = None
    doubts: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """One volume's tree, and its report as it stands in JSON."""

    tree: Tree
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """How volumes are read."""

    row_order: RowOrder = "file"
    max_bytes: int = 2**34


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
    volumes = sorted(
        p for p in paths if p.suffix.lower() in SUFFIXES and p.name[:1] != "." and p.is_file()
    )
    stems = {(p.parent, p.stem) for p in volumes}
    kept = [
        p
        for p in volumes
        if not (p.name.endswith(_ENDINGS["mask"]) or _is_mask_of_another(p, stems))
    ]
    if not kept:
        raise FileAccess(f"{what} holds no volume ({' '.join(SUFFIXES)})")
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


def run_one(
    path: Path, outputs: Outputs, request: Request, reading: Reading, progress: ProgressCallback
) -> Done:
    """Trace one file and write what was asked for.

    All results are made before the first is written; each is written whole or not at all.

    Raises:
        DineuroError: whatever is wrong with the file or the request.
    """
    volume = read_volume(path, row_order=reading.row_order, max_bytes=reading.max_bytes)
    # What is said of the volume names the path as the user gave it.
    volume = replace(volume, source=str(path))
    result = reconstruct(volume, request, progress)
    return write_results(volume, sha256_of(path), request, result, outputs)


def write_results(
    volume: Volume, digest: str, request: Request, result: Result, outputs: Outputs
) -> Done:
    """Write what was asked for, each file whole or not at all.

    Args:
        volume: that was traced; its source is what the results call it.
        digest: SHA-256 of its file.
        request: what was asked.
        result: what came out.
        outputs: where the results go.

    Raises:
        FileAccess: a place cannot be written to.
    """
    for place in asdict(outputs).values():
        if place is not None:
            make_folder(place.parent)
    tree = result.tree.with_comments(_comments(digest, volume, request, result))
    if outputs.swc is not None:
        _write_tree(outputs.swc, tree, result.segments)
    if outputs.mask is not None:
        write_volume(outputs.mask, result.mask, compress=True)
    if outputs.preview is not None:
        write_preview(outputs.preview, result.intensity, result.overlay)
    if outputs.doubts is not None:
        write_markers(outputs.doubts, as_markers(result.doubts))
    record = {
        **input_record(volume, digest, request, result.enhancer, result.model),
        **result.report.as_dict(),
        "doubts": doubt_records(result.doubts),
        "seconds": {stage: round(value, 3) for stage, value in result.seconds.items()},
        "outputs": {k: str(v) for k, v in asdict(outputs).items() if v is not None},
    }
    if outputs.report is not None:
        graded_too = {"segments": segment_records(result.segments)}
        write_record(outputs.report, record | graded_too)
    return Done(tree, record)


def _write_tree(path: Path, tree: Tree, segments: Segments) -> None:
    """As the suffix says."""
    if path.suffix.lower() == ".eswc":
        write_eswc(path, graded(tree, segments))
    else:
        write_swc(path, tree)


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a report as JSON, whole or not at all: a line an entry, and a line a list's item."""
    entries = [f"  {json.dumps(name)}: {_item_lines(value)}" for name, value in record.items()]
    with atomic_output(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


def _item_lines(value: Any) -> str:
    if not (isinstance(value, list) and value and isinstance(value[0], dict)):
        return json.dumps(value)
    return "[\n" + ",\n".join(f"    {json.dumps(item)}" for item in value) + "\n  ]"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        FileAccess: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileAccess(f"{path}: cannot be read: {reason(error)}") from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if they are missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileAccess(f"{folder}: cannot be made: {reason(error)}") from error


def _settings(volume: Volume, request: Request) -> dict[str, Any]:
    """The request as plain values, with what the file decided."""
    settings = asdict(request)
    settings |= settings.pop("parameters")
    spacing = request.spacing or volume.spacing
    settings["channel"] = 1 if request.channel is None else request.channel
    settings["spacing_um_xyz"] = None if spacing is None else spacing[::-1]
    del settings["spacing"]
    settings["row_order"] = volume.row_order
    return settings


def _comments(digest: str, volume: Volume, request: Request, result: Result) -> tuple[str, ...]:
    """What made the tree. No date and no seconds: the same input gives the same bytes."""
    settings = _settings(volume, request)
    spacing = settings["spacing_um_xyz"]
    lines = [
        f"DINeuro {version('dineuro')}",
        f"image {Path(volume.source).name}",
        f"image_sha256 {digest}",
        f"coordinates x y z, {request.units}, 0-based, of the full volume",
        f"row_order {volume.row_order}",
        f"spacing_um_xyz {' '.join(f'{s:g}' for s in spacing) if spacing else 'unknown'}",
    ]
    if result.model is not None:
        lines.append(f"model {result.model[0]}")
        lines.append(f"model_sha256 {result.model[1]}")
    lines.append(f"enhancer {result.enhancer}")
    for name in ("channel", "roi", "root", "threshold", "min_length", "gap", "trees"):
        value = settings[name]
        if isinstance(value, tuple):
            value = ",".join(f"{v:g}" for v in value)
        lines.append(f"{name} {'auto' if value is None else value}")
    report = result.report
    lines.append(f"root_found_by {report.root}")
    lines.append(f"joined_gaps {report.joined_gaps}")
    return (*lines, *(f"warning {text}" for text in report.warnings))


def input_record(
    volume: Volume,
    digest: str,
    request: Request,
    enhancer: str,
    model: tuple[str, str] | None,
) -> dict[str, Any]:
    """How a report's JSON begins: the input, the settings, and by what it was enhanced."""
    return {
        "input": volume.source,
        "sha256": digest,
        "dineuro": version("dineuro"),
        "shape_zyx": volume.shape,
        "channels": volume.n_channels,
        "dtype": str(volume.voxels.dtype),
        "settings": _settings(volume, request),
        "enhancer": enhancer,
        "model": None if model is None else {"name": model[0], "sha256": model[1]},
    }
