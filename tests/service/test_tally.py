"""What is noted of each request is soon a number, and no memory."""

from __future__ import annotations

import asyncio

import pytest

from service.worker import BEAT
from tests.service.test_errors import GOOD, PNG

pytestmark = pytest.mark.anyio


async def test_requests_are_counted_within_a_beat_though_nobody_asks_for_the_metrics(client):
    """Else each would leave some 230 bytes behind until somebody does, which may be never."""
    for _ in range(5):
        await client.post("/denoise?model=toy-identity", content=GOOD, headers=PNG)
    counted = client.app.state.metrics.registry.get_sample_value
    answered = {"route": "/denoise", "method": "POST", "status": "200"}
    for _ in range(40):
        if counted("autoencoder_requests_total", answered) == 5:
            break
        await asyncio.sleep(BEAT / 2)
    assert counted("autoencoder_requests_total", answered) == 5
    assert counted("autoencoder_request_seconds_count", {"route": "/denoise"}) == 5
