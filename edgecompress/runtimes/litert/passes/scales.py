"""int8 kernels that cannot have just any scale, and what computes the same with those that they do
have. Run by `litert_passes`, as its own rewrites are.
"""

from dataclasses import replace

import numpy as np

from edgecompress.formats.tflite.graph import (
    Graph,
    Operator,
    Tensor,
    like,
    options,
    per_tensor,
)
from edgecompress.runtimes.litert.passes.kernels import is_number

# int8 outputs of these have one scale and zero point that their kernels insist on.
_FIXED = {
    "LOGISTIC": per_tensor(1 / 256, -128),
    "SOFTMAX": per_tensor(1 / 256, -128),
    "TANH": per_tensor(1 / 128, 0),
}
# They compute with the integers that they read. The converter gives RESIZE_BILINEAR two scales.
_KEEPING = {
    "AVERAGE_POOL_2D", "BROADCAST_TO", "DEPTH_TO_SPACE", "EXPAND_DIMS", "GATHER", "GATHER_ND",
    "MAX_POOL_2D", "MIRROR_PAD", "PAD", "REDUCE_MAX", "REDUCE_MIN", "RESHAPE", "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2", "SLICE", "SPACE_TO_DEPTH", "SQUEEZE", "STRIDED_SLICE",
    "TILE", "TRANSPOSE",
}  # fmt: skip
_RELU, _RELU6 = 1, 3


def give_own_scale(graph: Graph, op: Operator) -> bool:
    """Kernels that write the scale of what they read do so; a QUANTIZE makes of it what the graph
    wants.
    """
    wanted = op.data.qparams if op.op_type in _KEEPING else None
    output = op.outputs[0]
    if wanted is None or output.dtype != "int8" or wanted.same_as(output.qparams):
        return False
    op.outputs = [replace(output, name=f"{output.name}/own", qparams=wanted)]
    quantize = Operator("QUANTIZE", [op.outputs[0]], [output], 2, options("QuantizeOptions"))
    graph.operators.insert(graph.operators.index(op) + 1, quantize)
    return True


def round_once(graph: Graph, op: Operator) -> bool:
    """Kernels that write one scale only compute in float where the graph wants another. Behind the
    int8 kernel a QUANTIZE would round once more, and of 1 / 256 to 1 / 128 every second value is a
    tie, rounded up: attention and YOLO's boxes, which are sums of such values, were 6 steps off.
    """
    wanted = _FIXED.get(op.op_type)
    output = op.outputs[0]
    if wanted is None or output.dtype != "int8" or wanted.same_as(output.qparams):
        return False
    x = op.data
    before, after = (
        replace(tensor, name=f"{output.name}/{what}", dtype="float32", qparams=None)
        for tensor, what in ((x, "before"), (output, "after"))
    )
    dequantize = Operator("DEQUANTIZE", [x], [before], 2, options("DequantizeOptions"))
    quantize = Operator("QUANTIZE", [after], [output], 1, options("QuantizeOptions"))
    op.inputs[0], op.outputs = before, [after]
    place = graph.operators.index(op)
    graph.operators[place : place + 1] = [dequantize, op, quantize]
    return True


def hard_sigmoid(graph: Graph, op: Operator) -> bool:
    """relu6(x + 3) / 6 between DEQUANTIZE and QUANTIZE is relu(x / 6 + 1 / 2) in two int8 kernels:
    the first only renames x's scale, and no output is larger than 1.
    """
    after = graph.only_reader(op.outputs[0]) if op.op_type == "MUL" else None
    add = graph.producer(op.inputs[0])
    before = None if add is None or add.op_type != "ADD" else graph.producer(add.inputs[0])
    if after is None or add is None or before is None:
        return False
    if after.op_type != "QUANTIZE" or before.op_type != "DEQUANTIZE":
        return False
    if graph.only_reader(op.data) is not op or add.options.fusedActivationFunction != _RELU6:
        return False
    if not is_number(op.inputs[1], 1 / 6) or not is_number(add.inputs[1], 3):
        return False
    x, output = before.data, after.outputs[0]
    if x.qparams is None or output.qparams is None:
        return False
    step, zero = float(output.qparams.scale[0]), int(output.qparams.zero_point[0])
    if (127 - zero) * step > 1 + step / 2:
        return False  # saturation would not stop it at 1
    sixth = like(x, f"{output.name}/sixth", x.shape)
    sixth.qparams = replace(x.qparams, scale=(x.qparams.scale / 6).astype(np.float32))
    first = Operator("MUL", [x, _number(f"{output.name}/factor", 1 / 6)], [sixth], 2)
    first.options = options("MulOptions")
    second = Operator("ADD", [sixth, _number(f"{output.name}/half", 0.5)], [output], 2)
    second.options = options("AddOptions", fusedActivationFunction=_RELU)
    place = graph.operators.index(op)
    graph.operators[place : place + 1] = [first, second]
    graph.operators.remove(after)
    return True


def _number(name: str, number: float) -> Tensor:
    """A positive number as an int8 constant."""
    return Tensor(name, (), "int8", np.array(127, np.int8), per_tensor(number / 127, 0))
