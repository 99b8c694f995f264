"""Finds the libraries of a program as ld.so(8) would, below any root; executes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Final

from nsmagic.linux.elf import DamagedError, Elf, read_elf
from nsmagic.linux.ldcache import Cache, read_cache
from nsmagic.linux.rooted import walk
from nsmagic.wish.missing import Missing

CACHE: Final = "/etc/ld.so.cache"
# What x86-64 CPUs must have for the directories glibc-hwcaps/x86-64-v*, in the words of
# /proc/cpuinfo (x86-64 psABI).  On other machines the libraries for every CPU are taken.
_LEVELS: Final = {
    "x86-64-v2": "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3",
    "x86-64-v3": "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave",
    "x86-64-v4": "avx512f avx512bw avx512cd avx512dq avx512vl",
}
_MUSL: Final = re.compile(r"/ld-musl-([^/]+)\.so\.1$")
_MUSL_OWN: Final = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\.")  # ldso/dynlink.c: all in one


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A program or library in memory: its path below the root, and what asked for it."""

    path: str
    origin: str
    elf: Elf
    by: Loaded | None = None

    @property
    def chain(self) -> Iterator[Loaded]:
        """Itself, what asked for it, and so on up to the program."""
        here: Loaded | None = self
        while here is not None:
            yield here
            here = here.by


@dataclass(frozen=True, kw_only=True)
class Found:
    """The libraries of one program; `cached` are those that only /etc/ld.so.cache led to."""

    libraries: tuple[str, ...]
    cached: tuple[str, ...]
    missing: tuple[Missing, ...]


class Search:
    """The search of one program's loader: `loader` is its path, `file` where it can be read."""

    def __init__(self, root: str, loader: str, file: Path) -> None:
        self._root, self._loader, self._file = root, loader, file
        self._musl = _MUSL.search(loader)

    def libraries(self, path: str, elf: Elf) -> Found:
        """Return what the program at `path` needs, in the order in which it is loaded."""
        program = Loaded(path=path, origin=str(Path(self._real(path)).parent), elf=elf)
        queue, missing, cached = [program], list[Missing](), list[str]()
        known = {self._loader, Path(self._loader).name}
        for item in queue:  # breadth first, as ld.so: the queue grows meanwhile
            for name in item.elf.needed:
                if name in known or (self._musl and _MUSL_OWN.match(name)):
                    continue
                known.add(name)
                found, by_cache, damaged = self._find(name, item)
                if found is None:
                    missing.append(
                        Missing(kind="library", name=name, needed_by=item.path, damaged=damaged)
                    )
                elif found.elf.soname in ("", name) or found.elf.soname not in known:
                    known.add(found.elf.soname)
                    queue.append(found)
                    cached += [found.path] if by_cache else []
        libraries = tuple(item.path for item in queue[1:])
        return Found(libraries=libraries, cached=tuple(cached), missing=tuple(missing))

    def _find(self, name: str, by: Loaded) -> tuple[Loaded | None, bool, str]:
        """Return the library, whether the cache led to it, and a damaged file that bars it."""
        for path, from_cache in self._candidates(name, by):
            file = walk(path, self._root).file
            if file is None:
                continue
            try:
                elf = read_elf(file)
            except PermissionError:
                continue
            except DamagedError:
                return None, False, path
            if elf.runs_with(by.elf):  # one for another machine is passed over
                folder = str(Path(path).parent)
                only_cache = from_cache and folder.partition("/glibc-")[0] not in self._folders
                return Loaded(path=path, origin=folder, elf=elf, by=by), only_cache, ""
        return None, False, ""

    def _candidates(self, name: str, by: Loaded) -> Iterator[tuple[str, bool]]:
        if "/" in name:
            yield self._expand(name, by), False
            return
        for folder in self._own_folders(by):
            yield from ((path, False) for path in self._inside(folder, name))
        if self._musl is None:
            yield from ((path, True) for path in self._from_cache(name))
        for folder in self._folders:
            yield from ((path, False) for path in self._inside(folder, name))

    def _own_folders(self, by: Loaded) -> Iterator[str]:
        """Yield DT_RPATH and DT_RUNPATH, for which glibc and musl have different rules."""
        for item in by.chain:
            if self._musl is not None:
                paths = item.elf.runpath or item.elf.rpath
            elif by.elf.runpath or item.elf.runpath:
                paths = ()  # "Use of DT_RPATH is deprecated": where there is a RUNPATH, it is void
            else:
                paths = item.elf.rpath
            yield from (self._expand(path, item) for path in paths)
        if self._musl is None:
            yield from (self._expand(path, by) for path in by.elf.runpath)

    def _expand(self, path: str, item: Loaded) -> str:
        values = {"ORIGIN": item.origin, "LIB": self._lib, "PLATFORM": os.uname().machine}
        return re.sub(
            r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))",
            lambda found: values[found[1] or found[2]],
            path,
        )

    def _inside(self, folder: str, name: str) -> Iterator[str]:
        if not folder.startswith("/"):
            return  # depends on where the program is started
        folder = folder.rstrip("/")
        if self._musl is None:
            yield from (f"{folder}/glibc-hwcaps/{level}/{name}" for level in cpu_levels())
        yield f"{folder}/{name}"

    def _from_cache(self, name: str) -> Iterator[str]:
        paths = self._cache.get(name, ())
        for level in cpu_levels():
            yield from (path for path in paths if f"/glibc-hwcaps/{level}/" in path)
        yield from (path for path in paths if "/glibc-hwcaps/" not in path)

    @cached_property
    def _cache(self) -> Cache:
        return read_cache(walk(CACHE, self._root).real)

    @cached_property
    def _folders(self) -> tuple[str, ...]:
        """The directories that the loader looks into for every program."""
        if self._musl is None:
            return built_in_folders(self._file)
        file = walk(f"/etc/ld-musl-{self._musl[1]}.path", self._root).file
        text = "/lib:/usr/local/lib:/usr/lib" if file is None else file.read_text()
        return tuple(filter(None, re.split(r"[:\n]", text)))

    @property
    def _lib(self) -> str:
        """`$LIB`: where this distribution keeps its libraries, as `lib64`."""
        return self._folders[0].strip("/") if self._folders else "lib"

    def _real(self, path: str) -> str:
        top = Path(self._root or "/").resolve()
        return str("/" / walk(path, self._root).real.relative_to(top))


def built_in_folders(loader: Path) -> tuple[str, ...]:
    """Return the directories built into glibc's ld.so, which distributions choose.

    They stand in it one after the other, each ending in a slash and a zero (SYSTEM_DIRS of
    glibc's elf/dl-load.c); ld.so(8) tells of /lib and /usr/lib only.
    """
    found = re.search(rb"(?:/(?:[!-.0-~]+/)+\0){2,}", loader.read_bytes())
    listed = found[0].split(b"\0")[:-1] if found else (b"/lib", b"/usr/lib")
    return tuple(os.fsdecode(folder).rstrip("/") for folder in listed)


@lru_cache(maxsize=1)
def cpu_levels() -> tuple[str, ...]:
    """Return the glibc-hwcaps directories whose libraries this CPU can run, best first."""
    found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    flags = set(found[1].split()) if found else set()
    have = takewhile(lambda level: flags.issuperset(_LEVELS[level].split()), _LEVELS)
    return tuple(reversed(list(have)))
