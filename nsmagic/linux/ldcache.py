"""Reads /etc/ld.so.cache, which ldconfig(8) writes: where ld.so(8) looks up libraries by name."""

from __future__ import annotations

import os
import struct
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Final

# glibc: sysdeps/generic/dl-cache.h.  Until 2.31 this format stood behind an older one.
_MAGIC: Final = b"glibc-ld.so.cache1.1"
_OLD_MAGIC: Final = b"ld.so-1.7.0\0"
_HEADER: Final = struct.Struct("=20sIIB3xI12x")
_ENTRY: Final = struct.Struct("=iIIIQ")  # flags, name, path, Linux version, CPU capabilities

Cache = dict[str, tuple[str, ...]]


def read_cache(file: Path) -> Cache:
    """Return the paths of each library name, best first; empty without a cache that can be read."""
    try:
        stamp = file.stat()
    except OSError:
        return {}
    return _read(file, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=2)
def _read(file: Path, _changed: int, _size: int) -> Cache:
    try:
        data = file.read_bytes()
        return _parse(data[max(0, data.find(_MAGIC)) :])
    except (OSError, struct.error):
        return {}  # ld.so goes on without it, too


def _parse(data: bytes) -> Cache:
    magic, count, _, _, _ = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        return {}
    found = defaultdict[str, list[str]](list)
    for index in range(count):
        _, name, path, _, _ = _ENTRY.unpack_from(data, _HEADER.size + index * _ENTRY.size)
        found[_text(data, name)].append(_text(data, path))
    return {name: tuple(paths) for name, paths in found.items()}


def _text(data: bytes, at: int) -> str:
    return os.fsdecode(data[at : data.find(b"\0", at)])
