"""Too little of everything: each cell works or says in a few lines why not, and nothing is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.sandboxes import few_namespaces, sandboxes_work, small_disks
from tests.support.skips import needs
from tests.torture.cells import CELLS
from tests.torture.scale import SCALE
from tests.torture.victim import Victim, fresh_mark, no_traceback_of_ours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cell_run import CellRun
    from tests.torture.places import Place

pytestmark = [pytest.mark.torture, pytest.mark.timeout(SCALE.seconds), needs(sandboxes_work)]

# Runs one cell magic while something is scarce, and takes the shortage back.
SCARCE = """
import os, resource
def magic(line, body):
    name, _, rest = line.partition(" ")
    get_ipython().run_cell_magic(name, rest, body)
def few_descriptors(free, line, body):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(map(int, os.listdir("/proc/self/fd"))) + free + 10
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    held = []
    try:
        try:
            while True: held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError: pass
        while len(held) and free:
            os.close(held.pop()); free -= 1
        magic(line, body)
    finally:
        for fd in held: os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
def little_memory(kilobytes, line, body):
    pages = int(open("/proc/self/statm").read().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + kilobytes * 1024, hard))
    try:
        magic(line, body)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
"""
BODIES = (
    ("unshare --uts", "print(1)"), ("unshare --uts bash", "echo 1"),
    ("unshare --pid --net --mount-proc", "print(1)"), ("unshare --pid --mount-proc bash", "echo 1"),
    ("unshare --name box --uts --replace bash", "echo 1"),
)  # fmt: skip


@pytest.fixture
def scarce(place: Place) -> Iterator[Victim]:
    with Victim(place) as victim:
        victim.kernel.run(SCARCE, raise_error=True)
        for line, body in BODIES:  # everything is imported
            victim.kernel.run(f"magic({line!r}, {body!r})")
        yield victim


def says_why(run: CellRun) -> None:
    no_traceback_of_ours(run)
    # Not alone: IPython may complain on stdout that it cannot open its history just now.
    assert run.status == "error" or "1\n" in run.stdout, run


@pytest.mark.parametrize("what", ["few_descriptors", "little_memory"])
def test_the_kernel_has_few(what: str, scarce: Victim) -> None:
    amounts = {"few_descriptors": range(0, 30, SCALE.step), "little_memory": _memory()}[what]
    worked = 0
    for amount in amounts:
        for line, body in BODIES:
            print(amount, line)
            run = scarce.kernel.run(f"{what}({amount}, {line!r}, {body!r})", timeout=40)
            says_why(run)
            worked += run.status == "ok"
            assert scarce.kernel.run("6 * 7").text == "42"
    scarce.kernel.run("%box rm --all", raise_error=True)
    scarce.check()
    assert worked, "the largest amount was not enough"


def _memory() -> list[int]:
    return [0, 64, 512, 2048, 8192, 65536] if SCALE.step == 1 else [0, 512, 65536]


def test_no_namespace_is_kept(place: Place) -> None:
    """There may be 30 of each type, and 30 network namespaces are not gone at once."""
    with Victim(place, prefix=few_namespaces([])) as victim:
        for number in range(SCALE.cells // 4):
            run = victim.kernel.run(
                "%%unshare --user --map-root-user --pid --mount --uts --ipc --cgroup --time --fork"
                + ("\nprint(1)" if number % 2 else " bash\necho 1")
            )
            assert run.stdout == "1\n", run
        victim.check()


def test_no_namespaces_at_all(place: Place) -> None:
    with Victim(place, prefix=few_namespaces([])) as victim:
        boxes = [f"%unshare --name box{number} --user --map-root-user" for number in range(32)]
        runs = [victim.kernel.run(cell) for cell in boxes]
        assert runs[0].status == "ok", runs[0]
        assert runs[-1].status == "error"
        assert "ENOSPC" in "".join((runs[-1].error or {})["traceback"])
        for run in runs:
            no_traceback_of_ours(run)
        victim.kernel.run("%box rm --all", raise_error=True)
        victim.check()


def test_a_full_disk(place: Place) -> None:
    home = place.of(fresh_mark())
    disks = ":".join(str(home.home / name) for name in ("tmp", "state"))
    prefix, env = small_disks([]), {"NSMAGIC_SMALL_DISKS": disks}
    with Victim(place, home=home, prefix=prefix, env=env) as victim:
        flood = victim.kernel.run("%%unshare --uts bash\nyes | head -c 20M", timeout=60)
        assert flood.status == "ok", flood
        assert flood.stdout.endswith("y\n")
        victim.check(flood)
        fill = f"for at in {disks.split(':')!r}:\n"
        fill += "    try:\n        with open(at + '/full', 'wb', 0) as f:\n"
        fill += "            while f.write(bytes(4096)): pass\n    except OSError as e: print(e)"
        said = victim.kernel.run(fill).stdout
        assert said.count("No space left") == 2, said
        for title, (cell, wanted) in CELLS.items():
            run = victim.kernel.run(cell)
            no_traceback_of_ours(run)
            if wanted:
                assert run.stdout.strip() == wanted, (title, run)
        victim.kernel.run("%box rm --all\njob = None")
        victim.check()
