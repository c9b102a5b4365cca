"""Who may call: API keys from a file, swapped while serving, each with scopes and a rate.

[alice]                     # a name for the logs
sha256 = "<64 hex digits>"  # of the key, which itself stands nowhere
scopes = ["use"]            # use, metrics, admin; default: use
rate = 20                   # requests a second on average; default: no limit
burst = 40                  # at once; default: a second's worth
"""

from __future__ import annotations

import hashlib
import logging
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.types import Scope

from service.errors import Forbidden, KeysError, TooManyRequests, Unauthorized
from service.visit import visit_of

log = logging.getLogger(__name__)

Permission = Literal["use", "metrics", "admin"]

_LOOK = 1.0  # seconds between two looks at the file
# What says nothing about the models, and runs none: probes, and the pages' own files.
_OPEN = {"/", "/docs", "/openapi.json", "/health/live", "/health/ready"}
_OPEN |= {"/v2/health/live", "/v2/health/ready"}
_OPEN_FOLDERS = ("/page/", "/static-offline-docs/", "/docs/")
_ADMIN = ("/v2/repository/models/", "/v2/logging", "/v2/trace/", "/v2/models/")


class Key(BaseModel):
    """One caller's key, as the file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scopes: frozenset[Permission] = frozenset({"use"})
    rate: Annotated[float, Field(gt=0)] | None = None
    burst: Annotated[int, Field(ge=1)] | None = None


_FILE = TypeAdapter(dict[str, Key])


class Bucket:
    """Tokens that come back at a rate: one a request."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = max(1.0, burst)
        self._tokens = self._burst
        self._since = time.monotonic()

    def take(self) -> float:
        """0 if there was a token, else the seconds until there is one."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + self._rate * (now - self._since))
        self._since = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate


class Keys:
    """The keys of a file, read again when it changes; a fault in it leaves those that were.

    Keys are compared by their digests, so that the time it takes says nothing about any of them.
    A rate is of the whole service: each of its workers gives its share.
    """

    def __init__(self, path: Path, *, workers: int = 1) -> None:
        self._path = path
        self._workers = workers
        self._by_digest: dict[str, tuple[str, Key]] = {}
        self._buckets: dict[str, tuple[Key, Bucket]] = {}
        self._looked = time.monotonic()
        self._seen = self._version()
        self._read()

    def check(self, scope: Scope) -> None:
        """Lets the request pass, if it may; its visit gets the key's name as `caller`.

        Raises:
            Unauthorized: no key, or none that is known.
            Forbidden: the key is not for this.
            TooManyRequests: more than its rate.
        """
        self._follow()
        needed = _needed(scope["method"], scope["path"])
        if needed is None:
            return
        visit = visit_of(scope)
        found = self._by_digest.get(hashlib.sha256(_sent(visit.headers)).hexdigest())
        if found is None:
            raise Unauthorized(
                "send an API key that is known here: Authorization: Bearer KEY, or X-API-Key: KEY",
                reason="key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        name, key = found
        visit.caller = name
        if needed not in key.scopes:
            raise Forbidden(
                f"this key may {' and '.join(sorted(key.scopes)) or 'nothing'}, and this request "
                f"needs one with the scope {needed!r}",
                reason="scope",
            )
        bucket = self._bucket(name, key)
        if bucket and (seconds := bucket.take()):
            raise TooManyRequests.after(
                seconds, f"this key has {key.rate:g} requests a second", reason="rate"
            )

    def _bucket(self, name: str, key: Key) -> Bucket | None:
        if key.rate is None:
            return None
        known = self._buckets.get(name)
        if known is None or known[0] != key:
            rate, burst = key.rate / self._workers, (key.burst or key.rate) / self._workers
            known = self._buckets[name] = key, Bucket(rate, burst)
        return known[1]

    def _follow(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        if (version := self._version()) != self._seen:
            self._seen = version
            try:
                self._read()
            except KeysError as error:
                log.error("the keys stay as they were: %s", error)
            else:
                log.info("%d keys read anew", len(self._by_digest))

    def _version(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> None:
        try:
            keys = _FILE.validate_python(tomllib.loads(self._path.read_text()))
        except OSError as error:
            raise KeysError(f"the file of API keys cannot be read: {error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise KeysError(f"the file of API keys is not TOML: {error}") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise KeysError(f"the file of API keys: {where}: {first['msg']}") from None
        self._by_digest = {key.sha256: (name, key) for name, key in keys.items()}


def _sent(headers: Mapping[bytes, bytes]) -> bytes:
    """The key that the request brought; empty without one."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return token.strip()
    return headers.get(b"x-api-key", b"")


def _needed(method: str, path: str) -> Permission | None:
    """The scope that a request needs; None where everybody may."""
    if path in _OPEN or path.startswith(_OPEN_FOLDERS):
        return None
    if path == "/metrics":
        return "metrics"
    infers = path.startswith("/v2/models/") and path.endswith("/infer")
    if method == "POST" and path.startswith(_ADMIN) and not infers:
        return "admin"
    return "use"
