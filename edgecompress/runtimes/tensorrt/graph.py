"""What TensorRT's builder sees in a Q/DQ graph: weights, and additions that a Conv can take in."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgecompress.formats.onnx.kinds import DEQUANTIZE, QUANTIZE
from edgecompress.formats.onnx.values import (
    Array,
    constant,
    dequantizer,
    flag,
    is_constant,
    readers,
    shape_of,
)

Release = tuple[int, int]
"""Major and minor version of TensorRT."""


@dataclass(frozen=True)
class Addition:
    """An Add that joins a branch which ends in an int8 convolution with another branch."""

    bare: tuple[ir.Node, ...]
    """Convolutions whose output it reads as it is."""
    quantised: tuple[ir.Node, ...]
    """Convolutions whose output goes through Q/DQ, and nowhere else, on its way here."""
    floats: tuple[ir.Value, ...]
    """Inputs from elsewhere without Q/DQ."""


def node_of(node: ir.Node, index: int) -> ir.Value | None:
    """An input, None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def residual_addition(node: ir.Node) -> Addition | None:
    """None for an Add that no convolution could take in: those of other shapes (broadcasting), of
    constants, of a tensor with itself, and those of convolutions whose output is read elsewhere
    too.
    """
    values = [value for value in node.inputs if value is not None]
    if node.op_type != "Add" or len(set(values)) < 2 or any(map(is_constant, values)):
        return None
    shapes = {shape_of(value) for value in values}
    if len(shapes) > 1 or None in shapes:
        return None
    bare: list[ir.Node] = []
    quantised: list[ir.Node] = []
    floats: list[ir.Value] = []
    for value in values:
        source = dequantizer(value)
        conv = int8_convolution(value if source is None else _before_quantizer(source))
        if conv is not None:
            (bare if source is None else quantised).append(conv)
        elif source is None:
            floats.append(value)
    if not bare and not quantised:
        return None
    return Addition(tuple(bare), tuple(quantised), tuple(floats))


def int8_convolution(value: ir.Value | None) -> ir.Node | None:
    """The Conv between DequantizeLinears that alone ends in `value`, through a batch norm or not,
    for one reader.
    """
    while value is not None and len(readers(value)) == 1 and not value.is_graph_output():
        node = value.producer()
        if node is None or node.op_type not in ("BatchNormalization", "Conv"):
            return None
        if node.op_type == "Conv":
            quantised = dequantizer(node.inputs[0]) and dequantizer(node.inputs[1])
            return node if quantised else None
        value = node.inputs[0]
    return None


def _before_quantizer(source: ir.Node) -> ir.Value | None:
    """What a DequantizeLinear's only reader would read, were it and its quantizer not there."""
    integers = source.inputs[0]
    quantizer = integers.producer() if integers is not None else None
    if quantizer is None or quantizer.op_type != QUANTIZE or integers is None:
        return None
    alone = len(readers(integers)) == 1 and len(readers(source.outputs[0])) == 1
    return quantizer.inputs[0] if alone and not source.outputs[0].is_graph_output() else None


def weight_of(node: ir.Node) -> tuple[Array, int] | None:
    """A layer's stored weights, and the axis of its input channels there; None where an operand is
    computed.
    """
    if node.op_type == "Conv":
        return _stored(node.inputs[1], 1)
    if node.op_type == "Gemm":
        return _stored(node.inputs[1], 1 if flag(node, "transB") else 0)
    if node.op_type != "MatMul":
        return None
    right, left = shape_of(node.inputs[1]), shape_of(node.inputs[0])
    if is_constant(node.inputs[1]) and right is not None and len(right) > 1:
        return _stored(node.inputs[1], len(right) - 2)
    if is_constant(node.inputs[0]) and left is not None:
        return _stored(node.inputs[0], len(left) - 1)
    return None


def _stored(value: ir.Value | None, axis: int) -> tuple[Array, int] | None:
    """Through Q, DQ, Cast and Transpose up to the constant; `axis` is that of `value`."""
    while value is not None and (array := constant(value)) is None:
        node = value.producer()
        if node is None or node.op_type not in (QUANTIZE, DEQUANTIZE, "Cast", "Transpose"):
            return None
        if node.op_type == "Transpose":
            rank = len(shape_of(node.inputs[0]) or ())
            axis = node.attributes.get_ints("perm", tuple(range(rank))[::-1])[axis]
        value = node.inputs[0]
    return None if value is None or array is None else (np.asarray(array), axis)
