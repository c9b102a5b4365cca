"""Opens ONNX graphs on the device that was asked for, or fails."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import onnxruntime as ort

from service.errors import DeviceError
from service.settings import Device

log = logging.getLogger(__name__)


def open_session(
    path: Path, *, device: Device = "cpu", threads: int = 1, tf32: bool = False
) -> ort.InferenceSession:
    """An inference session for one graph; on CUDA one whose runs can be captured, if it can be.

    These graphs are small: one thread without spinning costs a request nothing and leaves the
    other cores to other requests, where the runtime's defaults burn a core for an idle model.

    Raises:
        DeviceError: CUDA was asked for and the session did not get it.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if device == "cpu":
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    check_cuda()

    def session_with(**more: str) -> ort.InferenceSession:
        provider = ("CUDAExecutionProvider", cuda_options(tf32=tf32) | more)
        return ort.InferenceSession(path, options, providers=[provider, "CPUExecutionProvider"])

    try:
        session = session_with(enable_cuda_graph="1")
    except Exception as error:  # onnxruntime's exceptions have no common root
        # A node that CUDA has no kernel for; or a fault, which the second try meets again.
        log.warning("%s runs without CUDA graphs: %s", path.name, str(error)[:200])
        session = session_with()
    # onnxruntime falls back to the CPU with no more than a log line.
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise DeviceError(
            "CUDA was asked for, but onnxruntime could not start it: see that the driver is "
            "there (nvidia-smi, 580 or newer) and the libraries too "
            "(pip install '.[gpu]' in the project's checkout), or set AUTOENCODER_DEVICE=cpu"
        )
    return session


def sessions(
    folder: Path, *, device: Device = "cpu", threads: int = 1, tf32: bool = False
) -> dict[str, ort.InferenceSession]:
    """The sessions of a model's graphs by name; of classifier and sampler if it has them.

    Raises:
        DeviceError: the device asked for is not there.
    """
    return {
        name: open_session(path, device=device, threads=threads, tf32=tf32)
        for name in ("encoder", "decoder", "classifier", "sampler")
        if (path := folder / f"{name}.onnx").exists() or name in ("encoder", "decoder")
    }


def cuda_options(*, tf32: bool) -> dict[str, str]:
    """The CUDA provider's options.

    Its defaults try out every algorithm for each new shape, which takes half a second, double the
    arena when it is full, and round to TF32.
    """
    return {
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "use_tf32": str(int(tf32)),
    }


def check_cuda() -> None:
    """Loads the CUDA libraries that pip installed.

    Raises:
        DeviceError: this onnxruntime was built without CUDA.
    """
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise DeviceError(
            "CUDA was asked for, but this onnxruntime has none: install the extra gpu instead "
            "of cpu (make serve RUNTIME=gpu), or set AUTOENCODER_DEVICE=cpu"
        )
    ort.preload_dlls()


def check_installation() -> None:
    """Refuses an environment that holds both builds of onnxruntime.

    Raises:
        DeviceError: both are installed; they own the same module, so either may have won.
    """
    if _installed("onnxruntime") and _installed("onnxruntime-gpu"):
        raise DeviceError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other: "
            "make a fresh environment with exactly one of the extras cpu and gpu"
        )


def _installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
