"""Routes for the operators of a server: health, figures, networks, the API's description."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from dineuro_server.doors.http.openapi import problems
from dineuro_server.doors.http.records import Health, ModelList, ModelRecord
from dineuro_server.doors.http.service import OwnerOf, ServiceOf, watcher_of
from dineuro_server.ops.metrics import CONTENT_TYPE

router = APIRouter(tags=["operation"])
#: Path of the files of /docs.
STATIC = "/static"


@router.get("/v1/models", responses=problems(401, 403))
def models(service: ServiceOf, _: OwnerOf) -> ModelList:
    """The installed networks, the default one first."""
    return ModelList(
        models=[
            ModelRecord(
                name=model.name,
                sha256=model.sha256,
                description=model.description,
                default=number == 0,
            )
            for number, model in enumerate(service.engine.models())
        ]
    )


@router.get("/livez")
async def livez() -> Health:
    """Whether the process answers."""
    return Health(status="ok", detail="alive")


@router.get("/readyz", responses={503: {"model": Health, "description": "Not ready yet."}})
async def readyz(service: ServiceOf, response: Response) -> Health:
    """Whether jobs are accepted and every worker is warm."""
    engine = service.engine
    healthy = service.zmq_healthy()
    if engine.ready and healthy:
        return Health(status="ok", detail="ready")
    response.status_code = 503
    if engine.stopping:
        return Health(status="stopping", detail="the server is shutting down")
    if not healthy:
        return Health(status="failing", detail="the ZeroMQ door does not answer")
    cold = [runner.device for runner in engine.runners if not runner.ready]
    return Health(status="starting", detail=f"workers that are not warm yet: {', '.join(cold)}")


@router.get("/metrics", response_class=Response, responses=problems(401))
def metrics(service: ServiceOf, watcher: Annotated[str | None, Depends(watcher_of)]) -> Response:
    """Figures for Prometheus; those of each owner are for the watcher's token alone."""
    owners = watcher in (None, service.settings.watcher)
    return Response(service.engine.metrics.page(owners=owners), media_type=CONTENT_TYPE)


def add_docs(app: FastAPI) -> None:
    """Serve /docs from an installed package, without requests to other servers."""
    folder = Path(str(files("fastapi_offline"))) / "static"
    app.mount(STATIC, StaticFiles(directory=folder), name="static")

    page = get_swagger_ui_html(
        openapi_url=app.openapi_url or "/openapi.json",
        title="DINeuro",
        swagger_js_url=f"{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{STATIC}/favicon.png",
    )
    page.headers["Content-Security-Policy"] = _docs_policy(bytes(page.body).decode())

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return page


def _docs_policy(html: str) -> str:
    """The policy of /docs: scripts of this server, and the page's own by their hashes."""
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    ]
    scripts = " ".join(["'self'", *(f"'sha256-{value}'" for value in hashes)])
    return (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
