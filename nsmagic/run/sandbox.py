"""One running realisation of a plan: start, pump, interrupt, end; the same for every body."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import ExitStack
from typing import Final, Protocol

from nsmagic.run.channel import Channel, Frame
from nsmagic.run.launch import Launcher
from nsmagic.run.perform import perform_outside
from nsmagic.run.pipes import OutputPipe
from nsmagic.run.result import Result
from nsmagic.run.tree import Tree
from nsmagic.wish import steps
from nsmagic.wish.errors import ChannelError, NsmagicError, StepError
from nsmagic.wish.hints import hint_for
from nsmagic.wish.plan import Plan

START_SECONDS: Final = 10.0
GRACE_SECONDS: Final = 0.5
_ET: Final = select.EPOLLIN | select.EPOLLET


class Listener(Protocol):
    """What the notebook does with what a cell says."""

    def output(self, stream: str, data: bytes) -> None:
        """Take a piece of `stdout` or `stderr`, in the order of writing."""

    def message(self, frame: Frame, channel: Channel) -> None:
        """Take any frame that is not about the set-up; may answer on the channel."""

    def deadline(self) -> float | None:
        """Return when `tick` is wanted next, on the monotonic clock."""

    def tick(self) -> None:
        """Do what was due at `deadline`."""


class Sandbox:
    """Runs one plan.  `run` pumps in the calling thread until nothing of the cell is left."""

    def __init__(
        self, plan: Plan, launcher: Launcher, tree: Tree, listener: Listener,
        *, timeout: float | None = None,
    ) -> None:  # fmt: skip
        self.plan = plan
        self.result = Result()
        self._launcher, self._tree, self._listener = launcher, tree, listener
        self._timeout = timeout
        self._ready = False
        self._refused: StepError | None = None
        self._escalation: list[tuple[float, signal.Signals]] = []
        self._cleanup = ExitStack()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._cleanup.callback(os.close, self._wake)

    def interrupt(self) -> None:
        """Stop the cell; safe in signal handlers and other threads.  A second call kills at once."""
        os.eventfd_write(self._wake, 1)

    def run(self) -> Result:
        """Run to the end; StepError if Linux refused a step, ChannelError if the cell babbled."""
        started = time.monotonic()
        with self._cleanup:
            self._out, self._err = OutputPipe(), OutputPipe()
            self._cleanup.callback(self._out.close)
            self._cleanup.callback(self._err.close)
            self._cleanup.callback(self._tree.clear)
            self._channel = self._launcher.start(self._out.write_end, self._err.write_end)
            self._cleanup.callback(self._channel.close)
            self._cleanup.callback(self._launcher.close)
            with self._register() as self._poller:
                self._adopt()
                try:
                    self._pump(started)
                except BaseException:
                    self._tree.kill()
                    raise
            self.result.left = self._tree.clear()
            self._drain()
        self.result.seconds = time.monotonic() - started
        if self._refused is not None:
            raise self._refused
        return self.result

    def _register(self) -> select.epoll:
        poller = select.epoll(flags=select.EPOLL_CLOEXEC)
        for fd in (self._out.read_end, self._err.read_end, self._channel.sock.fileno()):
            poller.register(fd, _ET)
        poller.register(self._wake, select.EPOLLIN)
        return poller

    def _adopt(self) -> None:
        if self._launcher.pidfd >= 0:
            self._poller.register(self._launcher.pidfd, select.EPOLLIN)
        if self._launcher.cell_fd >= 0:
            self._tree.adopt(self._launcher.cell, self._launcher.cell_fd)

    def _pump(self, started: float) -> None:
        handlers = {
            self._out.read_end: lambda: self._read("stdout", self._out),
            self._err.read_end: lambda: self._read("stderr", self._err),
            self._channel.sock.fileno(): self._read_channel,
            self._wake: self._woken,
        }
        ended = None
        while ended is None:
            for fd, _ in self._poller.poll(self._patience(started)):
                if fd in handlers:
                    handlers[fd]()
            self._clock(started)
            ended = self._launcher.reap()
        self.result.status, self.result.usage = ended

    def _read(self, stream: str, pipe: OutputPipe) -> None:
        data = pipe.read()
        while data:
            self._listener.output(stream, data)
            # In packet mode the next write is another event, listed after what came before it.
            data = pipe.read() if pipe.wide else b""

    def _drain(self) -> None:
        self._out.wide = self._err.wide = True
        self._read_channel()
        self._read("stdout", self._out)
        self._read("stderr", self._err)

    def _read_channel(self) -> None:
        for frame in self._channel.waiting():
            if self._out.wide or self._err.wide:
                self._read("stdout", self._out)
                self._read("stderr", self._err)
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        setup = {"forked": self._forked, "outside": self._outside, "failed": self._failed,
                 "ready": self._started}  # fmt: skip
        if frame.kind in setup:
            if self._ready and not self._is_late_refusal(frame):
                raise ChannelError(f"frame {frame.kind!r} after the set-up")
            setup[frame.kind](frame)
        elif not self._launcher.take(frame):
            self._listener.message(frame, self._channel)

    def _is_late_refusal(self, frame: Frame) -> bool:
        # "ready" is said before execve(2), and a program never gets hold of the channel.
        return frame.kind == "failed" and isinstance(self.plan.steps[-1], steps.Exec)

    def _forked(self, frame: Frame) -> None:
        if self._launcher.pidfd >= 0:
            self._poller.unregister(self._launcher.pidfd)
        self._launcher.forked(frame)
        self._adopt()
        if self._launcher.pidfd >= 0:  # our own child waits for us; the spawner's waits for it
            self._channel.send("noted")

    def _outside(self, frame: Frame) -> None:
        try:
            perform_outside(self.plan.steps[frame.data["index"]], self._launcher.cell)
        except OSError as error:
            answer = {"errno": error.errno, "text": error.strerror, "path": error.filename}
        else:
            answer = {"errno": 0, "text": "", "path": None}
        self._channel.send("done", **answer)

    def _failed(self, frame: Frame) -> None:
        step, number = self.plan.steps[frame.data["index"]], frame.data["errno"]
        hint = hint_for(step, number)
        self._refused = StepError(step, number, frame.data["text"], frame.data["path"], hint)

    def _started(self, frame: Frame) -> None:
        self._ready = True
        self.result.spent = frame.data["spent"]

    def _woken(self) -> None:
        os.eventfd_read(self._wake)
        self._stop("interrupted")

    def _stop(self, why: str) -> None:
        now = time.monotonic()
        again = bool(self.result.stopped)
        self.result.stopped = self.result.stopped or why
        if again or not self._ready:
            self._escalation = [(now, signal.SIGKILL)]
            return
        self._tree.interrupt(signal.SIGINT)
        self._escalation = [
            (now + GRACE_SECONDS, signal.SIGTERM), (now + 2 * GRACE_SECONDS, signal.SIGKILL),
        ]  # fmt: skip

    def _deadlines(self, started: float) -> list[float]:
        due = [when for when, _ in self._escalation[:1]]
        if self._timeout is not None and not self.result.stopped:
            due.append(started + self._timeout)
        if not self._ready and not self.result.stopped:
            due.append(started + START_SECONDS)
        wanted = self._listener.deadline()
        return due if wanted is None else [*due, wanted]

    def _patience(self, started: float) -> float | None:
        due = self._deadlines(started)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _clock(self, started: float) -> None:
        now = time.monotonic()
        wanted = self._listener.deadline()
        if wanted is not None and now >= wanted:
            self._listener.tick()
        if not self.result.stopped:
            if self._timeout is not None and now >= started + self._timeout:
                self._stop("timeout")
            elif not self._ready and now >= started + START_SECONDS:
                self._stop("start")
        if self._escalation and now >= self._escalation[0][0]:
            _, number = self._escalation.pop(0)
            if number == signal.SIGKILL:
                self._tree.kill()
            else:
                self._tree.interrupt(number)
