"""The numbers that one network namespace has for others, RTM_GETNSID of rtnetlink(7).

Spoken by hand because it is one message of 28 bytes, and importing pyroute2 takes longer than all
else that `%lsns` does.
"""

from __future__ import annotations

import socket
import struct
from typing import Final, Self

UNASSIGNED: Final = -1  # NETNSA_NSID_NOT_ASSIGNED in <linux/net_namespace.h>

_RTM_NEWNSID, _RTM_GETNSID = 88, 90
_NLM_F_REQUEST: Final = 1
_NETNSA_NSID, _NETNSA_FD = 1, 3
# nlmsghdr(length, type, flags, sequence, port), rtgenmsg(family) and its padding, one attribute
# (length, type, value).
_MESSAGE: Final = struct.Struct("=IHHIIB3xHHi")


class NetnsIds:
    """Asks for the ids that our own network namespace has given to others."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def of(self, fd: int) -> int | None:
        """Return the id of an open network namespace, or UNASSIGNED; None where Linux refuses."""
        size = _MESSAGE.size
        request = (size, _RTM_GETNSID, _NLM_F_REQUEST, 0, 0, socket.AF_UNSPEC, 8, _NETNSA_FD, fd)
        try:
            self._socket.send(_MESSAGE.pack(*request))
            answer = self._socket.recv(4096)
        except OSError:
            return None
        if len(answer) < size:
            return None
        _, kind, _, _, _, _, _, attribute, number = _MESSAGE.unpack_from(answer)
        if (kind, attribute) != (_RTM_NEWNSID, _NETNSA_NSID):
            return None
        return int(number)
