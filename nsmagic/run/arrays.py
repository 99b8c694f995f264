"""numpy arrays as raw bytes and a description in JSON, both ways; objects are not among them."""

from __future__ import annotations

import math
import re
from typing import Any, Final

Array = Any  # numpy is imported only where the cell or the notebook has it
DType = Any
Json = Any

_KINDS: Final = "biufcSUmMV"
_DTYPE: Final = re.compile(rf"[<>|=][{_KINDS}]\d+(\[\d*[a-zA-Z]+\])?")


def is_plain(value: object) -> bool:
    """Whether `value` is a numpy array, no subclass, of numbers, text, times or records of them."""
    kind = type(value)
    if (kind.__module__, kind.__name__) != ("numpy", "ndarray"):
        return False
    array: Any = value
    return _has_bytes(array.dtype)


def _has_bytes(dtype: DType) -> bool:
    if dtype.subdtype is not None:
        return _has_bytes(dtype.subdtype[0])
    if dtype.names is not None:
        fields = dtype.fields.values()
        # A field has dtype and offset, and a title that could not come with it.
        return bool(fields) and all(len(field) == 2 and _has_bytes(field[0]) for field in fields)
    return dtype.kind in _KINDS and dtype.itemsize > 0


def describe(array: Array) -> tuple[memoryview | bytes, dict[str, Any]]:
    """Return the bytes of an array that `is_plain`, and JSON that says what they are."""
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    flat = array.ravel(order)  # copies only what is not contiguous
    data = memoryview(flat.view("u1")) if flat.size else b""
    return data, {"dtype": _dtype_tree(array.dtype), "shape": list(array.shape), "order": order}


def _dtype_tree(dtype: DType) -> Json:
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [_dtype_tree(base), list(shape)]
    if dtype.names is None:
        return dtype.str
    fields = [dtype.fields[name] for name in dtype.names]
    return {
        "names": list(dtype.names), "formats": [_dtype_tree(field[0]) for field in fields],
        "offsets": [field[1] for field in fields], "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }  # fmt: skip


def make(description: dict[str, Any], data: bytearray) -> Array:
    """Return the array in `data`, writable and without a copy.

    Whatever the description is, what comes is an array without objects or one of LookupError,
    ValueError, TypeError, ArithmeticError, RecursionError.
    """
    import numpy as np

    dtype = _dtype(description["dtype"])
    shape = tuple(description["shape"])
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array of {shape} in {len(data)} bytes")
    return np.ndarray(shape, dtype, data, order=description["order"])


def _dtype(tree: Json) -> DType:
    import numpy as np

    if isinstance(tree, list):
        base, shape = tree
        return np.dtype((_dtype(base), tuple(shape)))
    if isinstance(tree, dict):
        keys = ("names", "offsets", "itemsize")
        fields: Any = {"formats": [_dtype(part) for part in tree["formats"]]}
        return np.dtype(fields | {key: tree[key] for key in keys}, align=bool(tree["aligned"]))
    if not _DTYPE.fullmatch(tree):
        raise ValueError(f"no such type of array: {tree!r}")
    return np.dtype(str(tree))
