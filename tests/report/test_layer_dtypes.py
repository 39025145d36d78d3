"""From what torch.onnx.export writes to a type for each torch module."""

import logging
from pathlib import Path

import pytest
import torch
from onnx_models import inspected, quantized
from onnxruntime.quantization import QuantType
from torch import Tensor, nn

from edgecompress.report.layer_types import LayerType, layer_dtypes


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.conv2(torch.relu(self.bn1(self.conv1(x)))))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(torch.relu(self.stem(x)))
        return self.head(self.norm(x.mean((2, 3))))


CONVOLUTIONS = {"stem", *(f"blocks.{i}.conv{j}" for i in (0, 1) for j in (1, 2))}


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("layers") / "net.onnx"
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    program = torch.onnx.export(
        Net().eval(),
        (torch.randn(2, 3, 8, 8),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )
    assert program is not None
    program.save(path)
    return path


def test_float_model(exported):
    layers = layer_dtypes(inspected(exported))

    assert layers.keys() >= {*CONVOLUTIONS, "head", "norm"}
    assert set(layers.values()) == {LayerType("float32", "the file is not quantised")}


def test_uint8_model(exported):
    inspection = inspected(quantized(exported))

    layers = layer_dtypes(inspection)

    assert {layers[name] for name in (*CONVOLUTIONS, "head")} == {LayerType("int8", None)}
    assert layers["norm"] == LayerType(
        "float32", "ONNX Runtime has no int8 kernel for LayerNormalization"
    )
    assert layers["blocks.0"].dtype == "int8"  # its Add
    assert "blocks.0.bn1" not in layers  # folded into conv1
    assert {op.module for op in inspection.ops if op.op_type == "DequantizeLinear"} <= {None, ""}


def test_macs_by_module(exported):
    for path in (exported, quantized(exported, QuantType.QInt8)):
        macs = {op.module: op.macs for op in inspected(path).ops if op.macs}

        assert macs == {
            "stem": 64 * 8 * 27,
            **dict.fromkeys(CONVOLUTIONS - {"stem"}, 64 * 8 * 8 * 9),
            "head": 32,
        }


def test_excluded_layer_has_its_reason(exported):
    path = quantized(exported, nodes_to_exclude=["node_linear"])

    layers = layer_dtypes(inspected(path))

    assert layers["head"].dtype == "float32"
    assert layers["head"].reason
    assert layers["blocks.1.conv2"] == LayerType("int8", None)
