"""The description of the API, as committed: `python -m service.openapi > docs/openapi.json`."""

from __future__ import annotations

import json
import sys

from service.app import create_app


def document() -> str:
    """The OpenAPI document as text; no model is needed to write it."""
    return json.dumps(create_app().openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
