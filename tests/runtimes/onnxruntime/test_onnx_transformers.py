"""Layers of transformers in ONNX Runtime: int8 products, float islands, nothing in between."""

from pathlib import Path

import onnx
import pytest
import torch
from quantizing import Built, batch, built
from torch import Tensor, nn
from torch.nn import functional

WIDTH, HEADS, LENGTH = 16, 2, 6


class Layer(nn.Module):
    """Projections of their own, a mask where there is one, norms behind."""

    def __init__(self, masked: bool) -> None:
        super().__init__()
        self.masked = masked
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out, self.norm1, self.norm2 = nn.Linear(WIDTH, WIDTH), *map(nn.LayerNorm, [WIDTH] * 2)
        self.wider, self.narrower = nn.Linear(WIDTH, 32), nn.Linear(32, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        mask = x[:, None, None, :, 0] > -1 if self.masked else None
        split = (x.shape[0], LENGTH, HEADS, WIDTH // HEADS)
        parts = (f(x).reshape(split).transpose(1, 2) for f in (self.query, self.key, self.value))
        seen = functional.scaled_dot_product_attention(*parts, attn_mask=mask)
        x = self.norm1(x + self.out(seen.transpose(1, 2).reshape(x.shape)))
        y: Tensor = self.norm2(x + self.narrower(functional.gelu(self.wider(x))))
        return y


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "masked"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    torch.manual_seed(0)
    x = (torch.randn(1, LENGTH, WIDTH),)
    return built(Layer(request.param).eval(), x, tmp_path_factory.mktemp("layer"))


def test_products_are_int8_and_what_floats_read_is_float(file: Built) -> None:
    kernels = file.kernels
    assert kernels["QGemm"] == 6
    assert (kernels["MatMulIntegerToFloat"], kernels["QLinearMatMul"]) == (1, 1)
    assert (kernels["LayerNormalization"], kernels["Sum"], kernels["Gelu"]) == (2, 2, 1)
    assert {op.dtype for op in file.inspection.ops if op.macs} == {"int8"}
    floats = {"Gelu", "LayerNormalization", "Softmax", "Sum"}
    assert file.float_kernels - {"Add", "Greater", "Where"} == floats


def test_there_is_no_conversion_but_into_int8_products(file: Built) -> None:
    """The input, a softmax, what both norms and the GELU write, and the attended values."""
    assert file.kernels["DequantizeLinear"] == 0
    assert file.kernels["QuantizeLinear"] == 4
    for kind in ("QLinearAdd", "QLinearMul", "QLinearSoftmax", "SkipLayerNormalization", "Mul"):
        assert file.kernels[kind] == 0, kind


def test_the_file_is_near_torch_and_near_the_float_model(file: Built) -> None:
    x = batch(file.example_inputs, 3, seed=4)
    made = torch.from_numpy(file.run(x)[0])
    assert torch.allclose(made, file.torch(x)[0], atol=2e-2)
    with torch.no_grad():
        wanted = file.model(*x)
    noise = (made - wanted).square().mean() / wanted.square().mean()
    assert float(noise) < 1e-3


def test_a_reshape_is_not_reshaped_again(file: Built) -> None:
    graph = onnx.load(file.artifact.path).graph
    writers = {output: node.op_type for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type == "Reshape":
            assert writers.get(node.input[0]) != "Reshape"


def test_a_query_that_is_scaled_alone_keeps_its_integers(tmp_path: Path) -> None:
    """Where layers write integers only: of int8 activations the file has no Mul."""
    torch.manual_seed(0)
    x = (torch.randn(1, LENGTH, WIDTH),)
    made = built(Layer(masked=False).eval(), x, tmp_path, "int8 affine")
    assert "Mul" not in {node.op_type for node in onnx.load(made.artifact.path).graph.node}
    assert made.steps_apart(batch(x, 3, seed=4)) < 2.5
