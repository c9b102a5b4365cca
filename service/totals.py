"""What the models' queues counted since they were loaded, as Prometheus reads it.

`nv_inference_*` are the names that dashboards made for Triton know; the values are brought up to
date when somebody looks, so that they cost a request nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Gauge

from service.served import Served
from service.statistics import Statistics

_TRITON: dict[str, tuple[str, Callable[[Statistics], float]]] = {
    "request_success": ("Answered inference requests", lambda s: s.success.count),
    "request_failure": ("Failed inference requests", lambda s: s.fail.count),
    "count": ("Images answered", lambda s: s.images),
    "exec_count": ("Runs", lambda s: sum(r.infer.count for r in list(s.runs.values()))),
    "request_duration_us": ("Time of requests, microseconds", lambda s: s.success.seconds * 1e6),
    "queue_duration_us": ("Time in the queue, microseconds", lambda s: s.queue.seconds * 1e6),
    "compute_input_duration_us": (
        "Time of reading, microseconds",
        lambda s: s.read.seconds * 1e6,
    ),
    "compute_infer_duration_us": ("Time of runs, microseconds", lambda s: s.infer.seconds * 1e6),
    "compute_output_duration_us": (
        "Time of writing, microseconds",
        lambda s: s.write.seconds * 1e6,
    ),
}
_DROPPED: dict[str, Callable[[Statistics], float]] = {
    "departed": lambda s: s.departed,
    "expired": lambda s: s.expired,
}


class Totals:
    """Gauges, since prometheus_client would put `_total` after the names of counters."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, what: str, *more: str) -> Gauge:
            labels = ["model", "version", *more]
            return Gauge(name, what, labels, registry=registry, multiprocess_mode="sum")

        self._triton = {n: gauge(f"nv_inference_{n}", what) for n, (what, _) in _TRITON.items()}
        self._dropped = gauge(
            "autoencoder_dropped_images",
            "Images that left a queue without a run: their callers left, or their deadline passed",
            "reason",
        )

    def update(self, models: Iterable[Served]) -> None:
        """Reads every queue's statistics."""
        for served in models:
            name, version = served.manifest.name, served.manifest.version
            every = served.all_statistics()
            for key, gauge in self._triton.items():
                gauge.labels(name, version).set(sum(map(_TRITON[key][1], every)))
            for reason, count in _DROPPED.items():
                self._dropped.labels(name, version, reason).set(sum(map(count, every)))

    def forget(self, model: str, version: int) -> None:
        """Ends the series of a version that is served no more."""
        for gauge in (*self._triton.values(), self._dropped):
            gauge.remove_by_labels({"model": model, "version": str(version)})
