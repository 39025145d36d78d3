"""Between the graph that the converter writes and the one that TensorFlow would have written of the
same network: data stays in NHWC, and padding is the convolution's own.

Each rewrite is one fact about TFLite's operators. It looks at one operator, changes the graph in
place and says whether it did; they run until none of them finds anything, and always terminate
because each removes an operator or moves a rearranging one towards the outputs.
"""

from collections.abc import Sequence

from edgecompress.export.litert_file import Graph, Operator, constant, integers_of
from edgecompress.export.litert_kernels import (
    Weight,
    fold_constants,
    fuse_activation,
    give_fixed_scale,
    hard_sigmoid,
    pool_at_any_scale,
    quantize_weights,
)
from edgecompress.export.litert_transposes import (
    dequantize_late,
    flatten_in_place,
    is_masked,
    join_reshapes,
    join_transposes,
    sink_below_one,
    sink_below_padding,
    sink_below_reduction,
    sink_below_several,
    sink_below_slice,
)

_SAME, _VALID = 0, 1


def run_passes(graph: Graph, weights: Sequence[Weight]) -> None:
    """All of them, and those of `litert_kernels`, in place, until nothing changes."""

    def int8_weights(graph: Graph, op: Operator) -> bool:
        return quantize_weights(graph, op, weights)

    rewrites = (
        fold_constants,
        fuse_activation,
        int8_weights,
        pool_at_any_scale,
        hard_sigmoid,
        give_fixed_scale,
        join_transposes,
        join_reshapes,
        sink_below_one,
        dequantize_late,
        sink_below_several,
        sink_below_padding,
        sink_below_reduction,
        flatten_in_place,
        sink_below_slice,
        _slice_once,
        _pad_in_convolution,
    )
    changed = True
    while changed:
        changed = False
        for op in list(graph.operators):
            # An earlier rewrite of this round may have taken it out.
            if op in graph.operators:
                changed |= any(rewrite(graph, op) for rewrite in rewrites)
        graph.drop_unused()


def _slice_once(graph: Graph, op: Operator) -> bool:
    """x[:, ::2][:, :, ::2] is one STRIDED_SLICE: in a small network each operator costs
    microseconds, whatever it does.
    """
    first = graph.producer(op.inputs[0]) if op.op_type == "STRIDED_SLICE" else None
    if first is None or first.op_type != "STRIDED_SLICE" or is_masked(op) or is_masked(first):
        return False
    if graph.only_reader(first.outputs[0]) is not op:
        return False
    columns = [[integers_of(x) for x in one.inputs[1:]] for one in (first, op)]
    middle, result = first.outputs[0].shape, op.outputs[0].shape
    cut = [first.data.shape != middle, middle != result]
    mine = [axis for axis, size in enumerate(middle) if size != result[axis]]
    theirs = [axis for axis, size in enumerate(first.data.shape) if size != middle[axis]]
    if not all(cut) or set(mine) & set(theirs):
        return False
    merged = []
    for earlier, later in zip(*columns, strict=True):
        if earlier is None or later is None:
            return False
        merged.append([later[i] if i in mine else earlier[i] for i in range(len(middle))])
    op.inputs = [first.data, *(constant("slice", column) for column in merged)]
    return True


def _pad_in_convolution(graph: Graph, op: Operator) -> bool:
    """PAD with zeros before a convolution without padding, where it is just what SAME adds."""
    if op.op_type not in ("CONV_2D", "DEPTHWISE_CONV_2D") or op.options.padding != _VALID:
        return False
    pad, weight = graph.producer(op.inputs[0]), op.inputs[1]
    if pad is None or pad.op_type != "PAD" or weight is None:
        return False
    widths = pad.inputs[1].data if pad.inputs[1] is not None else None
    if widths is None or widths[[0, 3]].any():
        return False
    chosen = op.options
    strides = (chosen.strideH, chosen.strideW)
    dilations = (chosen.dilationHFactor, chosen.dilationWFactor)
    for axis in (1, 2):
        size, given = op.outputs[0].shape[axis], pad.data.shape[axis]
        reach = (weight.shape[axis] - 1) * dilations[axis - 1] + 1
        # Columns that were padded at the end and that no window reaches do not count.
        total = max((size - 1) * strides[axis - 1] + reach - given, 0)
        if size != -(-given // strides[axis - 1]) or widths[axis][0] != total // 2:
            return False
    op.inputs[0] = pad.data
    chosen.padding = _SAME
    return True
