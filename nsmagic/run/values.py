"""Bringing variables back from a forked cell (`--return`).

Plain data and numpy arrays travel without pickle.  Anything else is pickled by the child and
unpickled by us only because the person asked for that name.  Functions and classes that the
notebook had before the fork travel by name, so that they come back as the same objects.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import FunctionType
from typing import Any

from nsmagic.run.channel import Channel, Frame
from nsmagic.wish.errors import ChannelError

_SCALARS = (bool, int, float, str, type(None))
_ARRAY_KINDS = "biufcSUmMV"


class Refused(Exception):
    """This object cannot travel; the message says why."""


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
            buffers: list[Any] = []
            tree = _encode(have[name], buffers, known)
        except Refused as problem:
            channel.send("refused", name=name, why=str(problem))
        else:
            channel.send("value", name=name, tree=tree, buffers=buffers)


def read_value(frame: Frame, before: Mapping[str, Any]) -> Any:
    """Return the object in a `value` frame; ChannelError if it is not one."""
    try:
        return _decode(frame.data["tree"], frame.buffers, before)
    except (KeyError, ValueError, TypeError, IndexError, RecursionError) as problem:
        raise ChannelError(f"a value came back broken: {problem}") from None


def _encode(value: Any, buffers: list[Any], known: Mapping[int, str]) -> Any:
    """Return JSON for `value`; what JSON cannot hold goes to `buffers`."""
    kind = type(value)
    if kind in _SCALARS and not (kind is float and value != value):
        return value if kind is not int else {"int": str(value)} if abs(value) >> 53 else value
    if kind is float:
        return {"float": value.hex()}
    if kind is complex:
        return {"complex": [value.real.hex(), value.imag.hex()]}
    if kind in (bytes, bytearray):
        buffers.append(value)
        return {kind.__name__: len(buffers) - 1}
    if kind in (list, tuple, set, frozenset):
        return {kind.__name__: [_encode(item, buffers, known) for item in value]}
    if kind is dict:
        pairs = ([_encode(k, buffers, known), _encode(v, buffers, known)] for k, v in value.items())
        return {"dict": list(pairs)}
    if _is_plain_array(value):
        return _encode_array(value, buffers)
    return _pickle(value, buffers, known)


def _is_plain_array(value: Any) -> bool:
    kind = type(value)
    return (
        kind.__module__ == "numpy"
        and kind.__name__ == "ndarray"
        and value.dtype.kind in _ARRAY_KINDS
        and not value.dtype.hasobject
    )


def _encode_array(array: Any, buffers: list[Any]) -> dict[str, Any]:
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    flat = array.ravel(order)  # copies only what is not contiguous
    buffers.append(memoryview(flat.view("u1")) if flat.size else b"")
    return {
        "array": len(buffers) - 1, "dtype": _dtype_text(array.dtype),
        "shape": list(array.shape), "order": order,
    }  # fmt: skip


def _dtype_text(dtype: Any) -> Any:
    return dtype.str if dtype.names is None else dtype.descr


@cache
def _pickler() -> type[pickle.Pickler]:
    """Return a pickler that brings by value what the cell itself defined, and lambdas."""
    import cloudpickle  # 20 ms, which most cells need not pay

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        known: Mapping[int, str]

        def persistent_id(self, value: Any) -> str | None:
            return self.known.get(id(value)) if isinstance(value, type | FunctionType) else None

    return Pickler


def _pickle(value: Any, buffers: list[Any], known: Mapping[int, str]) -> dict[str, Any]:
    file, raw = io.BytesIO(), []
    try:
        pickler: Any = _pickler()(file, protocol=5, buffer_callback=lambda b: raw.append(b.raw()))
        pickler.known = known
        pickler.dump(value)
    except Exception as problem:  # noqa: BLE001 - pickling runs any object's own code
        raise Refused(str(problem) or type(problem).__name__) from None
    buffers.append(file.getbuffer())
    first = len(buffers)
    buffers.extend(raw)
    return {"pickle": first - 1, "raw": len(raw)}


def _decode(tree: Any, buffers: list[bytearray], before: Mapping[str, Any]) -> Any:
    if not isinstance(tree, dict):
        return tree
    kind = next(iter(tree))
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
        return _decode_array(tree, buffers[body])
    if kind == "pickle":
        return _unpickle(tree, buffers, before)
    raise ValueError(f"unknown kind {kind!r}")


_CONTAINERS: dict[str, Callable[..., Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}
_LEAVES: dict[str, Callable[..., Any]] = {
    "int": int,
    "float": float.fromhex,
    "complex": lambda parts: complex(*map(float.fromhex, parts)),
}


def _decode_array(tree: dict[str, Any], buffer: bytearray) -> Any:
    import numpy as np

    text = tree["dtype"]
    dtype = np.dtype(text if isinstance(text, str) else [tuple(field) for field in text])
    if dtype.hasobject:
        raise ValueError("an array of objects without pickle")
    return np.frombuffer(buffer, dtype=dtype).reshape(tree["shape"], order=tree["order"])


class _Unpickler(pickle.Unpickler):
    _before: Mapping[str, Any]

    def persistent_load(self, name: Any) -> Any:
        return self._before[name]


def _unpickle(tree: dict[str, Any], buffers: list[bytearray], before: Mapping[str, Any]) -> Any:
    first = tree["pickle"] + 1
    raw = buffers[first : first + tree["raw"]]
    unpickler = _Unpickler(io.BytesIO(buffers[first - 1]), buffers=raw)
    unpickler._before = before
    return unpickler.load()
