"""Connection files of Jupyter kernels: where the five channels are, and the key that signs."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from nsmagic.wish.errors import NsmagicError

CHANNELS: Final = ("shell", "iopub", "stdin", "control", "hb")
SOCKET_PATH_BYTES: Final = 107  # sun_path of unix(7), without its final NUL


@dataclass(frozen=True, kw_only=True)
class Connection:
    """What a connection file says; `data` is all of it, with what only kernel and front end know.

    See https://jupyter-client.readthedocs.io/en/stable/kernels.html#connection-files.
    """

    data: Mapping[str, Any]

    @classmethod
    def read(cls, file: Path) -> Connection:
        """Read a connection file; NsmagicError if it is none, or leaves ports to the kernel."""
        try:
            data = json.loads(file.read_text())
            missing = [name for name in CHANNELS if not data[f"{name}_port"]]
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise NsmagicError(f"{file} is not a connection file: {problem!r}") from None
        if missing:
            raise NsmagicError(f"{file} names no port for {', '.join(missing)}")
        return cls(data=data)

    @property
    def key(self) -> bytes:
        """The key of the signatures; empty if there are none."""
        return str(self.data.get("key", "")).encode()

    @property
    def scheme(self) -> str:
        """The signature scheme, as `hmac-sha256`."""
        return str(self.data.get("signature_scheme") or "hmac-sha256")

    def at(self, prefix: str) -> Connection:
        """Return the same connection on the sockets PREFIX-1 to PREFIX-5, transport ipc."""
        ports = {f"{name}_port": number for number, name in enumerate(CHANNELS, start=1)}
        return replace(self, data={**self.data, "transport": "ipc", "ip": prefix, **ports})

    def write(self, file: Path) -> None:
        """Write the connection file, for its owner only."""
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "w") as opened:
            json.dump(self.data, opened, indent=1)

    def address(self, channel: str) -> tuple[str, int] | str:
        """Return where a channel is: host and port, or the path of a socket."""
        port = int(self.data[f"{channel}_port"])
        if self.data["transport"] == "ipc":
            return f"{self.data['ip']}-{port}"
        return str(self.data["ip"]), port

    def listen(self, channel: str) -> socket.socket:
        """Listen where a channel is; OSError names the address."""
        address = self.address(channel)
        try:
            if isinstance(address, tuple):
                return socket.create_server(address)
            listener = socket.socket(socket.AF_UNIX)
            with suppress(FileNotFoundError):  # of a kernel before us, which was killed
                Path(address).unlink()
            listener.bind(address)
            listener.listen()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(address)) from None
        return listener

    def dial(self, channel: str) -> socket.socket:
        """Return a non-blocking connection to a channel of transport ipc; OSError if nobody is."""
        address = self.address(channel)
        dialled = socket.socket(socket.AF_UNIX)
        dialled.setblocking(False)  # before: a full queue gives EAGAIN, unix(7)
        try:
            dialled.connect(address)
        except OSError:
            dialled.close()
            raise
        return dialled
