"""Optional OpenTelemetry: a span for each request, with its phases as children, over OTLP.

FastAPI makes the request's span, by OpenTelemetry's HTTP conventions, as a child of the caller's
(`traceparent`, W3C Trace Context). What it cannot know is added here. The SDK's own variables
count too: `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS` and so on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from starlette.types import Scope

from service.errors import TelemetryError
from service.visit import Visit, visit_of

if TYPE_CHECKING:  # the API comes with FastAPI, the SDK only with the extra `otel`
    from opentelemetry.sdk.trace import TracerProvider

# FastAPI would ask for each of them on every request.
OFF: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}

_LAST_SECONDS = 2.0  # for the last spans when the service stops; a collector may be gone


def provider(endpoint: str) -> TracerProvider:
    """What makes this process's spans and sends them to `endpoint`, as in `http://collector:4318`.

    Raises:
        TelemetryError: the extra `otel` is not installed.
    """
    try:
        sdk = import_module("opentelemetry.sdk.trace")
        export = import_module("opentelemetry.sdk.trace.export")
        resources = import_module("opentelemetry.sdk.resources")
        otlp = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ModuleNotFoundError as error:
        raise TelemetryError(
            f"AUTOENCODER_OTLP_ENDPOINT asks for traces, and {error.name} is not there: "
            "pip install '.[otel]' in the project's checkout, or leave the setting out"
        ) from None
    ours = {
        "service.name": "autoencoder-service",
        "service.version": version("autoencoder-service"),
    }
    asked = resources.OTELResourceDetector().detect()  # of the environment, which goes first
    found: TracerProvider = sdk.TracerProvider(
        resource=resources.Resource.create(ours).merge(asked), shutdown_on_exit=False
    )
    exporter = otlp.OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces")
    found.add_span_processor(export.BatchSpanProcessor(exporter))
    return found


def configuration(found: TracerProvider, *, untraced: Collection[str]) -> TelemetryConfig:
    """FastAPI's `telemetry`: a span for each request but for those of these paths."""
    return {
        **OFF,
        "tracing": True,
        "tracer_provider": found,
        "operation_spans": False,
        "exclude": lambda scope: scope.get("path") in untraced,
    }


def describe(found: TracerProvider, scope: Scope) -> None:
    """Completes the span of the request that is about to be answered, where it is recorded.

    Queue and infer are sums where a request runs twice.
    """
    span = trace.get_current_span()
    if not span.is_recording():
        return
    visit = visit_of(scope)
    visit.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
    about: dict[str, Any] = {"autoencoder.request_id": visit.id}
    if visit.model:
        about["autoencoder.model"] = visit.model
    if visit.caller:
        about["autoencoder.caller"] = visit.caller
    if route := getattr(scope.get("route"), "path", None):
        about["http.route"] = route
        span.update_name(f"{scope['method']} {route}")
    span.set_attributes(about)
    tracer = found.get_tracer("autoencoder")
    epoch = time.time() - time.perf_counter()
    for phase, began, seconds in _phases(visit):
        child = tracer.start_span(phase, start_time=_nanoseconds(epoch + began))
        child.end(_nanoseconds(epoch + began + seconds))


def close(found: TracerProvider) -> None:
    """Sends what is left, if the collector takes it soon: it must not keep the service."""
    # A daemon, for the exporter may try for longer than a stop may take.
    last = threading.Thread(target=found.shutdown, daemon=True)
    last.start()
    last.join(_LAST_SECONDS)


def _phases(visit: Visit) -> list[tuple[str, float, float]]:
    """Each phase that there was: its name, its begin by `time.perf_counter`, and its seconds."""
    phases, timing = [], visit.timing
    if "decode" in timing:
        phases.append(("decode", visit.whole, timing["decode"]))
    if ran := visit.ran:
        infer = ran - timing["infer"]
        phases.append(("queue", infer - timing["queue"], timing["queue"]))
        phases.append(("infer", infer, timing["infer"]))
        phases.append(("encode", ran, timing["encode"]))
    return phases


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
