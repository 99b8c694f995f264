"""What a program needs to be started: interpreters, loader and libraries, below any root."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from nsmagic.linux.elf import DamagedError, Elf, Script, read_head
from nsmagic.linux.libraries import Search
from nsmagic.linux.rooted import walk
from nsmagic.wish.missing import Missing, missing_text

_T = TypeVar("_T")
_MOST_SCRIPTS: Final = 5  # "the interpreter may itself be a script": execve(2), so deep


@dataclass(frozen=True, kw_only=True)
class Needs:
    """All that is started and loaded with a program, as paths below the root it was looked up in.

    `interpreters` are those of scripts, `loaders` is ld.so's path, empty for a static program.
    `cached` are the libraries that only /etc/ld.so.cache leads to.  A program that is neither ELF
    nor a script needs nothing, as far as its file tells.
    """

    program: str
    interpreters: tuple[str, ...] = ()
    loaders: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()

    def with_all_of(self, other: Needs) -> Needs:
        """Return these needs and those of an interpreter."""
        return replace(
            self,
            interpreters=(*self.interpreters, other.program, *other.interpreters),
            loaders=_united(self.loaders, other.loaders),
            libraries=_united(self.libraries, other.libraries),
            cached=_united(self.cached, other.cached),
            missing=_united(self.missing, other.missing),
        )


def _united(one: tuple[_T, ...], two: tuple[_T, ...]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys((*one, *two)))


def find_program(name: str, root: str = "") -> str | None:
    """Return the path that execvp(3) takes for `name` below `root`, None if there is no program."""
    if "/" in name:
        return name if walk(name, root).file else None
    for folder in os.get_exec_path():
        file = walk(f"{folder}/{name}", root).file if folder.startswith("/") else None
        if file is not None and os.access(file, os.X_OK):
            return f"{folder}/{name}"
    return None


def needs(program: str, root: str = "/", *, file: Path | None = None) -> Needs:
    """Return what the program at the absolute path `program` needs below `root`.

    `file` is read in place of what is there.  Nothing is executed, as ldd(1) would.  What programs
    open while they run (plugins, dlopen(3), files of data) cannot be seen.  Raises DamagedError,
    and OSError where the program cannot be read.
    """
    return _needs(program, root, 0, file or walk(program, root).file)


def _needs(program: str, root: str, depth: int, file: Path | None) -> Needs:
    if file is None:
        return Needs(
            program=program,
            missing=(Missing(kind="program", name=program, needed_by=program),),
        )
    match read_head(file):
        case Elf() as elf:
            return _needs_of_elf(program, elf, root)
        case Script() as script if depth < _MOST_SCRIPTS:
            return _needs_of_script(program, script, root, depth)
    return Needs(program=program)


def _needs_of_script(program: str, script: Script, root: str, depth: int) -> Needs:
    found = Needs(program=program)
    for name in (script.interpreter, env_program(script)):
        if not name:
            continue
        path = find_program(name, root)
        if path is None:
            lack = Missing(kind="interpreter", name=name, needed_by=program)
            found = replace(found, missing=(*found.missing, lack))
        else:
            file = walk(path, root).file
            found = found.with_all_of(_needs(path, root, depth + 1, file))
    return found


def env_program(script: Script) -> str:
    """Return the program that `#!/usr/bin/env [-S] PROGRAM` looks up in PATH; "" if not env(1)."""
    if Path(script.interpreter).name != "env":
        return ""
    words = script.argument.removeprefix("-S").split()
    return next((word for word in words if not word.startswith("-") and "=" not in word), "")


def _needs_of_elf(program: str, elf: Elf, root: str) -> Needs:
    if not elf.interpreter:
        return Needs(program=program)
    found = Needs(program=program, loaders=(elf.interpreter,))
    file = walk(elf.interpreter, root).file
    if file is None:
        lack = Missing(kind="loader", name=elf.interpreter, needed_by=program)
        found = replace(found, loaders=(), missing=(lack,))
        file = walk(elf.interpreter).file  # this machine's tells where it would search
    if file is None:
        return found
    searched = Search(root, elf.interpreter, file).libraries(program, elf)
    return replace(
        found, libraries=searched.libraries, cached=searched.cached,
        missing=(*found.missing, *searched.missing),
    )  # fmt: skip


def what_is_missing(root: str, program: str) -> tuple[Missing, ...]:
    """Return what `program` (a path, or a name in PATH) lacks below `root`; empty if nothing.

    Also empty where its file is damaged or closed to us: that is another story.
    """
    path = find_program(program, root)
    if path is None:
        return (Missing(kind="program", name=program, needed_by=program),)
    if not path.startswith("/"):
        path = "/" + path if root else str(Path.cwd() / path)
    try:
        return needs(path, root).missing
    except (DamagedError, OSError):
        return ()


def missing_hint(root: str, program: str) -> str:
    """Return in words what `program` lacks below `root` ("" for ours) and what to type; or ""."""
    return missing_text(what_is_missing(root, program), root, program)
