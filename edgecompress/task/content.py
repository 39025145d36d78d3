"""What objects are, as a digest, for keys of results that lie in a store: their data by value, and
the code that they bring with them, which in a notebook has no file.

Objects are walked as pickle walks them. Tensors are hashed. Of the user's own functions and classes
it is the compiled code, with what it names outside of itself: other functions, classes, constants.
Those of libraries are known by name. What cannot be walked (an open file, a lock, a generator) gets
a digest that nothing else ever gets, so that nothing is found under it.
"""

import functools
import hashlib
import io
import pickle
import secrets
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

import torch
from torch import Tensor

from edgecompress.task.guard import is_library

_MADE_BY_CODE = 1 << 9  # Py_TPFLAGS_HEAPTYPE; all others are Python's own
_SLOTS = (GetSetDescriptorType, MemberDescriptorType)
_MADE = ("_abc_impl",)
"""What Python itself puts in a class."""


def content_of(value: object) -> str:
    """A digest that says what an object is and does; 'unknown-..', and never twice the same, of
    what cannot be looked into.
    """
    try:
        return _Walk().digest(value)
    except Exception:
        # What pickle calls raises whatever it likes; nothing is found under a new digest.
        return f"unknown-{secrets.token_hex(16)}"


def content_of_each(values: Iterable[object]) -> str:
    """One digest of many, of which one at a time is in memory."""
    hasher = hashlib.sha256()
    for value in values:
        hasher.update(content_of(value).encode())
    return hasher.hexdigest()


class _Hashed(io.RawIOBase):
    """A file that keeps a hash of what is written."""

    def __init__(self) -> None:
        self.hasher = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.hasher.update(content)
        return memoryview(content).nbytes


class _Walk(pickle.Pickler):
    def __init__(self) -> None:
        self._file = _Hashed()
        super().__init__(self._file, protocol=5)
        self._code: list[object] = []
        """The user's functions, classes and modules so far, each once; kept, so that no other
        object can have its id.
        """
        self._places: dict[int, int] = {}

    def digest(self, value: object) -> str:
        self.dump(value)
        done = 0
        # The code of what is met is written behind it, because functions may name one another.
        while done < len(self._code):
            self.dump(_parts(self._code[done]))
            done += 1
        return self._file.hasher.hexdigest()

    def persistent_id(self, value: Any) -> Any:
        """What is written in place of an object; None: pickle goes on with it."""
        if isinstance(value, Tensor):
            return "tensor", type(value).__name__, _tensor(value)
        if isinstance(value, ModuleType):
            return self._named(value, value.__name__, "")
        if isinstance(value, type) and not value.__flags__ & _MADE_BY_CODE:
            return "library", value.__module__, value.__qualname__
        if isinstance(value, (type, FunctionType)):
            return self._named(value, value.__module__, value.__qualname__)
        if isinstance(value, functools._lru_cache_wrapper):
            return self._named(value.__wrapped__, value.__module__, value.__qualname__)
        return None

    def _named(self, value: object, module: str | None, name: str) -> tuple[object, ...]:
        if module is not None and _of_library(module) and _is_found(value, module, name):
            return "library", module, name
        if id(value) not in self._places:
            self._places[id(value)] = len(self._code)
            self._code.append(value)
        return "code", self._places[id(value)]


def _parts(value: object) -> object:
    """What makes a function, a class or a module of the user's."""
    if isinstance(value, FunctionType):
        return _parts_of_function(value)
    if isinstance(value, type):
        members = [
            (name, _member(each)) for name, each in vars(value).items() if _counts(name, each)
        ]
        return value.__qualname__, value.__bases__, type(value), members
    own = {name: each for name, each in vars(value).items() if not name.startswith("__")}
    return getattr(value, "__name__", ""), own


def _parts_of_function(function: FunctionType) -> object:
    named = {
        name: function.__globals__[name]
        for name in sorted(set(_names(function.__code__)))
        if name in function.__globals__
    }
    cells = [_cell(cell) for cell in function.__closure__ or ()]
    defaults = function.__defaults__, function.__kwdefaults__, vars(function)
    return function.__qualname__, _code(function.__code__), defaults, cells, named


def _member(value: object) -> object:
    """An attribute of a class, without the objects of Python's that pickle refuses."""
    if isinstance(value, (staticmethod, classmethod)):
        return type(value).__name__, value.__func__
    if isinstance(value, property):
        return "property", value.fget, value.fset, value.fdel
    if isinstance(value, functools.cached_property):
        return "cached_property", value.func
    return value


def _counts(name: str, value: object) -> bool:
    """Whether an attribute of a class says what it does: methods, and what is not Python's own."""
    if isinstance(value, _SLOTS) or name in _MADE:
        return False
    is_own = name.startswith("__") and name.endswith("__")
    return not is_own or isinstance(value, (FunctionType, staticmethod, classmethod))


def _code(code: CodeType) -> tuple[object, ...]:
    constants = [_code(each) if isinstance(each, CodeType) else each for each in code.co_consts]
    arguments = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return code.co_code, getattr(code, "co_exceptiontable", b""), constants, arguments, names


def _names(code: CodeType) -> Iterator[str]:
    """What it, and what is defined inside of it, looks up."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


def _cell(cell: Any) -> object:
    try:
        return "holds", cell.cell_contents
    except ValueError:
        return "empty"


def _tensor(tensor: Tensor) -> tuple[object, ...]:
    values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    sha256 = hashlib.sha256(values.data).hexdigest()
    return str(tensor.dtype), tuple(tensor.shape), tensor.requires_grad, sha256


def _is_found(value: object, module: str, name: str) -> bool:
    """Whether a name of a library stands for this very object: code may call itself anything."""
    found: object = sys.modules.get(module)
    for part in filter(None, name.split(".")):
        found = getattr(found, part, None)
    return found is value or getattr(found, "__wrapped__", None) is value


@functools.cache
def _of_library(module: str) -> bool:
    """Whether a module is Python's, an installed package's or ours."""
    if module in sys.builtin_module_names or module.partition(".")[0] in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and is_library(Path(file))
