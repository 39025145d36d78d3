"""The classes of a described release; what their members do is in `DOES`, and `_build.py` and
`_run.py` put it there.
"""

import json
import os
from pathlib import Path

API = json.loads(Path(os.environ["RECORDING_API"]).read_text())
HIDDEN = set(filter(None, os.environ.get("RECORDING_HIDES", "").split(",")))
FAILS = os.environ.get("RECORDING_FAILS", "")
VERSION = API["version"]
DOES = {}
"""From 'CLASS_member' to a function of self and the parameters by name."""


def record(text):
    with Path(os.environ["RECORDING_LOG"]).open("a") as log:
        log.write(text + "\n")


def told(value):
    """How an argument stands in the log; addresses differ from run to run."""
    if isinstance(value, int) and value > 1 << 40:
        return "address"
    if isinstance(value, bool | int | str):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(told, value)) + "]"
    return value.name if isinstance(value, Value) else type(value).__name__


def bound(cls, name, calls, args, kwargs):
    """The arguments by name; TypeError where no overload of the real one takes them."""
    for parameters in calls:
        names = [parameter.rstrip("=") for parameter in parameters]
        given = dict(zip(names, args, strict=False)) | kwargs
        needed = {parameter for parameter in parameters if not parameter.endswith("=")}
        if len(args) <= len(names) and needed <= set(given) <= set(names):
            return given
    raise TypeError(f"{cls}.{name}(): incompatible function arguments")


def method(cls, name, calls):
    def call(self, *args, **kwargs):
        given = bound(cls, name, calls, args, kwargs)
        if not name.startswith("__") or name == "__init__":
            record(" ".join([f"{cls}.{name}", *map(told, given.values())]))
        does = DOES.get(f"{cls}_{name.strip('_')}")
        if does is None and name != "__init__":
            raise NotImplementedError(f"the recording does not do {cls}.{name}")
        return does(self, **given) if does else None

    return call


def attribute(cls, name, writable):
    def get(self):
        does = DOES.get(f"{cls}_{name}")
        if does is None and name not in self._state:
            raise NotImplementedError(f"the recording does not have {cls}.{name}")
        return does(self) if does else self._state[name]

    def put(self, value):
        record(f"{cls}.{name} = {told(value)}")
        self._state[name] = value

    return property(get, put if writable else None)


class Value:
    """A value of an enumeration."""

    __slots__ = ("name", "value")

    def __init__(self, name, value):
        self.name, self.value = name, value

    def __int__(self):
        return self.value


def make(cls, members):
    """A class with those members, and, as pybind11's, no place for others."""
    base = bytes if "__buffer__" in members else object
    space = {} if base is bytes else {"__slots__": ("_state",), "__new__": new}
    for name, member in members.items():
        if f"{cls}.{name}" in HIDDEN or name == "__buffer__":
            continue
        if "calls" in member and base is object:
            space[name] = method(cls, name, member["calls"])
        elif "type" in member and "value" not in members:
            space[name] = attribute(cls, name, member["writable"])
        elif "value" in member:
            space[name] = Value(name, member["value"])
    return type(cls, (base,), space)


def new(cls, *args, **kwargs):
    self = object.__new__(cls)
    self._state = {}
    return self


CLASSES = {name: make(name, members) for name, members in API["classes"].items()}
CLASSES["ILogger"].Severity = CLASSES.pop("Severity")


def instance(cls, **state):
    made = new(CLASSES[cls])
    made._state = state
    return made
