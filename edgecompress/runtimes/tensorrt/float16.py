"""float16 in the graph for what is not int8, between Casts: TensorRT 11 types every tensor by the
graph alone, and 8.6 and 10.x follow it, so that all build the same.
"""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from edgecompress.formats.onnx.edit import Array, Editor, array_of
from edgecompress.formats.onnx.values import module_of
from edgecompress.runtimes.tensorrt.inspect import float_nodes

_HALF, _SINGLE = ir.DataType.FLOAT16, ir.DataType.FLOAT

# They take the type of what they move.
_MOVING = {
    "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Slice",
    "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
# After them no number is large, whatever came in.
_BOUNDED = {
    "HardSigmoid", "InstanceNormalization", "LayerNormalization", "Sigmoid", "Softmax", "Tanh"
}  # fmt: skip


def to_float16(model: ir.Model, float32_only: Sequence[str] = ()) -> None:
    """Every node that would compute in float32 computes in float16, with one Cast where a tensor
    enters such a region and one where it leaves. A node stays in float32 where a constant of it is
    beyond float16 (65504), or so small that it would become 0, and so do those after it, up to one
    that bounds its output.

    Args:
        model: in which nothing is float16 yet.
        float32_only: modules that stay in float32 with all that is in them, such as a task's
            decoder: float16 has coordinates of hundreds of pixels in steps of a half, and areas of
            boxes not at all.

    """
    ShapeInferencePass()(model)
    half = _chosen(model, float32_only)
    editor = Editor(model)
    cast: dict[ir.Value, ir.Value] = {}
    for node in [node for node in model.graph if node in half]:
        # A Resize's scales are float32 whatever it resizes.
        inputs = node.inputs[:1] if node.op_type == "Resize" else node.inputs
        for index, value in enumerate(inputs):
            if value is None or value.dtype != _SINGLE:
                continue
            if value not in cast:
                cast[value] = _as_half(editor, node, value)
            node.replace_input_with(index, cast[value])
        for output in list(node.outputs):
            if output.dtype == _SINGLE:
                output.type = ir.TensorType(_HALF)
                _as_single_for_others(editor, node, output, half)


def _chosen(model: ir.Model, float32_only: Sequence[str]) -> set[ir.Node]:
    names = float_nodes(model)
    version = model.opset_imports[""]
    half: set[ir.Node] = set()
    single: set[ir.Node] = set()
    for node in model.graph:
        sources = {value.producer() for value in _floats(node)}
        if _is_within(module_of(node), float32_only):
            single.add(node)
        elif node.op_type in _MOVING:
            if sources and sources <= half:
                half.add(node)
            elif sources & single:
                single.add(node)
        elif node.name in names:
            large = bool(sources & single) or any(map(_too_wide, _constants(node)))
            if large or not _takes_half(node, version):
                if large and node.op_type not in _BOUNDED:
                    single.add(node)
                continue
            half.add(node)
    return half


def _is_within(path: str | None, modules: Sequence[str]) -> bool:
    """Whether a path is one of the modules, or inside of one; '' is the whole model."""
    if path is None:
        return "" in modules
    return any(not each or path == each or path.startswith(f"{each}.") for each in modules)


def _floats(node: ir.Node) -> list[ir.Value]:
    found = [value for value in node.inputs if value is not None and value.dtype == _SINGLE]
    return [value for value in found if array_of(value) is None]


def _constants(node: ir.Node) -> list[Array]:
    arrays = [array_of(value) for value in node.inputs]
    return [array for array in arrays if array is not None and array.dtype == np.float32]


def _too_wide(array: Array) -> bool:
    """Infinities are as good in float16; a single number that vanishes is an epsilon."""
    numbers = array[np.isfinite(array)].astype(np.float64)
    if np.abs(numbers).max(initial=0) > np.finfo(np.float16).max:
        return True
    return array.size == 1 and bool((numbers != 0).any()) and not numbers.astype(np.float16).any()


def _takes_half(node: ir.Node, version: int) -> bool:
    if any(attribute.type == ir.AttributeType.GRAPH for attribute in node.attributes.values()):
        return False
    schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    return "tensor(float16)" in schema.outputs[0].types


def _as_half(editor: Editor, node: ir.Node, value: ir.Value) -> ir.Value:
    array = array_of(value)
    if array is not None:
        half = editor.constant(array.astype(np.float16), value.name or "constant")
        if len(list(value.uses())) == 1 and value.name:
            # The name says which layer's weights these are.
            name, value.name = value.name, f"{value.name}_float32"
            half.name = name
        return half
    half = editor.before(node, "Cast", [value], {"to": int(_HALF)})
    half.type, half.shape = ir.TensorType(_HALF), value.shape
    return half


def _as_single_for_others(
    editor: Editor, node: ir.Node, value: ir.Value, half: set[ir.Node]
) -> None:
    others = [(reader, index) for reader, index in value.uses() if reader not in half]
    if not others and not value.is_graph_output():
        return
    cast = ir.node("Cast", [value], {"to": int(_SINGLE)})
    cast.name = f"{node.name}_Cast_{value.name}"
    cast.metadata_props.update(node.metadata_props)
    single = cast.outputs[0]
    single.name, single.shape = f"{value.name}_float32", value.shape
    single.type = ir.TensorType(_SINGLE)
    editor.graph.insert_after(node, cast)
    for reader, index in others:
        reader.replace_input_with(index, single)
    for index, output in enumerate(editor.graph.outputs):
        if output is value:
            editor.graph.outputs[index] = single
            single.name, value.name = value.name, f"{value.name}_float16"
