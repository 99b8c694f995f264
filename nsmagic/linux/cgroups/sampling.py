"""Samples of a group, cheap enough for a graph: descriptors stay open, one pread(2) a file."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from nsmagic.wish.limits import METRICS, Metric, Sample, Source
from nsmagic.wish.limits.metrics import Reader

if TYPE_CHECKING:
    from nsmagic.linux.cgroups.group import Cgroup

_SECOND: Final = "+"  # after the name of a metric: what v1 counts apart
_ENOUGH: Final = 4096  # bytes, of every file but io.stat of a machine with many disks

# On a busy machine a thread stands still between the clock and a file, and then a rate made of the
# two is wrong: four CPUs used on a machine of two.
_AT_ONCE: Final = 0.01  # s; undisturbed it takes 0.2 ms
_TRIES: Final = 3


class _File:
    """One open file and the values that are read from its text."""

    __slots__ = ("fd", "path", "readers", "text", "values")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.readers: list[tuple[str, Reader]] = []
        self.text: bytes | None = None
        self.values: dict[str, float | None] = {}

    def read(self) -> dict[str, float | None]:
        """Return its values; parsed again only when the text is another one."""
        text = os.pread(self.fd, _ENOUGH, 0)
        if len(text) == _ENOUGH:
            text = os.pread(self.fd, 1 << 20, 0)
        if text != self.text:
            self.text = text
            self.values = {name: read(text) for name, read in self.readers}
        return self.values


class Sampler:
    """Reads chosen metrics of one group again and again.

    `available` names those that this machine has; the others are None in every sample.  It owns
    one descriptor a file, so close it, or use it in a `with` statement.
    """

    def __init__(self, group: Cgroup, metrics: Iterable[Metric] = METRICS) -> None:
        self._nothing: dict[str, float | None] = {}
        by_path: dict[Path, _File] = {}
        try:
            for metric in metrics:
                self._nothing[metric.name] = None
                _open(group, metric, by_path)
        except BaseException:
            self._files: list[_File] = list(by_path.values())
            self.close()
            raise
        self._files = [file for file in by_path.values() if file.readers]
        for file in by_path.values():
            if not file.readers:
                os.close(file.fd)
        names = [name for file in self._files for name, _ in file.readers]
        self.available = tuple(name for name in names if not name.endswith(_SECOND))
        self._sums = tuple(name.removesuffix(_SECOND) for name in names if name.endswith(_SECOND))

    def sample(self) -> Sample | None:
        """Return the values of now; None once the group is gone, and then nothing is open more."""
        if not self._files:
            return None
        for _ in range(_TRIES):
            values, at = dict(self._nothing), time.monotonic()
            for file in list(self._files):
                try:
                    values.update(file.read())
                except OSError as error:
                    if error.errno != errno.ENODEV:  # what cgroupfs says of a file that is no more
                        raise
                    if not file.path.parent.exists():  # nor is its group
                        self.close()
                        return None
                    self._files.remove(file)  # PSI that was switched off: cgroup.pressure
                    os.close(file.fd)
            if time.monotonic() - at < _AT_ONCE:
                break
        for name in self._sums:
            second, first = values.pop(name + _SECOND), values[name]
            values[name] = None if first is None or second is None else first + second
        return Sample(at=at, values=values)

    def close(self) -> None:
        """Close every descriptor; a second call does nothing."""
        files, self._files = self._files, []
        for file in files:
            os.close(file.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(group: Cgroup, metric: Metric, files: dict[Path, _File]) -> None:
    """Open the first source of a metric that this group has with a value, v2 before v1."""
    if _try(metric.v2, group.v2, metric.name, files) or metric.v1 is None:
        return
    directory = group.v1.get(metric.v1.controller)
    if _try(metric.v1, directory, metric.name, files):
        _try(metric.v1_too, directory, metric.name + _SECOND, files)


def _try(
    source: Source | None, directory: Path | None, name: str, files: dict[Path, _File]
) -> bool:
    """Open a source, return whether it has a value."""
    if source is None or directory is None:
        return False
    path = directory / source.file
    try:
        file = files.get(path) or _File(path)
    except OSError:  # this Linux has no such file, or keeps it from us
        return False
    files[path] = file
    try:
        text = os.pread(file.fd, 1 << 20, 0)
    except OSError:  # PSI that was switched off: EOPNOTSUPP
        return False
    if source.read(text) is None:
        return False
    file.readers.append((name, source.read))
    return True
