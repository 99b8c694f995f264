"""Which package of which distribution has a program."""

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


def install(program: str, release: Path = Path("/etc/os-release")) -> str:
    """Return the command that installs the program on this distribution, or what to look for."""
    names = _PACKAGES[program]
    for family in _families(release):
        if family in _INSTALL:
            sudo = "sudo " if os.geteuid() else ""
            return f"{sudo}{_INSTALL[family]} {names.get(family, names['debian'])}"
    return f"Install the package that has {program} (Debian's is {names['debian']})."


def _families(release: Path) -> list[str]:
    try:
        lines = [line.partition("=")[::2] for line in release.read_text().splitlines()]
    except OSError:
        return []
    fields = {name: " ".join(shlex.split(value)) for name, value in lines}
    return f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".split()
