"""Output floods: the kernel neither stalls nor grows, the log has every byte."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.notebook.ending import begin, called, fresh_name, message

if TYPE_CHECKING:
    from tests.support.cell_run import CellRun
    from tests.support.kernel_driver import KernelDriver

pytestmark = pytest.mark.linux

MB = 2**20
HEAD = 10**6  # bytes that are shown, interface.md
GROWTH = 50 * MB


def peak(kernel: KernelDriver) -> int:
    """The largest resident memory the kernel ever had, in bytes."""
    for line in Path(f"/proc/{kernel.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def log_of(run: CellRun) -> Path:
    """The log that a flooded cell names."""
    counters = [*run.displays, *(update["data"] for update in run.updates)]
    return Path(re.findall(r"/\S+\.log", counters[-1]["text/plain"])[0])


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def repeated(piece: bytes, size: int) -> str:
    """The hash of `piece` again and again, `size` bytes in all."""
    block = piece * (MB // len(piece))
    hasher = hashlib.sha256()
    for _ in range(size // len(block)):
        hasher.update(block)
    rest = size % len(block)
    hasher.update((piece * (rest // len(piece) + 1))[:rest])
    return hasher.hexdigest()


LINE = b"twenty bytes a line\n"
FLOODS = {
    "yes": ("%%unshare --uts bash\nyes 'twenty bytes a line' | head -c {size}", LINE),
    "no newline": ("%%unshare --pid bash\nhead -c {size} /dev/zero | tr '\\0' x", b"x"),
    "stderr": ("%%unshare --uts bash\nyes 'twenty bytes a line' | head -c {size} >&2", LINE),
    "binary": ("%%unshare --uts bash\nyes $'\\xff\\xfe\\xc3' | head -c {size}", b"\xff\xfe\xc3\n"),
    "os.write": (
        """%%unshare --uts
import os
line = {line!r} * 5000
for _ in range({size} // len(line)):
    os.write(1, line)""",
        LINE,
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_half_a_gigabyte(name: str, kernel: KernelDriver) -> None:
    cell, piece = FLOODS[name]
    size = 500_000_000
    kernel.run("%%unshare --uts bash\nyes | head -c 3M")  # all code is loaded
    before = peak(kernel)
    run = kernel.run(cell.format(size=size, line=LINE), timeout=100)
    run.raise_error()
    assert peak(kernel) - before < GROWTH
    log = log_of(run)
    assert log.stat().st_size == size
    assert digest(log) == repeated(piece, size)
    shown = run.stderr if name == "stderr" else run.stdout
    assert HEAD <= len(shown.encode()) < 4 * HEAD
    text = piece.decode(errors="replace")
    assert shown.startswith(text), "the head"
    assert shown.endswith(text), "the tail"
    log.unlink()


def test_a_loop_of_prints(kernel: KernelDriver) -> None:
    before = peak(kernel)
    cell = "%%unshare --uts\nfor number in range(300_000): print('line', number)"
    run = kernel.run(cell, timeout=60)
    run.raise_error()
    assert peak(kernel) - before < GROWTH
    wanted = "".join(f"line {number}\n" for number in range(300_000))
    assert log_of(run).read_text() == wanted
    assert wanted.startswith(run.stdout[:HEAD])
    assert run.stdout.endswith("line 299999\n")


def test_both_streams_at_once(kernel: KernelDriver) -> None:
    # A line of each first: what is shown of a flood may be one stream's alone.
    body = "echo out; echo err >&2; (yes out | head -c 20M) & (yes err | head -c 20M >&2) & wait"
    run = kernel.run(f"%%unshare --uts bash\n{body}", timeout=60)
    run.raise_error()
    log = log_of(run).read_bytes()
    assert len(log) == 40 * MB + 8
    assert log.count(b"out\n") + log.count(b"err\n") > 0.99 * 10 * MB, "lines cut by the other"
    assert "out\n" in run.stdout
    assert "err\n" in run.stderr
    assert set(run.stdout) <= set("out\n")
    assert set(run.stderr) <= set("er\n")


def test_a_traceback_arrives_behind_a_flood(kernel: KernelDriver) -> None:
    body = "for number in range(200_000): print('line', number)\n1/0"
    run = kernel.run(f"%%unshare --uts\n{body}", timeout=60)
    assert run.error is not None
    assert run.error["ename"] == "ZeroDivisionError"
    assert "----> 3 1/0" in message(run)
    assert run.stdout.endswith("line 199999\n")


def test_a_flood_in_the_background(kernel: KernelDriver) -> None:
    before = peak(kernel)
    kernel.run("%%unshare --uts --bg --proc job bash\nyes | head -c 200M", raise_error=True)
    assert kernel.run("6 * 7").result == {"text/plain": "42"}, "others are served meanwhile"
    run = kernel.run("print(job.wait().ok, job.log)", timeout=60)
    ok, log = run.stdout.split()
    assert ok == "True"
    assert digest(Path(log)) == repeated(b"y\n", 200 * MB)
    assert peak(kernel) - before < GROWTH


@pytest.mark.parametrize("program", ["python", "bash"])
@pytest.mark.parametrize("options", ["--uts", "--pid"])
def test_a_flood_without_end_is_stopped(program: str, options: str, kernel: KernelDriver) -> None:
    name = fresh_name()
    cell = f"%%unshare {options} bash\ntrap '' INT TERM\nexec -a {name} yes ready"
    if program == "python":
        title = f"import ctypes; ctypes.CDLL(None).prctl(15, b'{name}')"
        cell = f"%%unshare {options}\n{title}\nwhile True: print('ready')"
    run = begin(kernel, cell)
    kernel.interrupt()
    kernel.wait(run, timeout=20)
    assert message(run).splitlines()[-1].startswith("Interrupted: ")
    assert called(name) == []
    assert kernel.run("6 * 7").result == {"text/plain": "42"}


def test_out_is_never_capped(kernel: KernelDriver) -> None:
    run = kernel.run("%%unshare --uts --out text bash\nyes | head -c 20M", timeout=60)
    run.raise_error()
    assert kernel.run("print(len(text), sorted(set(text)))").stdout == f"{20 * MB} ['\\n', 'y']\n"
    kernel.run("del text")
