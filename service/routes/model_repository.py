"""The inference protocol's model repository: which models there are; load and unload.

Both act on every worker process, and answer when all have followed. New versions in the models
folder are found without them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from service.catalog import Catalog
from service.errors import DeviceError, Malformed, ManifestError, NotFound
from service.protocol import parts, wire
from service.protocol.schemas import IndexEntry, IndexRequest
from service.routes.inference_protocol import RESPONSES, Model, json_body
from service.routes.running import catalog_of

router = APIRouter(prefix="/v2/repository", tags=["inference protocol"], responses=RESPONSES)


@router.post("/index", openapi_extra=json_body(IndexRequest.model_json_schema()))
async def index(request: Request) -> list[IndexEntry]:
    """Every version in the models folder and every part of it: in use, or why not."""
    try:
        asked = IndexRequest.model_validate(await wire.read_object(request))
    except ValidationError:
        raise Malformed('send {"ready": true}, {"ready": false} or no body') from None
    catalog = catalog_of(request)
    folders = await asyncio.to_thread(catalog.folders)
    entries = [
        IndexEntry(
            name=part.name,
            version=str(served.manifest.version),
            state="READY",
            reason=catalog.refused.get(served.manifest.key, ""),  # of a reload that failed
        )
        for served in catalog
        for part in parts.of(served)
    ]
    if asked.ready:
        return entries
    in_use = {served.manifest.key for served in catalog}
    for key in sorted((set(folders) | set(catalog.refused)) - in_use):
        name, _, version = key.partition("/")
        reason = catalog.refused.get(key) or (
            "unloaded" if name in catalog.unloaded else "not seen yet"
        )
        entries.append(IndexEntry(name=name, version=version, state="UNAVAILABLE", reason=reason))
    return entries


@router.post(
    "/models/{model}/load",
    response_class=Response,  # empty: no JSON, and no content type that says so
    openapi_extra=json_body({"type": "object"}),
)
async def load(request: Request, model: Model) -> Response:
    """Loads every version of a model from its folder, or loads it anew.

    What fails to load is refused with the reason, and what was serving serves on.
    """
    parameters = await _parameters(request)
    if parameters:
        raise Malformed(
            f"failed to load '{model[:64]}': a model is loaded as it was published, without "
            f"{', '.join(sorted(parameters))[:64]}"
        )
    _check_whole(catalog_of(request), model)
    try:
        await request.app.state.worker.follower.load(model)
    except NotFound:
        raise parts.unknown(model) from None
    except (ManifestError, DeviceError) as error:
        raise Malformed(f"failed to load '{model}', {error}") from None
    return Response(b"")


@router.post(
    "/models/{model}/unload",
    response_class=Response,  # empty: no JSON, and no content type that says so
    openapi_extra=json_body({"type": "object"}),
)
async def unload(request: Request, model: Model) -> Response:
    """Stops serving every version of a model, and frees its memory, until it is loaded again."""
    await _parameters(request)
    _check_whole(catalog_of(request), model)
    try:
        await request.app.state.worker.follower.unload(model)
    except NotFound:
        raise parts.unknown(model) from None
    return Response(b"")


def _check_whole(catalog: Catalog, model: str) -> None:
    name, dot, _ = model.partition(".")
    if dot and catalog.versions(name):
        raise Malformed(
            f"'{model[:64]}' is a part of a model: load or unload '{name[:64]}', and its parts "
            "come and go with it"
        )


async def _parameters(request: Request) -> dict[str, Any]:
    sent = await wire.read_object(request)
    parameters = sent.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise Malformed("parameters must be an object")
    return parameters
