"""What a call can raise, beside `ValueError` for pictures that could never be sent.

ServiceError
├── Unreachable        no answer: nothing listens there, or it came too late, or half of it
├── Refused            4xx: the detail says what would have worked
│   ├── NotFound         404  no such model or version
│   ├── AbilityMissing   409  the model cannot do this
│   ├── TooLarge         413  one picture that is too large by itself
│   └── Unprocessable    422  not an image, a wrong size, an option out of range
├── Overloaded         429, 503: still so after the retries; `retry_after` says when to come back
├── DeadlineExceeded   504
└── Faulty             any other answer that is not this service's: its fault, or another's URL
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from service.errors import AutoencoderError


class ServiceError(AutoencoderError):
    """A call that failed. `status` is 0 where there was no answer.

    `detail` is a sentence for a person; `extra` holds the further members of the problem document
    (`index`: the place of the picture at fault); `request_id` finds the call in the server's log.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int = 0,
        title: str = "",
        extra: Mapping[str, object] | None = None,
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.title = title
        self.extra = dict(extra or {})
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        says = f"{self.title}: {self.detail}" if self.title else self.detail
        where = [f"status {self.status}"] if self.status else []
        where += [f"request {self.request_id}"] if self.request_id else []
        return f"{says} ({', '.join(where)})" if where else says


class Unreachable(ServiceError): ...


class Refused(ServiceError): ...


class NotFound(Refused): ...


class AbilityMissing(Refused): ...


class TooLarge(Refused): ...


class Unprocessable(Refused): ...


class Overloaded(ServiceError): ...


class DeadlineExceeded(ServiceError): ...


class Faulty(ServiceError): ...


_KINDS: dict[int, type[ServiceError]] = {
    404: NotFound,
    409: AbilityMissing,
    413: TooLarge,
    422: Unprocessable,
    429: Overloaded,
    503: Overloaded,
    504: DeadlineExceeded,
}


def from_answer(status: int, headers: Mapping[str, str], body: bytes) -> ServiceError:
    """The exception of an answer whose status is 400 or more."""
    kind = _KINDS.get(status) or (Refused if 400 <= status < 500 else Faulty)
    try:
        problem = json.loads(body)
        if not isinstance(problem, dict):
            raise TypeError
    except (ValueError, TypeError):  # a gateway's own words, or another server's
        problem = {"detail": f"the answer is no problem document: {body[:200]!r}"}
    known = {"type", "title", "status", "detail", "request_id"}
    return kind(
        str(problem.get("detail", "")),
        status=status,
        title=str(problem.get("title", "")),
        extra={name: value for name, value in problem.items() if name not in known},
        request_id=str(problem.get("request_id") or headers.get("X-Request-ID", "")),
        retry_after=seconds_of(headers.get("Retry-After", "")),
    )


def seconds_of(retry_after: str) -> float | None:
    """Seconds in a Retry-After header; None for a date, which this service never sends."""
    return float(retry_after) if retry_after.isdecimal() else None
