"""GET /models and /models/NAME: what is served, what it can do, and how good it is."""

from __future__ import annotations

from typing import get_args

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from service.errors import NotFound
from service.latent_map import FILE, LatentMap
from service.manifest import Ability, Manifest, Prior, Score
from service.routes.caching import unchanged
from service.routes.running import catalog_of

router = APIRouter(prefix="/models", tags=["models"])

_UNCHANGED = {"description": "If-None-Match names what would be sent"}


class Summary(BaseModel):
    """One line of the list of models."""

    name: str
    version: int
    summary: str
    dataset: str
    image: str = Field(description="the images it takes")
    latent_shape: tuple[int | None, ...]
    abilities: tuple[Ability, ...]
    corruption: str | None
    priors: tuple[Prior, ...] = Field(
        description="what POST /sample can draw from, the better first"
    )
    map: bool = Field(description="whether there is a map of its latents, GET /models/NAME/map")
    scores: tuple[Score, ...]


_AS_WRITTEN = Summary.model_fields.keys() & Manifest.model_fields.keys() - {"image"}


class Models(BaseModel):
    """All that is served; `ranking` is the order in which `model=auto` tries them."""

    models: list[Summary]
    ranking: dict[str, list[str]]
    refused: dict[str, str] = Field(description="NAME/VERSION that is not served, and why")


class Card(BaseModel):
    """A model's whole manifest, and its state in this process."""

    manifest: Manifest
    versions: list[int]
    waiting: int = Field(description="images in its queues")


@router.get("")
async def models(request: Request) -> Models:
    """Every model that is served, its abilities and its measured quality."""
    catalog = catalog_of(request)
    return Models(
        models=[
            Summary(
                image=str(card.image),
                priors=card.priors,
                map=FILE in card.files,
                **card.model_dump(include=_AS_WRITTEN),
            )
            for card in (served.manifest for served in catalog)
        ],
        ranking={
            ability: [served.manifest.name for served in catalog.ranking(ability)]
            for ability in get_args(Ability)
        },
        refused=catalog.refused,
    )


@router.get("/{name}")
async def card(request: Request, name: str, version: int | None = None) -> Card:
    """One model's card: its manifest, with scores, baselines, recipe and provenance."""
    catalog = catalog_of(request)
    served = catalog.get(name, version)
    return Card(manifest=served.manifest, versions=catalog.versions(name), waiting=served.waiting)


@router.get(
    "/{name}/card.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, 304: _UNCHANGED},
)
async def picture(request: Request, name: str, version: int | None = None) -> Response:
    """The picture of what the model does."""
    return _file(request, name, version, "card.png", "image/png")


@router.get("/{name}/map", responses={200: {"model": LatentMap}, 304: _UNCHANGED})
async def latent_map(request: Request, name: str, version: int | None = None) -> Response:
    """Latents of test images and where they lie in the plane and in space, to be drawn."""
    return _file(request, name, version, FILE, "application/json")


def _file(request: Request, name: str, version: int | None, file: str, media_type: str) -> Response:
    """A file of the model's folder, or 304 to who has it: its digest is its ETag.

    Raises:
        NotFound: no such model, or it has no such file.
    """
    manifest = catalog_of(request).get(name, version).manifest
    if file not in manifest.files:
        raise NotFound(f"{manifest.key} has no {file}")
    headers = {"ETag": f'"{manifest.files[file]}"', "Cache-Control": "no-cache"}
    if unchanged(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    path = request.app.state.settings.models_dir / manifest.name / str(manifest.version) / file
    if not path.is_file():
        raise NotFound(f"{file} of {manifest.key} is no longer there")
    return FileResponse(path, media_type=media_type, headers=headers)
