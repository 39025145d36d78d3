"""Prints what the importable `tensorrt` has, as JSON; tensorrt-stubs.py runs it.

Of every class in CLASSES, each member: of a method its parameters (one list per overload; a
default is marked by '=') and the type it returns, of a property its type and whether it can be
set, of an enumeration's value its number. Read from the extension itself and from the signatures
that pybind11 writes into docstrings.
"""

import ctypes
import json
import re

import tensorrt as trt

CLASSES = (
    *("Builder", "BuilderFlag", "DataType", "Dims", "EngineInspector", "IBuilderConfig"),
    *("ICudaEngine", "IExecutionContext", "IHostMemory", "ILogger", "INetworkDefinition"),
    *("IOptimizationProfile", "IProfiler", "ITensor", "ITimingCache", "LayerInformationFormat"),
    *("MemoryPoolType", "NetworkDefinitionCreationFlag", "OnnxParser", "ParserError"),
    *("ProfilingVerbosity", "Runtime", "Severity", "TensorIOMode"),
)
SPECIAL = ("__init__", "__len__", "__getitem__", "__int__")
BF_GETBUFFER = 1
"""Py_bf_getbuffer: the slot of a type whose objects give their memory."""


def main() -> None:
    classes = {name: members(find(name)) for name in CLASSES}
    version = json.dumps(trt.__version__)
    # A member a line: a new release shows as the lines that it changed.
    text = ",\n".join(f'"{name}": {{\n{lines(classes[name])}\n}}' for name in CLASSES)
    print(f'{{"version": {version}, "classes": {{\n{text}\n}}}}')


def lines(found: dict[str, dict[str, object]]) -> str:
    return ",\n".join(f" {json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found))


def find(name: str) -> type:
    return trt.ILogger.Severity if name == "Severity" else getattr(trt, name)


def members(cls: type) -> dict[str, dict[str, object]]:
    values = getattr(cls, "__members__", {})
    names = [name for name in dir(cls) if not name.startswith("_") or name in SPECIAL]
    found = {
        name: {"value": int(values[name])} if name in values else member(cls, name)
        for name in names
        if name != "__int__" or values
    }
    if gives_buffer(cls):
        found["__buffer__"] = {"calls": [["flags"]], "returns": "memoryview"}
    return found


def member(cls: type, name: str) -> dict[str, object]:
    value = getattr(cls, name)
    if isinstance(value, type):
        return {"class": value.__name__}
    if isinstance(value, property):
        found = re.search(r"\) -> (.+)", value.fget.__doc__ or "")
        kind = plain(found.group(1)) if found else "?"
        return {"type": kind, "writable": value.fset is not None}
    if not callable(value):
        # Logger levels, copied onto ILogger.
        return {"value": int(value)}
    return method(name, value.__doc__ or "")


def method(name: str, doc: str) -> dict[str, object]:
    signatures = re.findall(rf"^(?:\d+\. )?{name}\((.*)\) -> (.+)$", doc, re.MULTILINE)
    calls = [[parameter(text) for text in split(given)] for given, _ in signatures]
    # The first is the object itself.
    return {
        "calls": [call[1:] for call in calls],
        "returns": plain(signatures[0][1]) if signatures else "?",
    }


def split(text: str) -> list[str]:
    """At the commas that are not inside brackets or <..>."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(<{") - (letter in "])}" or (letter == ">" and depth > 0))
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip() not in ("", "/", "*")]


def parameter(text: str) -> str:
    return text.partition(":")[0].strip() + ("=" if " = " in text else "")


def plain(text: str) -> str:
    """A type as the agent writes it, also where the docstring has its name in C++."""
    text = text.strip().replace("tensorrt.tensorrt.", "").replace("List[", "list[")
    if "::" in text:
        name = text.split("::")[-1]
        text = name if hasattr(trt, name) else name.removeprefix("I")
    return text


def gives_buffer(cls: type) -> bool:
    slot = ctypes.pythonapi.PyType_GetSlot
    slot.restype, slot.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_int]
    return bool(slot(cls, BF_GETBUFFER))


if __name__ == "__main__":
    main()
