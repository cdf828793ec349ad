"""The kinds of jobs, one record each; routes and checks are derived from the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.parts import PARTS, Part

Kind = Literal["trace", "enhance", "retrace", "brain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """One kind of job.

    Attributes:
        name: the identifier on the wire and the last segment of the HTTP address.
        has_tree: whether the job makes a tree.
        retraces: whether the input is a mask or an earlier job, so that no enhancer runs.
        main: the name of the part that answers a submission, unless the client asks for another.
        description: sentences for the HTTP interface's documentation.
        in_blocks: whether it runs in blocks; the server makes such a job of a trace.
        attempts: how often it is begun before the loss of its worker fails it.
    """

    name: Kind
    has_tree: bool
    retraces: bool
    main: str
    description: str
    in_blocks: bool = False
    attempts: int = 2

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that the job's results folder holds, in the order of the table."""
        return tuple(
            part
            for part in PARTS.values()
            if part.stored
            and (self.has_tree or not part.needs_tree)
            and part.in_blocks in (("too", "alone") if self.in_blocks else ("no", "too"))
        )


#: The kinds by name.
KINDS: dict[str, JobKind] = {
    kind.name: kind
    for kind in (
        JobKind(
            name="trace",
            has_tree=True,
            retraces=False,
            main="swc",
            description="Trace a volume. The answer is the tree as SWC. The Accept header may ask "
            "for the mask, the report, the picture, or all results as a zip file.",
        ),
        JobKind(
            name="enhance",
            has_tree=False,
            retraces=False,
            main="mask",
            description="Enhance a volume. The answer is the mask of its neurites, without a tree.",
        ),
        JobKind(
            name="retrace",
            has_tree=True,
            retraces=True,
            main="swc",
            description="Trace a mask, or with `job=ID` a finished job again with other parameters "
            "of the tracer.\n\nThe network does not run.",
        ),
        JobKind(
            name="brain",
            has_tree=True,
            retraces=False,
            main="swc",
            description="",
            in_blocks=True,
            attempts=10,  # what is done is kept, so that each one goes on
        ),
    )
}


#: The kinds that clients ask for.
ASKED: dict[str, JobKind] = {name: kind for name, kind in KINDS.items() if not kind.in_blocks}


def kind_named(name: str) -> JobKind:
    """The kind that a client asks for by its name.

    Raises:
        BadParameter: there is no such kind.
    """
    if name not in ASKED:
        raise BadParameter(f"kind {name!r}: must be one of {', '.join(ASKED)}")
    return ASKED[name]
