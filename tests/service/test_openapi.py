"""The OpenAPI document: committed, held to the code, and its examples work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service import openapi
from service.settings import Settings
from tests.conftest import running

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "docs" / "openapi.json"
DOCUMENT = json.loads(openapi.document())
IMAGES_IN = ("/denoise", "/reconstruct", "/encode", "/classify", "/interpolate")
IMAGES_OUT = ("/denoise", "/reconstruct", "/decode", "/interpolate", "/sample")


def shipped() -> bool:
    return any((ROOT / "models").glob("*/*/model.json"))


def test_the_committed_document_is_what_the_code_says():
    assert COMMITTED.read_text(encoding="utf-8") == openapi.document(), (
        "run: python -m service.openapi > docs/openapi.json"
    )


def operations() -> dict[str, dict]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }


def test_every_operation_has_its_own_short_name_and_says_what_it_does():
    ids = [operation["operationId"] for operation in operations().values()]
    assert len(ids) == len(set(ids))
    for name, operation in operations().items():
        assert operation.get("description"), name


@pytest.mark.parametrize("path", IMAGES_IN)
def test_images_are_uploaded_as_files_json_or_npy(path):
    content = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]
    form = content["multipart/form-data"]["schema"]["properties"]["images"]
    # The shape that /docs turns into a button for files.
    assert form["items"] == {"type": "string", "format": "binary"}
    assert content["application/json"]["examples"]
    assert "application/x-npy" in content
    assert ("image/png" in content) == (path != "/interpolate"), "it takes two"


@pytest.mark.parametrize("path", IMAGES_OUT)
def test_every_kind_of_answer_and_its_headers_are_documented(path):
    answered = DOCUMENT["paths"][path]["post"]["responses"]["200"]
    assert {"application/json", "image/png", "application/x-npy"} <= answered["content"].keys()
    assert {"X-Request-ID", "Server-Timing", "Model-Name", "Model-Version"} <= answered[
        "headers"
    ].keys()
    assert ("image/gif" in answered["content"]) == (path in ("/interpolate", "/decode"))


def examples() -> list[tuple[str, str]]:
    return [
        (path, name)
        for path, methods in DOCUMENT["paths"].items()
        for name in methods.get("post", {})
        .get("requestBody", {})
        .get("content", {})
        .get("application/json", {})
        .get("examples", {})
    ]


@pytest.mark.anyio
@pytest.mark.skipif(not shipped(), reason="no model is in models/")
@pytest.mark.parametrize(("path", "name"), examples())
async def test_every_example_works_as_it_stands_on_the_models_that_are_shipped(path, name):
    post = DOCUMENT["paths"][path]["post"]
    body = post["requestBody"]["content"]["application/json"]["examples"][name]["value"]
    async with running(Settings()) as client:
        ability = path.strip("/")
        if not client.app.state.catalog.ranking(ability):
            pytest.skip(f"no shipped model can {ability} yet")
        answer = await client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        if path == "/denoise":
            assert (answer.json()["quality"] is not None) == ("references" in body)
