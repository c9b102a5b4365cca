"""What a cluster costs beside one process: processor time an answer, of the same requests in turns.

    autoencoder serve --port 8501 &  plain=$!
    serve run deploy/ray.yaml &      ray=$!        # with max_replicas: 1
    python -m benchmarks.cluster plain=127.0.0.1:8501@$plain ray=127.0.0.1:8000@$ray

Processor time, of the process and all that descend from it, because that is what a cluster is
paid in, and because it means something on a machine that does other work too. Every server has
its turn in each round, in another order.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Sequence

from benchmarks import load, payloads
from benchmarks.processes import Running

PATH = f"/denoise?model={payloads.DIGITS_MODEL}"


def requests() -> dict[tuple[str, int], list[load.Request]]:
    """What is asked, and over how many connections."""
    npy, batch = "application/x-npy", payloads.batch(payloads.DIGITS_MODEL)
    digits = [load.Request.post("png", PATH, digit, "image/png") for digit in payloads.digits()]
    arrays = [load.Request.post("npy", PATH, batch, npy, npy)]
    return {("1 PNG", 1): digits, ("1 PNG", 32): digits, ("256 as npy", 2): arrays}


def cost(server: Running, asked: Sequence[load.Request], connections: int, seconds: float) -> float:
    """Milliseconds of processor time an answer.

    Raises:
        SystemExit: it refused or broke off: what it spent says nothing then.
    """
    before = server.weight().cpu_seconds
    measured = load.closed_loop(server.address, asked, connections=connections, seconds=seconds)
    if measured.failed or not measured.answered:
        raise SystemExit(f"{server.name}: statuses {measured.statuses}")
    return 1000 * (server.weight().cpu_seconds - before) / measured.answered


def main() -> None:
    """Prints a line for every server and kind of request."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("servers", nargs="+", metavar="NAME=HOST:PORT@PID", type=_server)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    order: list[Running] = list(options.servers)
    for (kind, connections), asked in requests().items():
        found: dict[str, list[float]] = {server.name: [] for server in options.servers}
        for _ in range(options.rounds):
            random.shuffle(order)
            for server in order:
                found[server.name].append(cost(server, asked, connections, options.seconds))
        first = next(iter(found))
        for name, each in found.items():
            ratio = statistics.median(b / a for a, b in zip(found[first], each, strict=True))
            print(
                f"{kind:10} {connections:3} connections  {name:10} "
                f"{statistics.median(each):7.2f} ms ({min(each):.2f} to {max(each):.2f})  "
                f"{ratio:5.2f} times {first}",
                flush=True,
            )


def _server(text: str) -> Running:
    name, _, address = text.partition("=")
    address, _, pid = address.partition("@")
    host, _, port = address.rpartition(":")
    return Running(name, (host, int(port)), int(pid), 0.0)


if __name__ == "__main__":
    main()
