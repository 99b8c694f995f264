"""Block devices as a person names them, turned into the MAJOR:MINOR that cgroupfs wants."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import replace
from pathlib import Path

from nsmagic.linux.cgroups.hierarchies import ROOT
from nsmagic.wish.errors import CgroupError
from nsmagic.wish.limits import DeviceRates


def resolved(value: DeviceRates, root: Path = ROOT) -> DeviceRates:
    """Return the same rates of MAJOR:MINOR; CgroupError for what is no whole block device here."""
    number = _number(value.device, root)
    entry = root / "sys/dev/block" / number
    if not entry.exists():
        raise CgroupError(f"io: there is no block device {value.device}", hint=_devices(root))
    if (entry / "partition").exists():
        disk = Path(os.path.realpath(entry)).parent.name
        raise CgroupError(
            f"io: {value.device} is a partition, and Linux limits whole disks",
            hint=f"io={disk}:...",
        )
    return replace(value, device=number)


def _number(device: str, root: Path) -> str:
    if re.fullmatch(r"\d+:\d+", device, re.ASCII):
        return device
    try:
        if device.startswith("/"):
            status = (root / device.lstrip("/")).stat()
            if not stat.S_ISBLK(status.st_mode):
                raise CgroupError(f"io: {device} is no block device", hint=_devices(root))
            return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        return (root / "sys/class/block" / device / "dev").read_text().strip()
    except OSError:
        raise CgroupError(f"io: there is no block device {device}", hint=_devices(root)) from None


def _devices(root: Path) -> str:
    try:
        names = sorted(os.listdir(root / "sys/block"))
    except OSError:
        names = []
    return f"There is: {', '.join(names)}" if names else "lsblk lists them."
