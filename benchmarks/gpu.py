"""`python -m benchmarks.gpu MODEL`: the ways to run a model on a CUDA device, side by side.

onnxruntime as the service runs it, with IO binding (the latents stay on the device), with CUDA
graphs, each with and without TF32; and the recipe's network in PyTorch, eager and compiled. Prints
images a second by batch size, and by how many grey levels each way's answers differ from the CPU's.
Not run by its authors yet: they had no GPU. Needs the extras gpu and training.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from benchmarks import payloads
from service.model import Model
from service.runtime import check_cuda
from training.networks import Shape
from training.recipes import named

Images = NDArray[np.uint8]
Way = Callable[[Images], Images]

_SIZES = (1, 8, 64, 256)
_SECONDS = 1.0


class Bound:
    """Encoder and decoder of one batch size, bound to memory of the device once.

    A captured CUDA graph belongs to the thread that captured it and to its addresses, so that one
    of these is for one thread and one size.
    """

    def __init__(self, folder: Path, example: Images, *, tf32: bool, graphs: bool) -> None:
        cuda = {
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
            "use_tf32": str(int(tf32)),
            "enable_cuda_graph": str(int(graphs)),
        }
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


def ways(name: str, folder: Path, example: Images) -> dict[str, Way]:
    """Every way to run this model at the example's batch size."""
    made: dict[str, Way] = {"onnxruntime, as served": Model.open(folder, device="cuda").reconstruct}
    for tf32 in (False, True):
        for graphs in (False, True):
            what = f"bound{', graphs' * graphs}{', TF32' * tf32}"
            made[what] = Bound(folder, example, tf32=tf32, graphs=graphs)
    _, height, width, channels = example.shape
    net = named(name).net(Shape(channels, height, width)).cuda().eval()
    for what, run in (("PyTorch", net), ("PyTorch, compiled", torch.compile(net))):
        made[what] = _in_torch(run)
    return made


def _in_torch(net: Callable[..., object]) -> Way:
    """The network on random weights: for its time, not for its answers."""

    def run(images: Images) -> Images:
        with torch.inference_mode():
            x_BCHW = torch.from_numpy(images).cuda().permute(0, 3, 1, 2).float() / 255
            output = net(x_BCHW, torch.Generator("cuda")).images  # type: ignore[attr-defined]
            levels = (output.clamp(0, 1) * 255).round().to(torch.uint8)
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


def main() -> None:
    """Prints the table.

    Raises:
        DeviceError: this onnxruntime has no CUDA.
    """
    name = sys.argv[1] if len(sys.argv) > 1 else payloads.DIGITS_MODEL
    check_cuda()
    folder = payloads.folder(name)
    on_cpu = Model.open(folder)
    print(f"{name} on {torch.cuda.get_device_name()}, onnxruntime {ort.__version__}")
    for size in _SIZES:
        images = payloads.variations(payloads.known_image(name), size)
        expected = on_cpu.reconstruct(images).astype(int)
        for what, way in ways(name, folder, images).items():
            off = np.abs(way(images).astype(int) - expected).max()
            differs = "" if what.startswith("PyTorch") else f", {off} grey levels from the CPU's"
            print(f"{size:4} images: {what:28} {rate(way, images):12.0f} images/s{differs}")


if __name__ == "__main__":
    main()
