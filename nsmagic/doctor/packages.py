"""Which distribution this is, and which of its packages has a program."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Final

# By the words of ID and ID_LIKE, os-release(5).
_INSTALL: Final = {
    "debian": "apt install", "fedora": "dnf install", "alpine": "apk add", "arch": "pacman -S",
    "suse": "zypper install",
}  # fmt: skip
# As `debian`, unless named.
_PACKAGES: Final[dict[str, dict[str, str]]] = {
    "unshare": {"debian": "util-linux"},
    "nsenter": {"debian": "util-linux"},
    "lsns": {"debian": "util-linux"},
    "newuidmap": {
        "debian": "uidmap", "fedora": "shadow-utils", "alpine": "shadow-subids", "arch": "shadow",
        "suse": "shadow",
    },
    "strace": {"debian": "strace"},
    "ip": {"debian": "iproute2", "fedora": "iproute"},
    "ss": {"debian": "iproute2", "fedora": "iproute"},
    "nft": {"debian": "nftables"},
    "ps": {"debian": "procps", "fedora": "procps-ng", "arch": "procps-ng"},
    "bash": {"debian": "bash"},
}  # fmt: skip


def read_release(file: Path = Path("/etc/os-release")) -> dict[str, str]:
    """Return the fields of os-release(5); none where there is no such file, or another one."""
    try:
        lines = [line.partition("=")[::2] for line in file.read_text().splitlines()]
        return {name: " ".join(shlex.split(value)) for name, value in lines}
    except (OSError, ValueError):
        return {}


def install(program: str) -> str:
    """Return the command that installs the program on this distribution, or what to look for."""
    names = _PACKAGES[program]
    fields = read_release()
    for family in f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".split():
        if family in _INSTALL:
            sudo = "sudo " if os.geteuid() else ""
            return f"{sudo}{_INSTALL[family]} {names.get(family, names['debian'])}"
    return f"Install the package that has {program} (Debian's is {names['debian']})."
