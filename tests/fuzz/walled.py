"""A kernel for cells that nobody has read: it can change nothing outside of its own folders."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import nsmagic
from tests.support import leaks
from tests.support.kernel_driver import KernelDriver

if TYPE_CHECKING:
    from tests.support.cell_run import CellRun
    from tests.support.user import Account

# All that root's kernel sees is read-only but /tmp, in mount and PID namespaces of its own.  The
# shell is their PID 1 and reaps; JPY_PARENT_PID tells ipykernel not to look for another parent.
_WALLS: Final = """
mount --bind /tmp /tmp && mount -o remount,bind,ro / && export JPY_PARENT_PID=1 && "$@"
"""
_PREFIX: Final = (
    "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
    "sh", "-c", _WALLS, "sh",
)  # fmt: skip
_PATIENCE: Final = 12.0  # s until the stop button is pressed: a limit may leave a cell no time
_PACKAGE: Final = Path(nsmagic.__file__).parent.name
# What `nsmagic.wish.errors` names, and what IPython calls a line that makes no sense.
CLEAN: Final = frozenset(
    {"UsageError", "NsmagicError", "WishError", "CgroupError", "StepError", "CellFailed",
     "ForkHostile", "CheckFailed"}
)  # fmt: skip


class Walled:
    """Runs cells in such a kernel and says of each how it ended."""

    def __init__(self, account: Account | None) -> None:
        prefix = () if os.geteuid() or account else _PREFIX
        self.kernel = KernelDriver(prefix=prefix, account=account)
        self.seen: Counter[str] = Counter()
        self.kernel.run("%cd -q ~" if account else "import tempfile\n%cd -q {tempfile.mkdtemp()}")
        self.pid = self.kernel.run("import os\nos.getpid()").text
        self.kernel.run("%unshare --user -r true\n%lsns\n%cgroup", timeout=60)

    def check(self, cell: str) -> None:
        """The cell works, or fails with one clean message; then nothing has been touched."""
        before, groups = leaks.snapshot(), self._groups()
        run = self._run(cell)
        assert run.reply is not None
        name = "ok" if run.status == "ok" else str(run.reply["ename"])
        self.seen[name] += 1
        shown = "\n".join([*run.reply.get("traceback", ()), run.stderr])
        assert f"/{_PACKAGE}/" not in shown, f"{cell!r}\n{shown}"
        assert name != "ChannelError", cell
        if name in CLEAN:
            message = str(run.reply["evalue"])
            assert message.splitlines()[:1], cell
            assert "Traceback" not in shown, shown
        if name == "StepError":  # of execve(2): a box that was made for the program stays
            self.kernel.run("%box rm --all", raise_error=True)
        if name in CLEAN - {"CellFailed", "CheckFailed"}:
            left = leaks.leaked(before)
            left.pop("cgroups", None)  # other kernels of this machine make and leave theirs
            assert not left, f"{cell!r} was refused and left {left}"
            assert self._groups() <= groups, f"{cell!r} was refused and left {self._groups()}"
        else:
            self.kernel.run("%cgroup off\n%box rm --all", raise_error=True)

    def _groups(self) -> set[str]:
        """The cgroups of this kernel, which are called by the number that it has for itself."""
        return {path for path in map(str, leaks.cgroups()) if f"/nsmagic-{self.pid}-" in path}

    def _run(self, cell: str) -> CellRun:
        assert self.kernel.client is not None
        # jupyter_client itself sends no halves of surrogate pairs.
        run = self.kernel.start(cell.encode(errors="replace").decode())
        try:
            return self.kernel.wait(run, timeout=_PATIENCE, stdin=["answer"] * 9)
        except TimeoutError:  # which pressed the stop button
            self.seen["stopped"] += 1
            assert run.reply is not None, f"neither ended nor could be stopped: {cell!r}"
            return run

    def close(self) -> None:
        """It has lived to here, and goes as a kernel goes."""
        assert self.kernel.run("6 * 7").text == "42"
        self.kernel.close()
