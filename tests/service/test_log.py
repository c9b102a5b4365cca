"""What the log says of a request, where logs are JSON: fields of their own, a line each."""

from __future__ import annotations

import json
from datetime import datetime

import httpx

from tests.server import serving, until
from tests.service.test_errors import GOOD, PNG

FORGED = '/models/x%0A{"level":"ERROR","request_id":"forged"}'


def test_each_request_is_one_json_line_with_its_fields(toy_models):
    with (
        serving(toy_models, log_format="json") as server,
        httpx.Client(base_url=server.url, headers=PNG) as client,
    ):
        answers = {
            "right": client.post("/denoise?model=toy-identity", content=GOOD),
            "broken": client.post("/denoise?model=toy-identity", content=b"no image"),
            "nowhere": client.get("/nowhere"),
            "forged": client.get(FORGED),
            "probe": client.get("/health/live"),
        }
        last = answers["forged"].headers["X-Request-ID"]
        until(lambda: last in server.log, 10)
        log = server.log
    lines = [json.loads(line) for line in log.splitlines()]  # each of them, the start's too
    assert all({"level", "logger", "message", "timestamp"} <= line.keys() for line in lines)
    of = {
        name: [x for x in lines if x.get("request_id") == answer.headers["X-Request-ID"]]
        for name, answer in answers.items()
    }
    assert not of.pop("probe"), "asked every few seconds, and no news"
    assert not [x for x in lines if x.get("request_id") == "forged"]
    assert {name: len(found) for name, found in of.items()} == dict.fromkeys(of, 1)
    said = {
        name: {key: line[key] for key in ("level", "route", "status", "model", "caller")}
        for name, [line] in of.items()
    }
    nobody = {"level": "INFO", "caller": "", "model": ""}
    assert said == {
        "right": nobody | {"route": "/denoise", "status": 200, "model": "toy-identity/1"},
        "broken": nobody | {"route": "/denoise", "status": 422},
        "nowhere": nobody | {"route": "(none)", "status": 404},
        "forged": nobody | {"route": "/models/{name}", "status": 404},
    }
    [line] = of["right"]
    total = answers["right"].headers["Server-Timing"].rpartition("total;dur=")[2]
    assert float(total) <= line["milliseconds"] < 10_000
    assert isinstance(line["milliseconds"], float)
    assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None
    assert line["message"].startswith("POST /denoise 200 ")
