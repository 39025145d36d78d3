"""Opset 18 written as opset 17, for the operators whose form changed between them.

Source: onnx/docs/Changelog.md, "Version 18 of the default ONNX operator set". What is new in 18
altogether is left alone, and the checker then refuses the file by the operator's name.
"""

import onnx_ir as ir

from edgecompress.formats.onnx.edit import dims_of, input_at, integers_of, number_in

OPSET_17 = 17

_REDUCTIONS = {
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSumSquare",
}  # fmt: skip
# Attributes of Resize that 18 added, with the values that change nothing.
_RESIZE = {"antialias": 0, "keep_aspect_ratio_policy": "stretch"}


def lower_to_17(model: ir.Model) -> None:
    """In place; an operator without an equal form in 17 stays as it is."""
    for node in model.graph.all_nodes():
        if node.op_type in _REDUCTIONS:
            _axes_to_attribute(node)
        elif node.op_type == "Split":
            _drop_count(node)
        elif node.op_type == "Resize":
            _drop_defaults(node)
        node.version = None
    model.opset_imports[""] = OPSET_17


def _axes_to_attribute(node: ir.Node) -> None:
    axes = integers_of(input_at(node, 1))
    if axes is not None:
        node.attributes["axes"] = ir.AttrInt64s("axes", axes)
        node.resize_inputs(1)
    if number_in(node, "noop_with_empty_axes") == 0:
        node.attributes.pop("noop_with_empty_axes", None)


def _drop_count(node: ir.Node) -> None:
    """Without sizes, 17 splits into equal parts, as many as there are outputs."""
    shape, count = dims_of(node.inputs[0]), number_in(node, "num_outputs")
    size = shape[number_in(node, "axis")] if shape else None
    if count and size is not None and size % count == 0:
        node.attributes.pop("num_outputs")


def _drop_defaults(node: ir.Node) -> None:
    for name, default in _RESIZE.items():
        given = node.attributes.get(name)
        if given is not None and given.value == default:
            node.attributes.pop(name)
