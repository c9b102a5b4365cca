"""Whatever the OpenAPI document allows, or just does not, no answer is a 5xx or off its schema."""

from __future__ import annotations

import base64
import io
import warnings
from collections import Counter

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as conformance

from service import npy
from service.app import create_app
from service.settings import Settings
from tests.listening import listening

# Not those that a body of bytes cannot keep: no schema says which bytes are a picture.
CHECKS = [
    not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_schema_conformance,
    conformance.response_headers_conformance,
]
FINITE = st.floats(-50, 50) | st.floats(allow_nan=False, allow_infinity=False)
ACCEPTS = [
    None, "*/*", "application/json", "image/png", "image/*;q=0.5, application/json;q=0.1",
    "image/webp", "image/jpeg", "image/gif", "application/x-npy", "text/html", ";;q=,",
]  # fmt: skip


@st.composite
def pictures(draw, kind: str) -> bytes:
    """A picture of that kind, of a size that some toy takes or none; sometimes broken."""
    height, width = draw(
        st.sampled_from([(12, 12), (12, 12), (12, 12), (20, 30), (1, 1), (13, 12)])
    )
    mode = draw(st.sampled_from(["L", "L", "RGB", "RGBA", "P", "1", "CMYK", "I;16"]))
    grey = draw(st.integers(0, 255))
    image = Image.new("L", (width, height), grey).convert("L" if mode == "I;16" else mode)
    file = io.BytesIO()
    try:
        image.save(file, kind)
    except OSError:  # a mode that the format has not
        image.convert("RGB").save(file, kind)
    data = file.getvalue()
    return draw(st.sampled_from([data, data, data, data[:-9], data[:20], b""]))


@st.composite
def arrays(draw) -> bytes:
    """An npy file of images or of latents, or nearly one."""
    shape = draw(
        st.sampled_from([(12, 12), (12, 12, 1), (2, 12, 12, 1), (3, 2), (2, 20, 30, 3), (2,), ()])
    )
    dtype = draw(st.sampled_from(["u1", "f4", "f8", ">f4", "i8", "?"]))
    value = draw(st.sampled_from([0, 1, 0.5, 200, float("nan"), float("inf")]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = npy.write(np.full(shape, value).astype(dtype))
    return draw(st.sampled_from([data, data, data, data + b"x", data[:-1], data[:30]]))


@pytest.fixture
def schema(zoo_models):
    """The schema of a real server of the toys that can do everything."""
    app = create_app(Settings(models_dir=zoo_models))
    for kind in ("png", "jpeg", "webp", "bmp", "tiff"):
        schemathesis.openapi.media_type(f"image/{kind}", pictures(kind))
    schemathesis.openapi.media_type("application/x-npy", arrays())
    with listening(app) as address:
        yield schemathesis.openapi.from_url(f"{address}/openapi.json")


@st.composite
def lively(draw, operation, mode: GenerationMode):
    """A case of the operation, most of them with what a made-up one never hits.

    That is a real model's name, real pictures in JSON, latents of the right length.
    """
    case = draw(operation.as_strategy(generation_mode=mode))
    model = draw(st.sampled_from([None, "toy-identity", "toy-colour", "toy-vae", "toy-mixture"]))
    names = case.path_parameters or {}
    if model and (name := next((n for n in ("name", "model") if n in names), None)):
        case.path_parameters = {**names, name: model}
        if "version" in names:
            case.path_parameters["version"] = draw(st.sampled_from(["1", "2"]))
    if model and case.query and "model" in case.query:
        case.query["model"] = draw(st.sampled_from([model, "auto"]))
        case.query.pop("version", None)
    if model and isinstance(case.body, dict):
        count = draw(st.integers(1, 3))
        if "images" in case.body and case.media_type == "application/json":
            case.body["images"] = [
                base64.b64encode(draw(pictures("png"))).decode() for _ in range(count)
            ]
        if "latents" in case.body:
            case.body["latents"] = draw(
                st.lists(st.lists(FINITE, min_size=2, max_size=2), max_size=3)
            )
    return case


def fuzz(schema, *, examples: int, derandomize: bool) -> Counter:
    """Calls every operation with cases that keep to the schema, and with cases that break it."""
    statuses: Counter = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @given(case=lively(operation, mode), accept=st.sampled_from(ACCEPTS))
            @settings(
                max_examples=examples,
                derandomize=derandomize,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            def calls(case, accept):
                response = case.call(headers={"Accept": accept} if accept else None)
                statuses[case.operation.label, response.status_code] += 1
                case.validate_response(response, checks=CHECKS)

            try:
                calls()
            except Unsatisfiable:  # nothing about this operation can be wrong
                continue
    return statuses


def test_a_hundred_requests_made_up_from_the_schema_get_what_it_promises(schema):
    statuses = fuzz(schema, examples=2, derandomize=True)
    assert sum(statuses.values()) >= 100


@pytest.mark.slow
def test_two_thousand_requests_made_up_from_the_schema_get_what_it_promises(schema):
    statuses = fuzz(schema, examples=100, derandomize=False)
    print(sum(statuses.values()), "cases:", *sorted(statuses.items()), sep="\n")
    assert sum(statuses.values()) >= 2000
    answered = {label for label, status in statuses if status == 200}
    routes = ("denoise", "reconstruct", "encode", "decode", "classify", "interpolate", "sample")
    assert answered >= {f"POST /{route}" for route in routes}, "some of it was right, too"
