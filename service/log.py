"""What the logs look like; only entry points call this."""

from __future__ import annotations

from typing import Any, Literal

from pythonjsonlogger.core import RESERVED_ATTRS

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def configuration(style: Literal["text", "json"], level: str) -> dict[str, Any]:
    """A `logging.config` dictionary: every logger to stderr, as text or one JSON object a line."""
    json_lines = {
        "()": "pythonjsonlogger.json.JsonFormatter",
        "format": "%(levelname)s %(name)s %(message)s",
        "rename_fields": {"levelname": "level", "name": "logger"},
        "reserved_attrs": [*RESERVED_ATTRS, "color_message"],  # uvicorn's, for terminals
        "timestamp": True,
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": json_lines if style == "json" else {"format": _TEXT}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
    }
