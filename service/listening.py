"""How to stop listening without resetting anybody who was let in.

To close a listening socket resets the connections that wait at it, though their callers believe
them open; to accept all that wait first leaves a moment in between. So the system is told to
ignore attempts to connect, what it has let in is accepted, and only then is the socket closed.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct

# Linux's socket(7) and linux/filter.h; Python names neither. The filter sees a segment from its
# TCP header on: byte 13 holds the flags, and a SYN without an ACK is an attempt to connect.
_SO_ATTACH_FILTER = 26
_FILTER = (
    (0x30, 0, 0, 13),  # load byte 13
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone? else skip the next
    (0x06, 0, 0, 0),  # ignored
    (0x06, 0, 0, 0xFFFFFFFF),  # taken whole
)


def let_nobody_in(listener: socket.socket) -> None:
    """Has the system ignore new attempts to connect; those under way come to their end.

    Whoever tries is refused at its next try, about a second later, once the socket is closed.
    Where the system cannot do that, nothing happens.
    """
    instructions = ctypes.create_string_buffer(
        b"".join(struct.pack("HBBI", *instruction) for instruction in _FILTER)
    )
    program = struct.pack("HP", len(_FILTER), ctypes.addressof(instructions))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def let_in(listeners: list[socket.socket]) -> list[socket.socket]:
    """The connections that wait at these sockets, which must not block."""
    connections = []
    for listener in listeners:
        with contextlib.suppress(OSError):  # there is none left
            while True:
                connections.append(listener.accept()[0])
    return connections
