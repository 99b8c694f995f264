"""A Python body is a cell like any other, in namespaces of its own: asked of Linux and IPython."""

from __future__ import annotations

import ast
import collections
import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nsmagic.wish.namespaces import NAMESPACES

if TYPE_CHECKING:
    from tests.support.kernel_driver import CellRun, KernelDriver

pytestmark = pytest.mark.linux

ALL_BUT_USER = "--pid --net --mount --uts --ipc --mount-proc"
LINKS = tuple(row.name for row in NAMESPACES)
ADDED: set[str] = set() if os.geteuid() == 0 else {"user"}  # for an ordinary user, by nsmagic
# stat(2), not readlink(2): what counts is that the inode is another one.
READ_LINKS = "import os\nprint({n: os.stat(f'/proc/self/ns/{n}').st_ino for n in %r})" % (LINKS,)  # noqa: UP031


def said(run: CellRun) -> object:
    """The literal that a cell printed, which must have worked."""
    run.raise_error()
    return ast.literal_eval(run.stdout)


def inodes_of(pid: int) -> dict[str, int]:
    return {name: Path(f"/proc/{pid}/ns/{name}").stat().st_ino for name in LINKS}


def descriptors(pid: int) -> dict[int, str]:
    """What a process has open, but for the database that IPython's history thread opens at will."""
    links = {}
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links[int(path.name)] = os.readlink(path)
    return {n: link for n, link in links.items() if "history.sqlite" not in link}


def changed(kernel: KernelDriver, options: str) -> set[str]:
    """The types of namespaces in which a cell with these options is not where the kernel is."""
    inside = said(kernel.run(f"%%unshare {options}\n{READ_LINKS}"))
    assert isinstance(inside, dict)
    outside = inodes_of(kernel.pid)
    return {name for name in LINKS if inside[name] != outside[name]}


def test_it_is_pid_1_and_sees_the_variables(kernel: KernelDriver) -> None:
    kernel.run("x = 41", raise_error=True)
    run = kernel.run(f"%%unshare {ALL_BUT_USER}\nimport os\nprint(os.getpid(), x + 1)")
    assert (run.stdout, run.stderr, run.status) == ("1 42\n", "", "ok")


def test_the_links_differ_in_exactly_the_types_asked_for(kernel: KernelDriver) -> None:
    assert changed(kernel, ALL_BUT_USER) == {"pid", "net", "mnt", "uts", "ipc"} | ADDED


@pytest.mark.parametrize("row", NAMESPACES, ids=lambda row: row.name)
def test_each_type_alone(kernel: KernelDriver, row: object) -> None:
    option = row.option  # type: ignore[attr-defined]
    name = row.name  # type: ignore[attr-defined]
    root = " --map-root-user" if name == "user" else ""
    proc = " --mount --mount-proc" if name == "pid" else ""
    assert changed(kernel, f"--{option}{root}{proc}") == {name, *(["mnt"] if proc else []), *ADDED}


def test_the_only_link_is_lo(kernel: KernelDriver) -> None:
    run = kernel.run("%%unshare --net\nprint(open('/proc/net/dev').read())")
    assert re.findall(r"^\s*(\S+):", run.stdout, re.MULTILINE) == ["lo"]


CHANGES = """\
import os, random, sys
import numpy as np
x = 'changed'; y = 1
os.chdir('/'); os.environ['NSMAGIC_TEST_X'] = '1'; os.umask(0)
random.seed(5); np.random.seed(5); sys.path.append('/nowhere')
import this_is_new
get_ipython().user_ns['In'].append('no')
import ipywidgets; w = ipywidgets.IntSlider()
import matplotlib.pyplot as plt; plt.figure()
42"""
STATE = """\
import json, os, random, sys, comm, sqlite3
import numpy as np, ipywidgets, matplotlib.pyplot as plt
def the_state():
    ip = get_ipython()
    mine = {'In', 'Out', 'the_state', 'before'}
    names = [n for n in ip.user_ns if not n.startswith('_') and n not in mine]
    return [sorted(names), x, os.getcwd(), os.environ.get('NSMAGIC_TEST_X'), random.getstate(),
            np.random.get_state()[1].tolist(), sys.path[-1], 'this_is_new' in sys.modules,
            plt.get_fignums(), len(comm.get_comm_manager().comms), len(Out), str(_),
            open('/proc/self/status').read().split('Umask:')[1].split()[0]]
def the_history():
    return [line[2] for line in get_ipython().history_manager.get_tail(4, include_latest=True)]
"""


def test_nothing_of_it_stays(fresh_kernel: KernelDriver, tmp_path: Path) -> None:
    kernel = fresh_kernel
    (tmp_path / "this_is_new.py").write_text("")
    kernel.run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); x = 'as it was'")
    kernel.run(STATE, raise_error=True)
    kernel.run("'the last value'")
    kernel.run("before = the_state()", raise_error=True)
    cell = f"%%unshare --uts\n{CHANGES}"
    run = kernel.run(cell)
    run.raise_error()
    assert run.result == {"text/plain": "42"}
    assert run.reply is not None
    after = kernel.run("the_state() == before")
    assert after.result == {"text/plain": "True"}, (after.error, kernel.run("the_state()").result)
    assert after.reply is not None
    assert after.reply["execution_count"] == run.reply["execution_count"] + 1
    history = said(kernel.run("print(the_history())"))
    assert history[-3:-1] == [cell, "the_state() == before"]  # type: ignore[index]
    kernel.run("get_ipython().history_manager.writeout_cache()")
    rows = "SELECT count(*) FROM history WHERE source LIKE '%umask' || '(0)%'"
    counted = f"sqlite3.connect(get_ipython().history_manager.hist_file).execute({rows!r})"
    assert said(kernel.run(f"print({counted}.fetchone()[0])")) == 1


def test_thirty_cells_leave_threads_and_descriptors_as_they_were(kernel: KernelDriver) -> None:
    def count() -> tuple[int, collections.Counter[str]]:
        kernel.run("pass")
        kinds = (re.sub(r"\d+", "N", link) for link in descriptors(kernel.pid).values())
        return len(os.listdir(f"/proc/{kernel.pid}/task")), collections.Counter(kinds)

    kernel.run("%%unshare --uts --return a\na = object")  # spawner, log directory, cloudpickle
    threads, before = count()
    for number in range(30):
        run = kernel.run(f"%%unshare --uts --return a\na = {number}\ndisplay(a)\nprint(a)")
        assert run.stdout == f"{number}\n"
    now, after = count()
    assert (now, after - before) == (threads, collections.Counter())  # IPython's come and go


LOOK = """\
import os
print({int(n): os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')
       if os.path.lexists(f'/proc/self/fd/{n}')},
      '|', [n for n in map(int, os.listdir('/proc/self/fdinfo'))
       if os.path.exists(f'/proc/self/fdinfo/{n}')
       and int(open(f'/proc/self/fdinfo/{n}').read().split()[3], 8) & os.O_PATH])"""


def test_every_descriptor_of_the_kernel_is_plugged(kernel: KernelDriver) -> None:
    kernel.run("kept = open('/proc/self/status'); left, right = __import__('os').pipe()")
    kernel.run("a_socket = __import__('socket').socket()")
    mine = descriptors(kernel.pid)
    run = kernel.run(f"%%unshare --uts\n{LOOK}")
    kernel.run("kept.close(); import os; os.close(left); os.close(right); a_socket.close()")
    inside, plugged = (ast.literal_eval(part) for part in run.stdout.split("|"))
    assert inside[0] == os.devnull
    open_ones = {n: link for n, link in inside.items() if n not in plugged and n > 2}
    # The channel, and nothing that the kernel has: pipes and sockets are known by their inode.
    assert [link.split(":")[0] for link in open_ones.values()] == ["socket"]
    assert not set(open_ones.values()) & set(mine.values())
    assert set(mine) - {0, 1, 2} <= set(plugged) | set(open_ones)
    assert {inside[n] for n in plugged} == {"/memfd:nsmagic-plug (deleted)"}


@pytest.mark.parametrize(
    "use", ["kept.read()", "os.read(kept.fileno(), 5)", "left.send(b'x')", "left.recv(1)"]
)
def test_what_the_notebook_had_open_says_so(kernel: KernelDriver, use: str) -> None:
    kernel.run("import os, socket; kept = open('/etc/passwd'); left, right = socket.socketpair()")
    run = kernel.run(f"%%unshare --uts\n{use}")
    kernel.run("kept.close(); left.close(); right.close()")
    assert run.error is not None
    assert (run.error["ename"], run.error["evalue"]) == ("OSError", "[Errno 9] Bad file descriptor")
    assert run.error["traceback"][-1].startswith("Files that the notebook had open are not there")


def test_the_kernels_sockets_lead_nowhere(kernel: KernelDriver) -> None:
    run = kernel.run(
        "%%unshare --uts\nimport os\n"
        "fds = [s.getsockopt(__import__('zmq').FD) for s in [get_ipython().kernel.stdin_socket]]\n"
        "os.write(fds[0], b'x')"
    )
    assert run.error is not None
    assert run.error["evalue"] == "[Errno 9] Bad file descriptor"
    assert kernel.run("1").status == "ok"
