"""What OpenAPI says of the bodies that the routes take and the answers they give."""

from __future__ import annotations

from typing import Any

from fastapi.routing import APIRoute

from service import npy
from service.images import MEDIA_TYPES
from service.routes import examples
from service.routes.schemas import ImagesJson, LatentsJson, ScoredImagesJson

# Read by hand, from the bytes of the request: no route's signature names them.
SCHEMAS = (ImagesJson, ScoredImagesJson, LatentsJson)

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_NPY_IMAGES = {
    "schema": {
        **_BINARY["schema"],
        "description": "numpy.save of uint8, or floats in [0, 1]: `[H,W]`, `[H,W,C]`, `[B,H,W]` "
        "or `[B,H,W,C]`. Three axes of which the last is 1 or 3 are `[H,W,C]`.",
    }
}

NOISE = ("Noise-Std", "Noise-Anomaly-Percentile")
QUALITY = ("Quality-MSE", "Quality-PSNR", "Quality-SSIM", "Quality-SNR")
BEFORE = tuple(f"{name}-Before" for name in QUALITY)
_HEADERS = {
    "X-Request-ID": ("string", "the request's own id, or a new one: quote it in reports"),
    "Server-Timing": ("string", "milliseconds: decode, queue, infer, encode, total"),
    "Model-Name": ("string", "the model that answered"),
    "Model-Version": ("integer", "its version"),
    "Seed": ("integer", "repeats the same random numbers (binary answers)"),
    "Prior": ("string", "what was drawn from (binary answers)"),
    "Noise-Std": (
        "number",
        "estimated noise of the image, in grey levels of 255; mean over the images, of those for "
        "which it is known (binary answers)",
    ),
    "Noise-Anomaly-Percentile": (
        "number",
        "how unlike the noise that the model learned what it took off is, as in the JSON answer; "
        "mean over the images, of those for which it is known (binary answers)",
    ),
    "Anomaly-Percentile": ("number", "mean over the images (binary answers)"),
    **dict.fromkeys(QUALITY, ("number", "mean over the images (binary answers)")),
    **dict.fromkeys(BEFORE, ("number", "of the input, against the reference (binary answers)")),
}
_ALWAYS = ("X-Request-ID", "Server-Timing", "Model-Name", "Model-Version")


def operation_id(route: APIRoute) -> str:
    """The name by which generated clients call a route: that of its function."""
    return route.name


# What tells how far it is; service/routes/progressing.py.
_TOLD: dict[str, Any] = {
    "multipart/mixed": {
        "schema": {
            "type": "string",
            "description": 'JSON parts, `{"done": 3, "total": 96}`, as the work goes on; the last '
            "part is the answer, or the problem, with its own headers. Its kind is what else "
            "Accept names, as in `multipart/mixed, image/jpeg`.",
        }
    }
}


def answered(
    *kinds: str, headers: tuple[str, ...] = (), told: bool = False
) -> dict[int | str, dict[str, Any]]:
    """The 200 answer: the binary kinds beside JSON, and the headers; `told` if part by part."""
    return {
        200: {
            "description": "Chosen by Accept, else like the request: a picture for a picture, "
            "npy for npy, JSON for all else.",
            "content": dict.fromkeys(kinds, _BINARY) | (_TOLD if told else {}),
            "headers": {
                name: {"description": _HEADERS[name][1], "schema": {"type": _HEADERS[name][0]}}
                for name in (*_ALWAYS, *headers)
            },
        }
    }


def body_of_images(*, references: bool = False, exactly: int | None = None) -> dict[str, Any]:
    """A request body of images, of every kind that is taken; several of them if `exactly`."""
    files: dict[str, Any] = {"type": "array", "items": _BINARY["schema"], "minItems": exactly or 1}
    properties = {"images": files | ({"maxItems": exactly} if exactly else {})}
    if references:
        clean = {"description": "the clean originals to score against, as many as images"}
        properties["references"] = files | clean
    schema = ScoredImagesJson if references else ImagesJson
    pictures = {} if exactly else dict.fromkeys(MEDIA_TYPES, _BINARY)
    content = {
        **pictures,
        "multipart/form-data": {
            "schema": {"type": "object", "required": ["images"], "properties": properties}
        },
        "application/json": {
            "schema": {"$ref": f"#/components/schemas/{schema.__name__}"},
            "examples": examples.of_images(references=references, exactly=exactly),
        },
        npy.MEDIA_TYPE: _NPY_IMAGES,
    }
    return {"requestBody": {"required": True, "content": content}}


BODY_OF_LATENTS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": f"#/components/schemas/{LatentsJson.__name__}"},
                "examples": examples.LATENTS,
            },
            npy.MEDIA_TYPE: {
                "schema": {
                    **_BINARY["schema"],
                    "description": "numpy.save of float32 `[B,...]`, as POST /encode gives it",
                }
            },
        },
    }
}
