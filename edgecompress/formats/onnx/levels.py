"""An ONNX document that is given the levels of pixels, and normalises them before all else."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from edgecompress.contract.levels import (
    Steps,
    apart,
    are_levels,
    factors,
    kept_out,
    takes_levels,
)
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.onnx.edit import Editor, qparams_of
from edgecompress.spec.preprocessing import ImagePreprocessing

_FLOAT_FIRST = "its first operators are float, so that what is rounded otherwise may come through"


def take_levels(document: ir.Model, model: Exportable) -> Exportable:
    """Where the task wants that, and no integer becomes another one: uint8 at the input, in place.

    Where the integers that the file quantises its input to are the levels themselves, nothing is
    computed; else a Mul and an Add, between a Cast and what was there. They are not folded into
    the first convolution, whose border of zeros is one of normalised zeros, and no level is that.

    Returns the model, with what the file declares.
    """
    declared = model.preprocessing
    if not takes_levels(declared):
        return model
    x = document.graph.inputs[0]
    readers = [use.node for use in x.uses()]
    steps = [_steps(node) for node in readers]
    if model.scheme is not None and None in steps:
        return replace(model, preprocessing=kept_out(declared, _FLOAT_FIRST))
    known = [each for each in steps if each is not None]
    for each in known if model.scheme is not None else []:
        because = apart(declared, each)
        if because is not None:
            return replace(model, preprocessing=kept_out(declared, because))
    editor = Editor(document)
    is_direct = len(known) == len(readers) > 0 and all(
        each.dtype == "uint8" and are_levels(declared, each) for each in known
    )
    if is_direct:
        for node in readers:
            editor.replace(node.outputs[0], x)
            document.graph.remove(node, safe=True)
    else:
        _normalise(editor, x, readers, declared)
    x.type = ir.TensorType(ir.DataType.UINT8)
    return model


def _normalise(
    editor: Editor, x: ir.Value, readers: list[ir.Node], declared: ImagePreprocessing
) -> None:
    first = next((node for node in editor.graph if node in readers), editor.graph[0])
    multiplied, added = (part.reshape(1, -1, 1, 1) for part in factors(declared))
    value = editor.before(first, "Cast", [x], {"to": int(ir.DataType.FLOAT)})
    value.type, value.shape = ir.TensorType(ir.DataType.FLOAT), x.shape
    for op_type, numbers in (("Mul", multiplied), ("Add", added)):
        if op_type == "Mul" or np.any(numbers):
            constant = editor.constant(numbers, f"normalise_{op_type.lower()}")
            value = editor.before(first, op_type, [value, constant])
            value.type, value.shape = ir.TensorType(ir.DataType.FLOAT), x.shape
    for node in readers:
        for index, read in enumerate(node.inputs):
            if read is x:
                node.replace_input_with(index, value)


def _steps(node: ir.Node) -> Steps | None:
    qparams = qparams_of(node) if node.op_type == "QuantizeLinear" else None
    if (
        qparams is None
        or qparams.axis is not None
        or str(qparams.zero_point.dtype)
        not in (
            "uint8",
            "int8",
        )
    ):
        return None
    dtype = str(qparams.zero_point.dtype)
    return Steps(float(qparams.scale.reshape(())), int(qparams.zero_point.reshape(())), dtype)
