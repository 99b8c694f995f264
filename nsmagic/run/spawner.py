"""The spawner: a small program beside the kernel that makes processes and outlives its death.

Exec'd once per kernel, in a session of its own, single-threaded and with few imports: a fork of it
costs the same however large the kernel is.  It is the parent of program cells.  When the kernel
ends, however that happens, it kills what the kernel's cells left and removes their cgroups.

Requests: `spawn` (a plan, and a program or a box), `guard` and `release` (what to end with the
kernel), `drain` (a pipe whose cell has ended), `dismiss` and `farewell` (the kernel goes on without
a spawner, and has closed its ledger).
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from nsmagic.linux import syscalls
from nsmagic.run.channel import Channel, Frame
from nsmagic.run.detaching import close_all_but
from nsmagic.run.drains import Drains
from nsmagic.run.guards import Guard
from nsmagic.run.helpers import Helper, introduce, make_helper, refuse_cell
from nsmagic.run.keeper import kill_descendants

_QUIET_MS: Final = 5
_DYING_MS: Final = 5000


@dataclass
class Spawner:
    """The state of the program: helpers by PID, guards by the number of their cell.

    `listening` are the helpers by the descriptor of their socket, as long as it may say something.
    `launcher` is a descriptor of the launcher's file, None where there is none.  `spare` is a
    helper without an order, of the kind that was wanted last.
    """

    control: Channel
    ledger: str = ""
    launcher: int | None = None
    poller: select.poll = field(default_factory=select.poll)
    spare: int = 0
    sweeper: int = 0
    dismissed: bool = False
    helpers: dict[int, Helper] = field(default_factory=dict)
    listening: dict[int, Helper] = field(default_factory=dict)
    guards: dict[int | str, Guard] = field(default_factory=dict)
    unclaimed: dict[int, tuple[int, resource.struct_rusage]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.drains = Drains(self.poller)
        self.wanted = self.launcher

    def serve(self, kernel: int, wake: int) -> None:
        """Serve requests until the kernel, given as a pidfd, ends or hangs up."""
        for fd in (self.control.sock.fileno(), kernel, wake):
            self.poller.register(fd, select.POLLIN)
        while not self.control.closed and not self.dismissed:
            ready = self.wait()
            self.drains.serve(ready)
            for fd in ready & self.listening.keys():
                self.hear(self.listening[fd])
            if wake in ready:
                os.read(wake, 4096)
                self.reap()
            if self.control.sock.fileno() in ready:
                self.obey()
            # Also without end-of-file: a process forked by the user may hold the kernel's socket.
            if kernel in ready:
                self.obey()  # its last words tell what to end
                return

    def wait(self) -> set[int]:
        """Return the descriptors that have something to say.

        A helper made in the meantime, when nothing is to be done, spares the next cell the fork.
        """
        ready = {fd for fd, _ in self.poller.poll(None if self.spare else _QUIET_MS)}
        if not ready:
            try:
                self.sweep()
                self.spare = self.make_helper()
            except BlockingIOError:  # EAGAIN: too many processes; the next cell will tell
                ready = {fd for fd, _ in self.poller.poll()}
        return ready

    def sweep(self) -> None:
        """Once, beside all else: remove what kernels before ours left when they were killed."""
        ledger, self.ledger = self.ledger, ""
        if ledger:
            self.sweeper = os.fork()
            if self.sweeper == 0:
                close_all_but({0, 1, 2})
                sweep_and_exit(ledger)

    def obey(self) -> None:
        """Do what the kernel asks."""
        for frame in self.control.waiting():
            getattr(self, f"on_{frame.kind}")(frame)

    def make_helper(self) -> int:
        """Make a process that waits for an order; return its PID."""
        helper = make_helper(self.wanted)
        self.helpers[helper.pid] = helper
        self.listening[helper.orders.sock.fileno()] = helper
        self.poller.register(helper.orders.sock, select.POLLIN)
        return helper.pid

    def take_helper(self, *, launches: bool) -> int:
        """Return the PID of a helper of that kind, the spare if it is one."""
        spare, self.spare = self.spare, 0
        self.wanted = self.launcher if launches else None
        if spare and self.helpers[spare].launches == launches:
            os.kill(spare, signal.SIGCONT)  # whoever may signal us may have stopped it
            return spare
        if spare:
            os.kill(spare, signal.SIGKILL)
        return self.make_helper()

    def on_spawn(self, frame: Frame) -> None:
        """Let a helper do the plan's steps and execute the program."""
        fds = self.control.fds[:5]
        del self.control.fds[:5]
        channel = Channel(socket.socket(fileno=fds[0]))
        fork = frame.data["fork"]
        try:
            pid = self.take_helper(launches=frame.data["launch"])
        except OSError as error:
            refuse_cell(channel, fork or 0, error)
        else:
            helper = self.helpers[pid]
            helper.channel = channel
            helper.box, helper.inside = frame.data["box"], frame.data["inside"]
            if helper.box in self.guards:
                with suppress(OSError):  # removed meanwhile
                    self.guards[helper.box].hold()
            if fork is None:
                helper.cell = pid
                introduce(pid, channel)
            with suppress(BrokenPipeError):  # killed by somebody: its end tells the rest
                helper.send(frame.buffers[0], fds)
        for fd in fds[1:]:
            os.close(fd)

    def hear(self, helper: Helper) -> None:
        """Take note of the process that goes on in the place of a helper."""
        for frame in helper.orders.waiting():
            helper.cell, helper.kept = frame.data["pid"], frame.data["kept"]
            if not helper.kept and helper.pid not in self.unclaimed:
                os.kill(helper.pid, signal.SIGKILL)  # it sleeps on memory that is the cell's now
            assert helper.channel is not None
            introduce(helper.cell, helper.channel)
            with suppress(BrokenPipeError):  # killed meanwhile
                helper.orders.send("noted")
        if helper.orders.closed:
            self.listen_no_more(helper)

    def listen_no_more(self, helper: Helper) -> None:
        """Forget its socket, if that is not done."""
        fd = helper.orders.sock.fileno()
        if self.listening.pop(fd, None) is not None:
            self.poller.unregister(fd)

    def on_guard(self, frame: Frame) -> None:
        """Remember a process (by pidfd) or a cgroup of a cell."""
        guard = self.guards.setdefault(frame.data["cell"], Guard())
        guard.inside = frame.data.get("inside", "")
        if frame.data.get("cgroups"):
            guard.cgroups = tuple(map(Path, frame.data["cgroups"]))
        if self.control.fds:
            guard.take(self.control.fds.pop(0))

    def on_drain(self, _: Frame) -> None:
        """Read what goes on being written to a cell's pipe into the log of its box."""
        pipe, log = self.control.fds.pop(0), self.control.fds.pop(0)
        self.drains.add(pipe, log)

    def on_dismiss(self, _: Frame) -> None:
        """End all, and then ourselves: the kernel goes on without us."""
        self.dismissed = True

    def on_release(self, frame: Frame) -> None:
        """Forget a cell that ended."""
        guard = self.guards.pop(frame.data["cell"], None)
        if guard is not None:
            guard.close()

    def reap(self) -> None:
        """Reap every child that ended and tell the cells whose process it was."""
        with suppress(ChildProcessError):
            while (reaped := os.wait4(-1, os.WNOHANG))[0]:
                self.unclaimed[reaped[0]] = reaped[1:]
        self.unclaimed.pop(self.sweeper, None)
        for pid in self.unclaimed.keys() & self.helpers.keys():
            helper = self.helpers[pid]
            self.hear(helper)  # its last words may still be unread
            self.spare = 0 if pid == self.spare else self.spare
            if helper.cell not in (0, pid) and not helper.kept:
                self.unclaimed.pop(pid)
                helper.pid = helper.cell
                self.helpers[helper.pid] = self.helpers.pop(pid)
        for pid in self.unclaimed.keys() & self.helpers.keys():
            self.tell(self.helpers.pop(pid), *self.unclaimed.pop(pid))

    def tell(self, helper: Helper, status: int, usage: resource.struct_rusage) -> None:
        """Tell the kernel how a cell ended."""
        if helper.box:
            self.end_box(helper.box)
        spent = [usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024]
        if helper.channel is not None:
            with suppress(OSError):  # the kernel may have closed its end after an error
                helper.channel.send("status", status=status, usage=spent)
            helper.channel.close()
        self.listen_no_more(helper)
        helper.orders.close()

    def end_box(self, box: str) -> None:
        """Kill what is left in a box whose init has ended, where no PID namespace does."""
        for number, guard in self.guards.items():
            if box in (number, guard.inside):
                guard.kill()
        for pid, helper in self.helpers.items():
            if helper.inside == box:
                with suppress(ProcessLookupError):
                    os.kill(helper.cell or pid, signal.SIGKILL)

    def parted(self, kernel: int) -> bool:
        """Tell the kernel that all has ended; return whether it lives on and has no ledger left."""
        if not self.dismissed:
            return False
        with suppress(OSError):  # killed meanwhile
            self.control.send("ended")
        farewell = select.poll()
        for fd in (self.control.sock.fileno(), kernel):
            farewell.register(fd, select.POLLIN)
        farewell.poll(_DYING_MS)
        return any(frame.kind == "farewell" for frame in self.control.waiting())

    def end_all(self) -> None:
        """Kill every process and remove every cgroup of the dead kernel's cells."""
        # A process that is orphaned while we look, or whose keeper dies before it, comes to us.
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        for guard in self.guards.values():
            guard.kill()
        # Also those that may become one: it is not known before we hear of their cell.
        keepers = [pid for pid, helper in self.helpers.items() if helper.kept or not helper.cell]
        kill_descendants(os.getpid(), os.open("/proc", os.O_RDONLY | os.O_CLOEXEC), keepers)
        for guard in self.guards.values():
            guard.remove()


def sweep_and_exit(ledger: str) -> NoReturn:
    """Sweep the directory that our kernel's ledger is in, and end."""
    from nsmagic.run.sweep import sweep  # not in the memory of every helper

    with suppress(OSError):  # nobody is here to be told: `nsmagic clean` says what is wrong
        sweep(Path(ledger).parent)
    os._exit(0)


def main(argv: list[str]) -> NoReturn:
    """Run the spawner for a control socket, the kernel's pidfd, its ledger and the launcher's file.

    The last two may be "", for none.
    """
    control, kernel, ledger = int(argv[0]), int(argv[1]), argv[2]
    launcher = int(argv[3]) if argv[3] else None
    wake, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    for fd in (control, kernel, *([] if launcher is None else [launcher])):
        os.set_inheritable(fd, False)
    spawner = Spawner(Channel(socket.socket(fileno=control)), ledger, launcher)
    try:
        spawner.serve(kernel, wake)
    finally:
        spawner.end_all()
    if not spawner.parted(kernel) and ledger:
        dying = select.poll()
        dying.register(kernel, select.POLLIN)
        dying.poll(_DYING_MS)  # its sockets are closed before it is dead
        sweep_and_exit(ledger)
    sys.exit(0)
