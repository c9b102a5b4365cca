"""Graphs that run one after the other on a device's own memory, at a few fixed batch sizes.

What one graph gives the next one takes, and it never leaves the device. Every size has its memory
for good, at the same addresses, so that on CUDA its kernels are captured once as a CUDA graph and
started together from then on, in place of one by one. Batches of other sizes are padded up to the
next. All of it belongs to the thread that made it. It works on the CPU too, where it gains nothing
but that the tests need no GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.settings import Device

Array = NDArray[Any]

_NO_CAPTURE = -1


def run_options(device: Device, graph: int = _NO_CAPTURE) -> ort.RunOptions:
    """For a run that is captured, or repeated, as the session's CUDA graph of that number."""
    options = ort.RunOptions()
    if device == "cuda":
        options.add_run_config_entry("gpu_graph_id", str(graph))
    return options


class Bound:
    """The graphs at one batch size, bound to memory of the device."""

    def __init__(
        self, sessions: Sequence[ort.InferenceSession], empty: Array, *, device: Device, graph: int
    ) -> None:
        """`empty` `[B,...]` is any input of that size; `graph`, 1 or more, is unique to a session.

        The first run finds the shapes; the second is captured.
        """
        self._host = np.zeros_like(empty)
        self._on_cpu = device == "cpu"
        self._taken = value = ort.OrtValue.ortvalue_from_numpy(self._host, device, 0)
        self._steps = []
        for session in sessions:
            binding = session.io_binding()
            binding.bind_ortvalue_input(session.get_inputs()[0].name, value)
            names = [output.name for output in session.get_outputs()]
            for name in names:
                binding.bind_output(name, device, 0)
            session.run_with_iobinding(binding, run_options(device))
            self._made = binding.get_outputs()
            binding.clear_binding_outputs()
            for name, made in zip(names, self._made, strict=True):
                binding.bind_ortvalue_output(name, made)
            self._steps.append((session, binding))
            value = self._made[0]
        self._options = run_options(device, graph)
        self._run()

    def __call__(self, batch: Array) -> list[Array]:
        """The last graph's outputs for up to as many rows as there is room for."""
        count = len(batch)
        self._host[:count] = batch
        self._taken.update_inplace(self._host)
        self._run()
        outputs = [made.numpy()[:count] for made in self._made]
        # On the CPU that is the very memory which the next run writes to.
        return [output.copy() for output in outputs] if self._on_cpu else outputs

    def _run(self) -> None:
        for session, binding in self._steps:
            session.run_with_iobinding(binding, self._options)


class Chain:
    """The graphs at every batch size."""

    def __init__(self, sessions: Sequence[ort.InferenceSession], *, device: Device) -> None:
        self._sessions = sessions
        self._device = device
        self._bound: dict[tuple[Any, ...], list[tuple[int, Bound]]] = {}

    def prepare(self, row: Array, sizes: Sequence[int], *, graphs: Callable[[], int]) -> None:
        """Binds, and on CUDA captures, every size for rows like this one; smaller first.

        `graphs` gives a number that is new to each of the sessions.
        """
        self._bound[_kind(row)] = [
            (
                size,
                Bound(
                    self._sessions,
                    np.zeros((size, *row.shape), row.dtype),
                    device=self._device,
                    graph=graphs(),
                ),
            )
            for size in sorted(sizes)
        ]

    def __call__(self, batch: Array) -> list[Array]:
        """The last graph's outputs `[B,...]`; in parts, where the batch exceeds every size."""
        bound = self._bound.get(_kind(batch[0])) if len(batch) else None
        if bound is None:
            return self._once(batch)
        most, largest = bound[-1]
        if len(batch) > most:
            parts = [self(batch[i : i + most]) for i in range(0, len(batch), most)]
            return [np.concatenate(column) for column in zip(*parts, strict=True)]
        run = next((run for size, run in bound if size >= len(batch)), largest)
        return run(batch)

    def _once(self, batch: Array) -> list[Array]:
        """Rows of a shape that nothing was prepared for."""
        value = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(batch), self._device, 0)
        made: list[ort.OrtValue] = []
        for session in self._sessions:
            binding = session.io_binding()
            binding.bind_ortvalue_input(session.get_inputs()[0].name, value)
            for output in session.get_outputs():
                binding.bind_output(output.name, self._device, 0)
            session.run_with_iobinding(binding, run_options(self._device))
            made = binding.get_outputs()
            value = made[0]
        outputs = [output.numpy() for output in made]
        return [output.copy() for output in outputs] if self._device == "cpu" else outputs


def _kind(row: Array) -> tuple[Any, ...]:
    return row.shape, row.dtype.str
