"""One inference of the protocol: tensors -> the model's queue -> the tensors asked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import Request, Response
from numpy.typing import NDArray

from service.errors import DeadlineExceeded, Malformed, Overloaded
from service.images import encode_png
from service.protocol import tensors, wire
from service.protocol.parts import Part, TensorSpec, check_batch
from service.protocol.wire import Output, Sent
from service.routes.bodies import decode, decode_base64
from service.routes.fitting import fitted
from service.routes.running import aside, run_each
from service.rows import Rows, shapes, size, together
from service.settings import Settings

Array = NDArray[Any]


@dataclass(frozen=True)
class Wanted:
    """The output at `place`, as it was asked for; `top` is how many classes, 0 for all numbers."""

    place: int
    spec: TensorSpec
    datatype: str
    binary: bool
    top: int = 0


async def infer(request: Request, part: Part) -> Response:
    """Answers an inference request for one part of a model.

    Raises:
        RequestError: whatever is wrong with the request; nothing of it was queued then.
        Overloaded: too much waits already, or the answer would have come too late.
    """
    settings: Settings = request.app.state.settings
    body = await wire.read_body(request, settings.max_body_bytes)
    started = time.perf_counter()
    header = request.headers.get(wire.HEADER)
    text = 0 if header else len(body)  # raw tensors are not worth a hop to another thread
    sent = await aside(lambda: wire.parse(body, header), pixels=text)
    files = _sends_files(part, sent)
    wanted = _wanted(part, sent, files=files)
    seconds = _seconds(sent, settings)
    if files:
        taken = await _pictures(request, part, sent, wanted)
    else:
        part.check_shape(sent.shape, settings)
        taken = await aside(lambda: _numbers(part, sent), pixels=text)
    statistics = part.served.statistics(part.verb)
    statistics.read.add(time.perf_counter() - started)
    outputs = await _run(request, part, taken, seconds)
    started = time.perf_counter()
    response = await _answer(part, sent, wanted, outputs)
    statistics.write.add(time.perf_counter() - started)
    return response


def _sends_files(part: Part, sent: Sent) -> bool:
    """Whether the one input is files of images instead of the numbers that the graph takes.

    Raises:
        Malformed: other inputs, another datatype, or shared memory.
    """
    spec = part.input
    for tensor in sent.json.inputs:
        if tensor.name != spec.name:
            raise Malformed(
                f"unexpected inference input '{tensor.name[:64]}' for model '{part.name}': it "
                f"takes {spec}"
            )
    if len(sent.json.inputs) != 1:
        raise Malformed(
            f"expected 1 inputs but got {len(sent.json.inputs)} inputs for model '{part.name}': "
            f"it takes {spec}"
        )
    tensor = sent.json.inputs[0]
    _no_shared_memory(tensor.parameters, tensor.name)
    also = ("BYTES",) if spec.name == "images" else ()
    if tensor.datatype not in (spec.datatype, *also):
        raise Malformed(
            f"inference input '{spec.name}' data-type is '{tensor.datatype[:64]}', but model "
            f"'{part.name}' expects {' or '.join((spec.datatype, *also))}"
        )
    return tensor.datatype == "BYTES"


def _wanted(part: Part, sent: Sent, *, files: bool) -> list[Wanted]:
    """The outputs that were asked for, or all.

    Raises:
        Malformed: one that the model does not give, or not so.
    """
    specs = {spec.name: (place, spec) for place, spec in enumerate(part.outputs)}
    asked = {output.name: output.parameters or {} for output in sent.json.outputs or ()}
    wanted = []
    for name, parameters in (asked or {name: {} for name in specs}).items():
        if name not in specs:
            raise Malformed(
                f"unexpected inference output '{name[:64]}' for model '{part.name}': it gives "
                f"{', '.join(map(str, part.outputs))}"
            )
        _no_shared_memory(parameters, name)
        place, spec = specs[name]
        top = _top(parameters.get("classification"), spec)
        datatype: Any = spec.datatype
        if name == "images":
            default = "BYTES" if files else "UINT8"
            datatype = parameters.get("datatype", sent.parameter("datatype")) or default
            if datatype not in ("BYTES", "UINT8"):
                raise Malformed(f"the parameter datatype of '{name}' must be BYTES or UINT8")
        binary = parameters.get("binary_data", sent.parameter("binary_data_output"))
        if not isinstance(binary, bool | None):
            raise Malformed(f"binary_data and binary_data_output must be true or false ('{name}')")
        wanted.append(Wanted(place, spec, "BYTES" if top else datatype, bool(binary), top))
    return wanted


def _top(classification: object, spec: TensorSpec) -> int:
    if classification is None:
        return 0
    if spec.name != "probabilities":
        raise Malformed(f"classification is of probabilities, and '{spec.name}' are none")
    return min(_positive(classification, "classification", "a number of classes"), spec.shape[1])


def _no_shared_memory(parameters: dict[str, Any] | None, name: str) -> None:
    if parameters and "shared_memory_region" in parameters:
        raise Malformed(f"'{name[:64]}': there is no shared memory here; send and take bytes")


def _seconds(sent: Sent, settings: Settings) -> float | None:
    timeout = sent.parameter("timeout")
    if timeout is None:
        return None
    # The smaller first: an integer of JSON may be too large for a float.
    return min(_positive(timeout, "timeout", "microseconds"), settings.request_timeout * 1e6) / 1e6


def _positive(value: object, name: str, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Malformed(f"the parameter {name} must be {what}, an integer of 1 or more")
    return value


def _numbers(part: Part, sent: Sent) -> Array:
    if sent.raw[0] is not None:
        return tensors.numbers_of_raw(sent.raw[0], part.input, sent.shape)
    return tensors.numbers_of_json(sent.json.inputs[0].data, part.input, sent.shape)


async def _pictures(request: Request, part: Part, sent: Sent, wanted: Sequence[Wanted]) -> Rows:
    """The decoded files as the model takes them: one batch, or a list if their sizes differ.

    Raises:
        Malformed: another shape than [B] or [B,1]; or sizes that differ, and tensors wanted.
        RequestError: one of them is no image, or of a size that the model does not take.
    """
    shape, name = sent.shape, part.input.name
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise Malformed(f"files are BYTES of shape [-1] or [-1,1], got {list(shape[:16])}")
    settings: Settings = request.app.state.settings
    check_batch(part, shape[0], settings)
    if sent.raw[0] is not None:
        encoded = tensors.strings_of_raw(sent.raw[0], name, shape)
    else:
        texts = tensors.strings_of_json(sent.json.inputs[0].data, name, shape)
        encoded = [decode_base64(text, f"{name}[{i}]") for i, text in enumerate(texts)]
    decoded = await decode(request, encoded, images_sent=len(encoded))
    image = part.served.manifest.image
    pictures = await fitted(together(decoded), image, "exact")
    tensors_wanted = any(output.datatype != "BYTES" for output in wanted)
    if tensors_wanted and any(channels != image.channels for *_, channels in shapes(pictures)):
        raise Malformed(
            f"colour images do not fit in the tensor {part.input}: send them grey, or let files "
            'come back (the parameter "datatype": "BYTES")'
        )
    part.check_pixels(sum(height * width for height, width, _ in map(np.shape, pictures)), settings)
    if isinstance(pictures, list) and tensors_wanted:
        raise Malformed(
            "images of different sizes do not fit in one tensor: send them one by one, or let "
            'files come back (the parameter "datatype": "BYTES")'
        )
    return pictures


async def _run(request: Request, part: Part, taken: Rows, seconds: float | None) -> Sequence[Rows]:
    """The part's outputs: each one array, or a list of images if they came as one."""
    try:
        return await run_each(request, part.served, part.verb, taken, seconds=seconds)
    except DeadlineExceeded as error:  # the protocol's clients know 503, not 504
        raise Overloaded(error.detail, headers={"Retry-After": "1"}) from None


async def _answer(
    part: Part, sent: Sent, wanted: Sequence[Wanted], made: Sequence[Rows]
) -> Response:
    def write() -> Response:
        return wire.answer(part, sent, [_output(part, sent, w, made[w.place]) for w in wanted])

    written = [made[w.place] for w in wanted if w.datatype == "BYTES" or not w.binary]
    return await aside(write, pixels=sum(map(size, written)))


def _output(part: Part, sent: Sent, wanted: Wanted, values: Rows) -> Output:
    name, count = wanted.spec.name, len(values)
    if wanted.top:
        classes = part.served.manifest.classes
        best = [text for row in values for text in _most_probable(row, wanted.top, classes)]
        return Output(name, "BYTES", (count, wanted.top), best, wanted.binary)
    if wanted.datatype == "BYTES":
        # As they were sent: [B,1] for [B,1].
        shape = sent.shape if len(sent.shape) <= 2 else (count,)
        return Output(name, "BYTES", shape, list(map(encode_png, values)), wanted.binary)
    assert isinstance(values, np.ndarray)
    return Output(name, wanted.datatype, values.shape, values, wanted.binary)


def _most_probable(row: Array, count: int, classes: Sequence[str]) -> list[bytes]:
    """The classes with the highest probabilities as Triton writes them: value:index:label."""
    order = np.argsort(-row, kind="stable")[:count]
    return [f"{row[i]:f}:{i}:{classes[i]}".encode() for i in order]
