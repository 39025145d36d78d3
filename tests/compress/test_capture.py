"""Regions and computed weights: what torch.export sets apart is seen by every rule."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from quantizing import batch, built, calibrated
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint
from zoo.parts import Call

from edgecompress.compress.biases import snap_biases
from edgecompress.compress.capture import capture
from edgecompress.compress.constants import fold_constants
from edgecompress.compress.fx import module_path
from edgecompress.compress.operators import WEIGHTED
from edgecompress.compress.quantize import convert
from edgecompress.errors import ModelError

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Forward = Callable[[nn.Module, Tensor], Tensor]


class Small(nn.Module):
    """A convolution and a linear layer, run as `how` says."""

    def __init__(self, how: Forward) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.fc = nn.Linear(8, 5)
        self.how = how

    def features(self, x: Tensor) -> Tensor:
        return self.conv(x).relu().mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self, x)


@torch.no_grad()
def decorated(m: Small, x: Tensor) -> Tensor:
    return m.fc(m.features(x))


def nested(m: Small, x: Tensor) -> Tensor:
    with torch.no_grad():
        y = m.conv(x)
        with torch.enable_grad():
            y = y.relu()
        with torch.autocast("cpu", enabled=False):
            y = y.float().mean((2, 3))
    return m.fc(y)


@torch.inference_mode()
def inference(m: Small, x: Tensor) -> Tensor:
    return m.fc(m.features(x))


def switched(m: Small, x: Tensor) -> Tensor:
    with torch.set_grad_enabled(False):
        return m.fc(m.features(x))


@torch.autocast("cuda", dtype=torch.float16)
def for_another_device(m: Small, x: Tensor) -> Tensor:
    return m.fc(m.features(x))


def checkpointed(m: Small, x: Tensor) -> Tensor:
    return m.fc(checkpoint(m.features, x, use_reentrant=True))


def returned_from_inside(m: Small, x: Tensor) -> Tensor:
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        return m.fc(m.features(x))


REGIONS = [
    decorated,
    nested,
    inference,
    switched,
    for_another_device,
    checkpointed,
    returned_from_inside,
]


def weighted_paths(graph: GraphModule) -> list[str]:
    return [module_path(node) for node in graph.graph.nodes if node.target in WEIGHTED]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", REGIONS, ids=lambda how: how.__name__)
def test_regions_are_written_out(how: Forward) -> None:
    torch.manual_seed(0)
    model = Small(how).eval()
    graph, free_batch = capture(model, (X,))
    assert free_batch
    assert weighted_paths(graph) == ["conv", "fc"]
    assert not any("submod" in str(node.target) for node in graph.graph.nodes)
    x = batch((X,), 3, seed=1)[0]
    assert torch.equal(graph(x), model(x))
    trained = calibrated(model, (X,)).graph
    trained(x).sum().backward()
    assert all(parameter.grad is not None for parameter in trained.parameters())


@pytest.mark.filterwarnings("ignore")
def test_without_gradients_a_file_is_int8_throughout(tmp_path: Path) -> None:
    file = built(Small(nested).eval(), (X,), tmp_path)
    assert file.float_kernels == set()
    assert file.kernels["QLinearConv"] == file.kernels["QGemm"] == 1


def test_attention_is_written_out_without_gradients() -> None:
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).requires_grad_(False)
    graph, _ = capture(encoder.eval(), (torch.randn(1, 4, 8),))
    assert len(weighted_paths(graph)) == 4


def reduced(m: Small, x: Tensor) -> Tensor:
    y = m.features(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return m.fc(y)


def mapped(m: Small, x: Tensor) -> Tensor:
    return m.fc(torch.func.vmap(lambda one: m.features(one[None])[0])(x))


def scripted(m: Small, x: Tensor) -> Tensor:
    return m.fc(m.features(x))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (reduced, "fc: an autocast to bfloat16"),
        (mapped, "without vmap"),
        (scripted, "conv is a TorchScript module"),
    ],
)
def test_what_cannot_be_captured_is_named(how: Forward, said: str) -> None:
    model = Small(how)
    if how is scripted:
        model.conv = torch.jit.script(model.conv)
    with pytest.raises(ModelError, match=said):
        capture(model, (X,))


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        rows = self.weight.reshape(1, self.out_channels, -1)
        rows = functional.batch_norm(rows, None, None, training=True, momentum=0.0, eps=1e-6)
        return functional.conv2d(x, rows.reshape_as(self.weight), self.bias)


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).transpose(-1, -2)


def symmetric() -> nn.Module:
    layer = nn.Linear(8, 8)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return nn.Sequential(nn.Conv2d(3, 8, 8), nn.Flatten(), layer)


def concatenated() -> nn.Module:
    return Call(
        lambda m, x: functional.conv2d(x, torch.cat([m.a.weight * 2, m.b.weight])),
        a=nn.Conv2d(3, 4, 3),
        b=nn.Conv2d(3, 4, 3),
    )


def summed() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        weight = m.a.weight + functional.pad(m.b.weight, [1, 1, 1, 1])
        return functional.conv2d(x, weight, m.a.bias + m.b.bias)

    return Call(forward, a=nn.Conv2d(3, 8, 3), b=nn.Conv2d(3, 8, 1))


def tied() -> nn.Module:
    return Call(
        lambda m, x: functional.linear(m.a(x.flatten(1)).relu(), m.a.weight.t()),
        a=nn.Linear(192, 8),
    )


def multiplied() -> nn.Module:
    return Call(
        lambda m, x: torch.addmm(m.a.bias, x.flatten(1) @ m.a.weight.t(), m.b.weight.t()),
        a=nn.Linear(192, 8),
        b=nn.Linear(8, 8),
    )


def expanded() -> nn.Module:
    return Call(
        lambda m, x: functional.conv2d(m.a(x), m.b.weight.expand(8, -1, -1, -1), groups=8),
        a=nn.Conv2d(3, 8, 3),
        b=nn.Conv2d(1, 1, 3),
    )


COMPUTED: dict[str, Callable[[], nn.Module]] = {
    "weight norm": lambda: parametrizations.weight_norm(nn.Conv2d(3, 8, 3)),
    "older weight norm": lambda: torch.nn.utils.weight_norm(nn.Conv2d(3, 8, 3)),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Conv2d(3, 8, 3)),
    "older spectral norm": lambda: torch.nn.utils.spectral_norm(nn.Conv2d(3, 8, 3)),
    "any parametrisation": symmetric,
    "weight standardisation": lambda: Standardised(3, 8, 3),
    "a concatenation": concatenated,
    "a sum": summed,
    "a transposed one": tied,
    "a product with a parameter": multiplied,
    "an expanded one": expanded,
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", COMPUTED)
def test_computed_weights_become_integers(name: str) -> None:
    torch.manual_seed(0)
    model = COMPUTED[name]().eval()
    x = batch((X,), 3, seed=1)[0]
    with torch.no_grad():
        expected = model(x)
    prepared = calibrated(model, (X,))
    # One more run, because a first one in training mode would change what spectral norm keeps.
    with torch.no_grad():
        assert torch.equal(model(x), expected)
    snap_biases(prepared)
    graph = convert(prepared).graph
    layers = [node for node in graph.graph.nodes if node.target in WEIGHTED]
    assert layers
    for node in layers:
        integers = node.args[1].args[0]
        assert integers.op == "get_attr"
        assert graph.get_buffer(str(integers.target)).dtype == torch.int8
    error = (graph(x) - expected).square().sum() / expected.square().sum()
    assert error < 0.02
    prepared.graph(x).sum().backward()
    assert any(parameter.grad is not None for parameter in prepared.graph.parameters())


def test_what_a_run_writes_to_is_no_constant() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            canvas = torch.zeros(1, 3, 8, 8)
            canvas[:, :2] += x[:1, :2]
            self.seen += 1
            return canvas + torch.arange(8)

    model = Counting()
    graph, _ = capture(copy.deepcopy(model), (X,))
    fold_constants(graph)
    for _ in range(2):
        assert torch.equal(graph(X), model(X))
    assert not any("zeros" in str(node.target) for node in graph.graph.find_nodes(op="get_attr"))
    assert any("arange" in str(node.target) for node in graph.graph.find_nodes(op="get_attr"))


def test_anchors_that_forward_makes_are_constants() -> None:
    """As YOLO's head does: with the type of an activation, and nothing else of it."""

    class Anchored(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.register_buffer("stride", torch.tensor([8.0, 16.0]))

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            at = torch.arange(8).type_as(y) + 0.5
            rows, columns = torch.meshgrid(at, at, indexing="ij")
            anchors = torch.stack((columns, rows), -1).reshape(-1, 2).t()
            strides = torch.cat([y.new_full((1, 32), step) for step in self.stride], 1)
            left, right = y.flatten(2).chunk(2, 1)
            boxes = torch.cat((anchors[None] - left, anchors[None] + right), 1) * strides
            return boxes + y.new_zeros(y.shape[0], 1, 1) + y.new_ones(64)

    model = Anchored().eval()
    graph, free_batch = capture(copy.deepcopy(model), (X,))
    assert free_batch
    fold_constants(graph)
    inputs = X.expand(3, -1, -1, -1)
    torch.testing.assert_close(graph(inputs), model(inputs))
    left = {str(node.target) for node in graph.graph.nodes if node.op == "call_function"}
    gone = ("arange", "type_as", "meshgrid", "stack", "new_full", "aten.item", "new_ones", "full")
    assert not {name for name in left for word in gone if word in name}


@pytest.mark.parametrize("operator", [torch.add, torch.sub])
def test_alpha_is_an_operator_of_its_own(operator: Callable[..., Tensor]) -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        return operator(operator(x, y, alpha=-0.5), 3, alpha=2)

    model = Call(forward, conv=nn.Conv2d(3, 3, 1)).eval()
    graph, _ = capture(model, (X,))
    assert torch.equal(graph(X), model(X))
    assert not any("alpha" in node.kwargs for node in graph.graph.nodes)


class Anchors(nn.Module):
    """Keeps a grid for the shape that it saw last, as detectors do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.shape: torch.Size | None = None
        self.grid = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.shape != y.shape:
            self.grid, self.shape = torch.arange(y.shape[3]) * 2.0, y.shape
        return y + self.grid


@pytest.mark.filterwarnings("ignore:The tensor attribute")
@pytest.mark.parametrize("seen", [1, 2, 5])
def test_a_shape_seen_before_does_not_fix_the_batch(seen: int) -> None:
    model = Anchors().eval()
    with torch.no_grad():
        model(X.expand(seen, -1, -1, -1))
    graph, free_batch = capture(model, (X,))
    assert free_batch
    x = batch((X,), 3, seed=1)[0]
    assert torch.equal(graph(x), model(x))
