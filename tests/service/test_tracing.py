"""Traces, as a collector receives them over OTLP: each request, its phases, its caller's trace."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from service import tracing
from tests.conftest import running
from tests.service.test_errors import GOOD, PNG

pytestmark = pytest.mark.anyio

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(autouse=True)
def _exporters_have_ended() -> Iterator[None]:
    """One that still tries draws random numbers beside the tests that follow; hypothesis minds."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("Otel") or "(shutdown)" in thread.name:
            thread.join(30)
            assert not thread.is_alive(), thread.name


@contextmanager
def collector() -> Iterator[tuple[str, list]]:
    """A collector's address, and what it received: pairs of a service's attributes and a span."""
    received: list = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for of_one in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in of_one.scope_spans:
                    received.extend((said(of_one.resource), span) for span in scope.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def said(thing) -> dict[str, object]:
    return {x.key: getattr(x.value, x.value.WhichOneof("value")) for x in thing.attributes}


async def test_a_request_is_a_span_of_its_callers_trace_with_its_phases_inside(settings):
    headers = PNG | {"X-Request-ID": "mine", "traceparent": f"00-{TRACE}-{PARENT}-01"}
    with collector() as (url, received):
        before = time.time_ns()
        async with running(settings(otlp_endpoint=url)) as client:
            answer = await client.post("/denoise?model=toy-identity", content=GOOD, headers=headers)
            assert answer.status_code == 200
        after = time.time_ns()
    spans = {span.name: span for _, span in received}
    assert spans.keys() == {"POST /denoise", "decode", "queue", "infer", "encode"}
    whole = spans.pop("POST /denoise")
    assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == (TRACE, PARENT)
    about = said(whole)
    assert about["autoencoder.request_id"] == "mine"
    assert about["autoencoder.model"] == "toy-identity/1"
    assert about["http.route"] == "/denoise"
    assert about["http.response.status_code"] == 200
    assert received[0][0]["service.name"] == "autoencoder-service"
    assert before < whole.start_time_unix_nano < whole.end_time_unix_nano < after
    of_answer = {
        name: float(rest.removeprefix("dur="))
        for name, rest in (x.split(";") for x in answer.headers["Server-Timing"].split(", "))
    }
    for name, span in spans.items():
        assert (span.trace_id.hex(), span.parent_span_id) == (TRACE, whole.span_id), name
        milliseconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
        assert milliseconds == pytest.approx(of_answer[name], abs=0.002), name
    begins = [spans[name].start_time_unix_nano for name in ("decode", "queue", "infer", "encode")]
    assert begins == sorted(begins)


async def test_errors_and_models_are_traced_and_probes_are_not(settings):
    with collector() as (url, received):
        async with running(settings(otlp_endpoint=url)) as client:
            for path in ("/health/live", "/health/ready", "/metrics", "/v2/health/ready"):
                assert (await client.get(path)).status_code == 200
            await client.get("/models/toy-identity")
            await client.post("/denoise?model=nobody", content=GOOD, headers=PNG)
    statuses = {span.name: said(span).get("http.response.status_code") for _, span in received}
    statuses.pop("decode", None)
    assert statuses == {"GET /models/{name}": 200, "POST /denoise": 404}


async def test_what_the_caller_does_not_sample_is_not_sent(settings):
    headers = PNG | {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    with collector() as (url, received):
        async with running(settings(otlp_endpoint=url)) as client:
            assert (await client.post("/denoise", content=GOOD, headers=headers)).is_success
    assert not received


async def test_the_environment_may_name_the_service(settings, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "pictures")
    with collector() as (url, received):
        async with running(settings(otlp_endpoint=url)) as client:
            await client.get("/models")
    assert [about["service.name"] for about, _ in received] == ["pictures"]


async def test_a_collector_that_is_gone_costs_neither_answers_nor_the_stop(settings):
    with collector() as (url, _):
        pass
    async with running(settings(otlp_endpoint=url)) as client:
        assert (await client.post("/denoise", content=GOOD, headers=PNG)).is_success
        stopping = time.monotonic()
    assert time.monotonic() - stopping < tracing._LAST_SECONDS + 2


def start(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


WITHOUT = "import sys\nfor name in ('sdk', 'exporter', 'proto'): sys.modules['opentelemetry.' + name] = None\n"


def test_without_the_setting_nothing_of_it_is_imported(toy_models):
    code = "from service.app import create_app; from service.settings import Settings; "
    result = start(f"{WITHOUT}{code}create_app(Settings(models_dir={str(toy_models)!r}))")
    assert result.returncode == 0, result.stderr


def test_a_start_that_asks_for_it_without_the_extra_fails_and_names_the_extra(toy_models):
    flags = ["serve", "--port", "0", "--models-dir", str(toy_models)]
    flags += ["--otlp-endpoint", "http://127.0.0.1:4318"]
    result = start(f"{WITHOUT}from service.cli import main\nsys.argv[1:] = {flags!r}\nmain()")
    assert result.returncode not in (0, None)
    assert "pip install '.[otel]'" in result.stderr
    assert "Traceback" not in result.stderr
