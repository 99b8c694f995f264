"""A plan beside this process and on its own terminal: the way of the command line and the doctor.

The caller is small and has one thread, so a plain fork is safe.  The child keeps standard input and
outputs, session and process group: job control, Ctrl-C and full-screen programs work as without us.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Final, NoReturn

from nsmagic.run.channel import Channel, Frame
from nsmagic.run.detaching import reset_signals
from nsmagic.run.execute import Body
from nsmagic.run.handover import ToParent, die_with
from nsmagic.run.launch import wait_status
from nsmagic.run.outside import (
    ReadFacts,
    perform_ahead,
    read_facts,
    refusal_told,
    try_outside,
)
from nsmagic.run.perform import perform_all
from nsmagic.run.result import Result
from nsmagic.wish.errors import StepError
from nsmagic.wish.plan import Plan

TIMEOUT: Final = "timeout"


class Attached:
    """One run of a plan.  `ready` is called with the milliseconds of each step.

    `before` is done in the child before the first step; where it raises OSError, `told` gets a
    frame `unable`.  `facts` returns what may explain a refused step.  `begun` is called when the
    steps ahead of the child are done, and there is no child yet.
    """

    def __init__(
        self, plan: Plan, body: Body, *, ready: Callable[[list[float]], None] = lambda _: None,
        told: Callable[[Frame], None] = lambda _: None, before: Callable[[], None] = lambda: None,
        facts: ReadFacts = read_facts,
        begun: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._plan, self._body = plan, body
        self._ready, self._told = ready, told
        self._before, self._facts, self._begun = before, facts, begun
        self._ahead: list[float] = []
        self._refused: StepError | None = None
        self._status: int | None = None
        self._undo: list[Callable[[], None]] = []
        self._pid = self._pidfd = self._cellfd = -1
        self._is_ready = False
        self.result = Result()

    def signal(self, number: int) -> None:
        """Pass a signal on to the body's process; for handlers of signals."""
        fd = self._pidfd if self._cellfd < 0 else self._cellfd
        if fd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, number)

    def run(self, *, timeout: float | None = None) -> Result:
        """Do the steps and the body and wait for the end of it; raise StepError if refused."""
        started = time.monotonic()
        limit = None if timeout is None else started + timeout
        perform_ahead(self._plan, self._ahead)
        self._begun()
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        parent = os.getpid()
        with ExitStack() as cleanup:
            cleanup.callback(self._channel.close)
            with theirs:
                pid = os.fork()
                if pid == 0:
                    self._child(theirs, parent)
                self._take_pid(pid)
            cleanup.callback(self._end)
            self._pump(limit)
        self.result.seconds = time.monotonic() - started
        if self._refused is not None or not self._is_ready:
            for undo in reversed(self._undo):
                undo()
        if self._refused is not None:
            raise self._refused
        return self.result

    def _child(self, end: socket.socket, parent: int) -> NoReturn:
        try:
            self._channel.sock.close()
            channel = Channel(end)
            self._prepare(channel)
            die_with(parent)
            reset_signals()
            spent = perform_all(self._plan.steps, channel, ToParent(channel))
            channel.send("ready", spent=spent)
            self._body(channel, spent)
        except BaseException:  # noqa: BLE001 - told, and the process ends
            os.write(2, traceback.format_exc().encode())
        finally:  # whatever happens, this copy must not return to the caller's code
            os._exit(255)

    def _prepare(self, channel: Channel) -> None:
        try:
            self._before()
        except OSError as error:
            channel.send("unable", errno=error.errno, text=error.strerror)
            os._exit(1)

    def _pump(self, limit: float | None) -> None:
        poller = select.poll()
        poller.register(self._channel.sock, select.POLLIN)
        watched = -1
        while True:
            if watched != self._pidfd:
                if watched >= 0:
                    poller.unregister(watched)
                watched = self._pidfd
                poller.register(watched, select.POLLIN)
            left = None if limit is None else max(0.0, limit - time.monotonic())
            ready = {fd for fd, _ in poller.poll(None if left is None else left * 1000)}
            self._listen()
            if self._channel.closed and self._channel.sock.fileno() in ready:
                poller.unregister(self._channel.sock)
            if watched == self._pidfd and watched in ready:
                return
            if not ready:
                self.result.stopped = TIMEOUT
                return

    def _listen(self) -> None:
        handlers = {"forked": self._forked, "outside": self._outside, "failed": self._failed,
                    "ready": self._on_ready, "cell_status": self._on_status}  # fmt: skip
        for frame in self._channel.waiting():
            handlers.get(frame.kind, self._told)(frame)

    def _take_pid(self, pid: int) -> None:
        old, self._pid, self._pidfd = self._pidfd, pid, os.pidfd_open(pid)
        if old >= 0:
            os.close(old)

    def _forked(self, frame: Frame) -> None:
        if not frame.data["kept"]:
            # The two may share memory (take_over): the first one must not wake up again.
            old = self._pid
            os.kill(old, signal.SIGKILL)
            self._take_pid(frame.data["pid"])
            os.waitpid(old, 0)
        else:  # a keeper stays between us and the body
            with suppress(ProcessLookupError):
                self._cellfd = os.pidfd_open(frame.data["pid"])
        self._answer("noted")

    def _outside(self, frame: Frame) -> None:
        step = self._plan.steps[frame.data["index"]]
        self._answer("done", **try_outside(step, frame.data["pid"], self._undo))

    def _answer(self, kind: str, **data: Any) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # killed meanwhile
            self._channel.send(kind, **data)

    def _failed(self, frame: Frame) -> None:
        self.result.spent = [*self._ahead, *frame.data["spent"]]
        self._refused = refusal_told(self._plan, frame, self._facts)

    def _on_ready(self, frame: Frame) -> None:
        self._is_ready = True
        self.result.spent = [*self._ahead, *frame.data["spent"]]
        self._ready(self.result.spent)
        self._answer("go")

    def _on_status(self, frame: Frame) -> None:
        self._status = wait_status(frame)

    def _end(self) -> None:
        """Kill what a timeout or an error of ours left running, and reap it."""
        if self.result.stopped or not self._has_ended():
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        self._listen()
        self.result.status = status if self._status is None else self._status
        for fd in {self._pidfd, self._cellfd} - {-1}:
            os.close(fd)
        self._pidfd = self._cellfd = -1

    def _has_ended(self) -> bool:
        return bool(select.select([self._pidfd], [], [], 0)[0])
