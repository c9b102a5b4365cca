"""Prometheus metrics: of this process, or of all workers together.

Several workers count in files that all of them map (prometheus_client's multiprocess mode, which
it enters where the environment names a folder when it is imported): whichever worker is scraped
answers for all, and what a dead worker counted stays counted.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import cache
from operator import methodcaller
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from service import log
from service.catalog import Catalog
from service.served import Batched, Served
from service.tally import BulkHistogram, Note, Tally
from service.totals import Totals
from service.turns import Run

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_SCORED: tuple[Literal["denoise", "reconstruct"], ...] = ("denoise", "reconstruct")
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SSIM = (0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 1)
# Images like those of the test set fall evenly between 0 and 100; drift gathers at the top.
_PERCENT = (5, 10, 25, 50, 75, 90, 95, 99, 99.9, 100)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_DECIBEL = (5, 10, 15, 17.5, 20, 22.5, 25, 27.5, 30, 32.5, 35, 40, 50, 60)


class Metrics:
    """Every metric of the service; the names are public, since dashboards hang on them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._shared = FOLDER in os.environ
        # What is shown: all workers' numbers, or the same ones.
        self._shown = CollectorRegistry() if self._shared else self.registry
        if self._shared:
            MultiProcessCollector(self._shown)  # type: ignore[no-untyped-call]
        ProcessCollector(registry=self._shown)  # memory, processor time, files, start
        self.requests = Counter(
            "autoencoder_requests_total",
            "Answered requests",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.seconds = BulkHistogram(
            "autoencoder_request_seconds",
            "Seconds from a request's first byte to its answer's last",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refused = Counter(
            "autoencoder_refused_total",
            "Requests and connections that were refused, by the bound that they met",
            ["reason"],
            registry=self.registry,
        )
        self.log_lines_dropped = Counter(
            "autoencoder_log_lines_dropped_total",
            "Lines of the log that nobody will read, since stderr took no more",
            registry=self.registry,
        )
        self._told = 0  # of the dropped lines
        self.images = Counter(
            "autoencoder_images_total",
            "Images that a model answered",
            ["model", "version", "verb"],
            registry=self.registry,
        )
        self.queue_seconds = BulkHistogram(
            "autoencoder_queue_seconds",
            "Seconds a request waited for its run to start",
            ["model"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.infer_seconds = BulkHistogram(
            "autoencoder_infer_seconds",
            "Seconds a request's run took",
            ["model"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_images = BulkHistogram(
            "autoencoder_batch_images",
            "Images in the run that answered a request, its own and its neighbours'",
            ["model"],
            buckets=_IMAGES,
            registry=self.registry,
        )
        self.psnr = BulkHistogram(
            "autoencoder_quality_psnr_db",
            "PSNR of answers whose reference is known, in dB",
            ["model", "verb"],
            buckets=_DECIBEL,
            registry=self.registry,
        )
        self.ssim = BulkHistogram(
            "autoencoder_quality_ssim",
            "SSIM of answers whose reference is known",
            ["model", "verb"],
            buckets=_SSIM,
            registry=self.registry,
        )
        self.anomaly = BulkHistogram(
            "autoencoder_anomaly_percentile",
            "Percent of the model's own test images that it reconstructs with a smaller error",
            ["model"],
            buckets=_PERCENT,
            registry=self.registry,
        )
        self.noise_anomaly = BulkHistogram(
            "autoencoder_noise_anomaly_percentile",
            "Percent of the model's own noisy test images whose residual is closer to normal noise",
            ["model"],
            buckets=_PERCENT,
            registry=self.registry,
        )
        self.test_psnr = Gauge(
            "autoencoder_test_psnr_db",
            "Mean PSNR over the model's test set, as served, at its own task: what to expect",
            ["model", "version", "verb"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.waiting = Gauge(
            "autoencoder_waiting_images",
            "Images in a model's queues",
            ["model", "version"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.ready = Gauge(
            "autoencoder_model_ready",
            "1 if the model's last canary gave the known answer",
            ["model", "version"],
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self.refused_versions = Gauge(
            "autoencoder_refused_versions",
            "Versions in the models folder that are not served as they are there",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.restarts = Gauge(
            "autoencoder_worker_restarts",
            "Worker processes that were replaced since the start",
            registry=self.registry,
            multiprocess_mode="max",  # every worker reads the same number from the supervisor
        )

        self.decode_seconds = BulkHistogram(
            "autoencoder_decode_seconds",
            "Seconds from a body's last byte to its first run's queue: images decoded and checked",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.encode_seconds = BulkHistogram(
            "autoencoder_encode_seconds",
            "Seconds from the last run's end to the answer: quality measured, images encoded",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.totals = Totals(self.registry)

        self._tally = Tally()
        # Of label values there are no more than routes, models and verbs.
        self._of_route = cache(self._note_of_route)
        self._of_model = cache(self._note_of_model)

    def _note_of_route(self, route: str, method: str, status: int) -> Note:
        requests = self.requests.labels(route, method, status)
        seconds = self.seconds.labels(route)
        phases = {
            "decode": self.decode_seconds.labels(route),
            "encode": self.encode_seconds.labels(route),
        }

        def count(noted: Sequence[tuple[float, Mapping[str, float]]]) -> None:
            totals, timings = zip(*noted, strict=True)
            requests.inc(len(noted))
            seconds.observe_all(totals)
            for name, histogram in phases.items():
                found = map(methodcaller("get", name), timings)
                histogram.observe_all(list(filter(None, found)))

        return self._tally.noting(count)

    def _note_of_model(self, key: tuple[str, int], verb: str) -> Note:
        model, version = key
        images = self.images.labels(model, version, verb)
        queue, infer = self.queue_seconds.labels(model), self.infer_seconds.labels(model)
        batch_images = self.batch_images.labels(model)

        def count(noted: Sequence[tuple[int, float, float, int]]) -> None:
            counts, waited, ran, together = zip(*noted, strict=True)
            images.inc(sum(counts))
            queue.observe_all(waited)
            infer.observe_all(ran)
            batch_images.observe_all(together)

        return self._tally.noting(count)

    def answered(
        self, route: str, method: str, status: int, seconds: float, timing: Mapping[str, float]
    ) -> None:
        """A request was answered, `seconds` after it came; `timing` has its phases in seconds."""
        self._of_route(route, method, status)((seconds, timing))

    def ran(self, key: tuple[str, int], verb: str, images: int, run: Run | Batched) -> None:
        """The model of that name and version answered a request with `images` images."""
        _, queue, infer, together = run
        self._of_model(key, verb)((images, queue, infer, together))

    def settle(self) -> None:
        """Counts what was noted since the last time: see `service.tally`."""
        self._tally.settle()

    def refresh(self, catalog: Catalog, restarts: int) -> None:
        """Brings what is not counted as it happens up to date."""
        self.settle()
        self.restarts.set(restarts)
        self.refused_versions.set(len(catalog.refused))
        dropped = log.dropped()
        self.log_lines_dropped.inc(dropped - self._told)
        self._told = dropped
        for served in catalog:
            card = served.manifest
            self.waiting.labels(card.name, card.version).set(served.waiting)
            for verb, psnr in _scores(served):
                self.test_psnr.labels(card.name, card.version, verb).set(psnr)
        self.totals.update(catalog)

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self._shown)

    def forget(self, served: Served) -> None:
        """Ends the series of a version that is served no more: they would stand still forever."""
        model, version = served.manifest.name, served.manifest.version
        if self._shared:  # files keep every series: what has no value raises no alarm
            self.ready.labels(model, version).set(math.nan)
            self.waiting.labels(model, version).set(0)
            for verb, _ in _scores(served):
                self.test_psnr.labels(model, version, verb).set(math.nan)
            return
        for gauge in (self.waiting, self.ready):
            gauge.remove(model, str(version))
        self.totals.forget(model, version)
        self.test_psnr.remove_by_labels({"model": model, "version": str(version)})


def _scores(served: Served) -> list[tuple[str, float]]:
    """The verbs that the model was scored at, and its PSNR in dB."""
    scores = [(verb, served.manifest.served_psnr(verb)) for verb in _SCORED]
    return [(verb, psnr) for verb, psnr in scores if math.isfinite(psnr)]
