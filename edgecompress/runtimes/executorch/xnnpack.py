"""What XNNPACK is given in a .pte: a flatbuffer of its own, with constants in the file's segments.

`backends/xnnpack/serialization/schema.fbs` and `runtime/XNNHeader.h` of ExecuTorch.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgecompress.runtimes.executorch.flatbuffer import Budget, Damaged, Table, root
from edgecompress.runtimes.executorch.model import Tensor
from edgecompress.runtimes.executorch.schema import (
    DATATYPES,
    GRAPH,
    NODES,
    QUANT_PARAMS,
    XVALUES,
)

BACKEND = "XnnpackBackend"
_HEADER, _IDENTIFIERS = b"XH00", (b"XN00", b"XN01")
_NOTHING = 2**32 - 1
"""The id of a value that is not there."""
MAX_RANK = 8
"""XNNPACK ends at 6 dimensions."""
_WEIGHTED = ("input1_id", "filter_id", "bias_id")


@dataclass(frozen=True)
class Step:
    """One operator of the graph."""

    op_type: str
    handle: int
    """The debug handle of the operator that it was made of."""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    """Numbers of values."""
    options: Mapping[str, int]


@dataclass(frozen=True)
class Payload:
    steps: tuple[Step, ...]
    values: Mapping[int, Tensor]
    externals: tuple[int, ...]
    """Values that come from outside and go there, in the order of the call's arguments."""
    inputs: int
    """How many of them come from outside."""


def read_payload(content: memoryview, named: Mapping[str, memoryview], budget: Budget) -> Payload:
    """Read one delegate's graph.

    Raises:
        Damaged: it is none.

    """
    graph = root(_graph_of(content), "XNNGraph", GRAPH, budget)
    constants = _constants(graph, named)
    values: dict[int, Tensor] = {}
    outside: dict[int, int] = {}
    for entry in graph.tables("xvalues", "XValue"):
        value = entry.union("xvalue_union", XVALUES)
        if value is None:
            raise Damaged("XNNPACK's graph has an empty value")
        base = value if value.name == "XNNTensorValue" else _base(value)
        number = base.number("id_out", "I")
        if number in values:
            raise Damaged(f"XNNPACK's graph has two values {number}")
        values[number] = _tensor(value, base, constants)
        outside[number] = base.number("external_id", "I")
    steps = tuple(_step(entry, values) for entry in graph.tables("xnodes", "XNode"))
    written = [number for step in steps for number in step.outputs]
    if len(set(written)) < len(written):
        raise Damaged("XNNPACK's graph writes a value twice")
    ends = [graph.numbers(field, "I") for field in ("input_ids", "output_ids")]
    for number in (*ends[0], *ends[1]):
        if number not in values:
            raise Damaged(f"XNNPACK's graph has no value {number}")
    externals = [number for some in ends for number in sorted(some, key=outside.__getitem__)]
    return Payload(steps, values, tuple(externals), len(ends[0]))


def _graph_of(content: memoryview) -> memoryview:
    if bytes(content[4:8]) != _HEADER:
        raise Damaged("what XNNPACK is given has no header 'XH00'")
    if len(content) < 30:
        raise Damaged("what XNNPACK is given ends in its header")
    start, size = struct.unpack_from("<II", content, 10)
    graph = content[start : start + size]
    if len(graph) != size or bytes(graph[4:8]) not in _IDENTIFIERS:
        raise Damaged("what XNNPACK is given is not its graph")
    return graph


def _constants(graph: Table, named: Mapping[str, memoryview]) -> list[memoryview | None]:
    """Those at each index; the first stands for none."""
    found: list[memoryview | None] = []
    for entry in graph.tables("constant_data", "ConstantDataOffset"):
        key = entry.text("named_key")
        if key and key not in named:
            raise Damaged(f"XNNPACK's constant '{key[:16]}' is not in the file")
        found.append(named[key] if key else None)
    return found


def _base(value: Table) -> Table:
    return value.needed("tensor_value", "XNNTensorValue")


def _tensor(value: Table, base: Table, constants: list[memoryview | None]) -> Tensor:
    shape = base.numbers("dims", "I")
    dtype = DATATYPES.get(base.number("datatype", "h"))
    index = base.number("constant_buffer_idx", "I")
    if dtype is None or len(shape) > MAX_RANK:
        raise Damaged("XNNPACK's graph has a value of no known type or shape")
    if index and index >= len(constants):
        raise Damaged(f"XNNPACK's graph has no constant {index}")
    quantized = None if value is base else value.union("quant_params", QUANT_PARAMS)
    scales, zero_point, axis = _quantization(quantized, constants)
    return Tensor(
        name=f"value {base.number('id_out', 'I')}",
        dtype=dtype,
        shape=shape,
        constant=bool(index),
        scales=scales,
        zero_point=zero_point,
        axis=axis,
        content=constants[index] if index else None,
    )


def _quantization(
    found: Table | None, constants: list[memoryview | None]
) -> tuple[tuple[float, ...], int, int]:
    """Scales, zero point and axis."""
    if found is None or found.name in ("PerTokenDynamicQuant", "PerChannelGroupQuant"):
        return (), 0, 0
    if found.name == "PerTensorQuant":
        return (found.real("scale"),), found.number("zero_point", "i"), 0
    index, count = found.number("scale_buffer_idx", "I"), found.number("num_scales", "I")
    if not index:
        return found.reals("scale"), 0, found.number("channel_dim", "i")
    stored = constants[index] if index < len(constants) else None
    if stored is None or len(stored) != 4 * count:
        raise Damaged("XNNPACK's graph has scales that are not in the file")
    found.budget.spend(count)
    return struct.unpack(f"<{count}f", stored), 0, found.number("channel_dim", "i")


def _step(entry: Table, values: Mapping[int, Tensor]) -> Step:
    node = entry.union("xnode_union", NODES)
    if node is None:
        raise Damaged("XNNPACK's graph has an empty operator")
    fields = node.schema[node.name]
    read = {field: node.number(field, "I") for field in _inputs(node.name, fields)}
    written = {field: node.number(field, "I") for field in fields if field.startswith("output_")}
    for field, number in (*read.items(), *written.items()):
        if number not in values and not (field == "bias_id" and number == _NOTHING):
            raise Damaged(f"{node.name} of XNNPACK's graph uses value {number}, which is not there")
    options = {
        field: node.number(field, "I")
        for field in fields
        if not field.endswith("_id") and field not in _NO_NUMBERS
    }
    return Step(
        op_type=node.name,
        handle=entry.number("debug_handle", "I"),
        inputs=tuple(number for number in read.values() if number in values),
        outputs=tuple(written.values()),
        options=options,
    )


_NO_NUMBERS = (
    "perm",
    "pre_paddings",
    "post_paddings",
    "padding_value",
    "new_shape",
    "offsets",
    "sizes",
    "alpha",
    "negative_slope",
)
"""Fields that are lists or reals."""


def _inputs(name: str, fields: Sequence[str]) -> list[str]:
    """The fields that name what an operator reads, in its own order."""
    if "filter_id" in fields:
        return list(_WEIGHTED)
    found = [field for field in fields if field.endswith("_id") and not field.startswith("output_")]
    if name.startswith("XNNConcatenate"):
        return sorted(found)[: int(name[-1])]
    return found
