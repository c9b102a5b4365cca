"""The inference protocol's logging and trace extensions.

Like a load or unload, a change is of the process that answers.
"""

from __future__ import annotations

import logging
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import Malformed
from service.protocol import parts, wire
from service.routes.inference_protocol import RESPONSES, Model, json_body
from service.routes.running import catalog_of

router = APIRouter(prefix="/v2", tags=["inference protocol"], responses=RESPONSES)

_LOGGER = "service"


class LogSettings(BaseModel):
    """What is logged; a level includes those above it, and errors are always logged."""

    model_config = ConfigDict(extra="forbid", strict=True)

    log_error: Literal[True] = True
    log_warning: bool
    log_info: bool
    log_verbose_level: int = Field(ge=0, description="above 0: everything")
    log_file: Literal[""] = Field(default="", description="empty: standard error")
    log_format: Literal["default"] = Field(
        default="default", description="text or JSON is chosen at the start"
    )


class TraceSettings(BaseModel):
    """Nothing is traced: the header `Server-Timing` has the phases of each answer instead."""

    model_config = ConfigDict(extra="forbid", strict=True)

    trace_level: list[Literal["OFF"]] = ["OFF"]
    trace_rate: Literal["1000"] = "1000"
    trace_count: Literal["-1"] = "-1"
    log_frequency: Literal["0"] = "0"
    trace_file: Literal[""] = ""
    trace_mode: Literal["triton"] = "triton"


@router.get("/logging")
async def log_settings() -> LogSettings:
    """What is logged."""
    level = logging.getLogger(_LOGGER).getEffectiveLevel()
    return LogSettings(
        log_warning=level <= logging.WARNING,
        log_info=level <= logging.INFO,
        log_verbose_level=int(level <= logging.DEBUG),
    )


@router.post("/logging", openapi_extra=json_body({"type": "object"}))
async def change_log_settings(request: Request) -> LogSettings:
    """Changes what is logged, until the process ends; the answer is what is in force."""
    sent = await wire.read_object(request)
    try:
        wanted = LogSettings.model_validate((await log_settings()).model_dump() | sent)
    except ValidationError as error:
        raise _refused(error, "log_info or log_warning as true or false") from None
    if wanted.log_verbose_level:
        level = logging.DEBUG
    elif wanted.log_info:
        level = logging.INFO
    else:
        level = logging.WARNING if wanted.log_warning else logging.ERROR
    logging.getLogger(_LOGGER).setLevel(level)
    return await log_settings()


@router.get("/trace/setting")
async def trace_settings() -> TraceSettings:
    """Nothing is traced."""
    return TraceSettings()


@router.get("/models/{model}/trace/setting")
async def model_trace_settings(request: Request, model: Model) -> TraceSettings:
    """Nothing is traced."""
    parts.find(catalog_of(request), model)
    return TraceSettings()


@router.post("/trace/setting", openapi_extra=json_body({"type": "object"}))
async def change_trace_settings(request: Request) -> TraceSettings:
    """Takes only the settings that are in force, or null for them: nothing is traced."""
    sent = await wire.read_object(request)
    try:
        return TraceSettings.model_validate({k: v for k, v in sent.items() if v is not None})
    except ValidationError as error:
        raise _refused(error, 'only {"trace_level": ["OFF"]}, and read Server-Timing') from None


@router.post("/models/{model}/trace/setting", openapi_extra=json_body({"type": "object"}))
async def change_model_trace_settings(request: Request, model: Model) -> TraceSettings:
    """Takes only the settings that are in force, or null for them: nothing is traced."""
    parts.find(catalog_of(request), model)
    return await change_trace_settings(request)


def _refused(error: ValidationError, works: str) -> Malformed:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))[:64]
    return Malformed(f"{where}: {first['msg']}; send {works}")
