"""Types and shapes of every value of a graph, one inference: all free dimensions count as 1.

onnx's own inference stops at the first operator of ONNX Runtime's domains, so nodes are visited
one by one: standard ones are asked of onnx, ONNX Runtime's are first written as the standard
operator that they compute. Shape arithmetic (Shape, Gather, Concat, ...) is evaluated on the way.
"""

from math import prod

import numpy as np
import onnx
import onnx.reference
import onnx_ir as ir

from edgecompress.formats.onnx.kinds import NCHWC, NHWC
from edgecompress.formats.onnx.shape_rules import RULES, UNKNOWN, Info, Shape
from edgecompress.formats.onnx.values import CONSTANT, Array, constant, flag, is_constant, shape_of

_SMALL = 1024
"""Constants up to this many elements take part in shape arithmetic."""

_SHAPE_ARITHMETIC = frozenset({
    "Add", "Cast", "Ceil", "Concat", "ConstantOfShape", "Div", "Equal", "Expand", "Floor",
    "Gather", "Identity", "Max", "Min", "Mod", "Mul", "Neg", "Range", "ReduceProd", "Reshape",
    "Slice", "Sqrt", "Squeeze", "Sub", "Unsqueeze", "Where",
})  # fmt: skip

_EQUIVALENT: dict[str, tuple[str, tuple[int, ...]]] = {
    "DynamicQuantizeLSTM": ("LSTM", (0, 1, 2)),
    "DynamicQuantizeMatMul": ("MatMul", (0, 1)),
    "FusedConv": ("Conv", (0, 1)),
    "FusedGemm": ("Gemm", (0, 1)),
    "FusedMatMul": ("MatMul", (0, 1)),
    "MatMulIntegerToFloat": ("MatMul", (0, 1)),
    "NhwcConv": ("Conv", (0, 1)),
    "NhwcFusedConv": ("Conv", (0, 1)),
    "NhwcMaxPool": ("MaxPool", (0,)),
    "QGemm": ("Gemm", (0, 3)),
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearConv": ("Conv", (0, 3)),
    "QLinearConvTranspose": ("ConvTranspose", (0, 3)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearMatMul": ("MatMul", (0, 3)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearWhere": ("Where", (0, 1, 4)),
}
"""ONNX Runtime's operator: the standard one with the same shapes, and its tensor inputs."""

_ZERO_POINT_INPUT = {"QLinearConv": 7, "QLinearConvTranspose": 7, "QLinearMatMul": 7, "QGemm": 8}
_FLOAT_OUTPUT = frozenset({"DynamicQuantizeMatMul", "MatMulIntegerToFloat", "DynamicQuantizeLSTM"})
_IMAGE_OPS = frozenset({
    "AveragePool", "Conv", "ConvTranspose", "GlobalAveragePool", "GlobalMaxPool", "MaxPool",
})  # fmt: skip
"""Operators whose first input is [N, C, spatial..], or [N, spatial.., C] when channels_last."""


def propagate(model: ir.Model) -> None:
    """Set type, shape and small constants of the model's values in place; mark constant ones."""
    for value in model.graph.inputs:
        _set(value, (value.dtype, _at_batch_one(value)))
    _visit(model.graph, model)


def channels_last(node: ir.Node) -> bool:
    """Whether activations are [N, spatial.., C]; weights stay [out, in, spatial..] all the same."""
    known = node.domain == NHWC or node.op_type.startswith("Nhwc")
    return known or flag(node, "channels_last") == 1


def _visit(graph: ir.Graph, model: ir.Model) -> None:
    for node in graph:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                _visit(attribute.as_graph(), model)
        try:
            found = _infer(node, model)
        except (IndexError, TypeError, ValueError):  # a node that breaks its operator's rules
            found = []
        fixed = all(is_constant(source) for source in node.inputs)
        for index, value in enumerate(node.outputs):
            dtype, shape = found[index] if index < len(found) else UNKNOWN
            _set(value, (dtype or value.dtype, _declared(value) if shape is None else shape))
            if fixed:
                value.meta[CONSTANT] = True
        # A shape that the file only declares says nothing of how much there would be to compute.
        if found and found[0][1] is not None:
            _evaluate(node, model)


def _at_batch_one(value: ir.Value) -> Shape | None:
    if value.shape is None:
        return None
    return tuple(d if isinstance(d, int) and d >= 0 else 1 for d in value.shape)


def _declared(value: ir.Value) -> Shape | None:
    """What the file itself says, where nothing but the batch is free in it."""
    inner = value.shape[1:] if value.shape is not None else ()
    return _at_batch_one(value) if all(isinstance(dim, int) for dim in inner) else None


def _set(value: ir.Value, info: Info) -> None:
    dtype, shape = info
    if dtype is not None:
        value.type = ir.TensorType(dtype)
    value.shape = ir.Shape(shape) if shape is not None else None


def _info(value: ir.Value | None) -> Info:
    return UNKNOWN if value is None else (value.dtype, shape_of(value))


def _infer(node: ir.Node, model: ir.Model) -> list[Info]:
    rule = RULES.get((node.domain, node.op_type))
    if rule is not None:
        return [rule(node)]
    if node.op_type == "If":
        return [_info(value) for value in node.attributes["then_branch"].as_graph().outputs]
    equivalent = _EQUIVALENT.get(node.op_type)
    if equivalent is not None:
        return _as_standard(node, equivalent, model)
    if node.domain in (NHWC, NCHWC):
        indices = (0, 1) if "Conv" in node.op_type else (0,)
        known = node.op_type in _IMAGE_OPS
        return _as_standard(node, (node.op_type, indices), model) if known else []
    if node.domain in ("", "ai.onnx", "ai.onnx.ml"):
        return _ask_onnx(node, [_info(value) for value in node.inputs], model)
    return [_info(node.inputs[0])] if node.inputs else []


def _as_standard(
    node: ir.Node, equivalent: tuple[str, tuple[int, ...]], model: ir.Model
) -> list[Info]:
    """Infer through the standard operator, with activations turned to [N, C, spatial..]."""
    op_type, indices = equivalent
    infos = [_info(node.inputs[index]) for index in indices]
    # onnx's inference refuses integers where the standard operator takes floats only.
    plain: list[Info] = [(ir.DataType.FLOAT, shape) for _, shape in infos]
    if op_type == "Where":
        plain[0] = (ir.DataType.BOOL, plain[0][1])
    if op_type == "MatMul":
        left, right = matmul_shapes(node)
        plain = [(ir.DataType.FLOAT, left), (ir.DataType.FLOAT, right)]
    turn = op_type in _IMAGE_OPS and channels_last(node)
    if turn:
        plain[0] = (plain[0][0], _channels_first(plain[0][1]))
    schema = onnx.defs.get_schema(op_type, model.opset_imports.get("", 20))
    stand_in = ir.Node(
        "",
        op_type,
        [ir.val(f"i{index}") for index in range(len(plain))],
        [a for name, a in node.attributes.items() if name in schema.attributes],
        outputs=[ir.val("o")],
    )
    found = _ask_onnx(stand_in, plain, model)
    shape = found[0][1] if found else None
    data = infos[1 if op_type == "Where" else 0][0]
    return [(_output_dtype(node, data), _channels_last(shape) if turn else shape)]


def _output_dtype(node: ir.Node, first: ir.DataType | None) -> ir.DataType | None:
    if node.op_type in _FLOAT_OUTPUT:
        return ir.DataType.FLOAT
    index = _ZERO_POINT_INPUT.get(node.op_type)
    if index is None:
        return first
    zero_point = node.inputs[index] if index < len(node.inputs) else None
    # QGemm without an output zero point writes float.
    return zero_point.dtype if zero_point is not None else ir.DataType.FLOAT


def matmul_shapes(node: ir.Node) -> tuple[Shape | None, Shape | None]:
    """Operand shapes of any kind of MatMul, as they are multiplied."""
    second = 3 if node.op_type == "QLinearMatMul" else 1
    left, right = shape_of(node.inputs[0]), shape_of(node.inputs[second])
    if left is not None and flag(node, "transA"):
        left = (*left[:-2], *reversed(left[-2:]))
    if right is not None and flag(node, "transB"):
        right = (*right[:-2], *reversed(right[-2:]))
    return left, right


def _channels_first(shape: Shape | None) -> Shape | None:
    return None if shape is None else (shape[0], shape[-1], *shape[1:-1])


def _channels_last(shape: Shape | None) -> Shape | None:
    return None if shape is None else (shape[0], *shape[2:], shape[1])


def _ask_onnx(node: ir.Node, infos: list[Info], model: ir.Model) -> list[Info]:
    """Shape inference of one standard node; what cannot be inferred is UNKNOWN."""
    types, data = {}, {}
    for value, (dtype, shape) in zip(node.inputs, infos, strict=True):
        if value is None or value.name is None:
            continue
        if dtype is None:
            return []
        types[value.name] = onnx.helper.make_tensor_type_proto(int(dtype), shape)
        known = constant(value)
        if known is not None and known.size <= _SMALL:
            data[value.name] = onnx.numpy_helper.from_array(known)
    opsets = [onnx.helper.make_opsetid(d, v) for d, v in model.opset_imports.items()]
    try:
        schema = onnx.defs.get_schema(
            node.op_type, model.opset_imports.get(node.domain, 20), node.domain
        )
        found = onnx.shape_inference.infer_node_outputs(
            schema, ir.to_proto(node), types, data, opset_imports=opsets
        )
    except Exception:  # SchemaError, InferenceError, ValueError..: the C++ side is not strict
        return []
    return [_from_type(found.get(value.name or "")) for value in node.outputs]


def _from_type(proto: onnx.TypeProto | None) -> Info:
    if proto is None or not proto.HasField("tensor_type"):
        return UNKNOWN
    tensor = proto.tensor_type
    if not tensor.HasField("shape") or not all(d.HasField("dim_value") for d in tensor.shape.dim):
        return ir.DataType(tensor.elem_type), None
    return ir.DataType(tensor.elem_type), tuple(d.dim_value for d in tensor.shape.dim)


def _evaluate(node: ir.Node, model: ir.Model) -> None:
    """Give the node's output its value where it follows from shapes and small constants."""
    if node.domain not in ("", "ai.onnx") or len(node.outputs) != 1:
        return
    result: Array | None = None
    if node.op_type in ("Shape", "Size"):
        result = _measured(node)
    elif node.op_type in _SHAPE_ARITHMETIC:
        result = _calculated(node, model)
    if result is not None:
        node.outputs[0].const_value = ir.tensor(result)


def _measured(node: ir.Node) -> Array | None:
    shape = shape_of(node.inputs[0])
    if shape is None:
        return None
    if node.op_type == "Size":
        return np.array(prod(shape), dtype=np.int64)
    start = flag(node, "start")
    return np.array(shape[start : node.attributes.get_int("end", None)], dtype=np.int64)


def _calculated(node: ir.Node, model: ir.Model) -> Array | None:
    shape = shape_of(node.outputs[0])
    if shape is None or prod(shape) > _SMALL:
        return None
    feeds: dict[str, Array] = {}
    for value in node.inputs:
        known = constant(value)
        if value is not None and value.name and (known is None or known.size > _SMALL):
            return None
        if value is not None and value.name and known is not None:
            feeds[value.name] = known
    names = [onnx.helper.make_empty_tensor_value_info(name) for name in feeds]
    opset = onnx.helper.make_opsetid("", model.opset_imports.get("", 20))
    try:
        proto = ir.to_proto(node)
        output = onnx.helper.make_empty_tensor_value_info(proto.output[0])
        graph = onnx.helper.make_graph([proto], "one", names, [output])
        single = onnx.helper.make_model(graph, opset_imports=[opset])
        result = onnx.reference.ReferenceEvaluator(single).run(None, feeds)
    except Exception:  # whatever a damaged file makes of it: then the value stays unknown
        return None
    return np.asarray(result[0]) if isinstance(result, list) else None
