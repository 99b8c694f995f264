"""Drive a real ipykernel over its protocol and keep what a front end would see, in order."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import zmq
from jupyter_client import localinterfaces
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.support.cell_run import CellRun, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from tests.support.user import Account


__all__ = ["CellRun", "KernelDriver", "Message"]


class _Manager(KernelManager):
    """Starts the kernel behind a command prefix (a blocked sandbox) and with a given Python."""

    prefix: Sequence[str] = ()
    python: str = ""
    account: Account | None = None

    def write_connection_file(self, **kwargs: Any) -> None:
        super().write_connection_file(**kwargs)
        if self.account:
            os.chown(self.connection_file, self.account.uid, self.account.gid)

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        command = super().format_kernel_cmd(extra_arguments)
        return [*self.prefix, self.python or command[0], *command[1:]]


def _own_address() -> str:
    """An address of loopback that no other kernel has.

    Jupyter looks for free ports and the kernel binds them a second later, when another kernel may
    have them: on 127.0.0.1 about one start of a thousand fails beside two that start too.
    """
    address = "127." + ".".join(str(random.randrange(1, 255)) for _ in range(3))
    localinterfaces.local_ips()  # which Jupyter looks up once, and thinks that lo has one
    localinterfaces.LOCAL_IPS.append(address)
    return address


class KernelDriver:
    """One kernel and its client.  `with KernelDriver() as kernel: kernel.run("1 + 1")`."""

    def __init__(
        self,
        *,
        prefix: Sequence[str] = (),
        account: Account | None = None,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        kernel_name: str = "python3",
        setup: str = "%load_ext nsmagic",
    ) -> None:
        # A context of our own: its descriptors end with this driver, not with the test process.
        self._context = zmq.Context()
        self.manager = _Manager(kernel_name=kernel_name, context=self._context, ip=_own_address())
        self.manager.prefix = prefix
        options: dict[str, Any] = {"env": os.environ | (env or {}), "cwd": cwd and str(cwd)}
        if account:
            self._hand_over(account, options)
        self.client: BlockingKernelClient | None = None
        try:
            self.manager.start_kernel(**options)
            self.client = self.manager.client()
            # Without the heart beat: whoever misses one opens another socket, and a test is blamed.
            self.client.start_channels(hb=False)
            self.client.wait_for_ready(timeout=30)
            self.run(setup, raise_error=True)
        except BaseException:
            self.close()
            raise

    def _hand_over(self, account: Account, options: dict[str, Any]) -> None:
        self.manager.python = account.python
        self.manager.connection_file = str(account.home / "run" / f"{id(self)}.json")
        self.manager.account = account
        options["env"] |= account.env
        options["cwd"] = options["cwd"] or str(account.home)
        options |= account.popen

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Shut the kernel down as Jupyter does; kill it when it does not go."""
        if self.client:
            self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel()
        self.manager.cleanup_connection_file()
        self._context.destroy(linger=0)

    @property
    def pid(self) -> int:
        """PID of the process Jupyter started (the sandbox's prefix becomes the kernel by exec)."""
        provisioner = self.manager.provisioner
        assert provisioner is not None
        return int(provisioner.pid)  # type: ignore[attr-defined]

    def interrupt(self) -> None:
        """The stop button: SIGINT to the kernel's process group."""
        self.manager.interrupt_kernel()

    def start(self, code: str, *, silent: bool = False) -> CellRun:
        """Send a cell and return at once; finish with `wait`."""
        assert self.client is not None
        request = self.client.execute(
            code, silent=silent, store_history=not silent, allow_stdin=True, stop_on_error=True
        )
        return CellRun(request=request)

    def run(
        self,
        code: str,
        *,
        timeout: float = 30,
        stdin: Sequence[str] | None = None,
        raise_error: bool = False,
    ) -> CellRun:
        """Run a cell to its end; `stdin` answers its input requests one by one."""
        run = self.wait(self.start(code), timeout=timeout, stdin=stdin)
        if raise_error:
            run.raise_error()
        return run

    def wait(
        self,
        run: CellRun,
        *,
        timeout: float = 30,
        stdin: Sequence[str] | None = None,
        until: Callable[[CellRun], object] | None = None,
    ) -> CellRun:
        """Collect messages until the cell ended (reply and idle), or `until(run)` is true.

        After `timeout` seconds: interrupts the cell, so that the next one finds a free kernel, and
        raises TimeoutError with what had arrived.
        """
        if not self._collect(run, time.monotonic() + timeout, list(stdin or ()), until):
            alive = self.manager.is_alive()
            if alive:
                self.interrupt()
                self._collect(run, time.monotonic() + 5, [], None)
            raise TimeoutError(f"the cell did not end (kernel alive: {alive}): {run}")
        return run

    def _collect(
        self,
        run: CellRun,
        end: float,
        answers: list[str],
        until: Callable[[CellRun], object] | None,
    ) -> bool:
        """Receive until the cell ended; false when time ran out."""
        while not (run.idle and run.reply is not None):
            if until and until(run):
                return True
            channels = self._readable(end)
            if not channels:
                return False
            for name in channels:
                self._receive(name, run, answers)
        return True

    def _readable(self, end: float) -> list[str]:
        assert self.client is not None
        channels = {
            self.client.iopub_channel.socket: "iopub",
            self.client.shell_channel.socket: "shell",
            self.client.stdin_channel.socket: "stdin",
        }
        poller = zmq.Poller()
        for socket in channels:
            poller.register(socket, zmq.POLLIN)
        ready = dict(poller.poll(max(0, int((end - time.monotonic()) * 1000))))
        return [channels[socket] for socket in channels if socket in ready]

    def _receive(self, channel: str, run: CellRun, answers: list[str]) -> None:
        """Take one message."""
        assert self.client is not None
        raw = getattr(self.client, f"get_{channel}_msg")(timeout=0)
        content, parent = raw["content"], raw["parent_header"].get("msg_id", "")
        kind = raw["header"]["msg_type"]
        if channel == "stdin":
            run.prompts.append(content["prompt"])
            if not answers:
                raise AssertionError(f"the cell asks {content['prompt']!r} and no answer is left")
            self.client.input(answers.pop(0))
        elif channel == "shell":
            if parent == run.request:
                run.reply = content
            else:
                run.replies[parent] = content
        else:
            run.messages.append(
                Message(kind=kind, content=content, parent=parent, metadata=raw["metadata"])
            )
            own_status = kind == "status" and parent == run.request
            run.idle |= own_status and content["execution_state"] == "idle"
