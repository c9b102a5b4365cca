"""The inference protocol: what is wrong is a 4xx in its own form, and limits hold."""

from __future__ import annotations

import copy
import gzip
import json
import random
import struct
import zlib

import numpy as np
import pytest

from service import images
from tests.conftest import running
from tests.service.inference_requests import (
    DECODE,
    GREY,
    HEADER,
    INFER,
    RAW,
    binary,
    body,
    files,
    latents,
    tensor,
)
from tests.service.test_errors import GOOD

pytestmark = pytest.mark.anyio
# Fault: status, words of the error, URL, request.
FAULTS = {
    "no JSON": (400, "JSON", INFER, {"content": b"{"}),
    "no body": (400, "JSON", INFER, {"content": b""}),
    "bytes that are no UTF-8": (400, "JSON", INFER, {"content": b'{"inputs": "\xff"}'}),
    "JSON that is no object": (400, "JSON", INFER, {"content": b"[]"}),
    "deeply nested JSON": (400, "JSON", INFER, {"content": b'{"inputs":' + b"[" * 250_000}),
    "deeply nested data": (400, "JSON", INFER, {"content": body(tensor(data="X")).replace(b'"X"', b"[" * 5000 + b"]" * 5000)}),
    "no inputs": (400, "inputs", INFER, {"content": b"{}"}),
    "empty inputs": (400, "expected 1 inputs but got 0", INFER, {"content": b'{"inputs": []}'}),
    "two inputs": (400, "expected 1 inputs but got 2", INFER, {"content": body(tensor(), tensor())}),
    "an unknown input": (400, "unexpected inference input 'x'", INFER, {"content": body(tensor(name="x"))}),
    "an unknown output": (400, "unexpected inference output 'x'", INFER, {"content": body(outputs=[{"name": "x"}])}),
    "an unknown datatype": (400, "expects UINT8 or BYTES", INFER, {"content": body(tensor(datatype="FP64"))}),
    "another datatype than the model's": (400, "expects FP32", DECODE, latents(1, 2, datatype="UINT8")),
    "files for latents": (400, "expects FP32", DECODE, latents("a", "b", datatype="BYTES")),
    "more data than the shape": (400, "145 were sent", INFER, {"content": body(tensor(data=[7] * 145))}),
    "less data than the shape": (400, "1 were sent", INFER, {"content": body(tensor(data=[7]))}),
    "ragged data": (400, "ragged", INFER, {"content": body(tensor(data=[[1, 2], [3]]))}),
    "data nested otherwise": (400, "nested", INFER, {"content": body(tensor(data=[[7] * 12] * 12))}),
    "no data": (400, "no data", INFER, {"content": body(tensor(data=...))}),
    "data that is no list": (400, "no data", INFER, {"content": body(tensor(data="7"))}),
    "strings for numbers": (400, "integers from 0 to 255", INFER, {"content": body(tensor(data=["7"] * 144))}),
    "a truth among numbers": (400, "integers from 0 to 255", INFER, {"content": body(tensor(data=[True] + [7] * 143))}),
    "fractions for integers": (400, "integers from 0 to 255", INFER, {"content": body(tensor(data=[7.5] * 144))}),
    "a null among numbers": (400, "integers from 0 to 255", INFER, {"content": body(tensor(data=[None] * 144))}),
    "a number above 255": (400, "range", INFER, {"content": body(tensor(data=[256] * 144))}),
    "a number below 0": (400, "range", INFER, {"content": body(tensor(data=[-1] * 144))}),
    "a number of a thousand digits": (400, "range", INFER, {"content": body(tensor(data=[10**1000] * 144))}),
    "NaN": (400, "NaN", DECODE, latents(float("nan"), 1)),
    "more than a float holds": (400, "infinite", DECODE, latents(1e300, 1)),
    "raw infinity": (400, "infinite", DECODE, binary(struct.pack("<2f", 1, float("inf")), name="latents", datatype="FP32", shape=[1, 2])),
    "a wrong size": (400, "Expected [-1,12,12,1] (12x12 grey), got [1,9,9,1]", INFER, {"content": body(tensor(shape=[1, 9, 9, 1]))}),
    "a wrong rank": (400, "got [144]", INFER, {"content": body(tensor(shape=[144]))}),
    "no rank": (400, "got []", INFER, {"content": body(tensor(shape=[]))}),
    "a thousand axes": (400, "shape", INFER, {"content": body(tensor(shape=[1] * 1000))}),
    "a negative axis": (400, "shape", INFER, {"content": body(tensor(shape=[-1, 12, 12, 1]))}),
    "an axis past 64 bits": (400, "shape", INFER, {"content": body(tensor(shape=[2**64, 12, 12, 1]))}),
    "an axis of a thousand digits": (400, "shape", INFER, {"content": body(tensor(shape=[10**1000, 12, 12, 1]))}),
    "axes that overflow": (400, "got [2147483647", INFER, {"content": body(tensor(shape=[2**31 - 1] * 4))}),
    "an axis that is no integer": (400, "shape", INFER, {"content": body(tensor(shape=["1", 12, 12, 1]))}),
    "an empty batch": (400, "got [0,12,12,1]", INFER, {"content": body(tensor(shape=[0, 12, 12, 1], data=[]))}),
    "a batch over the maximum": (400, "from 1 to 4096", INFER, {"content": body(tensor(shape=[5000, 12, 12, 1]))}),
    "an id that is no string": (400, "id", INFER, {"content": body(id=7)}),
    "parameters that are no object": (400, "parameters", INFER, {"content": body(parameters=[])}),
    "a timeout that is no number": (400, "microseconds", INFER, {"content": body(parameters={"timeout": "soon"})}),
    "a timeout of nothing": (400, "microseconds", INFER, {"content": body(parameters={"timeout": 0})}),
    "a strange datatype to answer in": (400, "BYTES or UINT8", INFER, {"content": body(parameters={"datatype": "FP32"})}),
    "a strange binary_data": (400, "true or false", INFER, {"content": body(outputs=[{"name": "images", "parameters": {"binary_data": 1}}])}),
    "classes of images": (400, "probabilities", INFER, {"content": body(outputs=[{"name": "images", "parameters": {"classification": 1}}])}),
    "a negative number of classes": (400, "1 or more", "/v2/models/toy-mixture.classifier/infer", {"content": body(outputs=[{"name": "probabilities", "parameters": {"classification": -1}}])}),
    "shared memory in": (400, "shared memory", INFER, {"content": body(tensor(data=..., parameters={"shared_memory_region": "r"}))}),
    "shared memory out": (400, "shared memory", INFER, {"content": body(outputs=[{"name": "images", "parameters": {"shared_memory_region": "r"}}])}),
    "a header length past the body": (400, "must be the bytes of JSON", INFER, binary(RAW, header="9999")),
    "a header length that is no number": (400, "must be the bytes of JSON", INFER, binary(RAW, header="abc")),
    "a negative header length": (400, "must be the bytes of JSON", INFER, binary(RAW, header="-1")),
    "a header length of thousands of digits": (400, "must be the bytes of JSON", INFER, binary(RAW, header="9" * 5000)),
    "a header length that cuts the JSON": (400, "JSON", INFER, binary(RAW, header="10")),
    "no header length": (400, "JSON", INFER, {"content": binary(RAW)["content"]}),
    "fewer bytes than were counted": (400, "binary_data_size", INFER, binary(RAW, size=145)),
    "more bytes than were counted": (400, "44 bytes after", INFER, binary(RAW, size=100)),
    "a negative count of bytes": (400, "binary_data_size", INFER, binary(RAW, size=-1)),
    "a count of bytes that is no number": (400, "binary_data_size", INFER, binary(RAW, size="144")),
    "a true count of bytes": (400, "binary_data_size", INFER, binary(RAW, size=True)),
    "other bytes than the shape": (400, "is 144 bytes, but 143 were sent", INFER, binary(RAW[1:])),
    "data twice": (400, "both", INFER, {"content": body(tensor(parameters={"binary_data_size": 0}))}),
    "a file that is no image": (422, "no image", INFER, files(b"hello")),
    "a bad file among good ones": (422, "image 1", INFER, files(GOOD, b"hello")),
    "an empty file": (422, "empty", INFER, files(b"")),
    "a file of another size": (422, "12x12 grey", INFER, files(images.encode_png(np.zeros((9, 9, 1), np.uint8)))),
    "no files": (400, "from 1 to 4096", INFER, files()),
    "files in rows": (400, "[-1] or [-1,1]", INFER, files(GOOD, GOOD, shape=[1, 2])),
    "fewer files than the shape": (400, "2 BYTES elements", INFER, files(GOOD, shape=[2])),
    "more files than the shape": (400, "1 BYTES elements", INFER, files(GOOD, GOOD, shape=[1])),
    "a file that claims 4 GB": (400, "BYTES elements", INFER, binary(b"\xff\xff\xff\xff" + GOOD, datatype="BYTES", shape=[1])),
    "half a length": (400, "BYTES elements", INFER, binary(b"\x01\x00", datatype="BYTES", shape=[1])),
    "files that are no base64": (400, "images[0]", INFER, {"content": body(tensor(datatype="BYTES", shape=[1], data=["!!"]))}),
    "numbers for files": (400, "strings", INFER, {"content": body(tensor(datatype="BYTES", shape=[1], data=[7]))}),
    "an encoding that is not known": (415, "gzip", INFER, {"content": body(), "headers": {"Content-Encoding": "br"}}),
    "two encodings": (415, "gzip", INFER, {"content": body(), "headers": {"Content-Encoding": "gzip, gzip"}}),
    "no gzip": (400, "gzip", INFER, {"content": body(), "headers": {"Content-Encoding": "gzip"}}),
    "no deflate": (400, "deflate", INFER, {"content": body(), "headers": {"Content-Encoding": "deflate"}}),
    "half a gzip": (400, "cut short", INFER, {"content": gzip.compress(body())[:-9], "headers": {"Content-Encoding": "gzip"}}),
    "more than a gzip": (400, "after its end", INFER, {"content": gzip.compress(body()) + b"x", "headers": {"Content-Encoding": "gzip"}}),
    "an unknown model": (404, "Request for unknown model: 'toy' is not found", "/v2/models/toy/infer", {"content": body()}),
    "an unknown part": (404, "Request for unknown model: 'toy-identity.classifier' is not found", "/v2/models/toy-identity.classifier/infer", {"content": body()}),
    "an unknown version": (404, "Request for unknown model: 'toy-identity' version 9 is not found", "/v2/models/toy-identity/versions/9/infer", {"content": body()}),
    "a version that is none": (400, "integer > 0", "/v2/models/toy-identity/versions/one/infer", {"content": body()}),
    "a version of a thousand digits": (400, "integer > 0", "/v2/models/toy-identity/versions/" + "9" * 1000 + "/infer", {"content": body()}),
    "a load of an unknown model": (404, "Request for unknown model: 'toy' is not found", "/v2/repository/models/toy/load", {}),
    "a load of a folder above": (404, "unknown model: '..'", "/v2/repository/models/%2E%2E/load", {}),
    "an unload of an unknown model": (404, "Request for unknown model: 'toy' is not found", "/v2/repository/models/toy/unload", {}),
    "a load of a part": (400, "load or unload 'toy-vae'", "/v2/repository/models/toy-vae.encoder/load", {}),
    "a load with another configuration": (400, "config", "/v2/repository/models/toy-vae/load", {"content": b'{"parameters": {"config": "{}"}}'}),
    "a load of no JSON": (400, "JSON", "/v2/repository/models/toy-vae/load", {"content": b"{"}),
    "an index of no object": (400, "object", "/v2/repository/index", {"content": b"[]"}),
    "an index of something else": (400, "ready", "/v2/repository/index", {"content": b'{"ready": "perhaps"}'}),
    "a log to a file": (400, "log_file", "/v2/logging", {"content": b'{"log_file": "/tmp/x"}'}),
    "no errors in the log": (400, "log_error", "/v2/logging", {"content": b'{"log_error": false}'}),
    "a trace": (400, "Server-Timing", "/v2/trace/setting", {"content": b'{"trace_level": ["TENSORS"]}'}),
    "shared memory's own route": (404, "Not Found", "/v2/systemsharedmemory/region/r/register", {"content": b"{}"}),
    "a method that is not allowed": (405, "Method Not Allowed", "/v2/health/live", {}),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_a_4xx_in_the_protocols_own_form_and_the_service_goes_on(zoo, fault):
    status, says, url, request = FAULTS[fault]
    answer = await zoo.post(url, **request)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    assert says in answer.json()["error"]
    assert len(answer.text) < 600
    assert (await zoo.post(INFER, content=body())).status_code == 200


async def test_bodies_pixels_and_bombs_over_the_limits_are_413(settings):
    async with running(settings(max_body_bytes=2000, max_pixels=300)) as client:

        async def chunks():
            for _ in range(5):
                yield b" " * 1000

        bomb = b" " * 3_000_000
        nine = GREY.repeat(3, axis=0).tobytes()
        colour = "/v2/models/toy-colour.decoder/infer"
        answers = [
            await client.post(INFER, content=b" " * 2001),
            await client.post(INFER, content=chunks()),
            await client.post(INFER, content=gzip.compress(bomb)[:1999], headers={"Content-Encoding": "gzip"}),
            await client.post(INFER, content=zlib.compress(b" " * 5000), headers={"Content-Encoding": "deflate"}),
            await client.post(INFER, **binary(nine, shape=[3, 12, 12, 1])),
            await client.post(INFER, **files(GOOD, GOOD, GOOD)),
            await client.post(colour, **latents(*[0] * 9, name="latents", shape=[1, 2**10, 2**10, 3])),
        ]  # fmt: skip
        assert [a.status_code for a in answers] == [413] * 7, [a.text for a in answers]
        assert (await client.post(INFER, **binary(RAW))).status_code == 200


async def test_a_large_tensor_in_json_is_told_to_come_as_bytes(zoo):
    content = body(tensor(data=[7] * 144)) + b" " * (8 * 2**20)
    answer = await zoo.post(INFER, content=content)
    assert answer.status_code == 413
    assert "binary_data_size" in answer.json()["error"]


NASTY = [
    None, True, -1, 0, 1, 2**31, 2**63, 10**400, 1.5, 1e308, "", "x", "é" * 100, [], {}, [[]], [None],
    "UINT8", "FP32", "BYTES", "images", "latents", [1, 12, 12, 1], {"binary_data_size": 144}, [7] * 144,
]  # fmt: skip


def mutated(rng: random.Random, valid: dict) -> dict:
    """A valid request with some of its JSON, its bytes or its headers changed."""
    content, headers = bytearray(valid["content"]), dict(valid.get("headers", {}))
    kind = rng.choice(["json", "json", "bytes", "cut", "grow", "header"])
    length = int(headers.get(HEADER, len(content)))
    if kind == "json":
        document = json.loads(content[:length])
        for _ in range(rng.choice([1, 1, 2, 4])):
            place = document
            while True:
                key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
                if not (isinstance(place[key], dict | list) and place[key]) or rng.random() < 0.3:
                    break
                place = place[key]
            place[key] = copy.deepcopy(rng.choice(NASTY))
        head = json.dumps(document).encode()
        content = head + content[length:]
        if headers and rng.random() < 0.8:
            headers[HEADER] = str(len(head))
    elif kind == "bytes":
        for _ in range(rng.randint(1, 8)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    elif kind == "cut":
        del content[rng.randrange(len(content)) :]
    elif kind == "grow":
        content += rng.randbytes(rng.randint(1, 300))
    else:
        headers[HEADER] = rng.choice(["", "0", str(length + 1), "1e3", "0x10", str(length)])
        headers["Content-Encoding"] = rng.choice(["gzip", "deflate", "identity", "", "zstd"])
    return {"content": bytes(content), "headers": headers}


async def test_mutated_requests_never_cause_a_5xx(zoo):
    rng = random.Random(2026)
    colour = "/v2/models/toy-colour/infer"
    any_size = tensor(shape=[2, 2, 3, 3], data=[7] * 36)
    valid = [
        (INFER, {"content": body(id="a", parameters={"timeout": 10**7})}),
        (INFER, binary(RAW)),
        (INFER, files(GOOD, GOOD)),
        (INFER, {"content": body(outputs=[{"name": "images", "parameters": {"binary_data": True}}])}),
        (DECODE, latents(1.5, -2)),
        (colour, {"content": body(any_size)}),
        ("/v2/models/toy-mixture.classifier/infer", {"content": body(outputs=[{"name": "probabilities", "parameters": {"classification": 1}}])}),
        ("/v2/repository/index", {"content": b'{"ready": true}'}),
        ("/v2/trace/setting", {"content": b'{"trace_level": ["OFF"]}'}),
    ]  # fmt: skip
    for url, request in valid:
        assert (await zoo.post(url, **request)).status_code == 200, url
    statuses = set()
    for _ in range(1500):
        url, request = rng.choice(valid)
        changed = mutated(rng, request)
        answer = await zoo.post(url, **changed)
        # 503: a timeout of a microsecond is a deadline that nothing meets.
        assert answer.status_code in (200, 400, 413, 415, 422, 503), (answer.text, url, changed)
        if answer.status_code != 200:
            assert answer.json().keys() == {"error"}
        statuses.add(answer.status_code)
    assert {200, 400, 415} <= statuses
    for url, request in valid:
        assert (await zoo.post(url, **request)).status_code == 200, url
