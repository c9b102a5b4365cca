"""`python -m benchmarks.gpu [MODEL]`: the ways to run a model on a CUDA device, side by side.

The service over HTTP and its model in this process; onnxruntime bound to the device's memory by
hand, with and without CUDA graphs, with TF32, with the graphs converted to float16; and the
recipe's network in PyTorch, eager, compiled and in float16. Prints images a second by batch size,
and how far each way's answers are from the CPU's. Not run by its authors yet: they had no GPU.
Needs the extras gpu and training.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from benchmarks import payloads
from benchmarks.contenders import OURS
from benchmarks.half import Plain, apart
from benchmarks.load import closed_loop
from benchmarks.processes import client, serving
from benchmarks.workloads import answers
from service.device_model import DeviceModel
from service.model import Model
from service.runtime import check_cuda, cuda_options
from training.half import halved
from training.networks import Shape
from training.recipes import named

Images = NDArray[np.uint8]
Way = Callable[[Images], Images]

_SIZES = (1, 8, 64, 256)
_SECONDS = 1.0


class ByHand:
    """Encoder and decoder of one batch size, bound to memory of the device once."""

    def __init__(self, folder: Path, example: Images, *, tf32: bool, graphs: bool) -> None:
        cuda = cuda_options(tf32=tf32) | {"enable_cuda_graph": str(int(graphs))}
        providers = [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]
        self._sessions = [
            ort.InferenceSession(folder / f"{name}.onnx", providers=providers)
            for name in ("encoder", "decoder")
        ]
        # A session that captures must run as it is captured: the shape comes from another.
        on_cpu = ort.InferenceSession(folder / "encoder.onnx", providers=["CPUExecutionProvider"])
        latents = on_cpu.run(["latents"], {"images": example})[0]
        self._taken = ort.OrtValue.ortvalue_from_numpy(example, "cuda", 0)
        between = ort.OrtValue.ortvalue_from_numpy(latents, "cuda", 0)
        self._made = ort.OrtValue.ortvalue_from_numpy(np.zeros_like(example), "cuda", 0)
        self._bindings = [session.io_binding() for session in self._sessions]
        self._bindings[0].bind_ortvalue_input("images", self._taken)
        self._bindings[0].bind_ortvalue_output("latents", between)
        self._bindings[1].bind_ortvalue_input("latents", between)
        self._bindings[1].bind_ortvalue_output("images", self._made)

    def __call__(self, images: Images) -> Images:
        self._taken.update_inplace(images)
        for session, binding in zip(self._sessions, self._bindings, strict=True):
            session.run_with_iobinding(binding)
        made: Images = self._made.numpy()
        return made


def served(folder: Path, example: Images, *, tf32: bool) -> Way:
    """The service's own way, prepared as it prepares itself."""
    model = DeviceModel.open_on(folder, device="cuda", tf32=tf32)
    model.prepare(example[0], [1, 8, 32, 128, 256])
    return model.reconstruct


def ways(name: str, folder: Path, half: Path, example: Images) -> Iterator[tuple[str, Way]]:
    """Every way to run this model at the example's batch size, made when it is its turn."""
    for tf32 in (False, True):
        yield f"as served{', TF32' * tf32}", served(folder, example, tf32=tf32)
        for graphs in (False, True):
            what = f"by hand{', graphs' * graphs}{', TF32' * tf32}"
            yield what, ByHand(folder, example, tf32=tf32, graphs=graphs)
    yield "by hand, graphs, float16", ByHand(half, example, tf32=False, graphs=True)
    _, height, width, channels = example.shape
    net = named(name).net(Shape(channels, height, width)).cuda().eval()
    yield "PyTorch", _in_torch(net, torch.float32)
    compiled = torch.compile(net)
    yield "PyTorch, compiled", _in_torch(compiled, torch.float32)
    yield "PyTorch, compiled, float16", _in_torch(compiled, torch.float16)


def _in_torch(net: Callable[..., object], dtype: torch.dtype) -> Way:
    """The network on random weights: for its time, not for its answers."""

    def run(images: Images) -> Images:
        half = torch.autocast("cuda", dtype, enabled=dtype is torch.float16)
        with torch.inference_mode(), half:
            x_BCHW = torch.from_numpy(images).cuda().permute(0, 3, 1, 2).float() / 255
            output = net(x_BCHW, torch.Generator("cuda")).images  # type: ignore[attr-defined]
            levels = (output.float().clamp(0, 1) * 255).round().to(torch.uint8)
            answer: Images = levels.permute(0, 2, 3, 1).cpu().numpy()
        return answer

    return run


def rate(way: Way, images: Images) -> float:
    """Images a second; each answer is on the host before the next begins."""
    for _ in range(5):  # warms up, captures, compiles
        way(images)
    runs, started = 0, time.perf_counter()
    while time.perf_counter() - started < _SECONDS:
        way(images)
        runs += 1
    return runs * len(images) / (time.perf_counter() - started)


def over_http(model: str, device: str = "cuda", *, port: int = 8391) -> float:
    """Images a second through the running service: 256 as npy, 8 connections."""
    request = OURS.batch(model)
    contender = replace(OURS, environment={"AUTOENCODER_DEVICE": device})
    cores = sorted(os.sched_getaffinity(0))
    with (
        client(cores[-1:]) as pool,
        serving(
            "ours",
            contender.command(contender.bin, port),
            port,
            cores=cores[:-1] or cores,
            ready=lambda address: answers(address, request) is not None,
            environment=contender.environment,
            patience=300.0,
        ) as server,
    ):
        for seconds in (1.0, 5.0):  # the first warms up
            job = pool.submit(
                closed_loop, server.address, [request], connections=8, seconds=seconds
            )
            measured = job.result()
    return 256 * measured.answered / measured.seconds


def main() -> None:
    """Prints the table.

    Raises:
        DeviceError: this onnxruntime has no CUDA.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Plain)
    parser.add_argument("model", nargs="?", default=payloads.DIGITS_MODEL)
    name = parser.parse_args().model
    check_cuda()
    folder = payloads.folder(name)
    on_cpu = Model.open(folder)
    print(f"{name} on {torch.cuda.get_device_name()}, onnxruntime {ort.__version__}")
    with tempfile.TemporaryDirectory() as scratch:
        half = halved(folder, Path(scratch))
        for size in _SIZES:
            images = payloads.variations(payloads.known_image(name), size)
            expected = on_cpu.reconstruct(images)
            for what, way in ways(name, folder, half, images):
                differs = "" if what.startswith("PyTorch") else apart(way(images), expected)
                print(f"{size:4} images: {what:28} {rate(way, images):12.0f} images/s  {differs}")
    print(f" 256 images: through HTTP as npy          {over_http(name):12.0f} images/s")


if __name__ == "__main__":
    main()
