"""What a cell says to its kernel, and a ledger to the sweep: anything, and nothing comes of it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

from nsmagic.notebook.cell import CellListener
from nsmagic.notebook.pacing import OutputLimits
from nsmagic.notebook.publish import CellOutput
from nsmagic.notebook.publishers import publisher_for
from nsmagic.run.channel import Channel, Frame
from nsmagic.run.logs import LogFile
from nsmagic.run.owner import Owner
from nsmagic.run.sweep import KINDS, sweep
from nsmagic.wish.errors import ChannelError
from tests.fuzz.hostile import NASTY, hold, sizes, text
from tests.notebook.test_return import FORGE

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from tests.support.kernel_driver import KernelDriver

# A right frame of each kind, from which wrong ones are made.
FRAMES: tuple[dict[str, Any], ...] = (
    {"kind": "publish", "msg_type": "display_data", "metadata": {},
     "content": {"data": {"text/plain": "x"}, "metadata": {}, "transient": {"display_id": "d"}}},
    {"kind": "publish", "msg_type": "comm_open", "metadata": {},
     "content": {"comm_id": "c", "target_name": "jupyter.widget", "data": {}}},
    {"kind": "publish", "msg_type": "clear_output", "metadata": {}, "content": {"wait": True}},
    {"kind": "input", "prompt": "? ", "password": False},
    {"kind": "value", "name": "asked", "tree": {"list": [1, {"int": "f"}, {"bytes": 0}]}},
    {"kind": "value", "name": "asked", "tree": {"pickle": True}},
    {"kind": "value", "name": "asked",
     "tree": {"array": 0, "dtype": "<i4", "shape": [2], "order": "C"}},
    {"kind": "refused", "name": "asked", "why": "so"},
    {"kind": "end", "payload": [{"source": "set_next_input", "text": "x"}],
     "error": {"ename": "E", "evalue": "v", "traceback": ["a", "b"]}},
    {"kind": "ready", "spent": [1.0]},
    {"kind": "failed", "index": 0, "errno": 1, "text": "t", "path": None, "spent": []},
    {"kind": "outside", "index": 0, "pid": 1},
    {"kind": "forked", "pid": 1, "kept": False},
    {"kind": "cell_status", "status": 0, "left": 0},
    {"kind": "status", "status": 0, "usage": [0, 0, 0]},
)  # fmt: skip
_PICKLE = b"cposix\nsystem\n(S'touch /tmp/nsmagic-owned'\ntR."

leaf = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), text,
    st.sampled_from(("asked", "display_data", "status", "execute_input", "shutdown_reply")),
)  # fmt: skip
anything = st.recursive(
    leaf,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
buffers = st.lists(st.one_of(st.just(_PICKLE), st.binary(max_size=20)), max_size=3)


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    """A right frame, in which some parts are replaced, left out or added."""
    found: dict[str, Any] = json.loads(json.dumps(draw(st.sampled_from(FRAMES))))
    for _ in range(draw(st.integers(0, 2))):
        place = found
        while isinstance(below := place[key := draw(st.sampled_from(sorted(place)))], dict):
            if not below or draw(st.booleans()):
                break
            place = below
        change = draw(st.sampled_from(("replace", "drop", "add")))
        if change == "replace":
            place[key] = draw(anything)
        elif change == "drop" and len(place) > 1:
            del place[key]
        else:
            place[draw(text)] = draw(anything)
    return found


def packed(data: Any, parts: list[bytes]) -> bytes:  # noqa: ANN401
    words = json.dumps(data).encode()
    head = struct.pack("!II", len(words), len(parts))
    return b"".join([head, *(struct.pack("!Q", len(part)) for part in parts), words, *parts])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Frames one after the other, whole, cut off, with bytes changed, or no frames at all."""
    whole = b"".join(packed(draw(objects()), draw(buffers)) for _ in range(draw(st.integers(0, 3))))
    if draw(st.booleans()):
        return whole
    data = bytearray(whole + draw(st.binary(max_size=30)))
    for _ in range(draw(st.integers(0, 4))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


@sizes(10_000)
def test_any_bytes_are_frames_or_refused(count: int) -> None:
    def check(pair: tuple[bytes, int]) -> None:
        data, piece = pair
        theirs, ours = socket.socketpair()
        closing = contextlib.closing(Channel(ours))
        with theirs, closing as channel, contextlib.suppress(ChannelError):
            for at in range(0, len(data), piece):
                theirs.sendall(data[at : at + piece])
                for frame in channel.waiting():
                    assert isinstance(frame.kind, str)
            theirs.shutdown(socket.SHUT_WR)
            assert channel.receive() is None

    hold(count, st.tuples(streams(), st.integers(1, 200)), check)


@sizes(10_000)
def test_any_frame_is_taken_or_refused(
    ip: InteractiveShell, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    publisher, log = publisher_for(ip), LogFile(cell=0)

    def check(pair: tuple[dict[str, Any], list[bytes]]) -> None:
        data, parts = pair
        theirs, ours = socket.socketpair()
        output = CellOutput(publisher.text, log=log, limits=OutputLimits(), now=lambda: 0.0)
        listener = CellListener(ip, output, publisher, None)
        listener.asks, listener.wanted = False, frozenset({"asked"})
        with theirs, contextlib.closing(Channel(ours)) as channel:
            Channel(theirs).sock.sendall(packed(data, parts))
            with contextlib.suppress(ChannelError):
                frame = channel.receive()
                assert isinstance(frame, Frame)
                listener.message(frame, channel)
                listener.values({}, trusted=False)
            if listener.error is not None:
                json.dumps(listener.error, ensure_ascii=False).encode()
        capsys.readouterr()

    hold(count, st.tuples(objects(), buffers), check)
    assert not Path("/tmp/nsmagic-owned").exists()


@sizes(1_000)
def test_frames_of_real_cells(kernel: KernelDriver, count: int) -> None:
    """The kernel says one thing about the cell, goes on, and has run nothing of it."""
    seen: Counter[str] = Counter()

    def check(data: bytes) -> None:
        text = base64.b64encode(data).decode()
        body = f"import base64\nos.write(channel, base64.b64decode({text!r}))\nos._exit(0)"
        run = kernel.run(f"%%unshare --uts --return asked\n{FORGE}{body}", stdin=["x"] * 9)
        assert run.reply is not None
        name = "ok" if run.status == "ok" else str(run.reply["ename"])
        seen[name] += 1
        shown = "\n".join([*run.reply.get("traceback", ()), run.stderr])
        assert "nsmagic/" not in shown, shown
        assert kernel.run("6 * 7").text == "42"

    hold(max(5, count // 2), streams(), check, shrink=False)
    print(dict(seen))
    assert seen["ChannelError"]
    assert not Path("/tmp/nsmagic-owned").exists()


@pytest.mark.parametrize("what", ["bombs", "descriptors", "flood", "nothing"])
def test_more_than_a_kernel_would_bear(kernel: KernelDriver, what: str) -> None:
    """Promises of gigabytes, deep nesting, descriptors, and answers that nobody reads."""
    bodies = {
        "bombs": "os.write(channel, struct.pack('!IIQ', 14, 1, 7 << 30) + b'{\"kind\": \"v\" }')\n"
        "while True: os.write(channel, b'x' * 100000)",
        "descriptors": "import socket\nsock = socket.socket(fileno=channel)\n"
        "while True: socket.send_fds(sock, [b'x'], [0] * 16)",
        "flood": "say_it = lambda: say('publish', msg_type='display_data', metadata={},"
        " content={'data': {'text/plain': 'x' * 1000}, 'metadata': {}})\nwhile True: say_it()",
        "nothing": "os.close(channel)\nos._exit(0)",
    }
    run = kernel.run(f"%%unshare --uts\n{FORGE}{bodies[what]}", timeout=60)
    expected = "ok" if what == "nothing" else "error"
    assert run.status == expected
    assert run.error is None or run.error["ename"] == "ChannelError"
    assert kernel.run("6 * 7").text == "42"


@sizes(2_000)
def test_ledgers(count: int) -> None:
    """Whatever a dead kernel's ledger says, what is not ours stays."""
    me = Owner.me()
    with tempfile.TemporaryDirectory(prefix="nsl-") as name:
        place = Path(name)
        ledgers, precious = place / "ledgers", place / "precious"
        ledgers.mkdir(0o700)
        for folder in (precious, precious / "below", place / "nsmagic-own"):
            folder.mkdir()
        (precious / "file").write_text("x")
        (place / "nsmagic-link").symlink_to(precious)
        (place / "nsmagic-own" / "way-out").symlink_to(precious)
        dead = ledgers / Owner(pid=me.pid, start=1, pidns=me.pidns, boot=me.boot).file
        tails = st.sampled_from(
            ("", "/", "/.", "/..", "/../precious", "/file", "/below", "/way-out")
        )
        heads = st.sampled_from(
            [str(place / each) for each in ("precious", "nsmagic-link", "nsmagic-link/below")]
            + [f"{place}/nsmagic-own/..", "/proc", "/", "/sys/fs/cgroup", "/etc", "", "."]
        )
        path = st.tuples(heads, tails).map("".join) | st.sampled_from(NASTY)
        line = st.tuples(
            st.sampled_from(("+", "-", "*")), st.sampled_from([*KINDS, "x"]), path | anything
        )
        lines = st.lists(st.one_of(line, line, anything), max_size=4)

        def check(entries: list[Any]) -> None:
            dead.write_text("\n".join(map(json.dumps, entries)))
            sweep(ledgers)
            assert {each.name for each in precious.iterdir()} == {"below", "file"}
            assert Path("/etc/passwd").exists()

        hold(count, lines, check)
        assert os.path.ismount("/proc")
