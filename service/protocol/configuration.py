"""A part of a model as the protocol describes it: metadata, configuration, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.protocol.parts import Part, TensorSpec
from service.protocol.schemas import (
    BatchStatistics,
    Count,
    InferenceStatistics,
    ModelMetadata,
    ModelStatistics,
    TensorMetadata,
)
from service.settings import Settings
from service.statistics import Duration

PLATFORM = "onnxruntime_onnx"
FILES = "BYTES [-1], an image file an element: PNG, JPEG, WebP, BMP or TIFF; PNG comes back"


def metadata(part: Part, versions: Sequence[Part]) -> ModelMetadata:
    """The tensors that a part takes and gives, and the versions that there are of it."""
    return ModelMetadata(
        name=part.name,
        versions=[str(each.served.manifest.version) for each in versions],
        platform=PLATFORM,
        inputs=[_tensor(part, part.input)],
        outputs=[_tensor(part, spec) for spec in part.outputs],
    )


def _tensor(part: Part, spec: TensorSpec) -> TensorMetadata:
    channelwise = part.served.manifest.image.channelwise
    files = f"{FILES}, colour files channel by channel" if channelwise else FILES
    also = {"also": files} if spec.name == "images" else None
    shape = list(spec.shape)
    return TensorMetadata(name=spec.name, datatype=spec.datatype, shape=shape, parameters=also)


def config(part: Part, settings: Settings) -> dict[str, Any]:
    """The configuration that Triton's model_configuration extension defines.

    `max_batch_size` is what a request may bring; it runs in pieces of `max_batch`.
    """
    card = part.served.manifest
    kind = "KIND_GPU" if settings.device == "cuda" else "KIND_CPU"
    return {
        "name": part.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"all": {}},
        "max_batch_size": settings.max_images,
        "input": [_config_tensor(part.input)],
        "output": [_config_tensor(spec) for spec in part.outputs],
        "instance_group": [{"name": part.name, "kind": kind, "count": 1}],
        "dynamic_batching": {
            "preferred_batch_size": [settings.max_batch],
            "max_queue_delay_microseconds": 0,
            "default_queue_policy": {"max_queue_size": settings.max_waiting},
        },
        "parameters": {
            "summary": {"string_value": card.summary},
            **({"classes": {"string_value": ",".join(card.classes)}} if card.classes else {}),
        },
    }


def _config_tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": f"TYPE_{spec.datatype}", "dims": list(spec.shape[1:])}


def statistics(part: Part) -> ModelStatistics:
    """What the part's queue did since the model was loaded."""
    seen = part.served.statistics(part.verb)
    runs = sorted(dict(seen.runs).items())
    return ModelStatistics(
        name=part.name,
        version=str(part.served.manifest.version),
        last_inference=round(seen.last * 1000),
        inference_count=seen.images,
        execution_count=sum(run.infer.count for _, run in runs),
        inference_stats=InferenceStatistics(
            success=_count(seen.success),
            fail=_count(seen.fail),
            queue=_count(seen.queue),
            compute_input=_count(seen.read),
            compute_infer=_count(seen.infer),
            compute_output=_count(seen.write),
        ),
        batch_stats=[
            BatchStatistics(
                batch_size=size,
                compute_input=_count(run.join),
                compute_infer=_count(run.infer),
                compute_output=_count(run.split),
            )
            for size, run in runs
        ],
    )


def _count(duration: Duration) -> Count:
    return Count(count=duration.count, ns=round(duration.seconds * 1e9))
