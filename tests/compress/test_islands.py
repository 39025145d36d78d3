"""What stays in float between int8 kernels, where layers may write floats."""

import pytest
import torch
from quantizing import batch, calibrated, scheme
from torch import Tensor, nn
from torch.nn import functional

from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.fx import only_user
from edgecompress.compress.operators import MATMULS, MULTIPLYING
from edgecompress.compress.quantize import captured, prepare_captured
from edgecompress.compress.units import units_of


class Encoder(nn.Module):
    """A layer of a transformer, its norms before or behind."""

    def __init__(self, first: bool, pooled: bool = False) -> None:
        super().__init__()
        self.first, self.pooled = first, pooled
        self.start = nn.Linear(12, 16)
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.wider, self.narrower = nn.Linear(16, 32), nn.Linear(32, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.start(x)
        if self.first:
            x = x + self.attended(self.norm1(x))
            x = x + self.mixed(self.norm2(x))
        else:
            x = self.norm1(x + self.attended(x))
            x = self.norm2(x + self.mixed(x))
        y: Tensor = self.head(x.mean(1) if self.pooled else self.norm1(x)[:, 0])
        return y

    def attended(self, x: Tensor) -> Tensor:
        rows, length, _ = x.shape
        parts = self.qkv(x).reshape(rows, length, 3, 2, 8).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(*parts.unbind(0))
        y: Tensor = self.out(seen.transpose(1, 2).reshape(rows, length, 16))
        return y

    def mixed(self, x: Tensor) -> Tensor:
        y: Tensor = self.narrower(functional.gelu(self.wider(x)))
        return y


def inputs() -> tuple[Tensor, ...]:
    torch.manual_seed(3)
    return (torch.randn(1, 6, 12),)


def written(model: nn.Module, wanted: str = "uint8") -> dict[str, bool]:
    """Name of each quantised operator -> whether it writes integers."""
    units = units_of(calibrated(model.eval(), inputs(), wanted).graph)
    return {unit.name: unit.quantizer is not None for unit in units}


def test_what_a_layer_norm_a_gelu_or_a_softmax_reads_has_no_eight_bits() -> None:
    found = written(Encoder(first=True))
    products = [name for name in found if "matmul" in name]
    layers = {name: found[name] for name in found if name not in products}
    assert layers == {
        "start": False,  # read by a norm, and by the residual stream
        "qkv": True,
        "out": False,
        "wider": False,
        "narrower": False,
        "head": True,
    }
    assert [found[name] for name in products] == [False, True]


def test_a_residual_stream_that_an_int8_kernel_reads_has_eight_bits() -> None:
    found = written(Encoder(first=True, pooled=True))
    assert [found[name] for name in found if "add" in name] == [True, True]
    assert found["narrower"]
    assert not found["wider"]


def test_where_layers_write_integers_only_all_is_as_before() -> None:
    found = written(Encoder(first=False), "int8 affine")
    assert all(found.values())
    kinds = {name.rpartition(":")[2].partition("_")[0] for name in found}
    assert {"add", "mul", "matmul", "softmax"} <= kinds


@pytest.mark.parametrize("first", [True, False])
def test_scores_that_are_scaled_late_are_the_same(first: bool) -> None:
    torch.manual_seed(0)
    model = Encoder(first).eval()
    x = batch(inputs(), 4, seed=5)
    prepared = prepare_captured(captured(model, inputs()), scheme("uint8"), "minmax")
    with torch.no_grad(), CalibrationRun(prepared.graph).in_float():
        torch.testing.assert_close(prepared.graph(*x), model(*x), rtol=1e-4, atol=1e-5)
    order = [node.name for node in prepared.graph.graph.nodes]
    scores = next(node for node in prepared.graph.graph.nodes if node.target in MATMULS)
    scaled = only_user(scores)
    assert scaled is not None
    assert scaled.target in MULTIPLYING
    assert order.index(scaled.name) > order.index(scores.name)
