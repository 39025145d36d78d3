"""What TensorRT's ONNX parser and builder refuse, or make slow, seen on the file alone.

Sources: onnx/onnx-tensorrt, docs/operators.md and QuantDequantLinearHelper of 8.5, 8.6, 10.x and
11.x; NVIDIA's developer guide, "Working with Quantized Types" and "Sparsity".
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgecompress.formats.onnx.dtypes import dtype_name
from edgecompress.formats.onnx.file import load
from edgecompress.formats.onnx.kinds import DEQUANTIZE, QUANTIZE
from edgecompress.formats.onnx.propagate import propagate
from edgecompress.formats.onnx.values import (
    all_nodes,
    constant,
    flag,
    is_constant,
    module_of,
    node_name,
    shape_of,
)
from edgecompress.runtimes.tensorrt.graph import (
    Release,
    node_of,
    residual_addition,
    weight_of,
)
from edgecompress.spec.base import Spec

PER_CHANNEL_SINCE = 13
"""The opset in which scales may run along an axis."""

_QUANTISED = frozenset({
    ir.DataType.INT8, ir.DataType.INT4, ir.DataType.FLOAT4E2M1, ir.DataType.FLOAT8E4M3FN,
})  # fmt: skip

_OPSETS: tuple[tuple[Release, int, int], ...] = (
    ((10, 13), 9, 24),
    ((10, 9), 9, 22),
    ((10, 0), 9, 20),
    ((8, 5), 7, 17),
    ((0, 0), 7, 13),
)
"""The first release that reads these opsets, from lowest to highest; newest first."""

_ZERO_POINT_OPTIONAL: Release = (10, 0)
_INT8_CONSTANTS: Release = (8, 5)
"""The first release whose parser was seen to take them; 8.2 was seen to refuse them."""

_INTEGER_OPERATORS = frozenset({
    "ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
})  # fmt: skip
"""ONNX's operators on integers, without QuantizeLinear and DequantizeLinear."""

_NEVER: Release = (99, 0)
_OPERATORS_SINCE: dict[str, Release] = {
    **dict.fromkeys((
        "AffineGrid", "Bernoulli", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr",
        "BitwiseXor", "CenterCropPad", "Col2Im", "Compress", "ConcatFromSequence", "DFT", "Det",
        "ImageDecoder", "MaxRoiPool", "MaxUnpool", "MelWeightMatrix", "Multinomial",
        "NegativeLogLikelihoodLoss", "Optional", "OptionalGetElement", "OptionalHasElement",
        "RegexFullMatch", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase",
        "SequenceInsert", "SequenceLength", "SequenceMap", "SoftmaxCrossEntropyLoss",
        "SplitToSequence", "StringNormalizer", "TfIdfVectorizer", "Unique",
    ), _NEVER),
    "DeformConv": (10, 1),
    "GroupNormalization": (8, 6),
    "Hardmax": (9, 2),
    "IsInf": (8, 6),
    "LayerNormalization": (8, 6),
    "STFT": (10, 5),
}  # fmt: skip
"""The first release whose parser has an operator; those of 8.5 (docs/operators.md) are left out."""

_FOUR, _TWO = 4, 2


class Violation(Spec):
    """One thing that TensorRT refuses, or that costs its int8 kernels their speed."""

    rule: str
    """Its name in RULES."""
    node: str
    """'the file' where it is not one node's."""
    text: str

    def __str__(self) -> str:
        return f"{self.node}: {self.text} (rule {self.rule})"


@dataclass(frozen=True)
class Net:
    """A file as the rules see it; types, shapes and constants are known as far as they can be."""

    nodes: tuple[ir.Node, ...]
    opset: int
    release: Release
    sparse: bool
    dense: tuple[str, ...]

    @property
    def converters(self) -> Iterator[ir.Node]:
        return (node for node in self.nodes if node.op_type in (QUANTIZE, DEQUANTIZE))


Finding = tuple[ir.Node | None, str]
Rule = Callable[[Net], Iterator[Finding]]


def opsets_of(release: Release) -> tuple[int, int]:
    """Lowest and highest opset that a release reads."""
    low, high = next((low, high) for since, low, high in _OPSETS if release >= since)
    return low, high


def tensorrt_violations(
    path: Path, release: Release, sparse: bool = False, dense: tuple[str, ...] = ()
) -> tuple[Violation, ...]:
    """Everything in an ONNX file that breaks a rule of a TensorRT release, in the order of RULES.

    Args:
        path: an ONNX file.
        release: major and minor version of TensorRT.
        sparse: whether weights must be 2:4, because the engine is built for sparse kernels.
        dense: with `sparse`, torch modules whose weights the recipe leaves as they are.

    Raises:
        ArtifactError: the file is unreadable.

    """
    model = load(path)
    propagate(model)
    return violations_of(model, release, sparse, dense)


def violations_of(
    model: ir.Model, release: Release, sparse: bool, dense: tuple[str, ...] = ()
) -> tuple[Violation, ...]:
    """The same, of a model that propagate has been through."""
    opset = model.opset_imports.get("", 0)
    net = Net(tuple(all_nodes(model.graph)), opset, release, sparse, dense)
    return tuple(
        Violation(rule=name, node=node_name(node) if node else "the file", text=text)
        for name, rule in RULES.items()
        for node, text in rule(net)
    )


def _zero_point(net: Net) -> Iterator[Finding]:
    for node in net.converters:
        value = node_of(node, 2)
        stored = constant(value)
        if value is not None and stored is None:
            yield node, "its zero point is computed; TensorRT wants a constant 0"
        elif stored is not None and stored.any():
            first = next(number for number in stored.reshape(-1).tolist() if number)
            yield node, f"its zero point is {first}; TensorRT quantises symmetrically, with 0"


def _dtype(net: Net) -> Iterator[Finding]:
    for node in net.converters:
        dtype = _quantised_type(node)
        if dtype not in _QUANTISED:
            yield (
                node,
                f"it quantises to {dtype_name(dtype)}; TensorRT takes int8;"
                " deploy for a target with TensorRT",
            )


def _scale(net: Net) -> Iterator[Finding]:
    for node in net.converters:
        scale = constant(node_of(node, 1))
        if scale is None:
            yield node, "its scale is computed; TensorRT wants a constant"
            continue
        numbers = scale.astype(np.float64)
        if not (np.isfinite(numbers) & (numbers > 0)).all():
            yield node, f"a scale of {numbers.min():.3g}; scales must be above 0, and finite"


def _zero_point_given(net: Net) -> Iterator[Finding]:
    if net.release >= _ZERO_POINT_OPTIONAL:
        return
    for node in net.converters:
        if node_of(node, 2) is None:
            yield node, f"it has no zero point; TensorRT {_version(net)} wants that input"


def _per_channel(net: Net) -> Iterator[Finding]:
    for node in net.converters:
        scale, zero = constant(node_of(node, 1)), constant(node_of(node, 2))
        if scale is None:
            continue
        if zero is not None and zero.size != scale.size:
            yield node, f"{zero.size} zero points for {scale.size} scales"
        elif scale.size > 1 and (problem := _per_channel_problem(net, node, scale.shape)):
            yield node, problem


def _per_channel_problem(net: Net, node: ir.Node, scale: tuple[int, ...]) -> str | None:
    if net.opset < PER_CHANNEL_SINCE:
        return f"a scale per channel needs opset {PER_CHANNEL_SINCE}; the file's is {net.opset}"
    if not is_constant(node.inputs[0]):
        return f"{scale[0]} scales for an activation; TensorRT takes one per tensor there"
    shape, axis = shape_of(node.inputs[0]), node.attributes.get_int("axis", 1)
    if shape is None or len(scale) != 1 or not -len(shape) <= axis < len(shape):
        return f"its scales have shape {list(scale)}; TensorRT wants one for each channel"
    if shape[axis] != scale[0]:
        return f"{scale[0]} scales for the {shape[axis]} channels along axis {axis}"
    return None


def _opset(net: Net) -> Iterator[Finding]:
    low, high = opsets_of(net.release)
    if not low <= net.opset <= high:
        yield (
            None,
            f"opset {net.opset}; TensorRT {_version(net)} reads {low} to {high};"
            " deploy for a target of that release",
        )


def _int8_constants(net: Net) -> Iterator[Finding]:
    if net.release >= _INT8_CONSTANTS:
        return
    for node in net.converters:
        if node.op_type == DEQUANTIZE and constant(node.inputs[0]) is not None:
            yield (
                node,
                f"stored integers; TensorRT {_version(net)} wants float weights and a"
                " QuantizeLinear",
            )


def _operators(net: Net) -> Iterator[Finding]:
    for node in net.nodes:
        since = _OPERATORS_SINCE.get(node.op_type, net.release)
        if net.release < since:
            later = "" if since == _NEVER else f"; {since[0]}.{since[1]} has it"
            yield node, f"TensorRT {_version(net)} has no {node.op_type}{later}"
        elif node.op_type in _INTEGER_OPERATORS:
            yield node, f"TensorRT has no {node.op_type}; use QuantizeLinear, DequantizeLinear"
        elif node.domain not in ("", "ai.onnx"):
            yield node, f"{node.op_type} of {node.domain} is no operator of ONNX's own"


def _output_dtype(net: Net) -> Iterator[Finding]:
    for node in net.converters:
        asked = flag(node, "output_dtype")
        # A dequantised value has its scale's type, a quantised one its zero point's.
        given = node_of(node, 1 if node.op_type == DEQUANTIZE else 2)
        if asked and given is not None and given.dtype != asked:
            names = dtype_name(ir.DataType(asked)), dtype_name(given.dtype)
            yield node, f"output_dtype is {names[0]}, but its parameters make it {names[1]}"


def _residual_add(net: Net) -> Iterator[Finding]:
    for node in net.nodes:
        found = residual_addition(node)
        if found is None:
            continue
        if not found.bare:
            name = node_name(found.quantised[0])
            yield node, f"Q/DQ after Conv '{name}' keep it from fusing with this addition"
        elif len(found.bare) > 1:
            names = " and ".join(f"'{node_name(conv)}'" for conv in found.bare)
            yield node, f"Conv {names} both end here without Q/DQ; only one can fuse"
        elif found.floats:
            names = ", ".join(f"'{value.name}'" for value in found.floats)
            yield node, f"its input {names} is not quantised, so Conv and addition do not fuse"


def _two_four(net: Net) -> Iterator[Finding]:
    for node in net.nodes if net.sparse else ():
        found = weight_of(node)
        if found is None or module_of(node) in net.dense:
            continue
        array, axis = found
        if array.shape[axis] % _FOUR or flag(node, "group") > 1:
            continue  # no sparse kernel takes it
        along = np.moveaxis(array, axis, -1)
        fours = along.reshape(*along.shape[:-1], -1, _FOUR)
        crowded = int(((fours != 0).sum(-1) > _TWO).sum())
        if crowded:
            count = fours.size // _FOUR
            yield node, f"{crowded} of {count} fours of its weights hold more than two numbers"


RULES: dict[str, Rule] = {
    "zero-point-0": _zero_point,
    "int8": _dtype,
    "scale": _scale,
    "zero-point-input": _zero_point_given,
    "per-channel": _per_channel,
    "opset": _opset,
    "int8-constants": _int8_constants,
    "operators": _operators,
    "output-dtype": _output_dtype,
    "residual-add": _residual_add,
    "2:4": _two_four,
}
"""Name to the function that finds what breaks it."""


def _quantised_type(node: ir.Node) -> ir.DataType | None:
    value = node_of(node, 0 if node.op_type == DEQUANTIZE else 2)
    if value is not None:
        return value.dtype
    asked = flag(node, "output_dtype")
    return ir.DataType(asked) if asked else ir.DataType.UINT8


def _version(net: Net) -> str:
    return ".".join(map(str, net.release))
