"""What is measured of each server: one workload a function, all over real connections."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks import images_of, payloads
from benchmarks.contenders import OURS, Contender
from benchmarks.load import Measured, Request, closed_loop, open_loop
from benchmarks.processes import Running, serving
from benchmarks.report import CONNECTIONS
from benchmarks.summary import percentile

# Turns that each server has in a round, and ports that each may use.
TURNS = 5
_PORTS_EACH = 5


@dataclass
class Bench:
    """Where servers and load run, for how long, and what was found: name -> rounds."""

    client: ProcessPoolExecutor
    cores: Sequence[int]
    port: int
    seconds: float
    found: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, value: float) -> float:
        """Adds a round's value."""
        self.found.setdefault(name, []).append(value)
        return value

    @contextmanager
    def up(
        self,
        contender: Contender,
        first: Request,
        model: str = payloads.DIGITS_MODEL,
        place: int = 0,
    ) -> Iterator[Running]:
        """The server, once it answers the first request well; in a place beside others'."""
        port = self.port + _PORTS_EACH * place
        environment = {**contender.environment, "BENCHMARK_MODEL": str(payloads.folder(model))}
        command = contender.command(contender.bin, port)
        with serving(
            contender.name,
            command,
            port,
            cores=self.cores,
            ready=lambda address: answers(address, first) is not None,
            environment=environment,
        ) as running:
            yield running

    def closed(
        self, server: Running, requests: Sequence[Request], connections: int, share: float = 1.0
    ) -> Measured:
        """A closed loop from the client's process, for so much of the usual time."""
        seconds = share * self.seconds
        job = self.client.submit(
            closed_loop, server.address, requests, connections=connections, seconds=seconds
        )
        return job.result()

    def open(
        self,
        server: Running,
        requests: Sequence[Request],
        share: float = 1.0,
        **options: Any,  # noqa: ANN401
    ) -> Measured:
        """An open loop from the client's process, for so much of the usual time."""
        seconds = share * self.seconds
        job = self.client.submit(open_loop, server.address, requests, seconds=seconds, **options)
        return job.result()


def answers(address: tuple[str, int], request: Request) -> bytes | None:
    """The body of a good answer to one request, else None."""
    head, _, body = request.wire.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request("POST", line.split(" ")[1], body, headers)
        answer = connection.getresponse()
        content = answer.read()
        return content if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def singles(bench: Bench, contenders: Sequence[Contender]) -> dict[str, str]:
    """One 28x28 PNG in, PNG out, at every number of connections; why a contender could not.

    All are up at once, and each has a fraction of a second in turn: what shakes the machine for
    some seconds shakes them all.
    """
    with ExitStack() as stack:
        servers, failed = list[tuple[Running, list[Request]]](), dict[str, str]()
        for place, contender in enumerate(contenders):
            requests = contender.singles()
            try:
                server = stack.enter_context(bench.up(contender, requests[0], place=place))
                if contender.name != "floor":
                    check(server, requests)
            except RuntimeError as error:
                failed[contender.name] = str(error)
                continue
            bench.closed(server, requests, 8)  # warms up
            servers.append((server, requests))
        for connections in CONNECTIONS:
            for _ in range(TURNS):
                for server, requests in servers:
                    _turn(bench, server, requests, connections)
    return failed


def _turn(bench: Bench, server: Running, requests: Sequence[Request], connections: int) -> None:
    before = server.weight().cpu_seconds
    measured = bench.closed(server, requests, connections, 1 / TURNS)
    spent = server.weight().cpu_seconds - before
    name = f"{server.name}/single/{connections}"
    bench.note(f"{name}/rate", measured.answered / measured.seconds)
    bench.note(f"{name}/failed", measured.failed)
    if measured.answered:
        latencies = measured.latencies["single"]
        bench.note(f"{name}/p50_ms", percentile(latencies, 50) * 1000)
        bench.note(f"{name}/p99_ms", percentile(latencies, 99) * 1000)
        bench.note(f"{name}/cpu_us", spent / measured.answered * 1e6)


def check(server: Running, requests: Sequence[Request]) -> None:
    """Every picture's answer is the model's own, to a grey level.

    Raises:
        RuntimeError: it is not; a fast server of wrong pictures is none.
    """
    expected = images_of.reconstructions()
    for i, request in enumerate(requests[:8]):
        body = answers(server.address, request)
        made = images_of.answer(body or b"")
        if made is None or np.abs(made.astype(int) - expected[i]).max() > 1:
            raise RuntimeError(
                f"{server.name} answered picture {i} wrongly: {(body or b'')[:200]!r}"
            )


def batches(bench: Bench, contenders: Sequence[Contender], model: str) -> None:
    """256 images as uint8 npy in and out over 8 connections, the contenders and `raw` in turn."""
    with ExitStack() as stack:
        servers = list[tuple[Running, list[Request]]]()
        for place, contender in enumerate(contenders):
            requests = [contender.batch(model)]
            server = stack.enter_context(bench.up(contender, requests[0], model, place))
            bench.closed(server, requests, 8)  # warms up
            servers.append((server, requests))
        for _ in range(TURNS):
            raw(bench, model, 2 / TURNS)
            for server, requests in servers:
                measured = bench.closed(server, requests, 8, 2 / TURNS)
                name = f"{server.name}/{model}"
                bench.note(f"{name}/rate", measured.answered / measured.seconds)
                bench.note(f"{name}/failed", measured.failed)


def raw(bench: Bench, model: str, share: float) -> None:
    """The same without a server, on the same core, in slices of the best size."""
    cores = ",".join(map(str, bench.cores))
    folder = str(payloads.folder(model))
    command = ["taskset", "--cpu-list", cores, sys.executable, "-m", "benchmarks.raw", folder]
    answer = subprocess.run(
        [*command, str(share * bench.seconds)],
        capture_output=True,
        text=True,
        check=True,
        cwd=payloads.ROOT,
    )
    for size, rate in json.loads(answer.stdout).items():
        bench.note(f"raw/{model}/{size}", rate)


def mixed(bench: Bench) -> None:
    """Singles alone, and with a tenth of requests of 256 among them: at half of what it carries.

    In turn, since a percentile of a few seconds is what the machine did in those seconds.
    """
    alone, large = OURS.singles(), OURS.batch(payloads.DIGITS_MODEL)
    with bench.up(OURS, alone[0]) as server:
        bench.closed(server, [*alone, large], 8)
        each = {
            kind: 1 / (measured.answered / measured.seconds)
            for kind, measured in (
                ("single", bench.closed(server, alone, 8)),
                ("batch", bench.closed(server, [large], 8)),
            )
        }
        rate = 0.5 / (0.9 * each["single"] + 0.1 * each["batch"])
        bench.note("ours/mixed/rate", rate)
        weights = [0.9 / len(alone)] * len(alone) + [0.1]
        latencies: dict[str, list[float]] = {"alone": [], "mixed": []}
        for turn in range(TURNS):
            usual: dict[str, Any] = {"connections": 64, "seed": turn}  # not the same arrivals again
            quiet = bench.open(server, alone, 2 / TURNS, rate=0.9 * rate, **usual)
            busy = bench.open(
                server, [*alone, large], 2 / TURNS, rate=rate, weights=weights, **usual
            )
            latencies["alone"] += quiet.latencies["single"]
            latencies["mixed"] += busy.latencies["single"]
            bench.note("ours/mixed/failed", quiet.failed + busy.failed)
        for name, found in latencies.items():
            for percent in (50, 99):
                value = percentile(found, percent) * 1000
                bench.note(f"ours/mixed/{name}/p{percent}_ms", value)


def rest(bench: Bench, *, seconds: float = 5.0) -> None:
    """All models loaded and nobody there: processor, memory, and seconds until it was ready."""
    with bench.up(OURS, OURS.singles()[0]) as server:
        ready = server.seconds_to_ready
        time.sleep(1)
        before = server.weight()
        started = time.perf_counter()
        time.sleep(seconds)
        after = server.weight()
        used = (after.cpu_seconds - before.cpu_seconds) / (time.perf_counter() - started)
        bench.note("ours/rest/core_percent", 100 * used)
        bench.note("ours/rest/resident_mb", after.resident_bytes / 1e6)
        bench.note("ours/rest/ready_s", ready)


def at_rest_load() -> float:
    """The machine's load before anything is measured: how far figures can be trusted."""
    return os.getloadavg()[0]
