"""Multiply-accumulates of one node, one inference (1 MAC = 2 FLOPs).

Only multiplications that a sum collects are counted: convolutions, matrix products, attention,
recurrent cells. Biases, normalisation and elementwise operators count as 0, as in torch's
FlopCounterMode.
"""

from collections.abc import Callable
from math import prod
from pathlib import Path

import onnx_ir as ir

from edgecompress.errors import ArtifactError
from edgecompress.formats.counting import Uncountable, by_rule
from edgecompress.formats.onnx.propagate import matmul_shapes
from edgecompress.formats.onnx.values import flag, node_name, shape_of

Shape = tuple[int, ...]


def macs_of(node: ir.Node) -> int:
    """MACs of one node whose values carry shapes (see propagate).

    Raises:
        Uncountable: an operator that multiplies, but not by how much.

    """
    return by_rule(node, node.op_type, _RULES, _REFUSED)


def count(path: Path, node: ir.Node) -> int:
    """MACs of one node of a file.

    Raises:
        ArtifactError: they cannot be counted.

    """
    try:
        return macs_of(node)
    except Uncountable as problem:
        raise ArtifactError(
            f"{path}: the MACs of {node.op_type} '{node_name(node)}' cannot be counted:"
            f" {problem}; export it with fixed sizes (the batch alone may be free)"
        ) from None


def _need(shape: Shape | None) -> Shape:
    # A convolution whose free sizes count as 1 comes out with none, or less, of its output.
    if shape is None or any(size < 1 for size in shape):
        raise Uncountable("a shape is not known")
    return shape


def _input(node: ir.Node, index: int) -> Shape:
    return _need(shape_of(node.inputs[index]) if index < len(node.inputs) else None)


def _output(node: ir.Node) -> Shape:
    return _need(shape_of(node.outputs[0]))


def _conv(node: ir.Node) -> int:
    # Weights are [out, in / group, kernel..]: each output element sums over all but the first.
    weight = _input(node, 3 if node.op_type == "QLinearConv" else 1)
    return prod(_output(node)) * prod(weight[1:])


def _conv_transpose(node: ir.Node) -> int:
    # Weights are [in, out / group, kernel..]: each input element goes into all but the first.
    weight = _input(node, 3 if node.op_type == "QLinearConvTranspose" else 1)
    return prod(_input(node, 0)) * prod(weight[1:])


def _matmul(node: ir.Node) -> int:
    left, right = matmul_shapes(node)
    _need(right)
    return prod(_output(node)) * _need(left)[-1]


def _gemm(node: ir.Node) -> int:
    left = _input(node, 0)
    return prod(_output(node)) * left[0 if flag(node, "transA") else 1]


def _block_matmul(node: ir.Node) -> int:
    return prod(_input(node, 0)) * flag(node, "N")


def _recurrent(node: ir.Node) -> int:
    """LSTM, GRU, RNN: every weight is used once a step; [steps, batch, inputs] comes in."""
    steps, batch = _input(node, 0)[:2]
    return steps * batch * (prod(_input(node, 1)) + prod(_input(node, 2)))


def _standard_attention(node: ir.Node) -> int:
    """Scores and weighted sum, for [batch, tokens, width] or [batch, heads, tokens, width]."""
    past = shape_of(node.inputs[4]) if len(node.inputs) > 4 else None
    tokens = _input(node, 1)[-2] + (past[-2] if past else 0)
    return tokens * (prod(_input(node, 0)) + prod(_output(node)))


def _attention(node: ir.Node) -> int:
    """The work of com.microsoft's Attention: the projections of Q, K and V come on top."""
    if node.domain != "com.microsoft":
        return _standard_attention(node)
    past = 8 if node.op_type == "QAttention" else 4
    if len(node.inputs) > past and node.inputs[past] is not None:
        raise Uncountable(f"{node.op_type} with past keys is not known to edgecompress")
    batch, tokens, width = _input(node, 0)
    columns = _input(node, 1)[-1]
    values = _output(node)[-1]
    queries = (columns - values) // 2
    return batch * tokens * (width * columns + tokens * (queries + values))


def _einsum(node: ir.Node) -> int:
    """Two operands: one product for every combination of all indices."""
    if len(node.inputs) == 1:
        return 0
    if len(node.inputs) > 2:
        raise Uncountable("an Einsum of more than two operands is not known to edgecompress")
    equation = node.attributes.get_string("equation", "").replace(" ", "")
    sizes: dict[str, int] = {}
    for term, index in zip(equation.split("->")[0].split(","), (0, 1), strict=True):
        shape = _input(node, index)
        named = term.replace("...", "")
        spread = len(shape) - len(named)
        start = term.find("...")
        # Broadcast dimensions line up from the right, so they are numbered from there.
        letters = list(named)
        if start >= 0:
            letters[start:start] = [str(number) for number in range(spread, 0, -1)]
        for letter, size in zip(letters, shape, strict=True):
            sizes[letter] = max(sizes.get(letter, 1), size)
    return prod(sizes.values())


_RULES: dict[str, Callable[[ir.Node], int]] = {
    "Attention": _attention,
    "Conv": _conv,
    "ConvInteger": _conv,
    "ConvTranspose": _conv_transpose,
    "DeformConv": _conv,
    "DynamicQuantizeLSTM": _recurrent,
    "DynamicQuantizeMatMul": _matmul,
    "Einsum": _einsum,
    "FusedConv": _conv,
    "FusedGemm": _gemm,
    "FusedMatMul": _matmul,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "MatMulIntegerToFloat": _matmul,
    "MatMulNBits": _block_matmul,
    "MultiHeadAttention": _standard_attention,
    "NhwcConv": _conv,
    "NhwcFusedConv": _conv,
    "QAttention": _attention,
    "QGemm": _gemm,
    "QLinearConv": _conv,
    "QLinearConvTranspose": _conv_transpose,
    "QLinearMatMul": _matmul,
    "RNN": _recurrent,
}

_REFUSED = frozenset({
    "ConvTransposeWithDynamicPads", "DecoderAttention", "DecoderMaskedMultiHeadAttention",
    "DecoderMaskedSelfAttention", "GroupQueryAttention", "LinearAttention", "LongformerAttention",
    "MatMulBnb4", "MatMulFpQ4", "MoE", "PackedAttention", "PackedMultiHeadAttention",
    "PagedAttention", "QMoE", "QOrderedAttention", "QOrderedMatMul", "SparseAttention",
})  # fmt: skip
"""Operators that multiply, and whose count would have to be invented."""


def multiplies(node: ir.Node) -> bool:
    """Whether a node's MACs count."""
    return node.op_type in _RULES or node.op_type in _REFUSED
