"""Lets a page that is opened or reloaded while a cell runs have the widgets at once.

Such a page asks for all widgets on a comm it opens then ("jupyter.widget.control").  JupyterLab
does so before it knows that there are subshells, so the request would wait for the cell, and the
page says "Loading widget..." until then.
"""

from __future__ import annotations

from typing import Any, Final

_TARGET: Final = "jupyter.widget.control"
_COMM: Final = frozenset({"comm_open", "comm_msg", "comm_close"})


class Latecomers:
    """Has requests for all widgets handled in `subshell` of `kernel` while its main shell is busy.

    Private names of ipykernel 7.4.  `begin` and `end` are for the thread that reads the shell
    channel, in which `_take` runs.
    """

    def __init__(self, kernel: Any, subshell: str) -> None:  # noqa: ANN401 - no annotations
        self._kernel, self._subshell = kernel, subshell
        self._comms: set[str] = set()

    @staticmethod
    def possible(kernel: Any) -> bool:  # noqa: ANN401
        """Whether this ipykernel has what is needed."""
        names = ("shell_stream", "shell_channel_thread_main", "_main_asyncio_lock", "session")
        return all(hasattr(kernel, name) for name in names)

    def begin(self) -> None:
        """Look at each message before ipykernel does."""
        self._kernel.shell_stream.on_recv(self._take, copy=False)

    def end(self) -> None:
        """Leave messages to ipykernel again."""
        if self._kernel.shell_stream is not None:
            self._kernel.shell_stream.on_recv(self._kernel.shell_channel_thread_main, copy=False)

    async def _take(self, message: list[Any]) -> None:
        busy = self._kernel._main_asyncio_lock.locked()
        ours = self._ours(message) if busy or self._comms else None
        if ours is None:
            await self._kernel.shell_channel_thread_main(message)
            return
        manager = self._kernel.shell_channel_thread.manager
        manager.get_shell_channel_to_subshell_socket(self._subshell).send_multipart(ours)

    def _ours(self, message: list[Any]) -> list[bytes] | None:
        """Return the message as one for our subshell; None if it is not about all widgets.

        A comm that was opened while the kernel was idle stays with the main shell.
        """
        session = self._kernel.session
        idents, parts = session.feed_identities(message, copy=False)
        try:
            found = session.deserialize(parts, content=False, copy=False)
            kind = found["header"]["msg_type"]
            content = session.unpack(found["content"]) if kind in _COMM else {}
        except (ValueError, TypeError, KeyError):  # not signed or torn: ipykernel says so
            return None
        comm = content.get("comm_id")
        if kind == "comm_open" and content.get("target_name") == _TARGET:
            self._comms.add(str(comm))
        elif comm not in self._comms:
            return None
        elif kind == "comm_close":
            self._comms.discard(comm)
        found["header"]["subshell_id"] = self._subshell
        return [*session.serialize({**found, "content": content}, idents), *found["buffers"]]
