"""Reading pickles of a cell so that nothing of the cell runs here.

A pickle is a program: it names functions, and the reader calls them.  This reader calls only what
makes data, and makes objects of the notebook's own classes without their `__init__`.  What each
opcode does is in pickle.py of CPython; what else than opcodes looks for a method, looks for it in
the class, where a pickle cannot put one.
"""

from __future__ import annotations

import pickle
import sys
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from types import FunctionType
from typing import Any, ClassVar, Final

_NUMPY: Final = ("numpy.core", "numpy._core")  # before and since numpy 2.0
# Each makes a value of its arguments, whatever these are, and does nothing else.
_MAKERS: Final = frozenset({
    *(("builtins", name) for name in (
        "bool", "complex", "float", "int", "slice", "Ellipsis", "NotImplemented",
    )),
    *(("collections", name) for name in ("Counter", "OrderedDict", "defaultdict", "deque")),
    *(("datetime", name) for name in ("date", "datetime", "time", "timedelta", "timezone")),
    ("decimal", "Decimal"), ("fractions", "Fraction"), ("uuid", "UUID"),
    *((module, name) for module in ("pathlib", "pathlib._local")  # the latter in Python 3.13
      for name in ("PosixPath", "PurePosixPath")),
    ("numpy", "dtype"), ("numpy", "ndarray"),
    *((f"{each}.multiarray", name) for each in _NUMPY for name in ("_reconstruct", "scalar")),
    *((f"{each}.numeric", "_frombuffer") for each in _NUMPY),
})  # fmt: skip
# Of pickle's own methods; an attribute of the object itself must not stand in for one.
_FILLING: Final = frozenset({"append", "extend", "add", "update"})


class Refused(Exception):
    """This object cannot travel; the message says why."""


class Untrusted(Refused):
    """Making it here may run code of the cell."""


def known_of(before: Mapping[str, Any], name: Any) -> Any:
    """Return a class or function that the notebook had; LookupError or TypeError if it is none."""
    found = before[name]
    if not isinstance(found, type | FunctionType):
        raise TypeError(f"{name!r} is neither a class nor a function of the notebook")
    return found


_InPython: Any = pickle._Unpickler  # the one in C asks nobody before it calls


class CarefulUnpickler(_InPython):  # type: ignore[misc]
    """Reads data, arrays and objects of the classes in `before`; Refused for all else."""

    before: Mapping[str, Any]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(_InPython.dispatch)

    def load(self) -> Any:
        """Return the object."""
        self._makers: list[Any] = []
        self._classes: list[type] = []
        return super().load()

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the makers; nothing is imported for any other name."""
        if (module, name) == ("builtins", "getattr"):  # by which Python 3.11 pickles an Enum
            found: Any = _member
        elif (module, name) in _MAKERS:
            found = super().find_class(module, name)
        else:
            raise _needs_trust(f"{module}.{name}")
        self._makers.append(found)
        return found

    def persistent_load(self, name: Any) -> Any:
        """Return a class or function of the notebook by its name; a function is never called."""
        found = known_of(self.before, name)
        if isinstance(found, type):
            self._classes.append(found)
        return found

    def _is_maker(self, value: Any) -> bool:
        return any(value is each for each in self._makers)  # == may be anybody's code

    def _is_class(self, value: Any) -> bool:
        return any(value is each for each in self._classes)

    def _reduce(self) -> None:
        called = self.stack[-2]
        if not self._is_maker(called) and not (self._is_class(called) and issubclass(called, Enum)):
            raise _needs_trust(_name(called))
        self.load_reduce()

    def _new(self, kind: Any, load: Callable[[Any], None]) -> None:
        own_new = self._is_class(kind) and isinstance(kind.__new__, FunctionType)
        if not (self._is_maker(kind) or self._is_class(kind)) or (
            own_new and not _is_named_tuple(kind)
        ):
            raise _needs_trust(_name(kind))
        load(self)

    def _build(self) -> None:
        state, filled = self.stack.pop(), self.stack[-1]
        kind = type(filled)
        made = tuple(maker for maker in self._makers if isinstance(maker, type))
        if not self._is_class(kind) and not isinstance(filled, made):
            raise _needs_trust(_name(kind))
        # The fields and the flags of a dtype can contradict each other, and numpy believes both.
        numpy = sys.modules.get("numpy")
        if numpy and isinstance(filled, numpy.dtype) and state[2:5] != (None, None, None):
            raise _needs_trust("numpy.dtype.__setstate__")
        setstate = getattr(kind, "__setstate__", None)
        if setstate is not None:
            setstate(filled, state)
            return
        attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, {})
        vars(filled).update(attributes or {})
        for name, value in (slots or {}).items():
            object.__setattr__(filled, name, value)

    def _fill(self, load: Callable[[Any], None], filled: Any) -> None:
        if not isinstance(filled, list | set | dict | deque) or (
            _FILLING & set(getattr(filled, "__dict__", ()))
        ):
            raise _needs_trust(_name(filled))
        load(self)

    def _refuse(self) -> None:
        raise _needs_trust("what it likes")


# What calls something, and what is asked before.
_ASKED: Final[dict[bytes, Callable[[Any], None]]] = {
    pickle.REDUCE: CarefulUnpickler._reduce,
    pickle.BUILD: CarefulUnpickler._build,
    pickle.NEWOBJ: lambda me: me._new(me.stack[-2], _InPython.load_newobj),
    pickle.NEWOBJ_EX: lambda me: me._new(me.stack[-3], _InPython.load_newobj_ex),
    pickle.SETITEM: lambda me: me._fill(_InPython.load_setitem, me.stack[-3]),
    pickle.SETITEMS: lambda me: me._fill(_InPython.load_setitems, me.metastack[-1][-1]),
    pickle.APPEND: lambda me: me._fill(_InPython.load_append, me.stack[-2]),
    pickle.APPENDS: lambda me: me._fill(_InPython.load_appends, me.metastack[-1][-1]),
    pickle.ADDITEMS: lambda me: me._fill(_InPython.load_additems, me.metastack[-1][-1]),
    **dict.fromkeys(
        (pickle.INST, pickle.OBJ, pickle.EXT1, pickle.EXT2, pickle.EXT4), CarefulUnpickler._refuse
    ),
}
for _opcode, _ask in _ASKED.items():
    CarefulUnpickler.dispatch[_opcode[0]] = _ask


def _member(kind: Any, name: str) -> Any:
    if not isinstance(kind, type) or not issubclass(kind, Enum):
        raise _needs_trust("builtins.getattr")
    return kind.__members__[name]


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and kind.__new__.__module__ == f"namedtuple_{kind.__name__}"


def _name(value: Any) -> str:
    if not isinstance(value, type | FunctionType):
        value = type(value)
    return f"{value.__module__}.{value.__qualname__}"


def _needs_trust(what: str) -> Untrusted:
    return Untrusted(f"its pickle calls {what} here, which may run code of the cell")
