"""What Android's NNAPI takes only in another form."""

import math
from dataclasses import replace

import numpy as np

from edgecompress.formats.tflite.graph import (
    Graph,
    Operator,
    QParams,
    Tensor,
    constant,
    like,
    options,
)
from edgecompress.runtimes.litert.passes.transposes import reshape

_VALID = 1


def run_nnapi_passes(graph: Graph) -> None:
    """In place. NNAPI takes a scale per channel for convolutions only, so a linear layer that has
    them becomes a convolution of one position per row, which computes the same numbers.
    """
    for op in list(graph.operators):
        weight = op.inputs[1] if op.op_type == "FULLY_CONNECTED" else None
        qparams = None if weight is None else weight.qparams
        if weight is None or weight.data is None or qparams is None or qparams.scale.size == 1:
            continue
        place = graph.operators.index(op)
        graph.operators[place : place + 1] = _as_convolution(op, weight, qparams)


def _as_convolution(op: Operator, weight: Tensor, qparams: QParams) -> list[Operator]:
    x, output = op.data, op.outputs[0]
    rows, columns = weight.shape
    positions = math.prod(x.shape) // columns
    image = like(x, f"{output.name}/image", (positions, 1, 1, columns))
    result = like(output, f"{output.name}/positions", (positions, 1, 1, rows))
    kernel = replace(weight, shape=(rows, 1, 1, columns), qparams=replace(qparams, axis=0))
    assert weight.data is not None
    kernel.data = weight.data.reshape(kernel.shape)
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    chosen = options(
        "Conv2DOptions",
        padding=_VALID,
        strideH=1,
        strideW=1,
        dilationHFactor=1,
        dilationWFactor=1,
        fusedActivationFunction=op.options.fusedActivationFunction,
    )
    inputs: list[Tensor | None] = [image, kernel, _no_bias(x, kernel) if bias is None else bias]
    return [
        reshape(x, image),
        Operator("CONV_2D", inputs, [result], 3, chosen),
        reshape(result, output),
    ]


def _no_bias(x: Tensor, kernel: Tensor) -> Tensor:
    """NNAPI's convolution has a bias always."""
    assert x.qparams is not None
    assert kernel.qparams is not None
    steps = (x.qparams.scale * kernel.qparams.scale).astype(np.float32)
    nothing = constant(f"{kernel.name}/bias", np.zeros(steps.shape))
    return replace(nothing, qparams=QParams(steps, np.zeros(steps.shape, np.int64)))
