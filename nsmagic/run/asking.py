"""While a person is asked something, the cell goes on: its output, its clock, and its end."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Collection, Generator
from contextlib import ExitStack, contextmanager


@contextmanager
def pumping_aside(
    poller: select.epoll,
    pump: Callable[[Collection[int]], bool],
    patience: Callable[[], float | None],
) -> Generator[None]:
    """Pump in another thread while the calling thread waits for an answer.

    `pump` takes the descriptors that are ready and returns whether the answer is still wanted;
    once it is not, the calling thread gets SIGINT, which ends the question.  Only the main thread
    can be got out of a question; a subshell's goes on asking.
    """
    answered = os.eventfd(0, os.EFD_CLOEXEC)
    asker = threading.current_thread()

    def go_on() -> None:
        wanted = pump(())  # what the calling thread was about to read
        while wanted:
            ready = [fd for fd, _ in poller.poll(patience())]
            wanted = pump(ready)
            if answered in ready:
                return
        if asker is threading.main_thread() and asker.ident is not None:
            signal.pthread_kill(asker.ident, signal.SIGINT)

    with ExitStack() as stack:  # SIGINT may come while we leave: what is below is done all the same
        stack.callback(os.close, answered)
        poller.register(answered, select.EPOLLIN)
        stack.callback(poller.unregister, answered)
        thread = threading.Thread(target=go_on, name="nsmagic-asking", daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(os.eventfd_write, answered, 1)
        yield
