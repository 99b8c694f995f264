"""Lets a page that is opened or reloaded while a cell runs have the widgets at once.

Such a page asks what kernel it is, then for all widgets: on a comm that it opens for that
("jupyter.widget.control"), or for the list of comms and then each one's state.  It does so before
it knows that there are subshells, so all of it would wait for the cell, and the page says "Loading
widget..." until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_TARGET: Final = "jupyter.widget.control"
_COMM: Final = frozenset({"comm_open", "comm_msg", "comm_close"})
_QUESTIONS: Final = frozenset({"kernel_info_request", "comm_info_request"})


class Latecomers:
    """Has such questions answered in `subshell` of `kernel` while its main shell is busy.

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
        ours = self._ours(message, busy) if busy or self._comms else None
        if ours is None:
            await self._kernel.shell_channel_thread_main(message)
            return
        manager = self._kernel.shell_channel_thread.manager
        manager.get_shell_channel_to_subshell_socket(self._subshell).send_multipart(ours)

    def _ours(self, message: list[Any], busy: bool) -> list[bytes] | None:
        """Return the message as one for our subshell; None if it is none of these questions."""
        session = self._kernel.session
        idents, parts = session.feed_identities(message, copy=False)
        try:
            found = session.deserialize(parts, content=False, copy=False)
            kind = found["header"]["msg_type"]
            if kind not in _COMM | _QUESTIONS:
                return None
            content = session.unpack(found["content"])
        except (ValueError, TypeError, KeyError):  # not signed or torn: ipykernel says so
            return None
        asks = self._about_all(kind, content) or (busy and _about_state(kind, content))
        if not asks or found["header"].get("subshell_id") is not None:
            return None
        found["header"]["subshell_id"] = self._subshell
        return [*session.serialize({**found, "content": content}, idents), *found["buffers"]]

    def _about_all(self, kind: str, content: Mapping[str, Any]) -> bool:
        """Whether it is on a comm for all widgets.

        One that was opened while the kernel was idle stays with the main shell.
        """
        comm = content.get("comm_id")
        if kind == "comm_open" and content.get("target_name") == _TARGET:
            self._comms.add(str(comm))
        elif comm not in self._comms:
            return False
        elif kind == "comm_close":
            self._comms.discard(comm)
        return True


def _about_state(kind: str, content: Mapping[str, Any]) -> bool:
    """Whether it only asks how something is."""
    data = content.get("data")
    return kind in _QUESTIONS or (
        kind == "comm_msg" and isinstance(data, dict) and data.get("method") == "request_state"
    )
