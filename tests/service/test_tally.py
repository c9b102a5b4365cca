"""What is noted of each request is soon a number, and no memory."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram

from service.tally import BulkHistogram
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


def test_many_amounts_at_once_are_counted_as_each_alone_is():
    bounds = (0.5, 1, 2.5)
    amounts = [*bounds, 0.0, 0.49, 2.6, 1e9, *np.random.default_rng(0).uniform(0, 4, 100)]
    alone, bulk = CollectorRegistry(), CollectorRegistry()
    each = Histogram("seconds", "-", buckets=bounds, registry=alone)
    for amount in amounts:
        each.observe(amount)
    many = BulkHistogram("seconds", "-", buckets=bounds, registry=bulk)
    many.observe_all(amounts[:7])
    many.observe_all(amounts[7:])
    for le in ("0.5", "1.0", "2.5", "+Inf"):
        name, labels = "seconds_bucket", {"le": le}
        assert bulk.get_sample_value(name, labels) == alone.get_sample_value(name, labels)
    assert bulk.get_sample_value("seconds_sum") == pytest.approx(
        alone.get_sample_value("seconds_sum")
    )
