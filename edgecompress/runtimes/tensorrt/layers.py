"""What an engine really runs: its layers, as TensorRT's engine inspector tells them on the board.

The inspector's JSON (verbosity DETAILED) has a layer for each kernel. Its name joins those of the
ONNX nodes that it runs by ' + '; releases from 10 on also list them under `Metadata`, as
'[ONNX Layer: NAME]'. Its type is that of its weights, and without weights that of what it reads:
TensorRT may quantise on the way out of a float kernel, and the other way round.

Sources: NVIDIA's developer guide, "Engine Inspector"; files that come with its
trt-engine-explorer.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from edgecompress.errors import ArtifactError
from edgecompress.runtimes.tensorrt.graph import Release
from edgecompress.runtimes.tensorrt.inspect import inspect_tensorrt
from edgecompress.spec.measurement import Inspection, Op
from edgecompress.spec.profile import CountedOperator
from edgecompress.spec.untrusted import NotJson, read_json

MAX_BYTES = 64 << 20
_WEIGHTS = {"Int8": "int8", "Half": "float16", "Float": "float32", "BFloat16": "bfloat16"}
_DATA = {
    "int8": "int8",
    "fp16": "float16",
    "half": "float16",
    "fp32": "float32",
    "float": "float32",
    "bf16": "bfloat16",
}
"""Words in what is told of a tensor: 'Row major linear FP32', 'Int8', 'Half'."""
_DATA_TYPE = re.compile(rf"\b({'|'.join(_DATA)})\b", re.IGNORECASE)
_LISTED = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
_JOINED = re.compile(r" \+ |, ")
_FOREIGN = re.compile(r"\{?ForeignNode\[(.+)\]\}?", re.DOTALL)


class Layer(NamedTuple):
    """One kernel of an engine."""

    name: str
    nodes: frozenset[str]
    """Names of the ONNX nodes that it runs."""
    dtype: str | None
    """None: neither weights nor inputs say."""
    tactic: str


def read_layers(path: Path) -> tuple[Layer, ...]:
    """The layers of an engine, in order of execution.

    Args:
        path: the engine inspector's JSON.

    Raises:
        ArtifactError: it is something else.

    """
    try:
        document = read_json(path.read_bytes(), MAX_BYTES)
    except NotJson as error:
        raise ArtifactError(f"{path}: the engine's layers cannot be read: {error}") from None
    listed = document.get("Layers") if isinstance(document, dict) else None
    if not isinstance(listed, list) or not listed:
        raise ArtifactError(f"{path}: the engine's layers cannot be read: it lists none")
    layers = [_layer(each) for each in listed if isinstance(each, dict)]
    if not layers:
        raise ArtifactError(
            f"{path}: the engine tells its layers' names only; build it again, in detail"
        )
    return tuple(layers)


def inspect_engine(path: Path, release: Release, layers: Iterable[Layer]) -> Inspection:
    """The operators of a file, with the types that an engine built of it computes them in.

    Args:
        path: the ONNX file that the engine was built of.
        release: whose rules fill `violations`.
        layers: the engine's.

    Raises:
        ArtifactError: the file is unreadable, or its MACs cannot be counted.

    """
    ruled = inspect_tensorrt(path, release)
    running = {node: layer for layer in layers for node in layer.nodes}
    ops = tuple(_op(op, running) for op in ruled.ops)
    told = sum(op.name in running for op in ops if op.macs)
    counted = sum(bool(op.macs) for op in ops)
    runtime = (
        f"TensorRT {release[0]}.{release[1]} (by its engine, which tells the types of {told} of"
        f" {counted} operators that multiply)"
    )
    return ruled.model_copy(update={"runtime": runtime, "ops": ops})


def counted(operators: Sequence[CountedOperator], ops: Sequence[Op]) -> dict[int, int]:
    """Pairs of layers that the profiler timed and operators of the file: of those that a layer's
    name has, the one that multiplies most, since the others are fused into it.
    """
    places = {op.name: place for place, op in enumerate(ops)}
    pairs: dict[int, int] = {}
    for number, operator in enumerate(operators):
        named = [places[name] for name in _JOINED.split(operator.name) if name in places]
        free = [place for place in named if place not in pairs.values()]
        if free:
            pairs[number] = max(free, key=lambda place: ops[place].macs)
    return pairs


def _op(op: Op, running: Mapping[str, Layer]) -> Op:
    layer = running.get(op.name)
    if not op.macs:
        return op
    if layer is None or layer.dtype is None:
        # Nothing shows it to be int8, and a file is not called so on trust.
        if op.reason is not None:
            return op
        reason = "no layer of the engine names it, so that its type is not known"
        return op.model_copy(update={"dtype": "unknown", "reason": reason})
    if layer.dtype == op.dtype:
        return op
    if layer.dtype == "int8":
        return op.model_copy(update={"dtype": "int8", "reason": None})
    kernel = f" ({layer.tactic})" if layer.tactic else ""
    reason = op.reason or f"TensorRT chose a kernel in {layer.dtype} for it{kernel}"
    return op.model_copy(update={"dtype": layer.dtype, "reason": reason})


def _layer(given: Mapping[str, JsonValue]) -> Layer:
    name, metadata = _text(given.get("Name")), _text(given.get("Metadata"))
    foreign = _FOREIGN.search(name)
    # A range, whose ends alone are named: what lies between is in the metadata, if anywhere.
    joined = [] if foreign else _JOINED.split(name)
    nodes = frozenset([*joined, *_LISTED.findall(metadata)])
    # Many operators in one, whose types are nobody's to know.
    dtype = None if foreign else _dtype(given)
    return Layer(name, nodes, dtype, _text(given.get("TacticName")))


def _dtype(given: Mapping[str, JsonValue]) -> str | None:
    weights = given.get("Weights")
    if isinstance(weights, dict) and weights.get("Count") not in (None, 0):
        known = _WEIGHTS.get(_text(weights.get("Type")))
        if known is not None:
            return known
    inputs = given.get("Inputs")
    read = [_data_type(each) for each in inputs] if isinstance(inputs, list) else []
    if not read or None in read:
        return None
    return read[0]


def _data_type(tensor: JsonValue) -> str | None:
    text = _text(tensor.get("Format/Datatype")) if isinstance(tensor, dict) else ""
    found = _DATA_TYPE.search(text)
    return None if found is None else _DATA[found[1].lower()]


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""
