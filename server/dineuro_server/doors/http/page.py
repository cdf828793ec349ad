"""The page at `/`: files that were built from `server/web`, which ask nothing of anybody else."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from dineuro_bridge.errors import NotFound

router = APIRouter(include_in_schema=False)

_FOLDER = Path(str(files("dineuro_server.doors"))) / "web"
_KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    # Pictures come through the API with a token, and are shown from memory: `blob:`.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # A file that has not changed is not sent again; one that has is never missed.
    "Cache-Control": "no-cache",
}


@router.get("/")
def page() -> Response:
    """The page itself; it needs no token, what it asks for does."""
    return _file("index.html")


@router.get("/web/{name}")
def file(name: str) -> Response:
    """Its scripts and styles."""
    return _file(name)


def _file(name: str) -> Response:
    known = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _KINDS}
    if name not in known:
        raise NotFound(f"{name[:40]}: is no file of the page")
    path = known[name]
    return FileResponse(path, headers=_HEADERS, media_type=_KINDS[path.suffix])
