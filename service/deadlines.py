"""How long a caller is ready to wait, in its own words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from service.errors import Malformed

HEADER = "X-Request-Timeout"
NAME = HEADER.lower().encode()

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?|\.\d{1,9}")


def patience(headers: Mapping[bytes, bytes]) -> float:
    """Seconds from the request's arrival, of the header X-Request-Timeout; infinity without it.

    Raises:
        Malformed: it is not a number above 0.
    """
    sent = headers.get(NAME)
    if sent is None:
        return math.inf
    given = sent.decode("latin-1")
    if not _SECONDS.fullmatch(given) or not (seconds := float(given)):
        raise Malformed(f"{HEADER}: {given[:32]!r} must be seconds above 0, as in 2 or 0.25")
    return seconds
