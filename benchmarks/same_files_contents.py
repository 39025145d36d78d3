"""What two files that are not the same bytes differ in: ONNX, TFLite, or the facts of a report."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as tflite

LINEAGE = "edgecompress.lineage"
PRODUCER = ("producer_version",)
WORDS = {"reason", "reasons", "delegate_reason", "advice", "notes", "note", "reference", "message"}
"""Keys of sentences in the facts of a report."""
SHOWN = 3
"""Differences of a file that are told one by one."""
LENGTH = 90
"""Characters of a value that are shown."""


class Kind(Enum):
    """From harmless to worst."""

    SAME = "the same bytes"
    METADATA = "the same but for metadata"
    ADDED = "new"
    WORDS = "the same but for words"
    DIFFERS = "differs"
    LOST = "lost"

    @property
    def is_harmless(self) -> bool:
        return self in (Kind.SAME, Kind.METADATA, Kind.ADDED)


@dataclass(frozen=True)
class Found:
    kind: Kind
    what: tuple[str, ...] = ()
    """The first differences, each with its place."""


@dataclass(frozen=True)
class Contents:
    metadata: Any
    """What a file says of where it comes from; it may differ where nothing else does."""
    rest: Any


def compare(before: Path, after: Path) -> Found:
    """What became of a file; either may be absent."""
    if not before.exists():
        return Found(Kind.ADDED)
    if not after.exists():
        return Found(Kind.LOST)
    if before.read_bytes() == after.read_bytes():
        return Found(Kind.SAME)
    if before.suffix == ".json":
        return _facts(json.loads(before.read_text()), json.loads(after.read_text()))
    read = READERS[before.suffix]
    old, new = read(before), read(after)
    for kind, pair in (
        (Kind.DIFFERS, (old.rest, new.rest)),
        (Kind.METADATA, (old.metadata, new.metadata)),
    ):
        found = list(differences(*pair))
        if found and kind is Kind.METADATA:
            return Found(kind, tuple(text.split(": ")[0] for text in found))
        if found:
            return Found(kind, _first(found))
    return Found(Kind.DIFFERS, ("the same contents in another order of bytes",))


def _facts(before: Any, after: Any) -> Found:
    """Keys that only the later facts have are additions, which a report may always get."""
    found = [text for text in differences(before, after) if not text.endswith(ADDED)]
    if not found:
        return Found(Kind.METADATA, ("keys were added",))
    worse = [text for text in found if not WORDS & set(text.split(": ")[0].split("."))]
    return Found(Kind.DIFFERS if worse else Kind.WORDS, _first(worse or found))


def _first(found: list[str]) -> tuple[str, ...]:
    more = len(found) - SHOWN
    return (*found[:SHOWN], *([f"and {more} more"] if more > 0 else []))


ADDED = ": added"


def differences(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """A line for each, 'place: what'; lists of other lengths are one difference."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            place = f"{where}.{key}" if where else str(key)
            if key not in after:
                yield f"{place}: lost"
            elif key not in before:
                yield f"{place}{ADDED}"
            else:
                yield from differences(before[key], after[key], place)
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield f"{where}: {len(before)} -> {len(after)} of them"
        for index, pair in enumerate(zip(before, after, strict=False)):
            yield from differences(*pair, f"{where}.{_named(pair[0], index)}")
    elif before != after:
        yield f"{where}: {_change(before, after)}"


def _named(item: Any, index: int) -> str:
    name = item.get("name") if isinstance(item, Mapping) else None
    return f"{index} ({name})" if isinstance(name, str) and name else str(index)


def _change(before: Any, after: Any) -> str:
    if isinstance(before, bytes) and isinstance(after, bytes):
        if len(before) != len(after):
            return f"{len(before)} -> {len(after)} bytes"
        apart = sum(a != b for a, b in zip(before, after, strict=True))
        return f"{apart} of {len(before)} bytes differ"
    return f"{repr(before)[:LENGTH]} -> {repr(after)[:LENGTH]}"


def _onnx(path: Path) -> Contents:
    document = _message(onnx.load(path))
    metadata = {prop["key"]: _parsed(prop["value"]) for prop in document.pop("metadata_props", [])}
    origin = {key: document.pop(key, None) for key in PRODUCER}
    return _split(metadata, origin, document)


def _message(message: Any) -> dict[str, Any]:
    """A protobuf message as a tree."""
    found = {}
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            single = isinstance(value, (bytes, str, int, float))
            found[field.name] = value if single else list(value)
        elif hasattr(value, "ListFields"):
            found[field.name] = _message(value)
        else:
            found[field.name] = [_message(item) for item in value]
    return found


def _tflite(path: Path) -> Contents:
    model = tflite.ModelT.InitFromObj(tflite.Model.GetRootAs(path.read_bytes(), 0))
    metadata = {}
    for entry in model.metadata or ():
        buffer = model.buffers[entry.buffer]
        metadata[entry.name.decode()] = _parsed(bytes(buffer.data))
        buffer.data = None
    return _split(metadata, {}, _object(vars(model)))


def _object(value: Any) -> Any:
    """What the reader of flatbuffers made, as a tree."""
    if isinstance(value, dict):
        return {key: _object(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, list):
        return [_object(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return _object(vars(value)) if hasattr(value, "__dict__") else value


def _split(metadata: dict[str, Any], origin: dict[str, Any], content: dict[str, Any]) -> Contents:
    """Labels, layouts and what is kept in float must stay; only the origin may be another."""
    origin = {**origin, LINEAGE: metadata.pop(LINEAGE, None)}
    return Contents(origin, {**content, "metadata": metadata})


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


READERS = {".onnx": _onnx, ".tflite": _tflite}
