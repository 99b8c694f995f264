"""Names of signals as kill(1) and unshare(1) take them, signal(7)."""

from __future__ import annotations

import re
import signal

# glibc keeps the first two real-time signals, so SIGRTMIN is 34 in every program; signal(7).
SIGNALS = tuple(
    entry.name for entry in signal.Signals if entry not in (signal.SIGRTMIN, signal.SIGRTMAX)
)
_REAL_TIME = range(signal.SIGRTMIN, signal.SIGRTMAX + 1)


def signal_name(text: str) -> str | None:
    """Return the whole name of a signal given by name or number, None if there is none."""
    bare = text.upper().removeprefix("SIG")
    real_time = re.fullmatch(r"RT(MIN\+|MAX-)?([0-9]{1,3})", bare)
    if real_time is not None:
        steps = int(real_time[2])
        number = _REAL_TIME[-1] - steps if real_time[1] == "MAX-" else _REAL_TIME[0] + steps
        return f"SIGRTMIN+{number - _REAL_TIME[0]}" if number in _REAL_TIME else None
    if re.fullmatch(r"[0-9]{1,3}", text):  # kill(1) takes numbers, unshare(1) does not
        if int(text) in _REAL_TIME:
            return f"SIGRTMIN+{int(text) - _REAL_TIME[0]}"
        return signal.Signals(int(text)).name if int(text) in list(signal.Signals) else None
    known = "SIG" + bare in signal.Signals.__members__ and bare not in ("RTMIN", "RTMAX")
    return signal.Signals["SIG" + bare].name if known else None
