"""The kinds of cell that are probed, and how each is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One column: `title` is what is typed, `head` the line above the body, ready by `before`.

    `inside` is Python that runs before the probes.  A `program` is a Python of its own,
    `spec` is a whole kernel in a box with these options; `root_only` needs root of the machine.
    """

    title: str
    adds: str
    head: str = ""
    before: str = ""
    after: str = ""
    inside: str = ""
    program: bool = False
    spec: tuple[str, str] | None = None  # --unshare, --profile
    root_only: bool = False


_JAIL: Final = """
import os
from nsmagic.linux import syscalls
syscalls.mount(jail, jail, None, syscalls.MS_BIND | syscalls.MS_REC)
os.chdir(jail)
syscalls.pivot_root(".", ".")
syscalls.umount2(".", syscalls.MNT_DETACH)
os.chdir("/")
"""
_SHIFTED: Final = "--map-users 0:100000:65536 --map-groups 0:100000:65536"

KINDS: Final = (
    Kind(title="%%unshare", head="%%unshare", adds="a fork, and no namespace at all"),
    Kind(title="%%unshare python3", head="%%unshare {python} -", program=True,
         adds="a program is no copy of the notebook: its variables and open files are not there"),
    Kind(title="--net", head="%%unshare --net",
         adds="no network and no abstract socket of the machine"),
    Kind(title="-pm --mount-proc", head="%%unshare -pm --mount-proc",
         adds="no process outside can be seen, or named in a call"),
    Kind(title="-Urpfmn", head="%%unshare -Urpfmn",
         adds="no privilege on the machine; another user namespace's processes cannot be traced"),
    Kind(title="-Urpfmn --mount-proc", head="%%unshare -Urpfmn --mount-proc",
         adds="and /proc shows the cell's own processes alone"),
    Kind(title="shifted ids", head=f"%%unshare --user {_SHIFTED} -S 0 -G 0 -pmn --mount-proc",
         root_only=True,
         adds="for files it is another user, with no right to what is yours alone"),
    Kind(title="--setuid 65534", head="%%unshare --setuid 65534 --setgid 65534", root_only=True,
         adds="another user without a namespace: it sees what any user of the machine sees"),
    Kind(title="%%chroot", head="%%chroot {jail}",
         adds="another root: paths lead nowhere else, but root leaves a chroot at will"),
    Kind(title="-Urpmn, pivot_root", head="%%unshare -Urpmn", inside=_JAIL,
         adds="another root with no way back"),
    Kind(title="box", head="%%nsenter -t probed",
         before="%unshare --name probed -Urpmn --mount-proc", after="%box rm probed",
         adds="the same walls for every cell in it, and for what it leaves running"),
    Kind(title="boxed kernel", spec=("--user --map-root-user --pid --mount-proc --net", ""),
         adds="the notebook itself is inside; another notebook of yours is what it is kept from"),
    Kind(title="boxed, hardened", spec=("", "hardened"),
         adds="no capability, no new namespace (seccomp(2)), no /tmp and /run of yours"),
)  # fmt: skip
