"""Small questions to an ONNX graph: constants, shapes, and the Q/DQ nodes around a value."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgecompress.formats.onnx.dtypes import dtype_name
from edgecompress.formats.onnx.kinds import DEQUANTIZE, QUANTIZE, WEIGHTED, family
from edgecompress.spec.deploy import SEPARATOR

Array = npt.NDArray[np.generic]

CONSTANT = "edgecompress.constant"
"""Key in a value's meta: it follows from constants."""


def constant(value: ir.Value | None) -> Array | None:
    """The content of an initializer or of a Constant node; None where it is only known later."""
    if value is None:
        return None
    if value.const_value is not None:
        return value.const_value.numpy()
    producer = value.producer()
    if producer is not None and producer.op_type == "Constant" and "value" in producer.attributes:
        return producer.attributes["value"].as_tensor().numpy()
    return None


def is_constant(value: ir.Value | None) -> bool:
    """Whether a value follows from constants alone (an int8 weight and its DequantizeLinear).

    The graph must have gone through propagate, which marks such values.
    """
    return value is None or constant(value) is not None or CONSTANT in value.meta


def shape_of(value: ir.Value | None) -> tuple[int, ...] | None:
    """The shape when every dimension is a number, else None."""
    if value is None or value.shape is None:
        return None
    dims = tuple(dim for dim in value.shape if isinstance(dim, int))
    return dims if len(dims) == len(value.shape) else None


def flag(node: ir.Node, name: str) -> int:
    """An integer attribute, 0 where it is absent."""
    return node.attributes.get_int(name, 0)


def data_inputs(node: ir.Node) -> list[ir.Value]:
    """Inputs with floats in them, a bias left out."""
    count = 2 if family(node) in WEIGHTED else len(node.inputs)
    floats = [value for value in node.inputs[:count] if value is not None]
    return [v for v in floats if dtype_name(v.dtype) in ("float32", "float16", "bfloat16")]


def readers(value: ir.Value) -> tuple[ir.Node, ...]:
    """Nodes that read the value, each once."""
    return tuple(dict.fromkeys(use.node for use in value.uses()))


def dequantizer(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that writes the value."""
    producer = value.producer() if value is not None else None
    return producer if producer is not None and producer.op_type == DEQUANTIZE else None


def quantizers(value: ir.Value) -> tuple[ir.Node, ...]:
    """The QuantizeLinear nodes that read the value."""
    return tuple(node for node in readers(value) if node.op_type == QUANTIZE)


def readers_of_quantized(value: ir.Value) -> tuple[ir.Node, ...]:
    """Nodes that read a quantised value, through its DequantizeLinear nodes or as it is."""
    found: list[ir.Node] = []
    for node in readers(value):
        found += readers(node.outputs[0]) if node.op_type == DEQUANTIZE else [node]
    return tuple(dict.fromkeys(found))


def scale_and_zero_point(node: ir.Node) -> tuple[float, int] | None:
    """Those of a Q or DQ node, one for the whole tensor; None for several or unknown ones."""
    scale = constant(node.inputs[1])
    zero_point = constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(1, np.int32)
    if scale is None or scale.size != 1 or (zero_point is not None and zero_point.size != 1):
        return None
    zero = 0.0 if zero_point is None else float(zero_point.reshape(()))
    return (float(scale.reshape(())), int(zero)) if math.isfinite(zero) else None


def module_of(node: ir.Node) -> str | None:
    """Path of the torch module that the node came from, as torch.onnx.export noted it.

    The weights' name goes first: a convolution with a batch norm folded into it is noted as the
    batch norm's.
    """
    return _module_by_weight(node) or (_last_scope(node) or "").partition(SEPARATOR)[0] or None


def operator_of(node: ir.Node) -> str | None:
    """What the recipe calls the operator where it is no module: 'layer1.0:add_3'."""
    name = _last_scope(node)
    return name if name is not None and SEPARATOR in name else None


def _module_by_weight(node: ir.Node) -> str | None:
    value = node.inputs[1] if family(node) in WEIGHTED and len(node.inputs) > 1 else None
    while value is not None and not value.is_initializer() and is_constant(value):
        producer = value.producer()
        value = producer.inputs[0] if producer is not None and producer.inputs else None
    if value is None or not value.is_initializer():
        return None
    # ONNX Runtime's quantizer appends the second part.
    module, dot, rest = (value.name or "").removesuffix("_quantized").rpartition(".")
    return module if dot and rest == "weight" else None


def _last_scope(node: ir.Node) -> str | None:
    """The innermost module that the node is in, or the operator's own name behind it."""
    scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes", "")
    # Written as the repr of a Python list of strings: root first, the operation itself last.
    names = [part.strip().strip("'\"") for part in scopes.strip("[]").split(",")]
    module = names[-2] if len(names) > 1 else ""
    # torch invents a name for operations that it added outside of any module.
    return None if not module or module.startswith("_empty_nn_module_stack") else module


def all_nodes(graph: ir.Graph) -> Iterator[ir.Node]:
    """Nodes in order, those inside If, Loop and Scan bodies included."""
    return iter(ir.traversal.RecursiveGraphIterator(graph))


def label(node: ir.Node) -> str:
    """How a message names a node."""
    return f"{node.op_type} '{node_name(node)}'"


def node_name(node: ir.Node) -> str:
    """The node's name, or its first output's where it has none."""
    return node.name or node.outputs[0].name or node.op_type
