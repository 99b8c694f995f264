"""One running realisation of a plan: start, pump, interrupt, end; the same for every body."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final

from nsmagic.run.asking import pumping_aside
from nsmagic.run.channel import Frame
from nsmagic.run.launch import Launcher
from nsmagic.run.listener import Listener
from nsmagic.run.outside import perform_ahead, refusal_told, try_outside
from nsmagic.run.result import Result
from nsmagic.run.streams import ET, Streams
from nsmagic.run.terminal import Terminal
from nsmagic.run.tree import Tree
from nsmagic.wish import steps
from nsmagic.wish.errors import ChannelError, StepError
from nsmagic.wish.plan import Plan

if TYPE_CHECKING:
    from nsmagic.run.groups import LiveGroup

START_SECONDS: Final = 10.0


class Sandbox:
    """Runs one plan.  `run` pumps in the calling thread until nothing of the cell is left."""

    def __init__(
        self, plan: Plan, launcher: Launcher, tree: Tree, listener: Listener,
        *, timeout: float | None = None, terminal: Terminal | None = None,
        entered: Callable[[int], None] = lambda _: None, group: LiveGroup | None = None,
        leave: Callable[[int], None] | None = None,
    ) -> None:  # fmt: skip
        """`leave` reads on what processes write that the cell left in a box."""
        self.plan = plan
        self.result = Result()
        self._launcher, self._tree, self._listener = launcher, tree, listener
        self._timeout, self._entered, self._group = timeout, entered, group
        self._leave = leave
        self._ready = self._over = False
        self._forks = any(isinstance(step, steps.Fork) for step in plan.steps)
        self._below_init = any(isinstance(step, steps.Init) for step in plan.steps)
        self._forked_all = not self._forks
        self._refused: StepError | None = None
        self._undo: list[Callable[[], None]] = []
        self._listed: deque[int] = deque()
        self._streams = Streams(terminal, listener)
        self._cleanup = ExitStack()
        with ExitStack() as on_failure:
            on_failure.callback(self._streams.close)
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            on_failure.pop_all()
        self._cleanup.callback(os.close, self._wake)

    @property
    def pid(self) -> int:
        """The PID of the main process as we see it; 0 before its body stands, and after."""
        return self._tree.pid if self._ready else 0  # before, it may be that of who forks it

    def interrupt(self) -> None:
        """Stop the cell, from any thread or signal handler.  A second call kills at once."""
        if not self._over:
            os.eventfd_write(self._wake, 1)

    def asking(self) -> AbstractContextManager[None]:
        """Keep the cell going while the listener asks a person, in the thread that pumps."""
        return pumping_aside(self._poller, self._pump_aside, self._patience)

    def _pump_aside(self, ready: Collection[int]) -> bool:
        """Take what is ready but for frames, which go on after the answer; False at the end."""
        handlers = self._handlers()
        del handlers[self._channel.sock.fileno()]
        self._handle(ready, handlers)
        self._clock()
        return not self.result.stopped and self._launcher.pidfd not in ready

    def start(self) -> None:
        """Make the first process, in the calling thread: it ends when that thread does."""
        self._started_at = time.monotonic()
        self._limit = None if self._timeout is None else self._started_at + self._timeout
        with ExitStack() as on_failure:
            on_failure.push(self._cleanup)
            self._cleanup.callback(self._streams.close)
            self._cleanup.callback(self._tree.clear)
            self._tree.begin()
            perform_ahead(self.plan, self.result.spent)
            self._ahead = list(self.result.spent)
            if self._group is not None:
                self._group.begin()
            self._cleanup.callback(self._launcher.close)
            self._channel = self._launcher.start(*self._streams.write_ends)
            self._cleanup.callback(self._channel.close)
            self._poller = self._cleanup.enter_context(select.epoll(flags=select.EPOLL_CLOEXEC))
            self._register()
            on_failure.pop_all()

    def finish(self) -> Result:
        """Pump to the end; StepError if Linux refused a step, ChannelError if the cell babbled."""
        with self._cleanup:
            try:
                self._pump()
            except BaseException:
                self._tree.kill()
                raise
            finally:
                self._over = True
            if self._group is not None:
                self._group.end(self.result, 0 if self._below_init else self._tree.pid)
            stays = self._leave is not None and not self.result.stopped
            self.result.left = self._tree.clear(whole=not stays) + self._launcher.left
            self._streams.widen()
            self._read_channel()
            self._streams.read_all()
            if self._leave is not None and stays:
                self._streams.leave_to(self._leave)
        self.result.seconds = time.monotonic() - self._started_at
        if self._refused is not None or not self._ready:
            for undo in reversed(self._undo):
                undo()
        if self._refused is not None:
            raise self._refused
        return self.result

    def settle(self) -> Result:
        """Pump until the body stands, and let go of it; if it does not come to that, `finish`.

        Then the launcher, its channel and the tree are the caller's.
        """
        try:
            while not self._ready and not self._launcher.reap() and not self._tree.tracer:
                self._handle(
                    (fd for fd, _ in self._poller.poll(self._patience())), self._handlers()
                )
                self._clock()
        except BaseException:
            with self._cleanup:
                self._tree.kill()
            raise
        if not self._ready or self.result.stopped:
            return self.finish()
        self._over = True
        self._cleanup.pop_all()
        self._poller.close()
        self._streams.close()
        os.close(self._wake)
        return self.result

    def _register(self) -> None:
        self._streams.register(self._poller)
        self._poller.register(self._channel.sock.fileno(), ET)
        self._poller.register(self._wake, select.EPOLLIN)
        if self._group is not None and self._group.watch is not None:
            self._poller.register(self._group.watch.fileno(), self._group.watch.poll_for)
        self._adopt()

    def _adopt(self) -> None:
        ours = self._launcher.pidfd >= 0  # the spawner ends its own children without being asked
        if ours:
            self._poller.register(self._launcher.pidfd, ET)
        if self._launcher.cell_fd >= 0:
            guard = ours and self._forked_all
            self._tree.adopt(self._launcher.cell, self._launcher.cell_fd, guard=guard)

    def _handle(self, ready: Iterable[int], handlers: Mapping[int, Callable[[], None]]) -> None:
        """Handle what is ready in its order; what a handler that asks a person leaves is kept."""
        self._listed.extend(ready)
        while self._listed:
            handlers.get(self._listed.popleft(), lambda: None)()

    def _handlers(self) -> dict[int, Callable[[], None]]:
        handlers: dict[int, Callable[[], None]] = {
            **self._streams.handlers(self._poller),
            self._channel.sock.fileno(): self._read_channel,
            self._wake: self._woken,
        }
        if self._group is not None and self._group.watch is not None:
            handlers[self._group.watch.fileno()] = self._out_of_memory
        return handlers

    def _pump(self) -> None:
        handlers = self._handlers()
        while not self._launcher.reap() and not self._tree.tracer:
            self._handle((fd for fd, _ in self._poller.poll(self._patience())), handlers)
            self._clock()
        # Its last writes may not have been listed yet: in their order, before all else.
        self._handle((fd for fd, _ in self._poller.poll(0)), handlers)
        with suppress(BlockingIOError):  # stopped, and it ended by that before we looked
            self._woken()
        self._read_channel()
        self.result.status, self.result.usage = self._launcher.ended()
        self.result.tracer = self._tree.tracer

    def _read_channel(self) -> None:
        for frame in self._channel.waiting():
            if self._streams.wide:
                self._streams.read_all()
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        setup = {"forked": self._forked, "outside": self._outside, "failed": self._failed,
                 "ready": self._started}  # fmt: skip
        if frame.kind in setup:
            # "ready" is said before execve(2), and a program never gets hold of the channel.
            late = frame.kind == "failed" and isinstance(self.plan.steps[-1], steps.Exec)
            if self._ready and not late:
                raise ChannelError(f"frame {frame.kind!r} after the set-up")
            setup[frame.kind](frame)
        elif not self._launcher.take(frame):
            with suppress(BrokenPipeError, ConnectionResetError):  # a dead cell takes no answer
                self._listener.message(frame, self._channel)

    def _forked(self, frame: Frame) -> None:
        if self._launcher.pidfd >= 0:
            self._poller.unregister(self._launcher.pidfd)
        self._launcher.forked(frame)
        self._entered(self._launcher.cell)
        if self._launcher.pidfd >= 0 and not self.result.stopped:
            self._answer("noted")  # for our own child; the spawner's waits for the spawner
        self._forked_all = True
        self._adopt()
        if self.result.stopped:
            self._tree.kill()

    def _outside(self, frame: Frame) -> None:
        pid = self._launcher.cell or frame.data["pid"]  # before a Fork step the spawner told none
        self._answer("done", **try_outside(self.plan.steps[frame.data["index"]], pid, self._undo))

    def _answer(self, kind: str, **data: Any) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # killed meanwhile
            self._channel.send(kind, **data)

    def _failed(self, frame: Frame) -> None:
        self.result.spent = [*self._ahead, *frame.data["spent"]]
        self._refused = refusal_told(self.plan, frame)

    def _started(self, frame: Frame) -> None:
        self._ready = True
        if not self._forks:
            self._entered(self._launcher.cell)
        if self.result.stopped:  # while there was no process yet that could be killed
            self._tree.kill()
        self.result.spent = [*self._ahead, *frame.data["spent"]]
        self._listener.ready(self.result)

    def _woken(self) -> None:
        for _ in range(os.eventfd_read(self._wake)):
            self._stop("interrupted")

    def _out_of_memory(self) -> None:
        """Do what memory.oom.group does on cgroup v2."""
        assert self._group is not None
        assert self._group.watch is not None
        self._group.watch.acknowledge()
        if self._group.kills_all:
            self.result.all_killed = True
            self._tree.kill()

    def _stop(self, why: str) -> None:
        now = time.monotonic()
        again = bool(self.result.stopped)
        self.result.stopped = self.result.stopped or why
        if not self._forked_all:
            # The first process alone: a second that died now would never have told us of itself.
            self._tree.kill_first(now)
        elif again or not self._ready:
            self._tree.kill()
        else:
            self._tree.stop(now)

    def _patience(self) -> float | None:
        due = [self._listener.deadline(), self._streams.out.deadline, self._tree.deadline]
        if not self.result.stopped:
            due.append(self._limit)
            due.append(None if self._ready else self._started_at + START_SECONDS)
        times = [when for when in due if when is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _clock(self) -> None:
        now = time.monotonic()
        if (self._listener.deadline() or now + 1) <= now:
            self._listener.tick()
        if (self._streams.out.deadline or now + 1) <= now:
            self._streams.out.tick()
        if not self.result.stopped:
            if self._limit is not None and now >= self._limit:
                self._stop("timeout")
            elif not self._ready and now >= self._started_at + START_SECONDS:
                self._stop("start")
        self._tree.tick(now)
