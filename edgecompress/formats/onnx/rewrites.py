"""Operators of a Q/DQ graph, written as others that compute the same and that more runtimes have an
int8 kernel for.
"""

import numpy as np
import onnx_ir as ir

from edgecompress.formats.onnx.edit import (
    Editor,
    dequantizer_before,
    dims_of,
    input_at,
    integers_of,
    number_in,
)


def pool_globally(editor: Editor, node: ir.Node) -> None:
    """A mean over positions: GlobalAveragePool has an int8 kernel, ReduceMean has none."""
    if node.op_type != "ReduceMean" or dequantizer_before(node.inputs[0]) is None:
        return
    shape, given = dims_of(node.inputs[0]), integers_of(input_at(node, 1))
    if shape is None or given is None or len(shape) < 3:
        return
    rank = len(shape)
    axes = sorted(axis % rank for axis in given)
    x: ir.Value | None = node.inputs[0]
    if axes == [1] and rank == 3:  # over the tokens of [N, L, C]
        x = editor.before(node, "Transpose", [x], {"perm": [0, 2, 1]})
    elif axes != list(range(2, rank)):
        return
    pooled = editor.before(node, "GlobalAveragePool", [x])  # [N, C, 1, ..]
    if not number_in(node, "keepdims", 1):
        spatial = editor.constant(np.arange(2, rank, dtype=np.int64), "axes")
        pooled = editor.before(node, "Squeeze", [pooled, spatial])
    elif axes == [1]:
        pooled = editor.before(node, "Transpose", [pooled], {"perm": [0, 2, 1]})
    editor.replace(node.outputs[0], pooled)
