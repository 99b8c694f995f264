"""Making links and tables by netlink(7), with the errno that Linux gives.

ip(8) and nft(8) need not be there and say errors in their own words, and loading pyroute2 takes as
long as all other checks together.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

_REQUEST, _ACK, _EXCL, _CREATE = 0x1, 0x4, 0x200, 0x400
_ERROR: Final = 2  # NLMSG_ERROR
_NESTED: Final = 0x8000

# of rtnetlink(7) and linux/if_link.h
_NEWLINK: Final = 16
_IFNAME, _LINKINFO, _INFO_KIND, _INFO_DATA, _VETH_PEER = 3, 18, 1, 2, 1
_IFINFO: Final = bytes(16)  # struct ifinfomsg: any family, a new index, no flags

# of linux/netfilter/nfnetlink.h and nf_tables.h
_NETFILTER: Final = 12
_BATCH_BEGIN, _BATCH_END, _NFTABLES = 16, 17, 10
_NEWTABLE, _NEWCHAIN = 0, 3
_TABLE_NAME, _CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_TYPE = 1, 1, 3, 4, 7
_HOOK_NUMBER, _HOOK_PRIORITY, _POSTROUTING, _SRCNAT = 1, 2, 4, 100


def add_veth(one: str, two: str) -> None:
    """Make a pair of virtual Ethernet links, veth(4)."""
    _add_link(one, "veth", _attribute(_VETH_PEER, _IFINFO + _attribute(_IFNAME, _text(two))))


def add_bridge(name: str) -> None:
    """Make a bridge, as `ip link add NAME type bridge` does."""
    _add_link(name, "bridge", b"")


def add_nat_table(name: str) -> None:
    """Make a table of nftables with a chain that can masquerade."""
    hook = _attribute(_HOOK_NUMBER, struct.pack(">I", _POSTROUTING))
    hook += _attribute(_HOOK_PRIORITY, struct.pack(">I", _SRCNAT))
    chain = _attribute(_CHAIN_TABLE, _text(name)) + _attribute(_CHAIN_NAME, _text("nat"))
    chain += _attribute(_CHAIN_HOOK | _NESTED, hook) + _attribute(_CHAIN_TYPE, _text("nat"))
    batch = struct.pack(">BBH", socket.AF_UNSPEC, 0, _NFTABLES)
    family = struct.pack(">BBH", socket.AF_INET, 0, 0)
    wanted = _REQUEST | _ACK | _CREATE
    _talk(
        _NETFILTER,
        _message(_BATCH_BEGIN, _REQUEST, batch),
        _message(_NFTABLES << 8 | _NEWTABLE, wanted, family + _attribute(_TABLE_NAME, _text(name))),
        _message(_NFTABLES << 8 | _NEWCHAIN, wanted, family + chain),
        _message(_BATCH_END, _REQUEST, batch),
        answers=2,
    )


def _add_link(name: str, kind: str, data: bytes) -> None:
    info = _attribute(_INFO_KIND, kind.encode())
    info += _attribute(_INFO_DATA | _NESTED, data) if data else b""
    payload = _IFINFO + _attribute(_IFNAME, _text(name)) + _attribute(_LINKINFO | _NESTED, info)
    message = _message(_NEWLINK, _REQUEST | _ACK | _CREATE | _EXCL, payload)
    _talk(socket.NETLINK_ROUTE, message)


def _text(text: str) -> bytes:
    return text.encode() + b"\0"


def _attribute(kind: int, payload: bytes) -> bytes:
    padding = bytes(-len(payload) % 4)
    return struct.pack("=HH", 4 + len(payload), kind) + payload + padding


def _message(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, 1, 0) + payload


def _talk(protocol: int, *messages: bytes, answers: int = 1) -> None:
    """Send and take the answers; OSError with the first errno among them."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as sock:
        sock.sendall(b"".join(messages))
        while answers > 0:
            data = sock.recv(65536)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == _ERROR:
                    (number,) = struct.unpack_from("=i", data, 16)
                    if number:
                        raise OSError(-number, os.strerror(-number))
                    answers -= 1
                data = data[(length + 3) & ~3 :]
