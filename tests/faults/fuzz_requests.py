"""Requests that are wrong in every way: bytes of valid ones changed, and made up of random parts."""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
from dataclasses import dataclass

import numpy as np

from service import images
from tests.faults.wire import npy

VERBS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW")
MODELS = (
    "toy-identity",
    "toy-colour",
    "toy-vae",
    "toy-mixture",
    "auto",
    "",
    "..",
    "%00",
    "x" * 300,
)
PATHS = (
    "/", "/docs", "/openapi.json", "/models", "/models/{m}", "/health/live", "/health/ready",
    "/metrics", "/denoise", "/reconstruct", "/encode", "/decode", "/interpolate", "/sample",
    "/classify", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/stats",
    "/v2/models/{m}", "/v2/models/{m}/config", "/v2/models/{m}/stats", "/v2/models/{m}/ready",
    "/v2/models/{m}/infer", "/v2/models/{m}.encoder/infer", "/v2/models/{m}.decoder/infer",
    "/v2/models/{m}/versions/1/infer", "/v2/repository/index", "/v2/repository/models/{m}/load",
    "/v2/logging", "/v2/trace/setting", "/v2/models/{m}/trace/setting", "/models/{m}/map",
    "/nowhere", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//", "/denoise/", "/%ff%fe",
)  # fmt: skip
OPTIONS = (
    "model=toy-identity", "model=toy-mixture", "version=1", "version=-1", "quality=false",
    "fit=resize", "simulate=gaussian:0.2", "simulate=occlusion:9999999999", "simulate=gaussian:nan",
    "seed=1", "seed=99999999999999999999", "steps=3", "steps=1e9", "path=spherical", "count=3",
    "count=100000", "temperature=inf", "temperature=0", "prior=mixture", "top=2", "=", "&&", "%",
    "model=%00", "model[]=1", "a=" + "b" * 2000,
)  # fmt: skip
TYPES = (
    "image/png", "image/jpeg", "image/webp", "image/bmp", "image/tiff", "application/json",
    "application/x-npy", "multipart/form-data; boundary=b", "multipart/form-data", "text/plain",
    "application/octet-stream", "", "\xff", "image/png; charset=\x01",
)  # fmt: skip
HEADERS = (
    "Accept: */*", "Accept: image/png", "Accept: text/html;q=nan", "Accept: image/gif, */*;q=0",
    "X-Request-Timeout: 1", "X-Request-Timeout: -1", "X-Request-ID: \x80\x81", "Range: bytes=0-1",
    "Inference-Header-Content-Length: 10", "Inference-Header-Content-Length: 99999999999999",
    "Content-Encoding: gzip", "Content-Encoding: deflate", "Content-Encoding: br",
    "Expect: 100-continue", "Connection: close", "Connection: upgrade", "Upgrade: h2c",
    "If-None-Match: *", "Cookie: " + "a=b;" * 500, "X-Forwarded-For: 1.2.3.4, ::1", "Host: [",
)  # fmt: skip
BYTES = (b"\0", b"\xff\xff\xff\xff", b"\r\n", b"--b--\r\n", b"{", b"[" * 999, b"NaN", b"1e999", b"-1",
         b"9" * 400, b'"', b"\xed\xa0\x80", b"\\ud800", b"data:,", b"IEND", b"(1,", b"True", b"null")  # fmt: skip


@dataclass
class Fuzzed:
    """One request: the bytes on the wire, and whether they are HTTP that must be answered."""

    number: int
    sent: bytes
    framed: bool


def corpus() -> list[tuple[str, str, bytes, tuple[str, ...]]]:
    """Valid requests: method and path, content type, body, further headers."""
    grey, colour = np.full((12, 12, 1), 7, np.uint8), np.full((20, 30, 3), 9, np.uint8)
    png = images.encode_png(grey)
    text = base64.b64encode(png).decode()
    form = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n%b\r\n' % png
        for _ in range(2)
    )
    pixels = grey.tobytes()
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 12, 12, 1]}
    infer = json.dumps({"inputs": [{**tensor, "data": grey.ravel().tolist()}]}).encode()
    raw = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": 144}}]}).encode()
    latents = io.BytesIO()
    np.save(latents, np.ones((2, 2), np.float32))
    jsons = "application/json"
    two = json.dumps({"images": [text, text]}).encode()
    v2 = "/v2/models/toy-identity/infer"
    return [
        *(
            (f"POST {path}", kind, body, ())
            for path in ("/denoise", "/reconstruct", "/encode", "/classify")
            for kind, body in (
                ("image/png", png),
                ("image/webp", images.encode(grey, "image/webp")),
                ("image/jpeg", images.encode(colour, "image/jpeg")),
                ("multipart/form-data; boundary=b", form + b"--b--\r\n"),
                (jsons, two),
                ("application/x-npy", npy(3)),
            )
        ),
        ("POST /denoise?simulate=gaussian:0.1&seed=1", "image/png", png, ()),
        ("POST /denoise?fit=resize", "image/png", images.encode_png(colour), ()),
        ("POST /denoise", jsons, json.dumps({"images": [text], "references": [text]}).encode(), ()),
        ("POST /interpolate?steps=3", jsons, two, ("Accept: image/gif",)),
        ("POST /decode?model=toy-mixture", jsons, b'{"latents": [[1, 2], [3, 4.5]]}', ()),
        ("POST /decode?model=toy-mixture", "application/x-npy", latents.getvalue(), ()),
        ("POST /sample?count=2&seed=1", "", b"", ("Accept: application/json",)),
        (f"POST {v2}", jsons, infer, ()),
        (f"POST {v2}", jsons, gzip.compress(infer), ("Content-Encoding: gzip",)),
        (f"POST {v2}", "", raw + pixels, (f"Inference-Header-Content-Length: {len(raw)}",)),
        ("POST /v2/repository/index", jsons, b'{"ready": true}', ()),
        ("POST /v2/logging", jsons, b'{"log_info": true}', ()),
        ("GET /models", "", b"", ()),
    ]


class Fuzzer:
    """Makes request number N of a seed, always the same one."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._corpus = corpus()

    def make(self, number: int) -> Fuzzed:
        rng = random.Random(f"{self._seed}/{number}")
        start, kind, body, headers = rng.choice(self._corpus)
        sort = rng.random()
        if sort < 0.5:  # nearly valid
            body = mutated(rng, body)
            if rng.random() < 0.2:
                start += ("&" if "?" in start else "?") + rng.choice(OPTIONS)
            if rng.random() < 0.1:
                kind = rng.choice(TYPES)
        else:  # anything at all, on every route and verb
            path = rng.choice(PATHS).replace("{m}", rng.choice(MODELS))
            query = "&".join(rng.choices(OPTIONS, k=rng.randrange(3)))
            start = f"{rng.choice(VERBS)} {path}{'?' if query else ''}{query}"
            kind = rng.choice(TYPES)
            if rng.random() < 0.7:
                body = rng.randbytes(int(10 ** rng.uniform(0, 4)))
        if rng.random() < 0.3:
            headers = (*headers, *rng.choices(HEADERS, k=rng.randrange(1, 4)))
        lines = [f"{start} HTTP/1.1", "Host: here", *headers]
        if kind:
            lines.append(f"Content-Type: {kind}")
        chunked = rng.random() < 0.1
        lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        if chunked:
            body = in_chunks(rng, body)
        if rng.random() < 0.05:  # broken HTTP
            return Fuzzed(number, mutated(rng, head + body), framed=False)
        return Fuzzed(number, head + body, framed=True)


def mutated(rng: random.Random, data: bytes) -> bytes:
    """The data with a few bytes flipped, cut out, put in, repeated or cut off."""
    found = bytearray(data)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(found) + 1)
        end = min(len(found), at + int(10 ** rng.uniform(0, 2)))
        match rng.randrange(6):
            case 0 if at < len(found):
                found[at] ^= 1 << rng.randrange(8)
            case 1:
                del found[at:end]
            case 2:
                found[at:at] = rng.choice(BYTES)
            case 3:
                found[at:at] = found[at:end] * rng.randrange(1, 9)
            case 4:
                del found[at:]
            case _:
                found[at:end] = rng.randbytes(end - at)
    return bytes(found)


def in_chunks(rng: random.Random, body: bytes) -> bytes:
    size = rng.randrange(1, len(body) + 2)
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
