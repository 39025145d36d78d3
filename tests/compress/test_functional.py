"""A write into a tensor that is read later is quantised as what it computes."""

import pytest
import torch
from quantizing import calibrated, scheme
from torch import Tensor, nn
from torch.nn import functional
from writing import FORMS, Writing, X, decibels

from edgecompress.compress.capture import capture
from edgecompress.compress.folding import BatchNorm
from edgecompress.compress.quantize import calibrate, captured, forward, prepare
from edgecompress.errors import ModelError


def test_a_write_costs_no_more_than_the_same_without_it() -> None:
    written, apart = Writing(0).eval(), Writing(1).eval()
    found = {}
    for model in (written, apart):
        prepared = prepare(model, (X[:1],), scheme("uint8"), "minmax")
        calibrate(prepared, [(X, None)])
        with torch.no_grad():
            found[model] = decibels(model(X), forward(prepared, (X,)))
    pairs = zip(FORMS, found[written], found[apart], strict=True)
    assert {name: (a, b) for name, a, b in pairs if not a > max(b - 3, 20)} == {}


class Layers(nn.Module):
    """Two convolutions with what training needs between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.dropout, self.channels = nn.Dropout(0.5), nn.Dropout2d(0.5)
        self.last = nn.Conv2d(8, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.channels(self.dropout(self.norm(self.first(x)).relu_()))
        h[:, :4] += x.mean(1, keepdim=True)
        return self.last(h)


def test_it_still_trains() -> None:
    prepared = calibrated(Layers().eval(), (X[:1],))
    kinds = [str(node.target) for node in prepared.graph.graph.nodes]
    assert {"aten.dropout.default", "aten.feature_dropout.default"} <= set(kinds)
    assert any(isinstance(module, BatchNorm) for module in prepared.graph.modules())
    prepared.graph(X).sum().backward()
    assert all(p.grad is not None for p in prepared.graph.parameters())


def test_what_nobody_reads_later_keeps_its_operators() -> None:
    class Plain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = functional.hardswish(x + 1, inplace=True).reshape(-1, 108)
            return functional.relu(h.add_(h.detach().mul_(2)), inplace=True)

    graph, _ = capture(Plain(), (X[:1],))
    targets = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    assert "aten.hardswish.default" in targets
    assert not any(target.partition(".default")[0].endswith("_") for target in targets)
    assert torch.equal(graph(X.clone()), Plain()(X.clone()))


def test_a_loop_that_fills_a_tensor_is_one_concatenation() -> None:
    class Filled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            out = x.new_zeros(len(x), 4, 6)
            for index in range(4):
                out[:, index] = x[:, 0, index] * index
            return out

    graph, _ = capture(Filled(), (X[:1],))
    kinds = [str(node.target) for node in graph.graph.nodes]
    assert kinds.count("aten.cat.default") == 1
    assert not any("scatter" in kind or "zeros" in kind for kind in kinds)
    assert torch.equal(graph(X), Filled()(X))


class Keeping(nn.Module):
    """A module with a buffer `kept`, and an attribute `held` that is none."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 3)
        self.register_buffer("kept", torch.zeros(1, 8, 6, 6))
        self.held = torch.zeros(8, 1, 1)
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return self.last(KEEPING[self.how](self, self.first(x)))


def counted(m: Keeping, h: Tensor) -> Tensor:
    m.kept += 1
    return h


def followed(m: Keeping, h: Tensor) -> Tensor:
    m.kept.lerp_(h.mean(0, keepdim=True), 0.1)
    return h


def overwritten(m: Keeping, h: Tensor) -> Tensor:
    m.kept[:] = h.mean(0, keepdim=True)
    return h * m.kept


def noted(m: Keeping, h: Tensor) -> Tensor:
    m.held = h
    return h


def clamped(m: Keeping, h: Tensor) -> Tensor:
    with torch.no_grad():
        m.last.weight.clamp_(-0.05, 0.05)
    return h


def counting(m: Keeping, h: Tensor) -> Tensor:
    m.kept += 1
    return h * m.kept


def averaging(m: Keeping, h: Tensor) -> Tensor:
    return h - followed(m, h) * 0 - m.kept


def rebound(m: Keeping, h: Tensor) -> Tensor:
    m.kept = 0.9 * m.kept + h.mean(0, keepdim=True)
    return h + m.kept


def caching(m: Keeping, h: Tensor) -> Tensor:
    m.kept = torch.roll(m.kept, 1, 3)
    m.kept[..., :1] = h[:1, ..., :1]
    return h + m.kept


def assigned(m: Keeping, h: Tensor) -> Tensor:
    m.held = 0.5 * m.held + h.mean((0, 2, 3))[:, None, None]
    return h + m.held


def added(m: Keeping, h: Tensor) -> Tensor:
    m.held += h.mean((0, 2, 3))[:, None, None]
    return h + m.held


FORGOTTEN = (counted, followed, overwritten, noted, clamped)
REFUSED = (counting, averaging, rebound, caching, assigned, added)
KEEPING = {function.__name__: function for function in (*FORGOTTEN, *REFUSED)}


@pytest.mark.parametrize("how", [function.__name__ for function in FORGOTTEN])
def test_what_a_run_only_writes_down_is_left_out(how: str) -> None:
    model = Keeping(how).eval()
    traced = captured(model, (X[:1],))
    with torch.no_grad():
        for _ in range(2):
            assert torch.allclose(traced.graph(X), model(X), atol=1e-5)
    assert not model.kept.any() or how != "counted" or float(model.kept[0, 0, 0, 0]) == 2


@pytest.mark.parametrize("how", [function.__name__ for function in REFUSED])
def test_what_comes_back_in_the_next_run_is_refused_by_name(how: str) -> None:
    name = "held" if "held" in KEEPING[how].__code__.co_names else "kept"
    with pytest.raises(
        ModelError, match=f"Keeping: .* changes '{name}' .* in the next run"
    ) as told:
        captured(Keeping(how).eval(), (X[:1],))
    assert "\n" not in str(told.value)


def test_a_write_into_an_input_is_seen_by_what_reads_it_later() -> None:
    class Normalising(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            before = x[:, 0] + 0
            x.sub_(0.5).div_(0.2)
            return x[:, 0] + before

    graph, _ = capture(Normalising(), (X[:1],))
    x = X.clone()
    assert torch.allclose(graph(x), Normalising()(X.clone()))
    assert torch.equal(x, X)
