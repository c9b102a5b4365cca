"""What a browser is told about every HTML page of the service."""

from __future__ import annotations

from collections.abc import Iterable

Header = tuple[bytes, bytes]

# Nothing from elsewhere, in nobody's frame. The API's own pages have their scripts inline.
_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def protection(headers: Iterable[Header]) -> tuple[Header, ...]:
    """The headers to add to an answer with these: none unless it is HTML."""
    given = dict(headers)
    if not given.get(b"content-type", b"").startswith(b"text/html"):
        return ()
    added = (
        (b"content-security-policy", _POLICY),
        (b"referrer-policy", b"no-referrer"),
        (b"x-frame-options", b"DENY"),
    )
    return tuple(header for header in added if header[0] not in given)
