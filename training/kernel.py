"""training/kernel.c, compiled for this processor when it is first wanted: 1 s for each precision.

Where there is no C compiler, no AVX-512 or no bfloat16 in it, there is no kernel, and networks are
trained by torch's own products.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

# Images side by side in a vector; in bfloat16 a block of twice as many is two of these.
LANES = 16
_SOURCE = Path(__file__).with_suffix(".c")
_FLAGS = ("-std=gnu11", "-O3", "-march=native", "-shared", "-fPIC")

# What an operation does, in the order of kernel.c.
(MULTIPLY, MULTIPLY_RELU, MULTIPLY_MASKED, LEARN, LEARN_FLAT, SUM, SPREAD, LOAD, LOSS,
 LOSS_SIGMOID) = range(10)  # fmt: skip

_POINTERS = ("x", "small", "mask", "y", "sums", "weights", "bias",
             "at_x", "at_y", "terms", "outputs")  # fmt: skip
_NUMBERS = ("kind", "tile", "n_terms", "n_outputs", "n_pixels", "n_blocks")


class Operation(ctypes.Structure):
    """`Op` of kernel.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in _POINTERS),
        *((name, ctypes.c_int32) for name in _NUMBERS),
    )


class Batch(ctypes.Structure):
    """`Batch` of kernel.c."""

    _fields_ = (
        ("noisy", ctypes.c_void_p), ("clean", ctypes.c_void_p), ("squares", ctypes.c_double),
        ("scale", ctypes.c_float), ("images", ctypes.c_int32),
    )  # fmt: skip


@cache
def load(*, bf16: bool) -> ctypes.CDLL | None:
    """The kernel in float32 or bfloat16, or None where it cannot be compiled; the log says why."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        log.info("no C compiler, so small convolutions are torch's")
        return None
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "kernel.so"
        pairs = ["-DPAIRS"] if bf16 else []
        command: list[str | Path] = [compiler, *_FLAGS, *pairs, _SOURCE, "-o", made]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
            return ctypes.CDLL(str(made))
        except (subprocess.CalledProcessError, OSError) as error:
            reason = getattr(error, "stderr", None) or str(error)
            log.info("the kernel cannot be compiled: %s", reason.strip())
            return None
