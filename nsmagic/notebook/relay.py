"""Between front end and boxed kernel: copies bytes, and speaks for a kernel that was killed.

A kernel in a network namespace of its own is out of reach of 127.0.0.1; sockets with a path cross
that border.  So we listen where the front end looks for the kernel, and pass on what comes to the
kernel's sockets, byte by byte: identities, signatures and encryption are the two ends' own.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from nsmagic.notebook.connection import CHANNELS, Connection
from nsmagic.notebook.zmtp import Headers, Message, Signer, Stream

_PIECE: Final = 1 << 18  # bytes copied at a time
_AGAIN: Final = 0.02  # s until the kernel's socket is looked for again
_DRAIN: Final = 1.0  # s for what a kernel wrote before it ended, and for a front end to take it in
_UNTIL_SPOKEN: Final = 10.0  # s from when the kernel hung up until we do too, unless it has ended
_REQUEST, _REPLY = "execute_request", "execute_reply"
_ABORTED: Final = {"status": "aborted"}

_Cell = tuple[Headers, int | None]  # the request's header, and the execution count if it is known


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
        elif kind == "execute_input":
            self.running[cell] = message.parent
            self.counts[cell] = json.loads(message.content)["execution_count"]


class Relay:
    """Listens as `front` says and copies to `kernel`, in a thread of its own, until `close`.

    `answered`: the kernel came so far that it said something.
    """

    def __init__(self, front: Connection, kernel: Connection) -> None:
        self._front, self._kernel = front, kernel
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._listeners: dict[str, socket.socket] = {}
        self.answered = False
        with ExitStack() as on_failure:
            for channel in CHANNELS:
                listener = front.listen(channel)
                on_failure.callback(listener.close)
                listener.setblocking(False)
                self._listeners[channel] = listener
            on_failure.pop_all()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()
        self._ready.wait()

    def watch(self, fd: int, then: Callable[[], None]) -> None:
        """Call `then` in the relay's thread when `fd` becomes readable, once."""

        def fire() -> None:
            self._loop.remove_reader(fd)
            then()

        self._loop.call_soon_threadsafe(self._loop.add_reader, fd, fire)

    def close(self, words: LastWords | None = None) -> bool:
        """Hang up, once the kernel has ended; every cell that still ran gets `words` before.

        Returns whether there was such a cell.
        """
        told = asyncio.run_coroutine_threadsafe(self._finish(words), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        return told

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._accepting = [self._loop.create_task(self._accept(name)) for name in CHANNELS]
            self._loop.call_soon(self._ready.set)
            self._loop.run_forever()

    async def _accept(self, channel: str) -> None:
        while True:
            try:
                client, _ = await self._loop.sock_accept(self._listeners[channel])
            except ConnectionAbortedError:  # it hung up before we answered, accept(2)
                continue
            client.setblocking(False)
            if client.family != socket.AF_UNIX:  # as zmq itself does; small messages do not wait
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(channel=channel, client=client)
            self._links[link] = self._loop.create_task(self._serve(link))

    async def _serve(self, link: Link) -> None:
        """Copy both ways until one side hangs up."""
        with await self._dial(link.channel) as kernel:
            back = self._loop.create_task(
                self._copy(kernel, link.client, link.told, link.note_told)
            )
            link.back = back
            there = self._loop.create_task(
                self._copy(link.client, kernel, link.asked, link.note_asked)
            )
            try:
                await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
                if not there.done():  # a kernel that ended is spoken for meanwhile, by `_finish`
                    await asyncio.wait((there,), timeout=_UNTIL_SPOKEN)
            finally:
                await _cancel((there, back))
        del self._links[link]
        link.client.close()

    async def _dial(self, channel: str) -> socket.socket:
        """Connect to the kernel, as soon as it listens."""
        while True:
            try:
                return self._kernel.dial(channel)
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                await asyncio.sleep(_AGAIN)

    async def _copy(
        self,
        source: socket.socket,
        target: socket.socket,
        stream: Stream,
        note: Callable[[Message], None],
    ) -> None:
        with suppress(OSError):  # one of the two hung up
            while data := await self._loop.sock_recv(source, _PIECE):
                for message in stream.feed(data):
                    note(message)
                    self.answered = self.answered or bool(message.parent)
                await self._loop.sock_sendall(target, data)

    async def _finish(self, words: LastWords | None) -> bool:
        await _cancel(self._accepting)
        for listener in self._listeners.values():
            listener.close()
        if backs := [link.back for link in self._links if link.back is not None]:
            await asyncio.wait(backs, timeout=_DRAIN)  # until what the kernel wrote is passed on
        links = list(self._links)
        await _cancel(list(self._links.values()))
        told = words is not None and await self._speak(words, links)
        for link in links:
            link.client.close()
        return told

    async def _speak(self, words: LastWords, links: Sequence[Link]) -> bool:
        """Send `words` to the cells that run, and wait until the front ends have hung up too."""
        running = _running(links)
        spoken = [
            self._loop.create_task(self._say(link.client, data))
            for link in links
            if link.told.between and (data := self._data(link, words, running))
        ]
        if spoken:
            await asyncio.wait(spoken, timeout=_DRAIN)
        return bool(spoken)

    def _data(self, link: Link, words: LastWords, running: Mapping[str, _Cell]) -> bytes:
        """Return what a kernel would write to this link if the running cells had failed."""
        signer = Signer(key=self._front.key, scheme=self._front.scheme, session=link.session)
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

    async def _say(self, client: socket.socket, data: bytes) -> None:
        with suppress(OSError):  # it hung up
            await self._loop.sock_sendall(client, data)
            client.shutdown(socket.SHUT_WR)
            # A socket closed with bytes unread would take back what is still on its way, tcp(7).
            while await self._loop.sock_recv(client, _PIECE):
                pass


def _running(links: Sequence[Link]) -> dict[str, _Cell]:
    """Return the cells that run, of those that wait for a reply, with their execution counts."""
    begun = {cell: link.counts.get(cell)
             for link in links if link.channel == "iopub" for cell in link.running}  # fmt: skip
    found: dict[str, _Cell] = {}
    for link in links:
        if link.channel == "shell":
            asked = list(link.running)
            # That it began may still have been in the kernel's memory when that was killed.
            for cell in [cell for cell in asked if cell in begun] or asked[:1]:
                found[cell] = link.running[cell], begun.get(cell)
    return found


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel and wait: a socket may be closed only once nobody in the loop looks at it."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
