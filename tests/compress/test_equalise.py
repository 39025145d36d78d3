"""Equalised channels: the float model computes the same, and two layers' ranges are of one size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantizing import batch
from torch import Tensor, nn
from torch.fx import GraphModule
from zoo.catalogue import build, settle

from edgecompress.compress.equalise import Equalised, equalise
from edgecompress.compress.quantize import captured
from edgecompress.spec.deploy import QuantizeSpec

EQUALISED = QuantizeSpec(mode="ptq", ranges="minmax", calibration_batches=1, equalise=True)
IMAGE = (torch.zeros(1, 4, 8, 8),)


def norm(channels: int, kind: type[nn.Module] = nn.BatchNorm2d) -> nn.Module:
    module = kind(channels)
    settle(module)
    return module


def uneven(model: nn.Module, seed: int = 0) -> nn.Module:
    """Channels whose weights differ by up to a thousandfold."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Conv1d | nn.Linear):
                shape = [-1] + [1] * (module.weight.dim() - 1)
                module.weight.mul_(torch.exp(2 * torch.randn(len(module.weight))).reshape(shape))
    return model.eval()


def graphs(model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[GraphModule, Equalised]:
    graph = captured(model, inputs).graph
    return graph, equalise(graph)


def check_same(model: nn.Module, inputs: tuple[Tensor, ...]) -> Equalised:
    graph, done = graphs(model, inputs)
    x = batch(inputs, 3, seed=7)
    with torch.no_grad():
        wanted, got = model(*x), graph(*x)
    assert (wanted - got).abs().max() <= 1e-5 * wanted.abs().max() + 1e-7
    return done


CHAINS: dict[str, tuple[list[nn.Module], int]] = {
    "relu": ([nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)], 1),
    "nothing between": ([nn.Conv2d(4, 8, 3), nn.Conv2d(8, 4, 3)], 1),
    "batch norms": (
        [nn.Conv2d(4, 8, 3, bias=False), norm(8), nn.ReLU(), nn.Conv2d(8, 4, 3), norm(4)],
        1,
    ),
    "no gain": (
        [nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8, affine=False), nn.ReLU(), nn.Conv2d(8, 4, 3)],
        1,
    ),
    "depthwise": (
        [
            nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), norm(8), nn.ReLU(),
            nn.Conv2d(8, 6, 1), nn.LeakyReLU(0.2), nn.Conv2d(6, 6, 1, groups=3),
        ],
        3,
    ),
    "transposed": (
        [
            nn.ConvTranspose2d(4, 8, 2, 2, groups=2), nn.ReLU(),
            nn.ConvTranspose2d(8, 6, 2, groups=2), nn.ReLU(), nn.Conv2d(6, 4, 1),
        ],
        2,
    ),
    "pools and padding": (
        [
            nn.Conv2d(4, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.ZeroPad2d(1), nn.Dropout(0.5),
            nn.Conv2d(8, 6, 3), nn.AvgPool2d(2), nn.Conv2d(6, 4, 1),
        ],
        2,
    ),
    "flattened": (
        [
            nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 8), nn.ReLU(),
            nn.Linear(8, 3),
        ],
        2,
    ),
    "pooled to one": (
        [nn.Conv2d(4, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)],
        1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CHAINS))
def test_a_chain_computes_the_same(case: str) -> None:
    torch.manual_seed(1)
    layers, pairs = CHAINS[case]
    done = check_same(uneven(nn.Sequential(*layers)), IMAGE)
    assert len(done.pairs) == pairs


def test_ranges_of_both_layers_are_alike() -> None:
    model = uneven(nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)))
    graph, done = graphs(model, IMAGE)
    assert done.pairs == (("0", "2"),)
    first, second = (graph.get_parameter(f"{name}.weight").abs() for name in ("0", "2"))
    torch.testing.assert_close(first.amax((1, 2, 3)), second.amax((0, 2, 3)), rtol=1e-2, atol=0)
    before = model[0].weight.abs().amax((1, 2, 3))  # type: ignore[union-attr, operator]
    after = first.amax((1, 2, 3))
    assert after.max() / after.min() < 0.2 * before.max() / before.min()


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "relu6": (nn.ReLU6(), "hardtanh"),
    "sigmoid": (nn.Sigmoid(), "sigmoid"),
    "hardswish": (nn.Hardswish(), "hardswish"),
    "gelu": (nn.GELU(), "gelu"),
    "silu": (nn.SiLU(), "several read it"),
    "padding with ones": (nn.ConstantPad2d(1, 1.0), "pad"),
    "softmax": (nn.Softmax(1), "softmax"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_does_not_let_a_factor_through_is_left_and_told(case: str) -> None:
    between, why = REFUSED[case]
    torch.manual_seed(1)
    model = uneven(nn.Sequential(nn.Conv2d(4, 8, 3), between, nn.Conv2d(8, 4, 3)))
    done = check_same(model, IMAGE)
    assert not done.pairs
    assert why in dict(done.left)["0"]


class Tangled(nn.Module):
    """What looks like a pair and is none."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.shared, self.rows = nn.Conv2d(4, 4, 1), nn.Linear(8, 8)
        self.flat = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x = x + self.b(x.relu())  # a residual
        x = self.shared(self.shared(x).relu())  # one weight, twice
        x = self.rows(self.c(x))  # a linear layer over columns, not over channels
        y: Tensor = self.flat(x.permute(0, 2, 3, 1).reshape(-1, 4))  # positions as samples
        return y


def test_tangled_layers_are_left() -> None:
    torch.manual_seed(2)
    assert not check_same(uneven(Tangled()), IMAGE).pairs


@settings(max_examples=6, deadline=None)
@given(
    st.integers(0, 10**6), st.lists(st.sampled_from(["relu", "norm", "relu6", "pool"]), max_size=4)
)
def test_random_chains_compute_the_same(seed: int, between: list[str]) -> None:
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Conv2d(4, 6, 3, padding=1)]
    for kind in between:
        module = {
            "relu": nn.ReLU(), "norm": norm(6), "relu6": nn.ReLU6(), "pool": nn.MaxPool2d(2, 1),
        }[kind]  # fmt: skip
        layers += [module, nn.Conv2d(6, 6, 1, groups=2, bias=bool(seed % 2))]
    check_same(uneven(nn.Sequential(*layers), seed), IMAGE)


@pytest.mark.parametrize("name", ["resnet_conv_shortcut", "depthwise_separable"])
def test_whole_networks_compute_the_same(name: str) -> None:
    model, inputs = build(name)
    check_same(model, inputs)
    notes = captured(model, inputs, EQUALISED).notes
    assert len(notes) == 1
    assert notes[0].startswith("equalise: ")
