"""Between the graph that the converter writes and the one that TensorFlow would have written of the
same network: data stays in NHWC, and padding is the convolution's own.

Each rewrite is one fact about TFLite's operators. It looks at one operator, changes the graph in
place and says whether it did; they run until none of them finds anything, and always terminate
because each removes an operator or moves a rearranging one towards the outputs (RESHAPE and PAD:
towards the inputs and the outputs, in this order).
"""

from collections.abc import Sequence

from edgecompress.formats.tflite.graph import Graph, Operator, constant, integers_of
from edgecompress.runtimes.litert.passes.kernels import (
    Weight,
    crop_late,
    fold_constants,
    forget_factor,
    fuse_activation,
    quantize_weights,
)
from edgecompress.runtimes.litert.passes.scales import give_own_scale, hard_sigmoid, round_once
from edgecompress.runtimes.litert.passes.transposes import (
    SLICING,
    dequantize_late,
    flatten_by_reader,
    flatten_in_place,
    is_masked,
    join_reshapes,
    join_transposes,
    pad_after_reshape,
    sink_below_one,
    sink_below_padding,
    sink_below_reduction,
    sink_below_several,
    sink_below_slice,
)

_SAME, _VALID = 0, 1


def run_passes(graph: Graph, weights: Sequence[Weight]) -> None:
    """Every rewrite, in place, until nothing changes."""

    def int8_weights(graph: Graph, op: Operator) -> bool:
        return quantize_weights(graph, op, weights)

    rewrites = (
        fold_constants,
        forget_factor,
        crop_late,
        fuse_activation,
        int8_weights,
        hard_sigmoid,
        give_own_scale,
        round_once,
        join_transposes,
        join_reshapes,
        pad_after_reshape,
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
    for op in graph.operators:
        flatten_by_reader(graph, op)
    graph.drop_unused()


def _slice_once(graph: Graph, op: Operator) -> bool:
    """x[:, ::2][:, :, ::2] is one slice: in a small network each operator costs microseconds,
    whatever it does.
    """
    first = graph.producer(op.inputs[0]) if op.op_type in SLICING else None
    if first is None or first.op_type != op.op_type or is_masked(op) or is_masked(first):
        return False
    if graph.only_reader(first.outputs[0]) is not op:
        return False
    mine, theirs = _cut_axes(op), _cut_axes(first)
    if mine is None or theirs is None or mine & theirs:
        return False
    merged = []
    for earlier, later in zip(first.inputs[1:], op.inputs[1:], strict=True):
        pairs = zip(integers_of(earlier) or [], integers_of(later) or [], strict=True)
        column = [there if axis in mine else here for axis, (here, there) in enumerate(pairs)]
        merged.append(constant("slice", column))
    op.inputs = [first.data, *merged]
    return True


def _cut_axes(op: Operator) -> set[int] | None:
    """Dimensions of which a slice takes a part, or another order; None where that is computed."""
    columns = [integers_of(x) for x in op.inputs[1:]]
    if any(column is None for column in columns):
        return None
    begins, *_, last = (column or [] for column in columns)
    strides = last if op.op_type == "STRIDED_SLICE" else [1] * len(begins)
    sizes = zip(op.data.shape, op.outputs[0].shape, begins, strides, strict=True)
    return {
        axis
        for axis, (size, left, begin, stride) in enumerate(sizes)
        if (size, 0, 1) != (left, begin, stride)
    }


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
