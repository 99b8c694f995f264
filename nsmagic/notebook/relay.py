"""Between front end and boxed kernel: copies bytes, and speaks for a kernel that was killed.

A kernel in a network namespace of its own is out of reach of 127.0.0.1; sockets with a path cross
that border.  So we listen where the front end looks for the kernel, and pass on what comes to the
kernel's sockets, byte by byte: identities, signatures and encryption are the two ends' own.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Final

from nsmagic.notebook.connection import CHANNELS, Connection
from nsmagic.notebook.links import LastWords, Link, running_cells, words_for
from nsmagic.notebook.zmtp import Message, Stream

_PIECE: Final = 1 << 18  # bytes copied at a time
_AGAIN: Final = 0.02  # s until the kernel's socket is looked for again
_DRAIN: Final = 1.0  # s for what a kernel wrote before it ended, and for a front end to take it in
_UNTIL_SPOKEN: Final = 10.0  # s from when the kernel hung up until we do too, unless it has ended


class Relay:
    """Listens as `front` says and copies to `kernel`, in a thread of its own, until `close`.

    `answered`: the kernel came so far that it said something, or something that only the front end
    can read (CURVE).
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
        with suppress(OSError):  # the source hung up
            while data := await self._loop.sock_recv(source, _PIECE):
                for message in stream.feed(data):
                    note(message)
                    self.answered = self.answered or bool(message.parent)
                self.answered = self.answered or stream.opaque
                stream.torn = True
                with suppress(OSError):  # what is asked of a dead kernel gets an answer too
                    await self._loop.sock_sendall(target, data)
                    stream.torn = False

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
        running = running_cells(links)
        spoken = [
            self._loop.create_task(self._say(link.client, data))
            for link in links
            if link.told.between and (data := words_for(link, self._front, words, running))
        ]
        if spoken:
            await asyncio.wait(spoken, timeout=_DRAIN)
        return bool(spoken)

    async def _say(self, client: socket.socket, data: bytes) -> None:
        with suppress(OSError):  # it hung up
            await self._loop.sock_sendall(client, data)
            client.shutdown(socket.SHUT_WR)
            # A socket closed with bytes unread would take back what is still on its way, tcp(7).
            while await self._loop.sock_recv(client, _PIECE):
                pass


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel and wait: a socket may be closed only once nobody in the loop looks at it."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
