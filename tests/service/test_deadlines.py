"""A caller says how long it waits; what would come later is refused, dropped, and never run."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.conftest import running
from tests.service.test_errors import GOOD, PNG

pytestmark = pytest.mark.anyio

URL = "/denoise?model=toy-identity"


def hold(client, monkeypatch) -> threading.Event:
    """The toy's runs wait until the gate is set."""
    gate = threading.Event()
    batcher = client.app.state.catalog.get("toy-identity")._queues["reconstruct"]
    function = batcher._function
    monkeypatch.setattr(batcher, "_function", lambda batch: gate.wait(10) and function(batch))
    return gate


@pytest.mark.parametrize("given", ["0", "-1", "soon", "1e3", "inf", "", "0.0", "1,5"])
async def test_a_time_that_is_none_is_refused_and_says_what_is_one(client, given):
    headers = {**PNG, "X-Request-Timeout": given}
    answer = await client.post(URL, content=GOOD, headers=headers)
    assert answer.status_code == 400
    assert "0.25" in answer.json()["detail"]


@pytest.mark.parametrize("given", ["2", "0.9", ".9", "999999999"])
async def test_an_answer_in_time_is_an_answer(client, given):
    answer = await client.post(URL, content=GOOD, headers={**PNG, "X-Request-Timeout": given})
    assert answer.status_code == 200


async def test_the_deadline_passes_while_queued(client, monkeypatch):
    gate = hold(client, monkeypatch)
    first = asyncio.create_task(client.post(URL, content=GOOD, headers=PNG))
    await asyncio.sleep(0.05)
    started = asyncio.get_running_loop().time()
    headers = {**PNG, "X-Request-Timeout": "0.1"}
    answer = await client.post(URL, content=GOOD, headers=headers)
    assert answer.status_code == 504
    assert asyncio.get_running_loop().time() - started < 1, "at the deadline, not at the run"
    assert "0.1 s" in answer.json()["detail"]
    gate.set()
    assert (await first).status_code == 200
    statistics = client.app.state.catalog.get("toy-identity").statistics("reconstruct")
    assert statistics.expired == 1
    assert sum(runs.infer.count for runs in statistics.runs.values()) == 1


async def test_a_full_queue_says_when_to_come_back_in_seconds_and_in_milliseconds(
    settings, monkeypatch
):
    async with running(settings(max_waiting=1)) as client:
        gate = hold(client, monkeypatch)
        tasks = []
        for _ in range(2):  # one runs, one waits
            tasks.append(asyncio.create_task(client.post(URL, content=GOOD, headers=PNG)))
            await asyncio.sleep(0.05)
        answer = await client.post(URL, content=GOOD, headers=PNG)
        assert answer.status_code == 503
        milliseconds = int(answer.headers["Retry-After-Ms"])
        assert answer.json()["retry_after_ms"] == milliseconds
        assert answer.json()["reason"] == "queue_images"
        assert int(answer.headers["Retry-After"]) == -(-milliseconds // 1000)
        other = await client.post("/denoise?model=toy-vae", content=GOOD, headers=PNG)
        assert other.status_code == 200, "another model's queue is not full"
        gate.set()
        assert [(await task).status_code for task in tasks] == [200, 200]
