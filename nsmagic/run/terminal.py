"""A pseudo-terminal for a cell (`--tty`), pty(7): one stream for both outputs, and the keyboard."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import threading
import time
from typing import Final

from nsmagic.run.pipes import waiting

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
        if not self._keys and waiting(self.write_end) == 0:
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


class Keyboard(Terminal):
    """A terminal at which a person sits: `type` and `resize` may be called from any thread."""

    def __init__(self, rows: int = _ROWS, columns: int = _COLUMNS) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._open = True
        self.deadline = None
        modes = termios.tcgetattr(self.write_end)
        modes[3] |= termios.ECHO
        termios.tcsetattr(self.write_end, termios.TCSANOW, modes)
        self.resize(rows, columns)

    def type(self, keys: bytes) -> None:
        """Type keys; what the terminal cannot take now goes in when it can."""
        with self._lock:
            self._keys += keys
            if self._open:
                super()._type()

    def resize(self, rows: int, columns: int) -> None:
        """Change the size, of which programs hear by SIGWINCH.  Sizes below 1 are none."""
        with self._lock:
            if self._open and 0 < rows < 1 << 15 and 0 < columns < 1 << 15:
                size = struct.pack("4H", rows, columns, 0, 0)
                fcntl.ioctl(self.read_end, termios.TIOCSWINSZ, size)

    def tick(self) -> None:
        """A person types the end of file, or does not."""

    def _type(self) -> None:
        with self._lock:
            super()._type()

    def close(self) -> None:
        """Close both ends; typing does nothing from then on."""
        with self._lock:
            self._open = False
            super().close()
