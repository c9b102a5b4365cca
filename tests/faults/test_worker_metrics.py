"""The metrics of several workers are one, whichever of them is scraped and whichever dies."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path

import httpx

from tests import toys
from tests.server import serving, until
from tests.service.test_errors import GOOD, PNG
from tests.service.test_sample_models_health import metric

ANSWERED = 'autoencoder_requests_total{method="POST",route="/denoise",status="200"}'
SECONDS = 'autoencoder_request_seconds_count{route="/denoise"}'
TRITONS = 'nv_inference_count{model="toy-identity",version="1"}'
DROPPED = 'autoencoder_dropped_images{model="toy-identity",reason="departed",version="1"}'
READY = 'autoencoder_model_ready{model="toy-identity",version="1"}'


def test_a_scrape_counts_what_all_workers_answered_and_a_dead_one_stays_counted(models):
    with serving(models, workers=2) as server:

        def scrape() -> str:
            return server.get("/metrics").text  # a connection of its own: any of the two

        for _ in range(40):
            answer = httpx.post(f"{server.url}/denoise", content=GOOD, headers=PNG, timeout=10)
            assert answer.status_code == 200
        # Each worker tells what it noted at its next beat, a quarter of a second later.
        until(lambda: metric(scrape(), ANSWERED) == 40, 2)
        for _ in range(6):
            text = scrape()
            assert metric(text, ANSWERED) == metric(text, SECONDS) == 40
            assert metric(text, READY) == 1
        # Each worker tells these once a second; canaries are counted too.
        until(lambda: metric(scrape(), TRITONS) >= 40, 10)
        assert metric(scrape(), DROPPED) == 0
        victim = server.workers[0]
        os.kill(victim, signal.SIGKILL)
        server.wait_full(2, without={victim})
        for _ in range(6):
            text = scrape()
            assert metric(text, ANSWERED) == 40
            assert metric(text, TRITONS) >= 40
        for _ in range(100):
            if metric(scrape(), "autoencoder_worker_restarts") == 1:
                break
            time.sleep(0.1)
        assert f'pid="{victim}"' not in scrape()
        environment = Path(f"/proc/{server.workers[0]}/environ").read_bytes().split(b"\0")
        folder = next(e for e in environment if e.startswith(b"PROMETHEUS_MULTIPROC_DIR="))
        folder = Path(folder.partition(b"=")[2].decode())
        assert list(folder.glob("*.db"))
        assert not list(folder.glob(f"gauge_live*_{victim}.db"))
    for _ in range(50):
        if not folder.exists():
            break
        time.sleep(0.1)
    assert not folder.exists() or server.process.returncode == -signal.SIGKILL


def test_a_model_that_was_unloaded_raises_no_alarm_with_what_it_scored(models):
    toys.identity(models, "toy-other")
    score = 'autoencoder_test_psnr_db{model="toy-identity",verb="%s",version="1"}'
    with serving(models, workers=2) as server:

        def scores() -> list[float]:
            text = server.get("/metrics").text
            return [metric(text, score % verb) for verb in ("denoise", "reconstruct")]

        until(lambda: all(map(math.isfinite, scores())), 10)
        httpx.post(f"{server.url}/v2/repository/models/toy-identity/unload").raise_for_status()
        until(lambda: all(map(math.isnan, scores())), 10)
        time.sleep(3)  # each worker has told its numbers again
        for _ in range(6):
            assert all(map(math.isnan, scores()))
        httpx.post(f"{server.url}/v2/repository/models/toy-identity/load").raise_for_status()
        until(lambda: all(map(math.isfinite, scores())), 10)
