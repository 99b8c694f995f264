"""What kernels are in the middle of when they are killed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.torture.places import Place

# A process that outlives its cell wherever that is possible, and ignores what can be ignored.
DAEMON = """
import os, signal, time
def daemon():
    if os.fork():
        return os.wait()
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()
daemon()
time.sleep(1000)
"""
DAEMONS = """
trap '' HUP INT QUIT TERM
for i in 1 2 3; do (setsid bash -c 'trap "" HUP TERM; while :; do sleep 1; done' &); done
while :; do sleep 1; done
"""
ALL = "--pid --net --mount --uts --ipc --mount-proc"
LOOP = """
shell = get_ipython()
for number in range(1000):
    {}
"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Cells that are run first, and one that is sent and then left `span` seconds at most."""

    cell: str
    before: tuple[str, ...] = ()
    span: float = 0.4
    groups: bool = False
    load: bool = True

    def fits(self, place: Place) -> bool:
        """Whether that place can have it."""
        return place.has_groups or not self.groups


def _again(line: str, body: str = "") -> str:
    magic, _, rest = line.partition(" ")
    call = f"shell.run_cell_magic({magic[2:]!r}, {rest!r}, {body!r})"
    if not magic.startswith("%%"):
        call = f"shell.run_line_magic({magic[1:]!r}, {rest!r})"
    return LOOP.format(call)


_BOX = f"%unshare --name box {ALL}"
_PLAIN_BOX = "%unshare --name box --uts"

SCENES: dict[str, Scene] = {
    "loading": Scene(cell="%load_ext nsmagic", span=0.3, load=False),
    "unloading": Scene(before=(_BOX,), cell="%unload_ext nsmagic", span=0.2),
    "daemons of Python in a PID namespace": Scene(cell=f"%%unshare {ALL}\n{DAEMON}"),
    "daemons of Python": Scene(cell=f"%%unshare --uts\n{DAEMON}"),
    "daemons of bash in a PID namespace": Scene(cell=f"%%unshare {ALL} bash\n{DAEMONS}"),
    "daemons of bash": Scene(cell=f"%%unshare --uts bash\n{DAEMONS}"),
    "a chain of forks": Scene(
        cell="%%unshare --uts bash\ntrap '' HUP INT TERM\nhop() { (hop &); }; hop; sleep 1000"
    ),
    "an init": Scene(cell=f"%%unshare --init {ALL} bash\n{DAEMONS}"),
    "cells of Python": Scene(cell=_again("%%unshare --uts", "1")),
    "cells of Python in PID namespaces": Scene(cell=_again(f"%%unshare {ALL}", "1")),
    "fresh cells": Scene(cell=_again("%%unshare --fresh --uts", "1"), span=0.8),
    "programs": Scene(cell=_again("%unshare --uts true")),
    "programs in PID namespaces": Scene(cell=_again(f"%unshare {ALL} true")),
    "programs in a root": Scene(cell=_again("%chroot / true")),
    "a root is built": Scene(cell="%rootfs appdir bash ls ps"),
    "boxes": Scene(cell=_again(f"%unshare --name box --replace {ALL}"), span=0.8),
    "boxes without a PID namespace": Scene(
        cell=_again("%unshare --name box --replace --uts"), span=0.8
    ),
    "cells in a box": Scene(before=(_BOX,), cell=_again("%%nsenter -t box", "1")),
    "programs in a box": Scene(before=(_PLAIN_BOX,), cell=_again("%nsenter -t box true")),
    "daemons in a box": Scene(
        before=(_PLAIN_BOX, f"%%nsenter -t box --bg bash\n{DAEMONS}"),
        cell=f"%%nsenter -t box\n{DAEMON}",
    ),
    "a box is removed": Scene(
        before=(_PLAIN_BOX, f"%%nsenter -t box --bg bash\n{DAEMONS}"), cell="%box rm box", span=0.2
    ),
    "background": Scene(
        before=tuple(f"%%unshare --uts --bg\n{DAEMON}" for _ in range(2)),
        cell=f"%%unshare {ALL} --bg bash\n{DAEMONS}", span=0.2,
    ),
    "side by side": Scene(before=(_BOX,), cell=_again("%sxs host,box -- true"), span=0.8),
    "a map": Scene(before=(_BOX,), cell="%nsmap\n%%unshare --pid\n" + DAEMON),
    "lists": Scene(before=(_BOX,), cell=_again("%lsns")),
    "a flood": Scene(cell="%%unshare --uts bash\nexec yes", span=0.8),
    "a question": Scene(cell="%%unshare --uts\ninput('name? ')"),
    "values": Scene(cell=_again("%%unshare --uts --return it", "it = bytes(10**6)")),
    "a terminal": Scene(cell="%%unshare --pid --tty bash\nsleep 1000"),
    "limits": Scene(
        cell=_again("%%cgroup mem=64M pids=50", f"%%unshare {ALL} bash\ntrue"), groups=True
    ),
    "limits of daemons": Scene(
        cell=f"%%cgroup mem=64M pids=50\n%%unshare --uts\n{DAEMON}", groups=True
    ),
    "a box with limits": Scene(
        before=("%%cgroup mem=64M pids=50\n" + f"%%unshare --name box --uts --bg bash\n{DAEMONS}",),
        cell=f"%%nsenter -t box bash\n{DAEMONS}", groups=True,
    ),
    "a fork bomb": Scene(
        cell="%%cgroup pids=40\n%%unshare --uts bash\nbomb() { bomb | bomb & }; bomb; sleep 1000",
        span=0.8, groups=True,
    ),
    "no memory": Scene(
        cell=_again("%%cgroup mem=32M", "try:\n    blob = bytearray(10**9)\nfinally:\n    pass"),
        span=0.8, groups=True,
    ),
    "a graph": Scene(
        cell=f"%%cgroup mem=64M --plot\n%%unshare --pid bash\n{DAEMONS}", span=2.5, groups=True
    ),
    "graphs of a box": Scene(
        before=("%%cgroup mem=64M\n%%unshare --name box --pid",), cell=_again("%cgplot box"),
        span=2.0, groups=True,
    ),
    "freezing": Scene(
        before=(f"%%cgroup mem=64M\n%%unshare --name box --uts --bg bash\n{DAEMONS}",),
        cell=LOOP.format("shell.run_line_magic('cgroup', ('freeze', 'thaw')[number % 2] + ' box')"),
        groups=True,
    ),
    "groups": Scene(
        cell="from nsmagic.run.cgroup import Cgroup\n"
        + LOOP.format("Cgroup.make('lab', 'mem=64M').remove()"),
        groups=True,
    ),
}  # fmt: skip
