"""What front ends wait for when their kernel dies, and what they are told then."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from nsmagic.notebook.connection import Connection
from nsmagic.notebook.zmtp import Headers, Message, Signer, Stream

_MOST: Final = 1000  # cells that a kernel may run at a time
_REQUEST, _REPLY = "execute_request", "execute_reply"
_ABORTED: Final = {"status": "aborted"}

Cell = tuple[Headers, int | None]  # the request's header, and the execution count if it is known


@dataclass(frozen=True, kw_only=True)
class LastWords:
    """The error that the running cell gets in the place of a reply."""

    name: str
    text: str
    hint: str = ""

    @property
    def content(self) -> dict[str, Any]:
        """The content of an `error` message."""
        lines = [f"\x1b[31m{self.name}\x1b[0m: {self.text}", *self.hint.splitlines()]
        return {"ename": self.name, "evalue": self.text, "traceback": lines}


@dataclass(eq=False)
class Link:
    """One connection of a front end to one channel, and the cells under way on it, by message id.

    `counts` are their execution counts, where the kernel told.
    """

    channel: str
    client: socket.socket
    asked: Stream = field(default_factory=Stream)
    told: Stream = field(default_factory=Stream)
    back: asyncio.Task[None] | None = None
    running: dict[str, Headers] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    session: str = ""

    def note_asked(self, message: Message) -> None:
        """Remember a cell that is to run."""
        if message.header.get("msg_type") == _REQUEST:
            self.running[str(message.header.get("msg_id"))] = message.header

    def note_told(self, message: Message) -> None:
        """Remember which cell runs and which one ended."""
        kind, cell = message.header.get("msg_type"), str(message.parent.get("msg_id"))
        self.session = str(message.header.get("session", ""))
        idle = kind == "status" and b'"idle"' in message.content
        if kind == _REPLY or idle:
            self.running.pop(cell, None)
            self.counts.pop(cell, None)
        elif kind == "execute_input" and len(self.running) < _MOST:
            self.running[cell] = message.parent
            with suppress(ValueError, KeyError, TypeError, RecursionError):  # a kernel may babble
                self.counts[cell] = int(json.loads(message.content)["execution_count"])


def running_cells(links: Sequence[Link]) -> dict[str, Cell]:
    """Return the cells that run, of those that wait for a reply, with their execution counts."""
    begun = {cell: link.counts.get(cell)
             for link in links if link.channel == "iopub" for cell in link.running}  # fmt: skip
    found: dict[str, Cell] = {}
    for link in links:
        if link.channel == "shell":
            asked = list(link.running)
            # That it began may still have been in the kernel's memory when that was killed.
            for cell in [cell for cell in asked if cell in begun] or asked[:1]:
                found[cell] = link.running[cell], begun.get(cell)
    return found


def words_for(
    link: Link, front: Connection, words: LastWords, running: Mapping[str, Cell]
) -> bytes:
    """Return what a kernel would write to this link if the running cells had failed."""
    signer = Signer(key=front.key, scheme=front.scheme, session=link.session)
    data = b""
    if link.channel == "iopub":
        for parent, _ in running.values():
            data += signer.message("error", words.content, parent, topic=b"error")
            idle = {"execution_state": "idle"}
            data += signer.message("status", idle, parent, topic=b"status")
    elif link.channel == "shell":
        for cell, parent in link.running.items():
            count = running[cell][1] if cell in running else None
            reply = {"status": "error", **words.content, "execution_count": count}
            data += signer.message(_REPLY, reply if cell in running else _ABORTED, parent)
    return data
