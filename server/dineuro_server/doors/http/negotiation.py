"""Which of an answer's formats a client wants, by its Accept header (RFC 9110)."""

from __future__ import annotations

from collections.abc import Sequence

from dineuro_bridge.errors import BadRequest, NotAcceptable
from dineuro_bridge.parts import PARTS, Part
from dineuro_server.jobs.kinds import JobKind

ZIP = "application/zip"


def offers(kind: JobKind) -> dict[str, Part | None]:
    """The media types that may answer a submission, the default one first.

    Each one stands with its part of the result; the zip file of all parts has None.
    """
    ranked = [part for part in kind.parts if part.answer_rank is not None]
    ranked.sort(key=lambda part: part.answer_rank or 0)
    main = PARTS[kind.main]
    offered: dict[str, Part | None] = dict.fromkeys(main.media_types.values(), main)
    offered[ZIP] = None
    for part in ranked:
        offered |= dict.fromkeys(part.media_types.values(), part)
    return offered


def choose(accept: str | None, offered: Sequence[str]) -> str:
    """The offered media type with the highest weight; the first one of equal weights.

    Args:
        accept: the header; None accepts everything.
        offered: media types, the default one first.

    Raises:
        NotAcceptable: no offered type has a weight above 0.
        BadRequest: the header is malformed.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = [_range(word) for word in accept.split(",") if word.strip()]
    best = max(offered, key=lambda media_type: _weight(media_type, ranges))
    if _weight(best, ranges) <= 0:
        raise NotAcceptable(f"Accept {accept}: there are only {', '.join(offered)}")
    return best


def _range(text: str) -> tuple[str, float]:
    """A media range with its weight."""
    media_type, *options = (word.strip().lower() for word in text.split(";"))
    weight = 1.0
    for option in options:
        name, _, value = option.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError as error:
                raise BadRequest(f"Accept {text.strip()}: q must be a number") from error
    aliases = {alias: part.media_type for part in PARTS.values() for alias in part.aliases}
    return aliases.get(media_type, media_type), weight


def _weight(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The weight of a media type: that of the most specific range."""
    family = media_type.split("/")[0] + "/*"
    for pattern in (media_type, family, "*/*"):
        weights = [weight for name, weight in ranges if name == pattern]
        if weights:
            return max(weights)
    return 0.0
