"""A pseudo-terminal for a cell (`--tty`), pty(7): one stream for both outputs, and the keyboard."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time
from typing import Final

_ROWS, _COLUMNS = 24, 100
_END_OF_FILE: Final = b"\x04"
_READ: Final = 1 << 16
_PAUSE: Final = 0.2  # seconds between two attempts to tell the end of file


class Terminal:
    """The cell's terminal: the text of the cell is typed into it, then end-of-file (Ctrl-D).

    Echo is off, or everything typed would stand before the first prompt.  Ctrl-D is typed again and
    again: what a program did not read yet turns into a NUL when it takes the terminal out of line
    mode, as every shell with line editing does.
    """

    wide = True
    also = select.EPOLLOUT

    def __init__(self, text: str = "") -> None:
        self.read_end, self.write_end = os.openpty()
        os.set_blocking(self.read_end, False)
        fcntl.ioctl(self.write_end, termios.TIOCSWINSZ, struct.pack("4H", _ROWS, _COLUMNS, 0, 0))
        modes = termios.tcgetattr(self.write_end)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(self.write_end, termios.TCSANOW, modes)
        self._keys = text.encode("utf-8", errors="surrogateescape")
        self.deadline: float | None = time.monotonic() + _PAUSE

    def read(self) -> bytes:
        """Return what was written to the terminal, b"" if nothing; type what it takes meanwhile."""
        self._type()
        try:
            return os.read(self.read_end, _READ)
        except BlockingIOError:
            return b""

    def tick(self) -> None:
        """Type end-of-file if all that was typed before has been read."""
        waiting = fcntl.ioctl(self.write_end, termios.FIONREAD, struct.pack("i", 0))
        if not self._keys and struct.unpack("i", waiting) == (0,):
            self._keys = _END_OF_FILE
            self._type()
        self.deadline = time.monotonic() + _PAUSE

    def _type(self) -> None:
        try:
            while self._keys:
                self._keys = self._keys[os.write(self.read_end, self._keys) :]
        except BlockingIOError:
            return  # full: the next event says that there is room again

    def widen(self) -> None:
        """A terminal has one stream and so no order to give up."""

    def close(self) -> None:
        """Close both ends."""
        os.close(self.read_end)
        os.close(self.write_end)
