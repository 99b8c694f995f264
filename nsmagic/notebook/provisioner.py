"""The kernel provisioner of boxed kernels: no TCP port, and an end that cleans up.

jupyter_client chooses it by `metadata.kernel_provisioner` in kernel.json.  A front end that knows
no provisioners starts the same argv on TCP ports instead; the kernel is in its box all the same.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path
from typing import Any, Final

from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from nsmagic.notebook.meeting import new_directory

_PATIENCE: Final = 50  # times 0.1 s for a box to go away before its program is killed


class BoxProvisioner(LocalProvisioner):
    """Starts the program of a boxed kernel, which is reached by sockets in a private directory."""

    _folder: Path | None = None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Choose transport ipc.  On a restart all stays as it is: clients keep the address."""
        manager = self.parent
        chosen = manager is None or manager.transport != "tcp" or any(manager.ports)
        if manager is not None and self._folder is None and not chosen:
            self._folder = new_directory()
            manager.transport = "ipc"
            manager.ip = str(self._folder / "k")
            manager.cache_ports = False
        return await super().pre_launch(**kwargs)

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002
        """End the kernel at once, and wait until its program has cleaned up."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGQUIT)
        for _ in range(_PATIENCE):
            if self.process.poll() is not None:
                return
            await asyncio.sleep(0.1)
        await super().kill()

    async def cleanup(self, restart: bool = False) -> None:
        """Remove the directory, if its program could not."""
        if self._folder is not None and not restart:
            shutil.rmtree(self._folder, ignore_errors=True)
        await super().cleanup(restart)
