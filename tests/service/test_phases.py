"""Where a request's time went: in its answer, in the metrics, and under Triton's names."""

from __future__ import annotations

import pytest

from tests.service.test_errors import GOOD, PNG
from tests.service.test_sample_models_health import metric

pytestmark = pytest.mark.anyio


async def test_every_phase_of_an_answer_is_named_and_together_they_are_no_more_than_the_whole(
    client,
):
    answer = await client.post("/denoise?model=toy-identity", content=GOOD, headers=PNG)
    phases = {
        name: float(rest.removeprefix("dur="))
        for name, rest in (x.split(";") for x in answer.headers["Server-Timing"].split(", "))
    }
    assert phases.keys() == {"decode", "queue", "infer", "encode", "total"}
    total = phases.pop("total")
    assert all(phases.values()), phases
    assert sum(phases.values()) <= total


async def test_phases_are_histograms_and_runs_have_the_names_that_triton_gave_them(client):
    for _ in range(3):
        await client.post("/denoise?model=toy-identity", content=GOOD, headers=PNG)
    text = (await client.get("/metrics")).text
    for phase in ("decode", "encode"):
        assert metric(text, f'autoencoder_{phase}_seconds_count{{route="/denoise"}}') == 3
    labels = '{model="toy-identity",version="1"}'
    assert metric(text, f"nv_inference_request_success{labels}") == 3
    assert metric(text, f"nv_inference_count{labels}") == 3
    assert metric(text, f"nv_inference_exec_count{labels}") == 3
    assert metric(text, f"nv_inference_compute_infer_duration_us{labels}") > 0
