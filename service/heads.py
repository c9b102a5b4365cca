"""What the head of a request says; and what heads said that came before, byte for byte the same.

Who sends many pictures sends few different heads: they differ by the length of what follows. The
parser calls Python for each line of one, and what the lines mean is worked out anew each time;
together that takes as long as a small network does for the picture. So what the parser has said
of a head is remembered, and the same bytes mean the same again.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from httptools import parse_url

# By which a proxy says who called it, and how.
_PROXIES = {b"x-forwarded-for", b"x-forwarded-proto"}
# What makes more of a request than a head and so many bytes, or less of a connection.
_UNUSUAL = {b"transfer-encoding", b"expect", b"upgrade"}
_KEEP_ALIVE = b"keep-alive"

_MOST, _LONGEST = 512, 2048  # heads that are remembered, and the bytes of one


class Head:
    """A request's head. All requests that have it share it, so that nothing of it may change.

    `scope` is what of an ASGI scope follows from it alone. `named` has of headers that were sent
    twice the first, as starlette's Headers do.
    """

    __slots__ = ("expects", "keep_alive", "named", "proxied", "scope", "url")

    def __init__(
        self,
        url: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        method: str,
        version: str,
        keep_alive: bool,
        asgi: dict[str, str],
    ) -> None:
        headers = tuple(headers)
        path, raw_path, query = parts_of(url)
        self.url = url
        self.named = named = dict(reversed(headers))
        self.keep_alive = keep_alive and version != "1.0"
        self.proxied = not _PROXIES.isdisjoint(named)
        self.expects = named.get(b"expect", b"").lower() == b"100-continue"
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": asgi,
            "http_version": version,
            "headers": headers,
            "method": method,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
        }


class Heads:
    """The heads that came lately, by their bytes."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Head, int]] = {}

    def known(self, packet: bytes) -> tuple[Head, bytes] | None:
        """The head and the body of a packet that is one whole request; None if it is new."""
        end = packet.find(b"\r\n\r\n") + 4
        found = self._known.get(packet[:end])
        return (found[0], packet[end:]) if found and len(packet) == found[1] else None

    def remember(self, packet: bytes, head: Head) -> None:
        """The parser found one whole request in this packet, with that head, and nothing else."""
        named = head.named
        end = packet.find(b"\r\n\r\n") + 4
        body = named.get(b"content-length", b"0")
        if (
            end <= _LONGEST
            and body.isdigit()
            and len(packet) == end + int(body)
            and _UNUSUAL.isdisjoint(named)
            and named.get(b"connection", _KEEP_ALIVE).lower() == _KEEP_ALIVE
            and head.keep_alive
        ):
            if len(self._known) >= _MOST:  # of heads that never come again there is no end
                self._known.clear()
            self._known[packet[:end]] = head, len(packet)


@lru_cache(256)  # whole: a request's line may be as long as its head
def parts_of(url: bytes) -> tuple[str, bytes, bytes]:
    """The path, decoded and as it was sent, and the query of what a request's line names."""
    parsed = parse_url(url)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.path, parsed.query or b""
