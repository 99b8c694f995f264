"""The Python API: `from nsmagic import Box, Isolation, run`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic import Box, Isolation, run
from nsmagic.run.spawning import close_spawner
from nsmagic.wish.errors import StepError, WishError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kernel_driver import KernelDriver

pytestmark = pytest.mark.linux


@pytest.fixture(autouse=True)
def ending_spawner() -> Iterator[None]:
    yield
    close_spawner()


def test_a_program_in_new_namespaces() -> None:
    wish = Isolation(namespaces=frozenset({"uts", "pid"}))
    done = run(wish, ["sh", "-c", "hostname inside; hostname; cat; echo $$ >&2"], text="said\n")
    assert (done.stdout, done.stderr) == (b"inside\nsaid\n", b"1\n")
    assert done.result.ok
    assert os.uname().nodename != "inside"


def test_how_it_ended() -> None:
    assert run(Isolation(), ["sh", "-c", "exit 3"]).result.exit_code == 3
    assert run(Isolation(), ["sleep", "1000"], timeout=0.1).result.stopped == "timeout"
    with pytest.raises(StepError, match="nowhere"):
        run(Isolation(root="/nowhere"), ["true"])
    with pytest.raises(WishError, match="there is no program"):
        run(Isolation(), [])
    with pytest.raises(WishError, match="no box is called 'web'"):
        Box.find("web")


def test_facts_of_a_box(kernel: KernelDriver) -> None:
    kernel.run("%unshare --name web --user -r --pid --net --mount-proc", raise_error=True)
    code = (
        "from nsmagic import Box\nbox = Box.find('web')\n"
        "print([link.name for link in box.links()], len(box.processes()), box.uid_map()[0].inner,\n"
        "      'sys_admin' in box.capabilities().effective, box.status()['Name'],\n"
        "      [m.kind for m in box.mountinfo() if m.target == '/proc'][-1],\n"
        "      box.ns()['net'] == box.ns()['uts'], box.pid)"
    )
    told = kernel.run(code, raise_error=True).stdout.split(" ")
    assert told[:7] == ["['lo']", "1", "0", "True", "nsmagic-init", "proc", "False"]
    assert Path(f"/proc/{int(told[7])}/comm").read_text() == "nsmagic-init\n"
    kernel.run("%box rm web", raise_error=True)


def test_importing_the_package_imports_next_to_nothing() -> None:
    code = "import nsmagic, sys; print([name for name in sys.modules if 'nsmagic.' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
