"""A TFLite graph that is given the levels of pixels, and normalises them before all else."""

from dataclasses import replace

import numpy as np

from edgecompress.contract.levels import (
    Steps,
    apart,
    are_levels,
    factors,
    kept_out,
    takes_levels,
)
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.tflite.graph import (
    Graph,
    Operator,
    QParams,
    Tensor,
    constant,
    options,
    schema,
)
from edgecompress.runtimes.litert.target import LitertSection
from edgecompress.spec.preprocessing import ImagePreprocessing

_FLOAT_FIRST = "its first operators are float, so that what is rounded otherwise may come through"


def take_levels(graph: Graph, model: Exportable) -> Exportable:
    """Where the task wants that, and no integer becomes another one: uint8 at the input, in place.

    Where the integers of the file's input are the levels themselves, less 128, a QUANTIZE takes
    that off; else there are a CAST, a MUL and an ADD. They are not folded into the first
    convolution, whose border of zeros is one of normalised zeros, and no level is that.

    Returns the model, with what the file declares.
    """
    declared, section = model.preprocessing, LitertSection.of(model.target)
    if not takes_levels(declared):
        return model
    if section.delegate != "xnnpack":
        because = f"{section.delegate} is not known to take uint8 beside int8"
        return replace(model, preprocessing=kept_out(declared, because))
    integers = _integers(graph)
    if model.scheme is not None:
        why = _FLOAT_FIRST if integers is None else apart(declared, _steps(integers))
        if why is not None:
            return replace(model, preprocessing=kept_out(declared, why))
    if integers is not None and are_levels(declared, _steps(integers)):
        _directly(graph, integers)
    else:
        _normalise(graph, integers, declared, channels_last=model.target.edges.layout == "nhwc")
    return model


def _integers(graph: Graph) -> Tensor | None:
    """What the input is, or what alone it is quantised to."""
    outside = graph.inputs[0]
    if outside.dtype == "int8":
        return outside
    reader = graph.only_reader(outside)
    is_quantized = reader is not None and reader.op_type == "QUANTIZE"
    return reader.outputs[0] if reader is not None and is_quantized else None


def _steps(integers: Tensor) -> Steps:
    assert integers.qparams is not None
    scale, zero_point = integers.qparams.scale, integers.qparams.zero_point
    return Steps(float(scale[0]), int(zero_point[0]), integers.dtype)


def _directly(graph: Graph, integers: Tensor) -> None:
    quantize = graph.producer(integers)
    if quantize is None:
        quantize = Operator("QUANTIZE", [], [integers], 1, options("QuantizeOptions"))
        graph.operators.insert(0, quantize)
    assert integers.qparams is not None
    shifted = QParams(
        integers.qparams.scale, integers.qparams.zero_point + 128, integers.qparams.axis
    )
    levels = replace(graph.inputs[0], name="levels", dtype="uint8", qparams=shifted)
    quantize.inputs, quantize.version = [levels], 2
    graph.inputs[0] = levels


def _normalise(
    graph: Graph, integers: Tensor | None, declared: ImagePreprocessing, channels_last: bool
) -> None:
    outside = graph.inputs[0]
    levels = replace(outside, name="levels", dtype="uint8", qparams=None)
    made: list[Operator] = []
    value = replace(outside, name="levels/float", dtype="float32", qparams=None)
    types = vars(schema().TensorType)
    cast = options("CastOptions", inDataType=types["UINT8"], outDataType=types["FLOAT32"])
    made.append(Operator("CAST", [levels], [value], 1, cast))
    shape = (1, 1, 1, -1) if channels_last else (1, -1, 1, 1)
    multiplied, added = (part.reshape(shape) for part in factors(declared))
    for op_type, kind, numbers in (("MUL", "Mul", multiplied), ("ADD", "Add", added)):
        if op_type == "MUL" or np.any(numbers):
            name = f"levels/{op_type.lower()}"
            result = replace(value, name=name)
            given = constant(f"{name}/by", numbers, "float32")
            made.append(Operator(op_type, [value, given], [result], 1, options(f"{kind}Options")))
            value = result
    if outside is integers:
        made.append(Operator("QUANTIZE", [value], [outside], 1, options("QuantizeOptions")))
    else:
        graph.redirect(outside, value)
        if outside in graph.outputs:
            graph.outputs = [value if each is outside else each for each in graph.outputs]
    graph.operators[:0] = made
    graph.inputs[0] = levels
