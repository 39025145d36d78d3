"""Which operators of a .pte those are that ExecuTorch's event tracer timed."""

from collections.abc import Sequence

from edgecompress.spec.measurement import Op
from edgecompress.spec.profile import CountedOperator

_WEIGHTED = "multiplies by weights"
"""One family, because XNNPACK runs a 1x1 convolution as a fully connected layer."""
_FAMILIES = {
    "Convolution": _WEIGHTED,
    "Deconvolution": _WEIGHTED,
    "Fully Connected": _WEIGHTED,
    "Dynamic Fully Connected": _WEIGHTED,
    "XNNConv2d": _WEIGHTED,
    "XNNDepthwiseConv2d": _WEIGHTED,
    "XNNConvTranspose2d": _WEIGHTED,
    "XNNFullyConnected": _WEIGHTED,
    "Transpose": "XNNStaticTranspose",
    "Convert": "XNNConvert",
    "Add": "XNNAdd",
    "Subtract": "XNNSubtract",
    "Multiply": "XNNMultiply",
    "Divide": "XNNDiv",
    "Clamp": "XNNClamp",
    "Sigmoid": "XNNSigmoid",
    "Softmax": "XNNSoftmax",
    "Mean": "XNNGlobalAvgPooling2d",
    "Average Pooling": "XNNAvgPooling2d",
    "Max Pooling": "XNNMaxPooling2d",
    "Static Reshape": "XNNStaticReshape",
}
"""From what XNNPACK calls an operator when it runs, and in a file, to what both are."""
_PORTABLE = "aten::"


def counted(operators: Sequence[CountedOperator], ops: Sequence[Op]) -> dict[int, int]:
    """Pairs, one family after the other: XNNPACK has no names, but runs its operators in the
    file's order. It leaves out some and adds others, so a family of which the file and the run do
    not have equally many is left alone.
    """
    ran: dict[str, list[int]] = {}
    for place, operator in enumerate(operators):
        ran.setdefault(_family(operator.op_type), []).append(place)
    written: dict[str, list[int]] = {}
    for place, op in enumerate(ops):
        written.setdefault(_family(op.op_type), []).append(place)
    return {
        place: other
        for family, places in ran.items()
        if len(places) == len(written.get(family, ()))
        for place, other in zip(places, written[family], strict=True)
    }


def _family(op_type: str) -> str:
    """'Convolution (NHWC, QC8) IGEMM' and 'XNNConv2d' are of one; so are 'slice_copy.Tensor_out'
    and 'aten::slice_copy'.
    """
    kind = op_type.partition(" (")[0]
    if kind in _FAMILIES:
        return _FAMILIES[kind]
    return kind.removeprefix(_PORTABLE).partition(".")[0]
