"""Which of an answer's formats a client wants, by its Accept header (RFC 9110)."""

from __future__ import annotations

from collections.abc import Sequence

from dineuro_bridge.errors import BadRequest, NotAcceptable

SWC = "text/plain"
ZIP = "application/zip"
JSON = "application/json"
PNG = "image/png"
MARKER = "text/x-vaa3d-marker"
VIEW = "application/x-dineuro-view"
#: Formats of a mask by their media types, the default one first, with the suffix of each.
MASKS = {
    "application/x-v3draw": ".v3draw",
    "image/tiff": ".tif",
    "application/x-v3dpbd": ".v3dpbd",
}
#: Other names of the same.
_ALIASES = {
    "application/octet-stream": "application/x-v3draw",
    "text/x-swc": SWC,
    "application/x-swc": SWC,
}


def choose(accept: str | None, offered: Sequence[str]) -> str:
    """The offered media type that is wanted most; the first of those wanted alike.

    Args:
        accept: the header; None accepts everything.
        offered: media types, the default one first.

    Raises:
        NotAcceptable: none is wanted.
        BadRequest: the header is none.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = [_range(word) for word in accept.split(",") if word.strip()]
    best = max(offered, key=lambda kind: _weight(kind, ranges))
    if _weight(best, ranges) <= 0:
        raise NotAcceptable(f"Accept {accept}: there are only {', '.join(offered)}")
    return best


def _range(text: str) -> tuple[str, float]:
    """A media range with its weight."""
    kind, *options = (word.strip().lower() for word in text.split(";"))
    weight = 1.0
    for option in options:
        name, _, value = option.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError as error:
                raise BadRequest(f"Accept {text.strip()}: q must be a number") from error
    return _ALIASES.get(kind, kind), weight


def _weight(kind: str, ranges: Sequence[tuple[str, float]]) -> float:
    """How much a media type is wanted: what the most exact range says of it."""
    family = kind.split("/")[0] + "/*"
    for exact in (kind, family, "*/*"):
        weights = [weight for name, weight in ranges if name == exact]
        if weights:
            return max(weights)
    return 0.0
