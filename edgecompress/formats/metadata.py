"""What holds for a file of any format: how large it may be, and the metadata that edgecompress
writes into it and reads again, JSON by key. A file may come from anywhere, so it may be anything.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from edgecompress.errors import ArtifactError, SpecError
from edgecompress.spec.base import parse
from edgecompress.spec.preprocessing import PREPROCESSINGS, Preprocessing

LINEAGE_KEY = "edgecompress.lineage"
"""An object of strings: what the file was made from."""
LABELS_KEY = "edgecompress.labels"
"""A list of strings: the names of the classes."""
KEEP_FLOAT_KEY = "edgecompress.keep_float"
"""A list of strings: layers that the recipe keeps in float."""
KEPT_BECAUSE_KEY = "edgecompress.kept_because"
"""An object of strings: what each of them that a search chose would cost in int8."""
PREPROCESSING_KEY = "edgecompress.preprocessing"
"""An object: how an application prepares what the model is given; a Preprocessing."""
DECODED_KEY = "edgecompress.decoded"
"""True: the task's decoder is a part of the file."""
LAYOUT_KEY = "edgecompress.layout"
"""TFLite only: an object from the names of inputs to 'nchw' or 'nhwc'."""

MAX_BYTES = 2**31 - 1
"""The largest file: an ONNX file is one protobuf message, and a TFLite file's offsets are signed
and 32 bits wide.
"""

Metadata = Mapping[str, str | bytes]


def check_scale(path: Path, name: str, scale: float) -> None:
    """Raises ArtifactError when it cannot be the size of a step of the input or output."""
    if not (math.isfinite(scale) and scale > 0):
        raise ArtifactError(
            f"{path}: '{name}' has scale {scale:g}; a scale is a number above 0; export it again"
        )


def read_labels(path: Path, metadata: Metadata) -> tuple[str, ...] | None:
    """The names of the classes, or None where the file has none.

    Raises:
        ArtifactError: the entry is something else.

    """
    return read_strings(path, metadata, LABELS_KEY) if LABELS_KEY in metadata else None


def read_preprocessing(path: Path, metadata: Metadata) -> Preprocessing | None:
    """How inputs are prepared, or None where the file does not say.

    Raises:
        ArtifactError: the entry is something else.

    """
    declared = _read(path, metadata, PREPROCESSING_KEY, default=None)
    if declared is None:
        return None
    kind = declared.get("kind", "image") if isinstance(declared, dict) else "image"
    where = f"{path}: metadata '{PREPROCESSING_KEY}'"
    if not isinstance(kind, str) or kind not in PREPROCESSINGS:
        known = ", ".join(PREPROCESSINGS)
        raise ArtifactError(
            f"{where}: kind is not known; known: {known}; is the file of a newer edgecompress?"
        )
    try:
        return parse(PREPROCESSINGS[kind], declared, where)
    except SpecError as error:
        raise ArtifactError(f"{error}; export the file again") from None


def read_decoded(path: Path, metadata: Metadata) -> bool:
    """Whether the task's decoder is a part of the file.

    Raises:
        ArtifactError: the entry is something else.

    """
    decoded = _read(path, metadata, DECODED_KEY, default=False)
    if not isinstance(decoded, bool):
        raise ArtifactError(f"{path}: metadata '{DECODED_KEY}' is neither true nor false")
    return decoded


def read_kept(path: Path, metadata: Metadata) -> dict[str, str]:
    """What the recipe keeps in float, and why, or ''.

    Raises:
        ArtifactError: an entry is something else.

    """
    reasons = read_object(path, metadata, KEPT_BECAUSE_KEY)
    return {name: reasons.get(name, "") for name in read_strings(path, metadata, KEEP_FLOAT_KEY)}


def read_strings(path: Path, metadata: Metadata, key: str) -> tuple[str, ...]:
    """A JSON list of strings; empty when it is absent.

    Raises:
        ArtifactError: the entry is something else.

    """
    data = _read(path, metadata, key, default=[])
    if isinstance(data, list) and all(isinstance(text, str) for text in data):
        return tuple(str(text) for text in data)
    raise ArtifactError(f"{path}: metadata '{key}' is not a JSON list of strings")


def read_object(path: Path, metadata: Metadata, key: str) -> dict[str, str]:
    """A JSON object of strings; empty when it is absent.

    Raises:
        ArtifactError: the entry is something else.

    """
    data = _read(path, metadata, key, default={})
    if isinstance(data, dict) and all(isinstance(text, str) for text in data.values()):
        return {str(name): str(text) for name, text in data.items()}
    raise ArtifactError(f"{path}: metadata '{key}' is not a JSON object of strings")


def _read(path: Path, metadata: Metadata, key: str, default: object) -> object:
    content = metadata.get(key)
    if content is None:
        return default
    try:
        parsed: object = json.loads(content)
        # Halves of characters, which JSON can hold, can be neither shown nor stored.
        json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ArtifactError(
            f"{path}: metadata '{key}' is not JSON; export the file again"
        ) from None
    return parsed
