"""A step of a lab that cannot work on this machine says SKIP and why, and "Run All" goes on.

What was tried when the lab was started decides: nothing is skipped that was not refused then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

# What an isolation magic needs, by name in `nsmagic.labs.needs`.
_OF_MAGIC: Final = {"cgroup": "cgroups", "chroot": "chroot"}
_OF_OPTION: Final = {"mount": "mount", "uts": "uts", "ipc": "ipc", "net": "net", "pid": "pid",
                     "user": "user", "cgroup": "cgroupns", "time": "time"}  # fmt: skip
_OF_LIMIT: Final = {"memhigh": "memhigh", "memory.high": "memhigh"}
_ISOLATED: Final = re.compile(r"%%?(unshare|cgroup|chroot|nsenter)\b")
# These look and need nothing.
_LOOKS: Final = re.compile(r"%cgroup\s*(controllers|tree|off)?\s*")


class Skips:
    """An input transformer of IPython; idle unless a lab was started that lacks something."""

    def __init__(self) -> None:
        self._missing: Mapping[str, str] = {}
        self._boxes: set[str] = set()
        self._ran = False

    def begin(self, missing: Mapping[str, str]) -> None:
        """Begin a lab (or none): `missing` says of unmet needs why."""
        self._missing, self._boxes, self._ran = missing, set(), False

    def __call__(self, lines: list[str]) -> list[str]:
        """Return the cell, or one that says why it is skipped."""
        if not self._missing:
            return lines
        for line in lines:
            if line.startswith("%") and (why := self._refused(line)):
                return [f"print({'SKIP: ' + why!r})\n"]
            self._ran |= _ISOLATED.match(line) is not None and not _LOOKS.fullmatch(line)
            if line.strip() and not line.startswith(("#", "%%", "%cgroup")):
                break
        return lines

    def _refused(self, line: str) -> str:
        magic, *words = line.lstrip("%").split() or [""]
        if magic == "lab" or _LOOKS.fullmatch(line):
            return ""
        named = words[words.index("--name") + 1] if "--name" in words[:-1] else ""
        for box in self._boxes & set(words) - {named}:
            return f"the box {box} could not be made here"
        needs = [_OF_MAGIC.get(magic, "")]
        if magic == "cgroup":
            needs += [_OF_LIMIT.get(word.partition("=")[0], "") for word in words]
        if magic == "unshare":
            options = _options(words)
            needs += [_OF_OPTION.get(option, "") for option in options]
            # unshare(1) implies it.
            needs += ["user"] * any(option.startswith("map-") for option in options)
        if magic == "nsdiff" and "--last" in words and not self._ran:
            needs += self._missing
        why = next((self._missing[need] for need in needs if need in self._missing), "")
        if why and named:
            self._boxes.add(named)
        return why


@cache
def _letters() -> dict[str, str]:
    # Imported now: loading nsmagic does not wait for what one may never ask for.
    from nsmagic.wish.options import UNSHARE

    return {row.short: row.name for row in UNSHARE.options if row.short}


def _options(words: list[str]) -> list[str]:
    found = []
    for word in words:
        if word.startswith("--"):
            found.append(word[2:].partition("=")[0])
        elif word.startswith("-"):
            found += [_letters().get(letter, "") for letter in word[1:]]
        else:
            break
    return found
