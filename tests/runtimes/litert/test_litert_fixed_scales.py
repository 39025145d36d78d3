"""Kernels that insist on one output scale, where the graph wants another: rounded once."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgecompress.formats.tflite.graph import (
    Graph,
    Model,
    Operator,
    Signature,
    Tensor,
    options,
    per_tensor,
)
from edgecompress.formats.tflite.write import write
from edgecompress.runtimes.litert.passes.scales import round_once

SHAPE, SCALE = (1, 8, 16), 0.05
SYMMETRIC = per_tensor(1 / 128, 0)
Integers = NDArray[np.int8]


def graph_of(kind: str) -> Graph:
    x = Tensor("x", SHAPE, "int8", None, per_tensor(SCALE, 0))
    y = Tensor("y", SHAPE, "int8", None, SYMMETRIC)
    chosen = options("SoftmaxOptions", beta=1.0) if kind == "SOFTMAX" else None
    return Graph([x], [y], [Operator(kind, [x], [y], 2, chosen)])


def exact(kind: str, integers: Integers) -> NDArray[np.float64]:
    """In steps of 1 / 128."""
    x = integers.astype(np.float64) * np.float32(SCALE)
    if kind == "LOGISTIC":
        values = 1 / (1 + np.exp(-x))
    else:
        powers = np.exp(x - x.max(-1, keepdims=True))
        values = powers / powers.sum(-1, keepdims=True)
    result: NDArray[np.float64] = np.minimum(np.rint(values * 128), 127)
    return result


@pytest.mark.parametrize("kind", ["SOFTMAX", "LOGISTIC"])
def test_no_step_is_lost_between_two_scales(kind: str, tmp_path: Path) -> None:
    graph = graph_of(kind)
    assert round_once(graph, graph.operators[0])
    assert [op.op_type for op in graph.operators] == ["DEQUANTIZE", kind, "QUANTIZE"]
    path = tmp_path / "model.tflite"
    path.write_bytes(write(Model([graph], [Signature(("x",), ("y",))])))
    integers = np.random.default_rng(0).integers(-128, 128, SHAPE).astype(np.int8)
    for kernels in (OpResolverType.BUILTIN, OpResolverType.BUILTIN_REF):
        runner = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=kernels)
        (result,) = runner.get_signature_runner()(x=integers).values()
        np.testing.assert_array_equal(result, exact(kind, integers))


def test_a_kernel_s_own_scale_stays() -> None:
    graph = graph_of("SOFTMAX")
    graph.outputs[0].qparams = per_tensor(1 / 256, -128)
    assert not round_once(graph, graph.operators[0])
    assert len(graph.operators) == 1
