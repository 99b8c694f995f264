"""What `--return` brings over a channel, sent from one namespace and read in another."""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import decimal
import enum
import fractions
import functools
import math
import pickle
import socket
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from nsmagic.run.channel import Channel, Frame
from nsmagic.run.unpickling import Refused
from nsmagic.run.values import read_value, send_values
from nsmagic.wish.errors import ChannelError

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTHING: Mapping[str, Any] = {}


class Color(enum.Enum):
    RED = "red"


class Pair(NamedTuple):
    left: int
    right: list[int]


@dataclass(frozen=True, slots=True)
class Slotted:
    x: int


class Words(list[str]):
    pass


@dataclass
class Point:
    x: int


def double(value: int) -> int:
    return 2 * value


def sent(value: Any, before: Mapping[str, Any] = NOTHING) -> Frame:  # noqa: ANN401
    """The frame that a cell sends for a variable `x`."""
    theirs, ours = socket.socketpair()
    channel = Channel(ours)
    with theirs, contextlib.closing(channel):
        sender = threading.Thread(
            target=send_values, args=(Channel(theirs), ("x",), {"x": value}, before)
        )
        sender.start()
        frame = channel.receive()
        sender.join()
    assert frame is not None
    return frame


def back(value: Any, before: Mapping[str, Any] = NOTHING) -> Any:  # noqa: ANN401
    """The value after its travel."""
    return read_value(sent(value, before), before)


PLAIN = [
    None, True, 0, -1, 2**53, -(2**64), 1.5, -0.0, math.inf, -math.inf, 1 + 2j,
    complex(math.nan, -math.inf), "", "x" * 10_000, "text é 🐧 \x00", "\udcff", b"", b"\x00\xff",
    bytearray(b"abc"), [], [1, "a", [2.5, None]], (), (1, (2, (3,))), set(), {1, "a", (2, 3)},
    frozenset({b"x"}), {}, range(5), range(3, -(2**70), -2),
    {"a": 1, 5: [2], None: 3, (1, 2): {"b": b"c"}, 1.5: 4, frozenset({1}): 5},
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain_data_comes_back_equal_and_without_pickle(value: object) -> None:
    frame = sent(value)
    assert "pickle" not in repr(frame.data)
    found = read_value(frame, NOTHING)
    assert type(found) is type(value)
    assert repr(found) == repr(value)


def test_an_integer_of_more_digits_than_python_writes() -> None:
    assert back(-(10**5000)) == -(10**5000)


def test_nan_comes_back() -> None:
    assert math.isnan(back([math.nan])[0])


def test_references_and_cycles_come_back() -> None:
    shared = [1]
    cycle: list[Any] = [shared, {"twice": shared}]
    cycle.append(cycle)
    found = back(cycle)
    assert found[0] is found[1]["twice"]
    assert found[2] is found


def test_many_doublings_take_no_more_than_their_objects() -> None:
    value: tuple[Any, ...] = (0,)
    for _ in range(60):  # written out, 2**60 items
        value = (value, value)
    frame = sent(value)
    assert sum(map(len, frame.buffers)) < 10_000


def test_more_buffers_than_a_frame_has() -> None:
    values = [bytes([n % 256]) * 2 for n in range(5000)]
    assert back(values) == values
    arrays = [np.full(2, n) for n in range(5000)]
    assert [int(array[0]) for array in back(arrays)] == list(range(5000))


def test_more_text_than_a_frame_has() -> None:
    value = [f"{n:0100}" for n in range(700_000)]
    assert back(value) == value


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3).T, np.arange(10)[::3],
        np.arange(24).reshape(2, 3, 4)[:, ::2, ::-1], np.array(5.5), np.array("text"),
        np.zeros((0, 3)), np.zeros((3, 0), order="F"), np.array([]), np.array([True, False]),
        np.array([1, 2], ">i2"), np.array([1.5], np.float16), np.array([1.5], np.longdouble),
        np.array([1 + 2j]), np.array(["a", "bcd"]), np.array([b"a", b"bcd"]),
        np.array(["2024-02-30", "NaT"][1:], "M8[ns]"), np.array([1, 2], "m8[25s]"),
        np.array([b"ab"], "V2"), np.broadcast_to(np.arange(3), (2, 3)),
        np.array([(1, 2.5, "x")], [("a", "i4"), ("b", "f8"), ("c", "U3")]),
        np.array([(1, 2.5)], np.dtype([("a", "i1"), ("b", "f8")], align=True)),
        np.zeros(2, [("a", "f4", (2, 2)), ("b", [("c", "S3"), ("d", ">u2", 3)])]),
        np.zeros(3, {"names": ["x", "y"], "formats": ["u1", "u2"], "offsets": [4, 1]}),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)  # fmt: skip
def test_arrays_come_back_writable_and_without_pickle(array: np.ndarray[Any, Any]) -> None:
    array.setflags(write=False)
    frame = sent(array)
    assert "pickle" not in repr(frame.data)
    found = read_value(frame, NOTHING)
    assert found.dtype == array.dtype
    assert found.dtype.isalignedstruct == array.dtype.isalignedstruct
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable
    if array.flags.f_contiguous:
        assert found.flags.f_contiguous
    found[...] = np.zeros(1, array.dtype)[0]


@pytest.mark.parametrize(
    "value",
    [
        np.float64(1.5), np.array([1, None], object), np.datetime64("2020-01-01", "ns"),
        collections.OrderedDict(b=1, a=2), collections.Counter("hello"), slice(1, 2), Ellipsis,
        collections.deque([1, [2]], 3), collections.defaultdict(int, a=1), Color.RED,
        dt.datetime(2020, 1, 2, tzinfo=dt.UTC), decimal.Decimal("1.5"), Pair(1, [2]),
        fractions.Fraction(1, 3), uuid.UUID(int=5), Path("/srv"), Slotted(5), Words(["a"]),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_other_objects_come_pickled(value: object) -> None:
    before = {kind.__name__: kind for kind in (Color, Pair, Slotted, Words)}
    frame = sent(value, before)
    assert frame.data["tree"] == {"pickle": True}
    for trusted in (False, True):
        found = read_value(frame, before, trusted=trusted)
        assert type(found) is type(value)
        assert repr(found) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(1, [(("title", "a"), "i4")]), np.ma.masked_array([1, 2], [False, True]),
        3 .__add__, ValueError("x"), functools.partial(int, "1"), lambda: 5,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_could_run_code_comes_from_a_trusted_cell_alone(value: object) -> None:
    frame = sent(value)
    with pytest.raises(Refused, match="here, which may run code of the cell"):
        read_value(frame, NOTHING)
    assert type(read_value(frame, NOTHING, trusted=True)) is type(value)


def test_what_the_notebook_had_comes_back_as_the_same_object() -> None:
    before = {"Point": Point, "double": double}
    found = back({"points": [Point(1), Point(2)], "function": double, "kind": Point}, before)
    assert found == {"points": [Point(1), Point(2)], "function": double, "kind": Point}
    assert found["function"] is double
    assert type(found["points"][0]) is Point


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (threading.Lock(), "cannot pickle '_thread.lock' object"),
        ([1, threading.Lock()], "cannot pickle '_thread.lock' object"),
        ((n for n in "abc"), "cannot pickle 'generator' object"),
        (socket.socket, None),
    ],
    ids=["lock", "lock-in-list", "generator", "class"],
)
def test_what_cannot_travel_is_refused_with_the_reason(value: object, why: str | None) -> None:
    frame = sent(value)
    assert frame.kind == ("refused" if why else "value")
    assert frame.data.get("why") == why


def test_too_deep_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    frame = sent(deep)
    assert frame.kind == "refused"
    assert "recursion" in frame.data["why"]
    while deep:  # take it apart: freeing it whole would recurse too
        deep = deep[0]


def test_a_name_that_is_not_there() -> None:
    theirs, ours = socket.socketpair()
    with theirs, ours:
        send_values(Channel(theirs), ("y",), {}, NOTHING)
        frame = Channel(ours).receive()
    assert frame is not None
    assert frame.data == {"name": "y", "why": "the cell did not define it"}


ARRAY = {"array": 0, "dtype": "<i4", "shape": [2], "order": "C"}


@pytest.mark.parametrize(
    "tree",
    [
        {}, {"unknown": 1}, {"list": 5}, {"dict": [1]}, {"dict": [[1, 2, 3]]},
        {"set": [{"list": []}]}, {"dict": [[{"list": []}, 1]]}, {"int": 5}, {"int": "x"},
        {"int": None}, {"float": "x"}, {"float": "0x1p99999999"}, {"complex": ["1", 2]},
        {"complex": 3}, {"bytes": 9}, {"bytes": "0"}, {"bytes": None}, {"array": 0},
        {**ARRAY, "dtype": "O"}, {**ARRAY, "dtype": "|O8"}, {**ARRAY, "dtype": "f8, ("},
        {**ARRAY, "dtype": 5},
        {**ARRAY, "dtype": ["<i4"]}, {**ARRAY, "dtype": {"names": ["a"], "formats": ["|O8"]}},
        {**ARRAY, "dtype": {"names": ["a"], "formats": ["<i4"], "offsets": [2**40], "itemsize": 1,
                            "aligned": 0}},
        {**ARRAY, "shape": [3]}, {**ARRAY, "shape": [-1, -2]}, {**ARRAY, "shape": "ab"},
        {**ARRAY, "shape": [2**70]}, {**ARRAY, "order": "Z"}, {**ARRAY, "array": -5},
    ],
    ids=str,
)  # fmt: skip
def test_a_tree_that_makes_no_sense_is_refused(tree: object) -> None:
    with pytest.raises(ChannelError, match="broken"):
        read_value(Frame(kind="value", data={"tree": tree}, buffers=[bytearray(8)]), NOTHING)


def test_a_tree_of_any_depth_is_refused_or_read() -> None:
    tree: Any = 1
    for _ in range(100_000):
        tree = {"list": [tree]}
    with pytest.raises(ChannelError, match="broken"):
        read_value(Frame(kind="value", data={"tree": tree}), NOTHING)


def test_no_tree_and_no_pickle_are_refused() -> None:
    with pytest.raises(ChannelError):
        read_value(Frame(kind="value", data={}), NOTHING)
    with pytest.raises(ChannelError):
        read_value(Frame(kind="value", data={"tree": {"pickle": True}}), NOTHING)


@pytest.mark.parametrize("data", [b"", b"garbage", pickle.dumps(Point(1))[:-3], b"Pname\n."])
def test_a_broken_pickle_is_refused(data: bytes) -> None:
    frame = Frame(kind="value", data={"tree": {"pickle": True}}, buffers=[bytearray(data)])
    with pytest.raises(Refused):
        read_value(frame, NOTHING)


class Calls:
    """A class of the notebook that does something when it is made, or compared, or filled."""

    def __init__(self, *words: object) -> None:
        RAN.append(words)

    append = extend = add = update = __setitem__ = __call__ = __init__


RAN: list[object] = []


def runs(*words: object) -> None:
    RAN.append(words)


def opcodes(*parts: bytes) -> bytes:
    return b"\x80\x05" + b"".join(parts) + b"."


def persistent(name: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(name)]) + name.encode() + pickle.BINPERSID


def named(module: str, name: str) -> bytes:
    return (
        b"".join(pickle.SHORT_BINUNICODE + bytes([len(t)]) + t.encode() for t in (module, name))
        + pickle.STACK_GLOBAL
    )


ARGUMENT = pickle.SHORT_BINUNICODE + b"\x01x"
ONE = ARGUMENT + pickle.TUPLE1
OBJECT = persistent("Calls") + pickle.EMPTY_TUPLE + pickle.NEWOBJ
ITS = pickle.EMPTY_DICT + pickle.MARK


@pytest.mark.parametrize(
    "data",
    [
        opcodes(named("os", "system"), ONE, pickle.REDUCE),
        opcodes(named("posix", "system"), ONE, pickle.REDUCE),
        opcodes(named("builtins", "eval"), ONE, pickle.REDUCE),
        opcodes(named("builtins", "getattr"), persistent("Calls"), ARGUMENT, pickle.TUPLE2,
                pickle.REDUCE),
        opcodes(named("collections", "namedtuple.__globals__"), ONE, pickle.REDUCE),
        opcodes(named("nsmagic.run.values", "pickle"), ONE, pickle.REDUCE),
        opcodes(persistent("runs"), ONE, pickle.REDUCE),
        opcodes(persistent("Calls"), ONE, pickle.REDUCE),
        opcodes(persistent("runs"), ONE, pickle.NEWOBJ),
        opcodes(persistent("made"), pickle.EMPTY_TUPLE, pickle.REDUCE),
        opcodes(persistent("Calls"), ITS, pickle.SETITEMS, pickle.BUILD),
        opcodes(OBJECT, ARGUMENT, pickle.APPEND),
        opcodes(OBJECT, pickle.MARK, ARGUMENT, pickle.APPENDS),
        opcodes(OBJECT, pickle.MARK, ARGUMENT, pickle.ADDITEMS),
        opcodes(OBJECT, ARGUMENT, ARGUMENT, pickle.SETITEM),
        opcodes(OBJECT, pickle.MARK, ARGUMENT, ARGUMENT, pickle.SETITEMS),
        b"(iposix\nsystem\n.", b"(cposix\nsystem\nS'x'\no.", b"cposix\nsystem\n(S'x'\ntR.",
        b"(S'x'\niposix\nsystem\n.", opcodes(pickle.EXT1 + b"\x01", ONE, pickle.REDUCE),
        *(
            opcodes(OBJECT, ITS, bytes([140, len(name)]) + name.encode(), persistent(what),
                    pickle.SETITEMS, pickle.BUILD, *then)
            for what in ("runs", "Calls")
            for name, then in (
                ("__setstate__", (ARGUMENT, pickle.BUILD)),
                ("append", (ARGUMENT, pickle.APPEND)),
                ("extend", (pickle.MARK, ARGUMENT, pickle.APPENDS)),
                ("add", (pickle.MARK, ARGUMENT, pickle.ADDITEMS)),
            )
        ),
        pickle.dumps(threading.Thread(target=runs).name).replace(b"Thread", b"\xff\xff\xff\xff"),
    ],
)  # fmt: skip
def test_a_hostile_pickle_runs_nothing(data: bytes) -> None:
    before = {"Calls": Calls, "runs": runs, "made": Calls.__new__(Calls)}
    RAN.clear()
    frame = Frame(kind="value", data={"tree": {"pickle": True}}, buffers=[bytearray(data)])
    with pytest.raises(Refused):
        read_value(frame, before)
    assert RAN == []
