"""What can go wrong, and the HTTP status that says so.

AutoencoderError
├── RequestError             4xx, 503, 504: the answer says what would have worked
│   ├── Malformed            400  the body is not what its content type says
│   ├── Unauthorized         401  no API key that is known
│   ├── Forbidden            403  the API key is not for this
│   ├── NotFound             404  no such model or version, with close matches
│   ├── NotAcceptable        406  no answer of the kind asked for
│   ├── AbilityMissing       409  the model cannot do this; here is what it can
│   ├── TooLarge             413  too many bytes, pixels or images
│   ├── UnsupportedMedia     415  no such kind of body
│   ├── Unprocessable        422  well-formed, but not an image, or the wrong size, or out of range
│   ├── OutOfRange           422  an option of the query string
│   ├── TooManyRequests      429  more than the API key's rate; Retry-After says when to come back
│   ├── Overloaded           503  the queue is full; Retry-After says when to come back
│   ├── Stopping             503  the service ends, and had no time to finish this
│   └── DeadlineExceeded     504  the answer would have come too late
└── ManifestError            a model folder that must not be served, and why
├── KeysError                the file of API keys cannot be used
├── TelemetryError           traces were asked for, and what sends them is not installed
└── (runtime) DeviceError    the device asked for is not there
"""

from __future__ import annotations

import math
from typing import ClassVar, Self


class AutoencoderError(Exception):
    """The root of everything this package raises on purpose."""


class RequestError(AutoencoderError):
    """A request that cannot be answered as asked.

    `detail` is one sentence for a person and says what would have worked; `extra` goes into the
    problem document as further members (RFC 9457, section 3.2); `headers` onto the answer;
    `reason` is one word for the metrics, where the status alone does not say it.
    """

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Bad request"

    def __init__(
        self,
        detail: str,
        *,
        reason: str = "",
        extra: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason
        self.extra = extra or {}
        self.headers = headers or {}


class Malformed(RequestError):
    status = 400
    title = "Malformed request"


class Unauthorized(RequestError):
    status = 401
    title = "Unauthorized"


class Forbidden(RequestError):
    status = 403
    title = "Forbidden"


class NotFound(RequestError):
    status = 404
    title = "Not found"


class NotAcceptable(RequestError):
    status = 406
    title = "Not acceptable"


class AbilityMissing(RequestError):
    status = 409
    title = "The model cannot do this"


class TooLarge(RequestError):
    status = 413
    title = "Too large"


class UnsupportedMedia(RequestError):
    status = 415
    title = "Unsupported media type"


class Unprocessable(RequestError):
    status = 422
    title = "Unprocessable content"


class OutOfRange(RequestError):
    status = 422
    title = "Option out of range"


class ComeBack(RequestError):
    """Not now: `Retry-After` has whole seconds (RFC 9110, 10.2.3), the rest milliseconds."""

    @classmethod
    def after(cls, seconds: float, why: str, *, reason: str) -> Self:
        """The refusal, for so long."""
        milliseconds = max(1, math.ceil(seconds * 1000))
        whole = math.ceil(milliseconds / 1000)
        return cls(
            f"{why}: try again in {milliseconds} ms",
            reason=reason,
            extra={"reason": reason, "retry_after_ms": milliseconds},
            headers={"Retry-After": str(whole), "Retry-After-Ms": str(milliseconds)},
        )


class TooManyRequests(ComeBack):
    status = 429
    title = "Too many requests"


class Overloaded(ComeBack):
    status = 503
    title = "Overloaded"


class Stopping(ComeBack):
    status = 503
    title = "Stopping"


class DeadlineExceeded(RequestError):
    status = 504
    title = "Deadline exceeded"


class ManifestError(AutoencoderError):
    """A model folder that does not keep the contract; the message says which part and why."""


class KeysError(AutoencoderError):
    """The file of API keys cannot be used; the message says why."""


class TelemetryError(AutoencoderError):
    """Traces were asked for, and what sends them is not installed."""


class DeviceError(AutoencoderError):
    """The device asked for is not there, and a silent, slower one would be a lie."""
