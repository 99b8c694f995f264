"""What a running cell tells the notebook."""

from __future__ import annotations

from typing import Protocol

from nsmagic.run.channel import Channel, Frame
from nsmagic.run.result import Result
from nsmagic.wish.errors import ChannelError


class Listener(Protocol):
    """What the notebook does with what a cell says."""

    def output(self, stream: str, data: bytes) -> None:
        """Take a piece of `stdout` or `stderr`, in the order of writing."""

    def message(self, frame: Frame, channel: Channel) -> None:
        """Take any frame that is not about the set-up; may answer on the channel."""

    def ready(self, result: Result) -> None:
        """The set-up is done, the body starts; `result.spent` tells what it took."""

    def deadline(self) -> float | None:
        """Return when `tick` is wanted next, on the monotonic clock."""

    def tick(self) -> None:
        """Do what was due at `deadline`."""


class Silent:
    """Listens to the setting up of what has nothing to say, such as a box."""

    def output(self, stream: str, data: bytes) -> None:
        """Drop it."""

    def message(self, frame: Frame, channel: Channel) -> None:  # noqa: ARG002
        """Take nothing."""
        raise ChannelError(f"frame {frame.kind!r} of something that has nothing to say")

    def ready(self, result: Result) -> None:
        """Whoever waits sees it."""

    def deadline(self) -> float | None:
        """Return None: there is nothing to do."""
        return None

    def tick(self) -> None:
        """Do nothing."""
