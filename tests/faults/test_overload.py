"""More work than can be done: what is done stays good, the rest is told so at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time

import pytest

from tests import toy_graphs, toys
from tests.faults.overload import DEADLINE, WORK, Callers, closed_loop, measure, open_loop, request
from tests.faults.wire import Wire, head, npy, wire
from tests.server import serving, until

pytestmark = pytest.mark.anyio


def metric(server, name: str, **labels: str) -> float:
    """The sum of a metric's series that have these labels."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    lines = server.get("/metrics").text.splitlines()
    return sum(
        float(line.split()[-1])
        for line in lines
        if line.startswith((f"{name}{{", f"{name} ")) and all(w in line for w in wanted)
    )


async def test_at_ten_times_the_load_the_work_that_is_done_stays_as_much(tmp_path):
    toys.identity(tmp_path, work=WORK)
    with serving(tmp_path, threads=1, max_batch=1) as server:
        (peak, flood), _ = await measure(server.url, server.process.pid)
        assert peak.took.keys() == {200}
        assert flood.took.keys() <= {200, 503, 504}
        assert len(flood.took[503]) > len(flood.took[200])
        assert flood.goodput > 0.5 * peak.goodput, "on a machine that does other things too"
        assert flood.percentile(503, 50) < 0.1 * DEADLINE, "a refusal waits in no queue"
        assert metric(server, "autoencoder_refused_total", reason="late") > 0
        async with Callers(server.url, request()) as callers:
            assert await callers.call() == 200, "and it is itself again"


async def test_one_flooded_model_does_not_starve_another(tmp_path):
    toys.identity(tmp_path, "toy-slow", work=toy_graphs.turns(0.1))  # and 60 a second asked for
    toys.identity(tmp_path)
    with serving(tmp_path, threads=2, max_batch=1) as server:
        async with (
            Callers(server.url, request("toy-slow")) as flood,
            Callers(server.url, request("toy-identity")) as other,
        ):
            flooded, served = await asyncio.gather(
                open_loop(flood, rate=60, seconds=4), open_loop(other, rate=5, seconds=3)
            )
        assert flooded.took.get(503), "it was flooded"
        assert served.took.keys() == {200}, served
        assert max(served.took[200]) < 3 * DEADLINE, "on a machine that does other things too"


async def test_work_whose_callers_vanished_never_runs_and_is_counted(tmp_path):
    toys.identity(tmp_path, work=toy_graphs.turns(0.3))
    with serving(tmp_path, threads=1, max_batch=1) as server:
        callers = [Wire(server.url).send(request(deadline=60)) for _ in range(30)]
        until(lambda: metric(server, "autoencoder_waiting_images") >= 20, 10)
        for caller in callers:
            caller.socket.close()
        until(lambda: metric(server, "autoencoder_waiting_images") == 0, 5)
        dropped = metric(server, "autoencoder_dropped_images", reason="departed")
        ran = metric(server, "nv_inference_exec_count")
        assert dropped >= 20
        assert dropped + ran <= 33, "30, and the canaries"
        assert "Traceback" not in server.log


async def test_a_deadline_that_passes_in_the_queue_is_504_at_once_and_counted(tmp_path):
    toys.identity(tmp_path, work=toy_graphs.turns(1.0))
    with serving(tmp_path, threads=1, max_batch=1) as server, contextlib.ExitStack() as stack:
        first = stack.enter_context(wire(server.url)).send(request(deadline=30))
        time.sleep(0.1)
        second = stack.enter_context(wire(server.url))
        started = time.monotonic()
        answer = second.send(request(deadline=0.15)).answer()
        assert answer.status in {503, 504}  # 503 where the rate of runs is known already
        assert time.monotonic() - started < 1
        assert first.answer().status == 200


async def test_a_flood_of_requests_that_name_no_model_is_refused_before_their_bodies(tmp_path):
    toys.identity(tmp_path, work=toy_graphs.turns(1.0))
    with serving(tmp_path, threads=1, max_requests=5, max_batch=1) as server:
        body = npy()
        whole = head(path="/reconstruct", length=len(body)) + body
        with contextlib.ExitStack() as stack:
            callers = [stack.enter_context(wire(server.url)).send(whole) for _ in range(5)]
            until(lambda: metric(server, "autoencoder_waiting_images") >= 4, 5)
            late = stack.enter_context(wire(server.url))
            answer = late.send(head(path="/reconstruct", length=10**6)).answer()
            assert answer.status == 503
            assert answer.problem["reason"] == "requests"
            assert int(answer.headers["retry-after-ms"]) >= 1
            assert server.get("/health/live").status_code == 200, "who watches is let in"
            assert [caller.answer().status for caller in callers] == [200] * 5


async def test_bytes_of_all_requests_together_are_bounded(tmp_path):
    toys.identity(tmp_path)
    with serving(tmp_path, max_bytes_in_flight=10**6) as server, contextlib.ExitStack() as stack:
        for _ in range(3):  # uploads that are under way
            stack.enter_context(wire(server.url)).send(head(length=10**6), bytes(300_000))
        time.sleep(0.3)
        one_more = stack.enter_context(wire(server.url))
        answer = one_more.send(head(length=10**6), bytes(300_000)).answer()
        assert answer.status == 503
        assert answer.problem["reason"] == "bytes"
        stack.close()
        time.sleep(0.3)
        with wire(server.url) as connection:
            assert connection.send(request()).answer().status == 200, "all of it is free again"


async def test_slow_uploads_do_not_take_the_places_of_others(tmp_path):
    toys.identity(tmp_path)
    with serving(tmp_path, max_requests=3) as server, contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(wire(server.url)).send(head(length=10_000), b"abc")
        with wire(server.url) as connection:
            assert connection.send(request()).answer().status == 200


async def test_a_log_that_nobody_reads_does_not_stop_the_service(tmp_path):
    toys.identity(tmp_path)
    ours, theirs = socket.socketpair()  # a pipe, and its reader goes
    with theirs, serving(tmp_path, stdout=theirs, stderr=theirs) as server:
        ours.close()
        async with Callers(server.url, request()) as callers:
            result = await closed_loop(callers, count=4, seconds=1)
        assert result.took.keys() == {200}, result.took.keys()


async def test_a_refusal_is_one_line_a_second_however_many_there_are(tmp_path):
    toys.identity(tmp_path, work=toy_graphs.turns(0.3))
    with serving(tmp_path, threads=1, max_waiting=1, log_format="json") as server:
        async with Callers(server.url, request(deadline=5)) as callers:
            result = await open_loop(callers, rate=50, seconds=3)
        assert len(result.took[503]) > 50
        lines = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
        said = [line for line in lines if line["logger"] == "service.refusals"]
        assert 1 <= len(said) <= 5
        assert "queue_images" in said[0]["message"]
