"""Reads /etc/ld.so.cache, which ldconfig(8) writes: where ld.so(8) looks up libraries by name."""

from __future__ import annotations

import os
import struct
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Final

# glibc's sysdeps/generic/dl-cache.h.  Until 2.31 an older format stood before this one.
_MAGIC: Final = b"glibc-ld.so.cache1.1"
_HEADER: Final = struct.Struct("=20sI24x")  # magic, number of entries
_ENTRY: Final = struct.Struct("=4xII4xQ")  # name, path, CPU features

Cache = dict[str, tuple[str, ...]]


def read_cache(file: Path) -> Cache:
    """Return the paths of each library name; empty without a cache that can be read."""
    try:
        stamp = file.stat()
    except OSError:
        return {}  # ld.so goes on without it, too
    return _read(file, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=2)
def _read(file: Path, _changed: int, _size: int) -> Cache:
    try:
        data = file.read_bytes()
        return _parse(data[max(0, data.find(_MAGIC)) :])
    except (OSError, struct.error):
        return {}


def _parse(data: bytes) -> Cache:
    magic, count = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        return {}
    found = defaultdict[str, list[str]](list)
    for index in range(count):
        name, place, features = _ENTRY.unpack_from(data, _HEADER.size + index * _ENTRY.size)
        path = _text(data, place)
        # The directories for CPU features before glibc-hwcaps are optimised copies, gone since
        # 2.37: every machine's own copy is listed as well.
        if not features or "/glibc-hwcaps/" in path:
            found[_text(data, name)].append(path)
    return {name: tuple(paths) for name, paths in found.items()}


def _text(data: bytes, at: int) -> str:
    return os.fsdecode(data[at : data.find(b"\0", at)])
