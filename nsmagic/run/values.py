"""Bringing variables back from a forked cell (`--return`).

Plain data and numpy arrays travel without pickle.  Anything else, and what refers to one object
twice, is pickled whole by the child and unpickled by us, only because the person asked for that
name, and so that nothing of the child runs here (`nsmagic.run.unpickling`) unless the person allows
that.  Functions and classes that the notebook had before the fork travel by name, so that they come
back as the same objects.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import FunctionType, NoneType
from typing import Any, Final

from nsmagic.run import arrays
from nsmagic.run.channel import MAX_BUFFERS, Channel, Frame
from nsmagic.run.unpickling import CarefulUnpickler, Refused, known_of
from nsmagic.wish.errors import ChannelError

_MAX_DEPTH: Final = 100


class _NotPlain(Exception):
    """This object needs pickle."""


def send_values(
    channel: Channel, names: Sequence[str], have: Mapping[str, Any], before: Mapping[str, Any]
) -> None:
    """Send each of `names` from the namespace `have`, or why it cannot come.

    `before` is the namespace as it was when the cell started.
    """
    known = {id(v): k for k, v in before.items() if isinstance(v, type | FunctionType)}
    for name in names:
        try:
            if name not in have:
                raise Refused("the cell did not define it")
            _send_value(channel, name, have[name], known)
        except Refused as problem:
            channel.send("refused", name=name, why=str(problem))


def _send_value(channel: Channel, name: str, value: Any, known: Mapping[int, str]) -> None:
    buffers: list[Any] = []
    try:
        tree = _Encoder(buffers, known).encode(value)
        channel.send("value", name=name, tree=tree, buffers=buffers)
    except (_NotPlain, ChannelError):
        tree, buffers = _pickle(value, known)
        try:
            channel.send("value", name=name, tree=tree, buffers=buffers)
        except ChannelError as problem:
            raise Refused(str(problem)) from None


def read_value(frame: Frame, before: Mapping[str, Any], *, trusted: bool = False) -> Any:
    """Return the object in a `value` frame; ChannelError if it is not one.

    Refused if it is one that this process cannot make, or makes only of a `trusted` cell.
    """
    try:
        tree = frame.data["tree"]
        if isinstance(tree, dict) and "pickle" in tree:
            kind = _Unpickler if trusted else CarefulUnpickler
            return _unpickle(kind, frame.buffers[0], frame.buffers[1:], before)
        return _decode(tree, frame.buffers, before)
    except (LookupError, ValueError, TypeError, ArithmeticError, RecursionError) as problem:
        raise ChannelError(f"a value came back broken: {problem}") from None


class _Encoder:
    """Turns plain data into JSON; what JSON cannot hold goes to `buffers`."""

    def __init__(self, buffers: list[Any], known: Mapping[int, str]) -> None:
        self._buffers, self._known = buffers, known
        self._seen: set[int] = set()

    def encode(self, value: Any, depth: int = 0) -> Any:
        """Return JSON for `value`; _NotPlain if it, or something in it, is more than plain data."""
        kind = type(value)
        if kind in (bool, str, NoneType):
            return value
        if kind in _NUMBERS:
            return _NUMBERS[kind](value)
        if kind is range:
            return {"range": [value.start, value.stop, value.step]}
        if id(value) in self._known:
            return {"known": self._known[id(value)]}
        # JSON knows no references: what is met twice would come back as two, a cycle never end.
        if id(value) in self._seen or depth == _MAX_DEPTH:
            raise _NotPlain
        self._seen.add(id(value))
        if kind in (bytes, bytearray):
            return {kind.__name__: self._buffer(value)}
        if kind in (list, tuple, set, frozenset):
            return {kind.__name__: [self.encode(item, depth + 1) for item in value]}
        if kind is dict:
            pairs = value.items()
            return {"dict": [[self.encode(part, depth + 1) for part in pair] for pair in pairs]}
        if arrays.is_plain(value):
            data, description = arrays.describe(value)
            return {"array": self._buffer(data), **description}
        raise _NotPlain

    def _buffer(self, data: Any) -> int:
        self._buffers.append(data)
        return len(self._buffers) - 1


_NUMBERS: Final[dict[type, Callable[[Any], Any]]] = {
    int: lambda n: n if -(2**53) < n < 2**53 else {"int": f"{n:x}"},
    float: lambda x: x if math.isfinite(x) else {"float": x.hex()},
    complex: lambda z: {"complex": [z.real.hex(), z.imag.hex()]},
}


@cache
def _pickler() -> type[pickle.Pickler]:
    """Return a pickler that brings by value what the cell itself defined, and lambdas."""
    import cloudpickle  # 20 ms, which most cells need not pay

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        known: Mapping[int, str]

        def persistent_id(self, value: Any) -> str | None:
            return self.known.get(id(value)) if isinstance(value, type | FunctionType) else None

    return Pickler


def _pickle(value: Any, known: Mapping[int, str]) -> tuple[Any, list[Any]]:
    file = io.BytesIO()
    raw: list[Any] = []

    def beside(buffer: pickle.PickleBuffer) -> bool:
        if len(raw) < MAX_BUFFERS - 1:
            raw.append(buffer.raw())
            return False
        return True  # into the pickle itself

    try:
        pickler: Any = _pickler()(file, protocol=5, buffer_callback=beside)
        pickler.known = known
        pickler.dump(value)
    except Exception as problem:  # noqa: BLE001 - pickling runs any object's own code
        raise Refused(str(problem) or type(problem).__name__) from None
    return {"pickle": True}, [file.getbuffer(), *raw]


def _decode(tree: Any, buffers: list[bytearray], before: Mapping[str, Any]) -> Any:
    if not isinstance(tree, dict):
        return tree
    kind = next(iter(tree), "")
    body = tree[kind]
    if kind in _CONTAINERS:
        return _CONTAINERS[kind](_decode(item, buffers, before) for item in body)
    if kind == "dict":
        return {_decode(k, buffers, before): _decode(v, buffers, before) for k, v in body}
    if kind in _LEAVES:
        return _LEAVES[kind](body)
    if kind in ("bytes", "bytearray"):
        return bytes(buffers[body]) if kind == "bytes" else buffers[body]
    if kind == "array":
        return arrays.make(tree, buffers[body])
    if kind == "known":
        return known_of(before, body)
    raise ValueError(f"unknown kind {kind!r}")


_CONTAINERS: Final[dict[str, Callable[..., Any]]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}
_LEAVES: Final[dict[str, Callable[..., Any]]] = {
    "int": lambda text: int(text, 16),
    "float": float.fromhex,
    "complex": lambda parts: complex(*map(float.fromhex, parts)),
    "range": lambda parts: range(*parts),
}


class _Unpickler(pickle.Unpickler):
    before: Mapping[str, Any]

    def persistent_load(self, name: Any) -> Any:
        return known_of(self.before, name)


def _unpickle(
    kind: type[_Unpickler | CarefulUnpickler],
    data: bytearray,
    raw: list[bytearray],
    before: Mapping[str, Any],
) -> Any:
    unpickler = kind(io.BytesIO(data), buffers=raw)
    unpickler.before = before
    try:
        return unpickler.load()
    except Refused:
        raise
    except Exception as problem:  # noqa: BLE001 - unpickling runs any object's own code
        raise Refused(f"{type(problem).__name__}: {problem}") from None
