"""The protocol's JSON documents, as OpenAPI shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Parameters = Annotated[
    dict[str, Any] | None, Field(description="options; unknown ones are ignored")
]


class Error(BaseModel):
    """What went wrong, and what would have worked."""

    error: str


class Live(BaseModel):
    """The process answers."""

    live: bool = True


class Ready(BaseModel):
    """Whether a known image just gave its known answer through every model's real queue."""

    ready: bool
    error: str | None = Field(default=None, description="which models did not, and why")


class ModelReady(Ready):
    """The same of one model."""

    name: str


class ServerMetadata(BaseModel):
    """Who serves, and what it can do beyond the bare protocol."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """One input or output."""

    name: str
    datatype: Literal["UINT8", "FP32"]
    shape: list[int] = Field(description="-1: any; the first axis is the batch")
    parameters: dict[str, str] | None = Field(
        default=None, description="`also`: another datatype that the tensor may have, and how"
    )


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str = "onnxruntime_onnx"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InferenceInput(BaseModel):
    """A tensor in a request: `data`, or bytes after the JSON and the parameter that counts them."""

    model_config = ConfigDict(strict=True)

    name: str
    shape: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(max_length=16)
    datatype: str = Field(description="UINT8, FP32, or BYTES for files of images")
    parameters: Parameters = Field(default=None, examples=[{"binary_data_size": 784}])
    data: Any = Field(default=None, description="row by row, flat or nested as the shape is")


class RequestedOutput(BaseModel):
    """An output to give, and how."""

    model_config = ConfigDict(strict=True)

    name: str
    parameters: Parameters = Field(default=None, examples=[{"binary_data": True}])


class InferenceRequest(BaseModel):
    """The JSON of a request."""

    model_config = ConfigDict(strict=True)

    id: str | None = Field(default=None, description="comes back with the answer")
    parameters: Parameters = Field(default=None, examples=[{"binary_data_output": False}])
    inputs: list[InferenceInput]
    outputs: list[RequestedOutput] | None = Field(default=None, description="default: all")


class InferenceOutput(BaseModel):
    """A tensor in an answer: `data`, or bytes after the JSON and the parameter that counts them."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: list[int | float | str] | None = None


class InferenceAnswer(BaseModel):
    """The JSON of an answer."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferenceOutput]


class Count(BaseModel):
    """How often, and nanoseconds altogether."""

    count: int
    ns: int


class InferenceStatistics(BaseModel):
    """Per request. `compute_input` and `compute_output` count those of this protocol only."""

    success: Count
    fail: Count
    queue: Count
    compute_input: Count = Field(description="reading tensors, decoding images")
    compute_infer: Count
    compute_output: Count = Field(description="encoding images, writing tensors")


class BatchStatistics(BaseModel):
    """Per run of one batch size, whatever requests it joined."""

    batch_size: int
    compute_input: Count
    compute_infer: Count
    compute_output: Count


class ModelStatistics(BaseModel):
    """One model since it was loaded, over both APIs; canaries of readiness count too."""

    name: str
    version: str
    last_inference: int = Field(description="milliseconds since 1970")
    inference_count: int = Field(description="images")
    execution_count: int = Field(description="runs: fewer, where requests were joined")
    inference_stats: InferenceStatistics
    batch_stats: list[BatchStatistics]


class StatisticsAnswer(BaseModel):
    """The statistics of some models."""

    model_stats: list[ModelStatistics]


class IndexRequest(BaseModel):
    """Which models to list."""

    ready: bool = Field(default=False, description="only those that can be used")


class IndexEntry(BaseModel):
    """One version in the repository."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = ""
