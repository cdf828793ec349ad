"""The page at `/`: files built from `server/web`, which send requests to this server only."""

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
    # The page fetches pictures with a token, and shows them from memory: `blob:`.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # The browser asks each time whether a file has changed.
    "Cache-Control": "no-cache",
}


@router.get("/")
def page() -> Response:
    """The page itself; it needs no token, but its requests do."""
    return _file("index.html")


@router.get("/web/{name}")
def file(name: str) -> Response:
    """The scripts and styles of the page."""
    return _file(name)


def _file(name: str) -> Response:
    files_by_name = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _KINDS}
    if name not in files_by_name:
        raise NotFound(f"{name[:40]}: is no file of the page")
    path = files_by_name[name]
    return FileResponse(path, headers=_HEADERS, media_type=_KINDS[path.suffix])
