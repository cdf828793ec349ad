"""The parts of a result, one record each: tree, mask, report and whatever else a job leaves.

Everything that depends on the list of parts is derived from `PARTS`: command line options, file
names, HTTP routes, zip files, ZeroMQ descriptors and the Python client. The functions that write
the parts are in `dineuro.files.parts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

#: Who a part is for: a user, the browser page of a server, or the server alone.
Audience = Literal["user", "page", "server"]
#: Whether a run in blocks (docs/brain.md) has a part too, and whether nothing else has it.
InBlocks = Literal["no", "too", "alone"]
#: What a part holds; a volume is uint8 and travels in any of several image formats.
Content = Literal["text", "json", "volume", "binary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """The command line option that says where a part is written.

    Attributes:
        metavar: the name of the value in the help text.
        help: the help text.
        flags: the option's flags; empty for `--NAME`.
    """

    metavar: str
    help: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a result.

    Attributes:
        name: the identifier in the report's `outputs`, on the wire and on the command line.
        ending: what follows the image's name in the part's file name; its suffix is the default.
        further_suffixes: suffixes that a file of the part may have besides that of `ending`.
        description: one or more sentences for the HTTP interface's documentation.
        content: what the file holds.
        audience: who may fetch it. Clients and zip files have the parts of users; the page has
            those and its own; the server keeps the others for later jobs.
        needs_tree: whether only jobs that make a tree have it.
        stored: the file's name in the results folder of a server; empty where no server makes it.
        address: the last segment of its HTTP address; the name if empty.
        media_types: the media type of each suffix that a server gives, the stored one first.
        aliases: other media types that clients may send for the first one.
        inline: whether a browser shows it instead of saving it.
        answer_rank: the order among the parts that may answer a submission; None for no such part.
        linker_key: its key in Vaa3D's linker file; see `dineuro_bridge.trees.ano`.
        option: its command line option; None where it has none.
        in_blocks: whether a run in blocks has it.
    """

    name: str
    ending: str
    description: str
    content: Content
    further_suffixes: tuple[str, ...] = ()
    audience: Audience = "user"
    needs_tree: bool = False
    stored: str = ""
    address: str = ""
    media_types: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    inline: bool = False
    answer_rank: int | None = None
    linker_key: str | None = None
    option: Option | None = None
    in_blocks: InBlocks = "no"

    @property
    def suffix(self) -> str:
        """The suffix of the default file name."""
        return PurePath(self.ending).suffix

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The suffixes that a file of the part may have."""
        if self.content != "volume":
            return self.suffix, *self.further_suffixes
        # The import stands here because the formats need numpy, which a command's help does not.
        from dineuro_bridge.volumes.formats import written_suffixes

        return written_suffixes()

    @property
    def media_type(self) -> str:
        """The media type of the stored file."""
        return next(iter(self.media_types.values()))

    @property
    def segment(self) -> str:
        """The last segment of the HTTP address."""
        return self.address or self.name

    @property
    def is_served(self) -> bool:
        """Whether a server gives it over HTTP."""
        return bool(self.stored) and self.audience != "server"

    @property
    def is_delivered(self) -> bool:
        """Whether clients fetch it with every result, over either door."""
        return bool(self.stored) and self.audience == "user"

    def file_name(self, stem: str, suffix: str | None = None) -> str:
        """The file's name beside an image.

        Args:
            stem: the image's name without its suffix.
            suffix: the part's suffix; None for the default.
        """
        bare = self.ending.removesuffix(self.suffix)
        return f"{stem}{bare}{self.suffix if suffix is None else suffix}"


def _table(parts: Iterable[Part]) -> dict[str, Part]:
    return {part.name: part for part in parts}


#: The parts by name, in the order of reports, zip files and help texts.
PARTS = _table((
    Part(
        name="swc",
        ending="_dineuro.swc",
        further_suffixes=(".eswc",),
        description="The tree as SWC text.",
        content="text",
        needs_tree=True,
        stored="tree.swc",
        media_types={".swc": "text/plain"},
        aliases=("text/x-swc", "application/x-swc"),
        inline=True,
        answer_rank=0,
        linker_key="SWCFILE",
        in_blocks="too",
        option=Option(
            flags=("-o", "--output"),
            metavar="OUT.swc",
            help="The tree, or a folder for several inputs. '-' is the standard output. The suffix "
            ".eswc adds the confidence of each node's segment. Without this option, the tree is "
            "IMAGE_dineuro.swc beside each image.",
        ),
    ),
    Part(
        name="mask",
        ending="_mask.v3draw",
        description="The mask of the neurites: uint8, 0 and 255.",
        content="volume",
        stored="mask.v3draw",
        media_types={
            ".v3draw": "application/x-v3draw",
            ".tif": "image/tiff",
            ".v3dpbd": "application/x-v3dpbd",
        },
        aliases=("application/octet-stream",),
        answer_rank=2,
        linker_key="MASKIMG",
        option=Option(metavar="MASK", help="The mask, .v3draw .v3dpbd or .tif; or a folder."),
    ),
    Part(
        name="report",
        ending="_report.json",
        description="The report: figures, settings and warnings.",
        content="json",
        stored="report.json",
        media_types={".json": "application/json"},
        answer_rank=1,
        in_blocks="too",
        option=Option(metavar="R.json", help="The report; or a folder."),
    ),
    Part(
        name="preview",
        ending="_preview.png",
        description="Three projections of the volume with the tree over them.",
        content="binary",
        stored="preview.png",
        address="preview.png",
        media_types={".png": "image/png"},
        inline=True,
        answer_rank=3,
        option=Option(metavar="P.png", help="Projections with the tree; or a folder."),
    ),
    Part(
        name="doubts",
        ending="_doubts.marker",
        description="The places of the tree to proofread first, as Vaa3D's markers. "
        "The most doubtful place is the first.",
        content="text",
        needs_tree=True,
        stored="doubts.marker",
        media_types={".marker": "text/x-vaa3d-marker"},
        inline=True,
        linker_key="MARKERFILE",
        in_blocks="too",
        option=Option(
            metavar="D.marker",
            help="The places to proofread first, at most 20, the most doubtful first; or a folder.",
        ),
    ),
    Part(
        name="pieces",
        ending="_pieces.swc",
        description="What the tree lacks where its doubtful ends and branches are wrong, as SWC in "
        "voxels. `piece` of a doubt in the report names the root of its tree.",
        content="text",
        audience="page",
        needs_tree=True,
        stored="pieces.swc",
        media_types={".swc": "text/plain"},
        inline=True,
    ),
    Part(
        name="neurons",
        ending="_neurons.zip",
        description="The tree of each neuron as SWC, in a zip file, of a volume that was traced in "
        "blocks.",
        content="binary",
        needs_tree=True,
        stored="neurons.zip",
        media_types={".zip": "application/zip"},
        in_blocks="alone",
    ),
    Part(
        name="table",
        ending="_neurons.csv",
        description="Place, soma, length, tips, forks, confidence and doubts of each neuron as "
        "CSV, of a volume that was traced in blocks.",
        content="text",
        needs_tree=True,
        stored="neurons.csv",
        media_types={".csv": "text/csv"},
        in_blocks="alone",
    ),
    Part(
        name="ano",
        ending="_dineuro.ano",
        description="A linker file that opens the image and its results in Vaa3D.",
        content="text",
        option=Option(
            metavar="A.ano",
            help="A linker file: opens image and results in Vaa3D with one drag; or a folder.",
        ),
    ),
    Part(
        name="view",
        ending="_view.u8",
        description="Volume and mask for a browser, at most 256 voxels along an axis.\n\n"
        "The bytes are little-endian: `DNV1`, then nine int32 (shape, step and origin, each as "
        "z, y, x), then one byte a voxel with x running fastest. The upper seven bits of a byte "
        "are the brightness, and the lowest bit is the mask. A voxel of the view is the brightest "
        "of its block of `step` voxels.",
        content="binary",
        audience="page",
        stored="view.u8",
        media_types={".u8": "application/x-dineuro-view"},
    ),
    Part(
        name="slices",
        ending="_slices.u8",
        description="The volume as 8 bits in bricks, from which the page's slices are cut.",
        content="binary",
        audience="server",
        stored="slices.u8",
        media_types={".u8": "application/x-dineuro-slices"},
    ),
    Part(
        name="probability",
        ending="_probability.v3dpbd",
        description="The probability of the region, which a retrace begins with.",
        content="volume",
        audience="server",
        stored="probability.v3dpbd",
        media_types={".v3dpbd": "application/x-v3dpbd"},
    ),
))  # fmt: skip
